"""Certificates, and a client that speaks TLS: that of the harness with records in between.

The records are made and read with an ``SSLObject`` on memory BIOs, so that a test can split and
hold back the octets on the wire wherever it likes.
"""

import contextlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.server.harness import Client, ResponseCutOffError, Serving, soon

HOST = "zonda.test"


@dataclass(frozen=True)
class Certificates:
    """An authority, what it has issued for a server, and where that lies."""

    authority: trustme.CA
    certfile: str
    keyfile: str
    authorities: str
    """The authority's own certificate."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a server that presents the certificate."""
        return {"ssl_certfile": self.certfile, "ssl_keyfile": self.keyfile}

    def client(self, **options: object) -> ssl.SSLContext:
        """A context for clients that trusts the authority, with attributes ``options``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        for name, value in options.items():
            setattr(context, name, value)
        return context


def make_certificates(folder: Path) -> Certificates:
    """Certificates of a new authority, below ``folder``."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    issued = authority.issue_cert(HOST, "127.0.0.1", key_type=trustme.KeyType.ECDSA)
    paths = [folder / name for name in ("server.pem", "server.key", "authority.pem")]
    issued.cert_chain_pems[0].write_to_path(paths[0])
    issued.private_key_pem.write_to_path(paths[1])
    authority.cert_pem.write_to_path(paths[2])
    return Certificates(authority, *map(str, paths))


def encrypted(keyfile: str, target: Path, password: str = "open sesame") -> str:
    """The path of a copy of a key, encrypted."""
    key = serialization.load_pem_private_key(Path(keyfile).read_bytes(), None)
    target.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password.encode()),
        )
    )
    return str(target)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for a module's tests."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class TLSClient(Client):
    """A connection with TLS, seen from the other side.

    Attributes:
        told_the_end: Whether close_notify has come.
        piece: The most octets that are sent at once.
    """

    def __init__(self, client: Client, context: ssl.SSLContext, *, piece: int = 1 << 30) -> None:
        super().__init__(client.sock)
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_hostname=HOST)
        self.told_the_end = False
        self.piece = piece

    async def shake_hands(self) -> None:
        """Do the handshake."""
        while True:
            try:
                self.object.do_handshake()
            except ssl.SSLWantReadError:
                await self.push()
                await self._receive()
            else:
                await self.push()
                return

    async def send(self, data: bytes) -> None:
        """Send all of ``data``, in records as large as they go."""
        self.object.write(data)
        await self.push()

    def records(self, data: bytes) -> bytes:
        """``data`` as it goes over the wire; for a test that sends that itself."""
        self.object.write(data)
        return self.outgoing.read()

    async def push(self) -> None:
        """Send what OpenSSL has made."""
        data = self.outgoing.read()
        for start in range(0, len(data), self.piece):
            await super().send(data[start : start + self.piece])

    async def send_raw(self, data: bytes) -> None:
        """Send octets as they are."""
        await super().send(data)

    async def close_notify(self) -> None:
        """Say that nothing follows, in TLS; the TCP connection stays as it is."""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLSyscallError):
            self.object.unwrap()
        await self.push()

    async def _receive(self) -> None:
        data = await soon(self._loop.sock_recv(self.sock, 262_144), "more from the server")
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    async def _read_more(self) -> None:
        while not self._ended:
            try:
                data = self.object.read(262_144)
            except ssl.SSLWantReadError:
                await self.push()
                await self._receive()
                continue
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLEOFError:
                self._ended = True
                break
            if data:
                self.unread += data
                return
            self.told_the_end = True
            self._ended = True
        raise ResponseCutOffError(f"the connection has ended after {bytes(self.unread)[:200]!r}")


async def connect(
    server: Serving,
    context: ssl.SSLContext,
    *,
    receive_buffer: int | None = None,
    piece: int = 1 << 30,
) -> TLSClient:
    """A client of ``server`` whose handshake is done."""
    client = TLSClient(await server.connect(receive_buffer=receive_buffer), context, piece=piece)
    server._clients.append(client)
    await client.shake_hands()
    return client
