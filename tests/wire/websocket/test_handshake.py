"""The opening handshake, as a server reads and answers it (RFC 6455 section 4.2, RFC 8441)."""

from __future__ import annotations

import pytest

from zonda.wire.http1 import DefaultFields, ResponseError, encode_switching
from zonda.wire.websocket import (
    DeflateParameters,
    Handshake,
    HandshakeRefused,
    MessageError,
    read_handshake,
)

Fields = list[tuple[bytes, bytes]]

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def fields(*more: tuple[bytes, bytes], **changes: bytes | None) -> Fields:
    """The fields of a good request with some changed or, where None, left out."""
    good: dict[bytes, bytes | None] = {
        b"host": b"example.com",
        b"upgrade": b"websocket",
        b"connection": b"Upgrade",
        b"sec-websocket-key": KEY,
        b"sec-websocket-version": b"13",
    }
    short = {"key": b"sec-websocket-key", "version": b"sec-websocket-version"}
    for name, value in changes.items():
        good[short.get(name, name.replace("_", "-").encode())] = value
    return [*((name, value) for name, value in good.items() if value is not None), *more]


def accepted(headers: Fields, method: str = "GET", version: str = "1.1") -> Handshake:
    return read_handshake(method, version, headers)


def refused(headers: Fields, method: str = "GET", version: str = "1.1") -> HandshakeRefused:
    with pytest.raises(HandshakeRefused) as caught:
        read_handshake(method, version, headers)
    assert caught.value.reason
    return caught.value


def test_the_key_of_the_rfc_has_the_accept_of_the_rfc() -> None:
    assert accepted(fields()) == Handshake(ACCEPT, (), ())


@pytest.mark.parametrize("method", ["POST", "HEAD", "CONNECT", "get"])
def test_another_method_than_get_is_refused(method: str) -> None:
    assert refused(fields(), method).status == 400


def test_http_1_0_is_refused() -> None:
    assert refused(fields(), version="1.0").status == 400


@pytest.mark.parametrize("value", [b"websocket", b"WebSocket", b"h2c, websocket", b"a,WEBSOCKET ,"])
def test_upgrade_names_websocket_in_any_case(value: bytes) -> None:
    assert accepted(fields(upgrade=value)).accept == ACCEPT


@pytest.mark.parametrize(
    "value", [None, b"", b"h2c", b"websockets", b"web socket", b"websocket/13"]
)
def test_an_upgrade_to_something_else_is_refused(value: bytes | None) -> None:
    assert refused(fields(upgrade=value)).status == 400


@pytest.mark.parametrize("value", [b"Upgrade", b"upgrade", b"keep-alive, Upgrade", b"UPGRADE,x"])
def test_connection_names_upgrade_in_any_case(value: bytes) -> None:
    assert accepted(fields(connection=value)).accept == ACCEPT


@pytest.mark.parametrize("value", [None, b"", b"keep-alive", b"upgraded", b"close"])
def test_a_connection_field_without_upgrade_is_refused(value: bytes | None) -> None:
    assert refused(fields(connection=value)).status == 400


def test_the_fields_that_are_lists_may_have_several_lines() -> None:
    more = ((b"connection", b"Upgrade"), (b"upgrade", b"websocket"))
    assert accepted(fields(*more, connection=b"keep-alive", upgrade=b"h2c")).accept == ACCEPT


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"dGhlIHNhbXBsZSBub25jZQ",
        b"dGhlIHNhbXBsZSBub25jZQ=",
        b"dGhlIHNhbXBsZSBub25jZQ===",
        b"dGhlIHNhbXBsZSBub25jZTE=",
        b"dGhlIHNhbXBsZSBub25j",
        b"dGhlIHNhbXBsZSBub25jZ!==",
        b"dGhlIHNhbXBsZSBub25j-_==",
        b"dGhlIHNhbXBsZSBub25jZQ==\n",
        b"dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        b"AAAA" * 16,
    ],
)
def test_a_key_that_is_not_16_octets_in_base64_is_refused(key: bytes | None) -> None:
    assert refused(fields(key=key)).status == 400


def test_two_keys_are_refused() -> None:
    assert refused(fields((b"sec-websocket-key", KEY))).status == 400


@pytest.mark.parametrize("version", [None, b"", b"8", b"14", b"013", b"13, 8", b"0x13", b"+13"])
def test_another_version_than_13_is_answered_426_which_names_13(version: bytes | None) -> None:
    refusal = refused(fields(version=version))
    assert refusal.status == 426
    assert (b"sec-websocket-version", b"13") in refusal.headers
    # RFC 9110 section 15.5.22 asks for this one.
    assert (b"upgrade", b"websocket") in refusal.headers


def test_another_version_is_told_so_even_without_a_key() -> None:
    assert refused(fields(key=None, version=b"8")).status == 426


def test_two_versions_are_refused() -> None:
    assert refused(fields((b"sec-websocket-version", b"13"))).status == 400


@pytest.mark.parametrize("field", [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")])
def test_a_handshake_with_a_body_is_refused(field: tuple[bytes, bytes]) -> None:
    assert refused(fields(field)).status == 400


def test_a_content_length_of_0_is_no_body() -> None:
    assert accepted(fields((b"content-length", b"0"))).accept == ACCEPT


# Subprotocols


def test_subprotocols_come_in_the_clients_order_over_several_lines() -> None:
    name = b"sec-websocket-protocol"
    headers = fields((name, b"chat, superchat"), (b"x", b"y"), (name, b" mqtt ,,"))
    assert accepted(headers).subprotocols == ("chat", "superchat", "mqtt")


@pytest.mark.parametrize("value", [b"", b",", b"a b", b"a/b", b'"a"', b"a, \xff", b"a;b"])
def test_a_subprotocol_that_is_not_a_token_is_refused(value: bytes) -> None:
    assert refused(fields((b"sec-websocket-protocol", value))).status == 400


def test_a_subprotocol_offered_twice_is_refused() -> None:
    name = b"sec-websocket-protocol"
    assert refused(fields((name, b"a, b, a"))).status == 400
    assert refused(fields((name, b"a"), (name, b"a"))).status == 400
    assert accepted(fields((name, b"a, A"))).subprotocols == ("a", "A")


def test_extensions_that_break_the_grammar_are_refused() -> None:
    assert refused(fields((b"sec-websocket-extensions", b"a; b="))).status == 400
    assert accepted(fields((b"sec-websocket-extensions", b"a; b=c"))).extensions == (
        ("a", (("b", "c"),)),
    )


# The response


def test_the_response_switches_protocols() -> None:
    handshake = accepted(fields())
    assert handshake.response_fields() == [
        (b"upgrade", b"websocket"),
        (b"sec-websocket-accept", ACCEPT),
    ]
    wire = encode_switching(handshake.response_fields(), DefaultFields())
    assert wire == (
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-accept: " + ACCEPT + b"\r\n\r\n"
    )


def test_the_response_names_what_was_chosen() -> None:
    handshake = accepted(fields((b"sec-websocket-protocol", b"chat, mqtt")))
    extra = [(b"set-cookie", b"a=b"), (b"x-y", b"z")]
    said = handshake.response_fields(
        "mqtt", DeflateParameters(server_no_context_takeover=True), extra
    )
    assert said[2:] == [
        (b"sec-websocket-protocol", b"mqtt"),
        (b"sec-websocket-extensions", b"permessage-deflate; server_no_context_takeover"),
        *extra,
    ]


@pytest.mark.parametrize("name", ["other", "", "Chat"])
def test_a_subprotocol_that_was_not_offered_cannot_be_chosen(name: str) -> None:
    handshake = accepted(fields((b"sec-websocket-protocol", b"chat")))
    with pytest.raises(MessageError, match="did not offer"):
        handshake.response_fields(name)


@pytest.mark.parametrize(
    "name",
    [
        b"Sec-WebSocket-Accept",
        b"sec-websocket-protocol",
        b"upgrade",
        b"Connection",
        b"content-length",
    ],
)
def test_the_application_cannot_say_what_the_handshake_says(name: bytes) -> None:
    with pytest.raises(MessageError, match="leave it out"):
        accepted(fields()).response_fields(extra=[(name, b"1")])


def test_the_application_cannot_split_the_response() -> None:
    said = accepted(fields()).response_fields(extra=[(b"x", b"y\r\nz: a")])
    with pytest.raises(ResponseError):
        encode_switching(said, DefaultFields())


def test_the_server_adds_its_fields_to_the_response_once() -> None:
    defaults = DefaultFields(date=b"today", server=b"zonda", extra=[(b"x", b"y")])
    lines = encode_switching([(b"upgrade", b"websocket")], defaults).split(b"\r\n")
    assert lines[1:] == [
        b"connection: upgrade",
        b"date: today",
        b"server: zonda",
        b"x: y",
        b"upgrade: websocket",
        b"",
        b"",
    ]
    own = [(b"upgrade", b"websocket"), (b"Server", b"other"), (b"date", b"then")]
    wire = encode_switching(own, defaults)
    assert (wire.count(b"erver: "), wire.count(b"ate: ")) == (1, 1)


# RFC 8441


def test_an_extended_connect_needs_no_key() -> None:
    headers = [(b"sec-websocket-version", b"13"), (b"sec-websocket-protocol", b"chat")]
    handshake = read_handshake("CONNECT", "2", headers, extended_connect=True)
    assert handshake == Handshake(None, ("chat",), ())
    assert handshake.response_fields("chat") == [(b"sec-websocket-protocol", b"chat")]


def test_an_extended_connect_is_a_connect_of_version_13() -> None:
    good = [(b"sec-websocket-version", b"13")]
    for method, headers, status in (("GET", good, 400), ("CONNECT", [], 426)):
        with pytest.raises(HandshakeRefused) as caught:
            read_handshake(method, "2", headers, extended_connect=True)
        assert caught.value.status == status
