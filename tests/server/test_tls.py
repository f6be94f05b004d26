"""TLS: what differs from a plain connection, on the wire and for the application."""

import asyncio
import contextlib
import hashlib
import ssl
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.harness import (
    CLOSE,
    PATIENCE,
    Client,
    Message,
    Receive,
    ResponseCutOffError,
    Scope,
    Send,
    Serving,
    answer,
    body,
    echo,
    in_loop,
    open_files,
    read_body,
    request,
    serving,
    soon,
    start,
    until,
)
from tests.server.tls_client import (
    Certificates,
    TLSClient,
    certificates,
    connect,
    make_certificates,
)
from zonda.asgi.types import ASGIApp
from zonda.server.reactor.interface import HIGH_WATER

__all__ = ["certificates"]

MIB = 1024 * 1024


def pattern(size: int) -> bytes:
    """Content in which no two places look the same."""
    count = size // 32 + 1
    return b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(count))[:size]


async def digest(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the digest of the request's body."""
    found = hashlib.sha256()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        found.update(message["body"])
        if not message["more_body"]:
            break
    await send(start())
    await send(body(found.hexdigest().encode()))


def showing(seen: list[Scope]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await answer()(scope, receive, send)

    return app


# Requests and responses


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@in_loop
async def test_requests_are_answered_one_after_another(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    context = certificates.client(maximum_version=version)
    async with serving(echo, **certificates.settings) as server:
        client = await connect(server, context)
        for number in range(5):
            await client.send(request("POST", f"/{number}", content=b"x" * number))
            response = await client.read_response()
            assert response.body == b"POST /%d " % number + b"x" * number
        assert client.object.version() == ("TLSv1.2" if version.name == "TLSv1_2" else "TLSv1.3")


@in_loop
async def test_pipelined_requests_are_answered_in_order(certificates: Certificates) -> None:
    async with serving(echo, **certificates.settings) as server:
        client = await connect(server, certificates.client())
        await client.send(b"".join(request("GET", f"/{number}") for number in range(500)))
        for number in range(500):
            assert (await client.read_response()).body == b"GET /%d " % number


@pytest.mark.parametrize("piece", [1, 5, 100])
@in_loop
async def test_records_may_be_split_anywhere(certificates: Certificates, piece: int) -> None:
    async with serving(echo, **certificates.settings) as server:
        client = await connect(server, certificates.client(), piece=piece)
        for number in range(3):
            await client.send(request("POST", "/", content=pattern(600 * number)))
            assert (await client.read_response()).body == b"POST / " + pattern(600 * number)


@pytest.mark.parametrize("size", [16_383, 16_384, 16_385, 65_536, MIB, 10 * MIB])
@in_loop
async def test_large_bodies_arrive_whole(certificates: Certificates, size: int) -> None:
    content = pattern(size)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await read_body(receive) == content
        await send(start())
        await send(body(content))

    async with serving(app, **certificates.settings) as server:
        client = await connect(server, certificates.client())
        for _ in range(2):
            sending = asyncio.ensure_future(client.send(request("PUT", "/", content=content)))
            assert (await client.read_response()).body == content
            await sending


@pytest.mark.parametrize("size", [1, 100, 5_000, 16_384, 70_000])
@in_loop
async def test_a_body_in_pieces(certificates: Certificates, size: int) -> None:
    content = pattern(400_000)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for offset in range(0, 400 * size, size):
            await send(body(content[offset : offset + size], more=True))
        await send(body())

    async with serving(app, **certificates.settings) as server:
        client = await connect(server, certificates.client())
        await client.send(request())
        assert (await client.read_response()).body == content[: 400 * size]


@in_loop
async def test_a_small_response_is_one_record(certificates: Certificates) -> None:
    context = certificates.client(maximum_version=ssl.TLSVersion.TLSv1_2)
    async with serving(answer(b"x" * 1000), **certificates.settings) as server:
        client = await connect(server, context)
        await client.send(request())
        wire = await soon(asyncio.get_running_loop().sock_recv(client.sock, 65_536))
        # Type, version, and how much follows: nothing comes behind the first record.
        assert wire[:3] == b"\x17\x03\x03"
        assert int.from_bytes(wire[3:5], "big") == len(wire) - 5
        client.incoming.write(wire)
        assert (await client.read_response()).body == b"x" * 1000


@in_loop
async def test_a_slow_reader_stops_the_application(certificates: Certificates) -> None:
    sent = 0
    content = pattern(300_000)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        for _ in range(60):
            await send(body(content, more=True))
            sent += 1
        await send(body())

    async with serving(app, **certificates.settings) as server:
        client = await connect(server, certificates.client(), receive_buffer=4096)
        await client.send(request())
        await until(lambda: only(server).transport.queued > HIGH_WATER)
        assert sent < 60
        assert (await client.read_response()).body == content * 60


@in_loop
async def test_a_slow_application_stops_the_client(certificates: Certificates) -> None:
    go_on = asyncio.Event()
    content = pattern(20 * MIB)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await go_on.wait()
        await digest(scope, receive, send)

    async with serving(app, **certificates.settings) as server:
        client = await connect(server, certificates.client())
        wire = client.records(request("POST", "/", content=content))
        taken = client.send_what_fits(wire)
        while more := await settled_send(client, wire[taken:]):
            taken += more
        assert taken < len(wire)
        go_on.set()
        await client.send_raw(wire[taken:])
        assert (await client.read_response()).status == 200


async def settled_send(client: Client, data: bytes) -> int:
    """What the server takes of ``data`` before it takes no more for a while."""
    for _ in range(100):
        if taken := client.send_what_fits(data):
            return taken
        await asyncio.sleep(0.001)
    return 0


def only(server: Serving) -> Any:  # noqa: ANN401
    (connection,) = server.service.connections
    return connection


@in_loop
async def test_what_was_read_before_a_pause_is_handed_over_after_it(
    certificates: Certificates,
) -> None:
    """Records of all sizes, and the end right behind them, while the application takes its time."""
    sizes = [1, 100, 16_383, 16_384, 16_384, 16_384, 3, 16_384] * 10
    content = pattern(sum(sizes))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found = hashlib.sha256()
        while True:
            await asyncio.sleep(0.001)
            message = await receive()
            found.update(message.get("body", b""))
            if not message.get("more_body"):
                break
        await send(start())
        await send(body(found.hexdigest().encode()))

    async with serving(app, **certificates.settings) as server:
        client = await connect(server, certificates.client())
        wire = [client.records(request("POST", "/", ("Content-Length", f"{len(content)}"), CLOSE))]
        at = 0
        for size in sizes:
            wire.append(client.records(content[at : at + size]))
            at += size
        with contextlib.suppress(ssl.SSLWantReadError):
            client.object.unwrap()
        wire.append(client.outgoing.read())
        await client.send_raw(b"".join(wire))
        assert (await client.read_response()).body == hashlib.sha256(content).hexdigest().encode()


# Files


@pytest.mark.parametrize("size", [0, 1, 16_384, 65_537, 3 * MIB])
@in_loop
async def test_files(certificates: Certificates, tmp_path: Path, size: int) -> None:
    content = pattern(size)
    path = tmp_path / "file"
    path.write_bytes(content)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/path":
            await send(start())
            await send({"type": "http.response.pathsend", "path": str(path)})
        else:
            with path.open("rb") as file:
                await send(start())
                await send({"type": "http.response.zerocopysend", "file": file, "more_body": True})
                await send(body(b"and more"))

    async with serving(app, **certificates.settings) as server:
        client = await connect(server, certificates.client(), receive_buffer=4096)
        before = open_files()
        await client.send(request("GET", "/path") + request("GET", "/copy"))
        assert (await client.read_response()).body == content
        assert (await client.read_response()).body == content + b"and more"
        await server.idle_exchanges()
        await until(lambda: open_files() == before, "closed files")


@in_loop
async def test_a_file_that_becomes_shorter_breaks_the_response_off(
    certificates: Certificates, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 20 * MIB)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send({"type": "http.response.pathsend", "path": str(path)})

    async with serving(app, **certificates.settings) as server:
        client = await connect(server, certificates.client(), receive_buffer=4096)
        await client.send(request())
        await client.read_head()
        path.write_bytes(b"")
        with contextlib.suppress(ConnectionResetError):
            await client.read_to_end()
        assert not client.told_the_end
        await server.idle()
        (error,) = server.take_errors()
        assert "a file became" in error


# Ends


@in_loop
async def test_a_response_ends_with_close_notify(certificates: Certificates) -> None:
    async with serving(answer(b"all"), **certificates.settings) as server:
        client = await connect(server, certificates.client())
        await client.send(request("GET", "/", CLOSE))
        assert (await client.read_response()).body == b"all"
        await client.assert_closed()
        assert client.told_the_end
        # TCP's end follows, so that those are told too who do not read close_notify.
        assert await soon(asyncio.get_running_loop().sock_recv(client.sock, 1)) == b""


@pytest.mark.parametrize("orderly", [True, False])
@in_loop
async def test_a_client_that_has_closed_its_half_gets_its_answer(
    certificates: Certificates, orderly: bool
) -> None:
    content = pattern(MIB)
    arrived = asyncio.Event()
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await go_on.wait()
        await send(start())
        await send(body(content))

    async with serving(app, **certificates.settings) as server:
        client = await connect(server, certificates.client())
        await client.send(request())
        await arrived.wait()
        if orderly:
            await client.close_notify()
        else:
            client.end_sending()
        go_on.set()
        assert (await client.read_response()).body == content
        await client.assert_closed()
        assert client.told_the_end


@pytest.mark.parametrize("orderly", [True, False])
@in_loop
async def test_an_end_within_a_request_ends_the_connection(
    certificates: Certificates, orderly: bool
) -> None:
    told: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not told or told[-1]["type"] != "http.disconnect":
            told.append(await receive())

    async with serving(app, **certificates.settings) as server:
        client = await connect(server, certificates.client())
        await client.send(request("POST", "/", ("Content-Length", "10")) + b"half")
        await until(lambda: told)
        if orderly:
            await client.close_notify()
        else:
            client.end_sending()
        await client.assert_closed()
        assert [each["type"] for each in told] == ["http.request", "http.disconnect"]


@in_loop
async def test_a_refused_body_that_still_comes_does_not_take_the_answer_with_it(
    certificates: Certificates,
) -> None:
    async with serving(answer(), limit_request_body=1000, **certificates.settings) as server:
        client = await connect(server, certificates.client())
        wire = client.records(request("POST", "/", content=pattern(4 * MIB)))
        sending = asyncio.ensure_future(client.send_raw(wire))
        assert (await client.read_response()).status == 413
        with contextlib.suppress(ConnectionError):
            await sending
        client.close()


@in_loop
async def test_a_client_that_resets_tells_the_application(certificates: Certificates) -> None:
    failure: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x" * 100_000, more=True))
        except OSError as error:
            failure.append(error)

    async with serving(app, **certificates.settings) as server:
        client = await connect(server, certificates.client())
        await client.send(request())
        await client.read_head()
        client.reset()
        await server.idle()
        assert failure


@pytest.mark.parametrize("tls", [False, True])
@in_loop
async def test_writes_right_behind_one_that_failed_go_nowhere(
    certificates: Certificates, tls: bool
) -> None:
    """The application may write again before it can be told; part of a piece had gone before."""
    full = asyncio.Event()
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        while not only(server).transport.queued:
            await send(body(pattern(20_000), more=True))
        full.set()
        await go_on.wait()
        for _ in range(5):
            await send(body(b"small", more=True))
        await send(body())

    async with serving(app, **(certificates.settings if tls else {})) as server:
        client = (
            await connect(server, certificates.client(), receive_buffer=4096)
            if tls
            else await server.connect(receive_buffer=4096)
        )
        await client.send(request())
        await full.wait()
        client.reset()
        go_on.set()
        await server.idle()


@in_loop
async def test_garbage_behind_the_handshake_ends_the_connection(
    certificates: Certificates,
) -> None:
    async with serving(answer(), **certificates.settings) as server:
        client = await connect(server, certificates.client())
        await client.send(request())
        await client.read_response()
        await client.send_raw(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        with contextlib.suppress(ConnectionResetError, ssl.SSLError, ResponseCutOffError):
            await client.read(1)
        await server.idle()


@in_loop
async def test_open_connections_end_with_a_drain(certificates: Certificates) -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await send(start())
        await send(body(b"late"))

    async with serving(app, **certificates.settings) as server:
        busy = await connect(server, certificates.client())
        await busy.send(request())
        idle = await connect(server, certificates.client())
        silent = await server.connect()
        await server.accepted(3)
        server.server.drain()
        await until(lambda: server.service.draining)
        go_on.set()
        response = await busy.read_response()
        assert response.closes
        assert response.body == b"late"
        for client in (busy, idle):
            await client.assert_closed()
            assert client.told_the_end
        await silent.assert_closed()


# The handshake


@in_loop
async def test_silence_ends_after_the_time_out(certificates: Certificates) -> None:
    async with serving(answer(), timeout_tls_handshake=0.1, **certificates.settings) as server:
        client = await server.connect()
        await client.assert_closed()
        (refusal,) = server.refusals()
        assert "the TLS handshake did not end in time" in refusal


@in_loop
async def test_a_handshake_in_drops_ends_after_the_time_out(certificates: Certificates) -> None:
    async with serving(answer(), timeout_tls_handshake=0.3, **certificates.settings) as server:
        client = TLSClient(await server.connect(), certificates.client())
        with contextlib.suppress(ssl.SSLWantReadError):
            client.object.do_handshake()
        hello = client.outgoing.read()
        with contextlib.suppress(ConnectionError):
            for octet in hello[:-1]:
                await client.send_raw(bytes([octet]))
                if server.refusals():
                    break
                await asyncio.sleep(0.005)
        await server.idle()
        assert "did not end in time" in server.refusals()[0]


@in_loop
async def test_a_reset_within_a_handshake(certificates: Certificates) -> None:
    async with serving(answer(), **certificates.settings) as server:
        (await server.connect()).close()  # the loop may open something of its own for the first
        await server.idle()
        before = open_files()
        for length in (0, 1, 100, None):
            client = TLSClient(await server.connect(), certificates.client())
            with contextlib.suppress(ssl.SSLWantReadError):
                client.object.do_handshake()
            await client.send_raw(client.outgoing.read()[:length])
            client.reset()
        await server.idle()
        await until(lambda: open_files() <= before, "closed sockets")


@pytest.mark.parametrize(
    "opening", [b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", b"G", b"POST /" + b"x" * 100_000]
)
@in_loop
async def test_plain_http_is_told_to_use_https(certificates: Certificates, opening: bytes) -> None:
    async with serving(answer(), **certificates.settings) as server:
        client = await server.connect()
        await client.send(opening)
        response = await client.read_response()
        assert response.status == 400
        assert response.closes
        assert b"https://" in response.body
        await client.assert_closed()
        assert "in the clear" in server.refusals()[0]


@pytest.mark.parametrize("opening", [b"\0", b"\r\n\r\n", b"\x80\x2e\x01", b"SSH-2.0-x\r\n"])
@in_loop
async def test_garbage_is_closed_on(certificates: Certificates, opening: bytes) -> None:
    async with serving(answer(), **certificates.settings) as server:
        client = await server.connect()
        await client.send(opening)
        with contextlib.suppress(ConnectionResetError):
            assert await client.read_to_end() == b""
        assert "neither TLS nor HTTP" in server.refusals()[0]


@in_loop
async def test_garbage_that_begins_like_tls_fails_the_handshake(
    certificates: Certificates,
) -> None:
    async with serving(answer(), **certificates.settings) as server:
        client = await server.connect()
        await client.send(b"\x16\x03\x01\x00\x05hello")
        await client.read_to_end()
        assert "the TLS handshake failed" in server.refusals()[0]


@in_loop
async def test_many_handshakes_at_once(certificates: Certificates) -> None:
    context = certificates.client()
    async with serving(echo, **certificates.settings) as server:

        async def ask(number: int) -> bytes:
            client = await connect(server, context)
            await client.send(request("GET", f"/{number}"))
            return (await client.read_response()).body

        answers = await asyncio.gather(*map(ask, range(100)))
        assert answers == [b"GET /%d " % number for number in range(100)]


@in_loop
async def test_connections_in_a_handshake_count_for_the_limit(certificates: Certificates) -> None:
    async with serving(answer(), limit_connections=2, **certificates.settings) as server:
        silent = [await server.connect() for _ in range(2)]
        await server.accepted(2)
        waiting = TLSClient(await server.connect(), certificates.client())
        shaking = asyncio.ensure_future(waiting.shake_hands())
        silent[0].close()
        await soon(shaking)
        assert len(server.service.connections) == 2
        await waiting.send(request())
        assert (await waiting.read_response()).status == 200
        waiting.close()


@in_loop
async def test_an_old_version_is_refused(certificates: Certificates) -> None:
    async with serving(answer(), ssl_min_version="1.3", **certificates.settings) as server:
        with pytest.raises(ssl.SSLError, match=r"(?i)version"):
            await connect(server, certificates.client(maximum_version=ssl.TLSVersion.TLSv1_2))
        await server.idle()
        assert "unsupported protocol" in server.refusals()[0]


@pytest.mark.parametrize(
    ("offered", "selected"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], None), (None, None)]
)
@in_loop
async def test_the_protocol_is_agreed_on(
    certificates: Certificates, offered: list[str] | None, selected: str | None
) -> None:
    context = certificates.client()
    if offered is not None:
        context.set_alpn_protocols(offered)
    async with serving(answer(), **certificates.settings) as server:
        client = await connect(server, context)
        assert client.object.selected_alpn_protocol() == selected
        await client.send(request())
        assert (await client.read_response()).status == 200


@in_loop
async def test_a_session_is_resumed(certificates: Certificates) -> None:
    context = certificates.client()
    async with serving(answer(), **certificates.settings) as server:
        first = await connect(server, context)
        await first.send(request())
        await first.read_response()
        again = TLSClient(await server.connect(), context)
        again.object = context.wrap_bio(
            again.incoming,
            again.outgoing,
            server_hostname="zonda.test",
            session=first.object.session,
        )
        await again.shake_hands()
        assert again.object.session_reused
        await again.send(request())
        assert (await again.read_response()).status == 200


# What the application sees


@in_loop
async def test_the_scope_of_a_connection_with_tls(certificates: Certificates) -> None:
    seen: list[Scope] = []
    async with serving(showing(seen), **certificates.settings) as server:
        client = await connect(server, certificates.client())
        for _ in range(2):
            await client.send(request())
            await client.read_response()
        cipher = client.object.cipher()
        assert cipher is not None
        suites = {each["name"]: each["id"] & 0xFFFF for each in certificates.client().get_ciphers()}
        presented = ssl.PEM_cert_to_DER_cert(seen[0]["extensions"]["tls"]["server_cert"])
        assert presented == client.object.getpeercert(True)
        for scope in seen:
            assert scope["scheme"] == "https"
            tls = scope["extensions"]["tls"]
            assert tls["client_cert_chain"] == []
            assert tls["client_cert_name"] is None
            assert tls["client_cert_error"] is None
            assert tls["tls_version"] == 0x0304
            assert tls["cipher_suite"] == suites[cipher[0]]


@in_loop
async def test_the_scope_of_a_plain_connection_says_nothing_of_tls() -> None:
    seen: list[Scope] = []
    async with serving(showing(seen)) as server:
        client = await server.connect()
        await client.send(request())
        await client.read_response()
        assert seen[0]["scheme"] == "http"
        assert "tls" not in seen[0]["extensions"]


@in_loop
async def test_an_https_target_is_for_a_connection_with_tls(certificates: Certificates) -> None:
    async with serving(echo, **certificates.settings) as server:
        client = await connect(server, certificates.client())
        await client.send(request("GET", "https://test/path"))
        assert (await client.read_response()).body == b"GET /path "
    async with serving(echo) as server:
        plain = await server.connect()
        await plain.send(request("GET", "https://test/path"))
        assert (await plain.read_response()).status == 421


# Client certificates


def with_certificate(certificates: Certificates, issuer: Any = None) -> ssl.SSLContext:  # noqa: ANN401
    """A context for a client that shows a certificate."""
    context = certificates.client()
    (issuer or certificates.authority).issue_cert(
        "someone@zonda.test", organization_name="Lenders, Inc.", common_name="Some One"
    ).configure_cert(context)
    return context


def asking(certificates: Certificates, how: object) -> dict[str, Any]:
    return {
        **certificates.settings,
        "ssl_cert_reqs": how,
        "ssl_ca_certs": certificates.authorities,
    }


@pytest.mark.parametrize("how", ["optional", "required", 1, 2])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@in_loop
async def test_the_scope_has_the_certificate_of_a_client(
    certificates: Certificates, how: object, version: ssl.TLSVersion
) -> None:
    seen: list[Scope] = []
    context = with_certificate(certificates)
    context.maximum_version = version
    async with serving(showing(seen), **asking(certificates, how)) as server:
        client = await connect(server, context)
        await client.send(request())
        await client.read_response()
        tls = seen[0]["extensions"]["tls"]
        assert tls["tls_version"] == (0x0303 if version.name == "TLSv1_2" else 0x0304)
        assert tls["client_cert_chain"][0].startswith("-----BEGIN CERTIFICATE-----")
        assert "CN=Some One" in tls["client_cert_name"]
        assert "O=Lenders\\, Inc." in tls["client_cert_name"]
        assert tls["client_cert_error"] is None


@in_loop
async def test_a_certificate_is_optional(certificates: Certificates) -> None:
    seen: list[Scope] = []
    async with serving(showing(seen), **asking(certificates, "optional")) as server:
        client = await connect(server, certificates.client())
        await client.send(request())
        assert (await client.read_response()).status == 200
        assert seen[0]["extensions"]["tls"]["client_cert_chain"] == []


async def ask_with_a_body(server: Serving, context: ssl.SSLContext) -> None:
    """Send much at once: with TLS 1.3 a client is done before it hears what the server thinks."""
    client = await connect(server, context)
    await client.send(request("POST", "/", content=b"x" * 100_000))
    await client.read_response()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["none", "of another authority"])
@in_loop
async def test_a_client_is_told_why_its_certificate_is_refused(
    certificates: Certificates, tmp_path: Path, version: ssl.TLSVersion, shown: str
) -> None:
    if shown == "none":
        context = certificates.client()
    else:
        context = with_certificate(certificates, make_certificates(tmp_path).authority)
    context.maximum_version = version
    async with serving(answer(), **asking(certificates, "required")) as server:
        with pytest.raises(ssl.SSLError, match=r"(?i)alert|handshake"):
            await ask_with_a_body(server, context)
        await server.idle()
        assert "the TLS handshake failed" in server.refusals()[0]


@in_loop
async def test_sessions_are_not_resumed_where_certificates_are_asked_for(
    certificates: Certificates,
) -> None:
    context = with_certificate(certificates)
    async with serving(answer(), **asking(certificates, "required")) as server:
        client = await connect(server, context)
        await client.send(request())
        await client.read_response()
        session = client.object.session
        assert session is None or not session.has_ticket


# Other clients


def command(*arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        arguments, input=stdin, capture_output=True, timeout=PATIENCE, check=False
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def address(server: Serving) -> tuple[str, int]:
    name: tuple[str, int] = server.sockets[0].getsockname()[:2]
    return name


@in_loop
async def test_httpx(certificates: Certificates) -> None:
    content = pattern(MIB)
    async with serving(echo, **certificates.settings) as server:
        host, port = address(server)
        async with httpx.AsyncClient(verify=certificates.client()) as client:
            for _ in range(3):
                response = await client.post(f"https://{host}:{port}/x", content=content)
                assert response.content == b"POST /x " + content


@in_loop
async def test_curl(certificates: Certificates) -> None:
    async with serving(echo, **certificates.settings) as server:
        host, port = address(server)
        url = f"https://{host}:{port}/curl"
        try:
            output = await asyncio.to_thread(
                command, "curl", "-sSv", "--cacert", certificates.authorities, url, url
            )
        except FileNotFoundError:
            pytest.skip("there is no curl here")
        assert output.count("GET /curl ") >= 2
        assert "re-using existing" in output.lower()


@in_loop
async def test_a_key_update_in_between(certificates: Certificates) -> None:
    """`openssl s_client` sends one for a line K, and asks us for ours as well."""
    async with serving(echo, **certificates.settings) as server:
        host, port = address(server)
        try:
            client = await asyncio.create_subprocess_exec(
                *("openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_3"),
                *("-CAfile", certificates.authorities),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except FileNotFoundError:
            pytest.skip("there is no openssl here")
        assert client.stdin is not None
        assert client.stdout is not None
        for number in range(3):
            client.stdin.write(request("GET", f"/{number}"))
            await soon(client.stdout.readuntil(b"GET /%d " % number), "an answer")
            client.stdin.write(b"K\n")
            await soon(client.stdout.readuntil(b"KEYUPDATE"), "a key update")
        client.stdin.write(request("GET", "/last", CLOSE))
        await soon(client.stdout.readuntil(b"GET /last "), "an answer")
        client.stdin.close()
        await soon(client.wait(), "the end of openssl")


@in_loop
async def test_urls_say_https(certificates: Certificates) -> None:
    async with serving(answer(), **certificates.settings) as server:
        host, port = address(server)
        assert server.server.urls == [f"https://{host}:{port}"]


@in_loop
async def test_a_unix_socket_speaks_tls_too(certificates: Certificates, tmp_path: Path) -> None:
    async with serving(answer(), uds=str(tmp_path / "socket"), **certificates.settings) as server:
        client = await connect(server, certificates.client())
        await client.send(request())
        assert (await client.read_response()).status == 200
