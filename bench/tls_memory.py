"""What a connection with TLS costs the server in memory.

    python3 scripts/environment.py 3.13-compiled python bench/tls_memory.py

Opens connections to a server in a process of its own and reads that process's resident memory
(smaps_rollup) with the first few hundred of them and with all: the difference, divided by their
number, is what one costs. The first ones were opened and closed before, so that what a server pays
once is not counted. Kernel memory is not in it. Needs Linux and trustme.
"""

import argparse
import re
import socket
import ssl
import tempfile
import time
from pathlib import Path

import trustme

from zonda import _build
from zonda.testing import LiveServer

BASE = 200
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
ANSWER = b"hello"


APP = """
import os
from pathlib import Path

Path(__file__).with_name("pid").write_text(str(os.getpid()))


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


def resident(pid: int) -> int:
    """The resident memory of a process, in bytes."""
    content = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Rss:\s+(\d+) kB$", content, re.MULTILINE)
    if found is None:
        raise RuntimeError("smaps_rollup does not say how much is resident")
    return int(found[1]) * 1024


def settled(pid: int) -> int:
    """The resident memory of a process that has handled what it was sent."""
    before = -1
    while (now := resident(pid)) != before:
        before = now
        time.sleep(0.3)
    return now


def connect(server: LiveServer, context: ssl.SSLContext | None, *, ask: bool) -> socket.socket:
    """A connection, after its handshake if it has a context, and after a request if that is due."""
    sock = socket.create_connection((server.host, server.port))
    if context is not None:
        sock = context.wrap_socket(sock, server_hostname="localhost")
    if ask:
        sock.sendall(REQUEST)
        answer = b""
        while not answer.endswith(ANSWER):
            answer += sock.recv(65_536)
    return sock


def measure(
    server: LiveServer, pid: int, context: ssl.SSLContext | None, count: int, *, ask: bool
) -> float:
    """Bytes a connection."""
    for sock in [connect(server, context, ask=ask) for _ in range(BASE)]:
        sock.close()
    held = [connect(server, context, ask=ask) for _ in range(BASE)]
    before = settled(pid)
    held += [connect(server, context, ask=ask) for _ in range(count)]
    after = settled(pid)
    for sock in held:
        sock.close()
    return (after - before) / count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description="What a connection with TLS costs the server in memory."
    )
    parser.add_argument("--connections", type=int, default=1500)
    count = parser.parse_args().connections
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    issued = authority.issue_cert("localhost", key_type=trustme.KeyType.ECDSA)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    older = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(older)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    print(f"Zonda, {_build.describe()}, {ssl.OPENSSL_VERSION}; {count:,} connections")
    cases = [
        ("plain, after a request", False, None, True),
        ("before the handshake", True, None, False),
        ("after the handshake, TLS 1.3", True, context, False),
        ("after a request, TLS 1.3", True, context, True),
        ("after a request, TLS 1.2", True, older, True),
    ]
    with tempfile.TemporaryDirectory() as folder:
        certfile = Path(folder, "server.pem")
        issued.private_key_and_cert_chain_pem.write_to_path(certfile)
        Path(folder, "tls_memory_app.py").write_text(APP)
        for what, tls, chosen, ask in cases:
            with LiveServer(
                "tls_memory_app:app",
                process=True,
                app_dir=folder,
                lifespan="off",
                access_log=False,
                timeout_tls_handshake=0,
                timeout_head=0,
                timeout_keep_alive=600,
                ssl_certfile=certfile if tls else None,
            ) as server:
                size = measure(server, int(Path(folder, "pid").read_text()), chosen, count, ask=ask)
                print(f"{size / 1024:7.1f} KiB  {what}")


if __name__ == "__main__":
    main()
