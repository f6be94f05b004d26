"""The parser on a connection: persistence, pipelining, Expect, Upgrade, and how it is driven."""

from __future__ import annotations

import pytest

from tests.wire.http1.transcript import head, octets, one, read, refusal
from zonda.wire.http1 import END, NEED_DATA, Limits, ProtocolError, Request, RequestParser

GET = b"GET / HTTP/1.1"
POST = b"POST / HTTP/1.1"


def parser_fed(data: bytes) -> RequestParser:
    parser = RequestParser(Limits())
    parser.feed(data)
    return parser


# Persistence (RFC 9112 9.3)


@pytest.mark.parametrize(
    ("version", "fields", "keep_alive"),
    [
        (b"HTTP/1.1", (), True),
        (b"HTTP/1.1", (b"Connection: keep-alive",), True),
        (b"HTTP/1.1", (b"Connection: close",), False),
        (b"HTTP/1.1", (b"Connection: Close",), False),
        (b"HTTP/1.1", (b"Connection: x, CLOSE",), False),
        (b"HTTP/1.1", (b"Connection: x,close,y",), False),
        (b"HTTP/1.1", (b"Connection: , close ,,",), False),
        (b"HTTP/1.1", (b"Connection: keep-alive, close",), False),
        (b"HTTP/1.1", (b"Connection: close, keep-alive",), False),
        (b"HTTP/1.1", (b"Connection: x", b"Connection: close"), False),
        (b"HTTP/1.1", (b"Connection: close", b"Connection: keep-alive"), False),
        (b"HTTP/1.1", (b"Connection: closed",), True),
        (b"HTTP/1.1", (b"Connection: x close",), True),
        (b"HTTP/1.1", (b"Connection:",), True),
        (b"HTTP/1.2", (), True),
        (b"HTTP/1.0", (), False),
        (b"HTTP/1.0", (b"Connection: keep-alive",), True),
        (b"HTTP/1.0", (b"Connection: Keep-Alive",), True),
        (b"HTTP/1.0", (b"Connection: x, keep-alive",), True),
        (b"HTTP/1.0", (b"Connection: keep-alive, close",), False),
        (b"HTTP/1.0", (b"Keep-Alive: timeout=5",), False),
    ],
)
def test_persistence_follows_the_version_and_the_connection_field(
    version: bytes, fields: tuple[bytes, ...], keep_alive: bool
) -> None:
    assert one(head(b"GET / " + version, *fields)).keep_alive is keep_alive


# Pipelining (RFC 9112 9.3.2)


def test_pipelined_requests_are_read_in_order() -> None:
    data = (
        head(b"GET /1 HTTP/1.1")
        + head(b"POST /2 HTTP/1.1", b"Content-Length: 5")
        + b"GET /"
        + head(b"POST /3 HTTP/1.1", b"Transfer-Encoding: chunked")
        + b"5\r\nGET /\r\n0\r\n\r\n"
        + head(b"GET /4 HTTP/1.0")
    )
    whole = read(data)
    assert whole.refused is None
    assert [(m.path, m.body) for m in whole.messages] == [
        ("/1", b""),
        ("/2", b"GET /"),
        ("/3", b"GET /"),
        ("/4", b""),
    ]
    assert read(*octets(data)) == whole


def test_a_bad_request_does_not_take_back_the_good_one_before_it() -> None:
    transcript = read(head(GET) + b"BAD\r\n\r\n")
    assert len(transcript.messages) == 1
    assert transcript.messages[0].complete
    assert transcript.refused == 400


def test_nothing_of_the_next_request_is_read_before_it_is_asked_for() -> None:
    parser = parser_fed(head(GET) + b"\x00\x00\x00\x00")
    assert isinstance(parser.next_event(), Request)
    for _ in range(3):
        assert parser.next_event() is END
    parser.next_request()
    with pytest.raises(ProtocolError):
        parser.next_event()


def test_the_next_request_comes_only_after_the_end_of_this_one() -> None:
    parser = parser_fed(head(POST, b"Content-Length: 5") + b"he")
    assert isinstance(parser.next_event(), Request)
    assert parser.next_event() == b"he"
    with pytest.raises(RuntimeError):
        parser.next_request()


# Expect (RFC 9110 10.1.1)


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue", b" 100-CONTINUE "])
def test_a_client_that_waits_for_100_is_noticed(value: bytes) -> None:
    data = head(POST, b"Expect: " + value, b"Content-Length: 2") + b"ok"
    assert one(data).expects_continue


def test_a_client_that_waits_for_100_may_send_chunks() -> None:
    data = head(POST, b"Expect: 100-continue", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"
    assert one(data).expects_continue


@pytest.mark.parametrize("fields", [(), (b"Content-Length: 0",)])
def test_nobody_waits_for_100_when_no_body_follows(fields: tuple[bytes, ...]) -> None:
    assert not one(head(POST, b"Expect: 100-continue", *fields)).expects_continue


@pytest.mark.parametrize("value", [b"100-continue", b"a-miracle"])
def test_http_1_0_expects_nothing(value: bytes) -> None:
    data = head(b"POST / HTTP/1.0", b"Expect: " + value, b"Content-Length: 2") + b"ok"
    assert not one(data).expects_continue


@pytest.mark.parametrize("value", [b"a-miracle", b"100-continue=1", b"100-continue; a", b"100"])
def test_another_expectation_fails(value: bytes) -> None:
    assert refusal(head(POST, b"Expect: " + value, b"Content-Length: 2") + b"ok") == 417


# Upgrade (RFC 9110 7.8)


def test_an_upgrade_is_reported() -> None:
    data = head(GET, b"Connection: Upgrade", b"Upgrade: websocket")
    assert one(data).upgrade == b"websocket"


def test_no_upgrade_is_none() -> None:
    assert one(head(GET)).upgrade is None


def test_an_upgrade_in_http_1_0_is_ignored() -> None:
    data = head(b"GET / HTTP/1.0", b"Connection: Upgrade", b"Upgrade: websocket")
    assert one(data).upgrade is None


# Driving it


def test_an_empty_feed_changes_nothing() -> None:
    parser = parser_fed(b"")
    assert parser.next_event() is NEED_DATA
    for piece in octets(head(GET)):
        parser.feed(b"")
        parser.feed(piece)
        parser.feed(b"")
    assert isinstance(parser.next_event(), Request)
    assert parser.next_event() is END


def test_several_feeds_may_come_before_one_event() -> None:
    parser = RequestParser(Limits())
    for piece in octets(head(POST, b"Content-Length: 5") + b"hello" + head(GET)):
        parser.feed(piece)
    assert isinstance(parser.next_event(), Request)
    body = b""
    while (event := parser.next_event()) is not END:
        assert isinstance(event, bytes)
        body += event
    assert body == b"hello"
    parser.next_request()
    assert isinstance(parser.next_event(), Request)


def test_a_body_is_handed_on_as_it_comes() -> None:
    parser = parser_fed(head(POST, b"Content-Length: 6"))
    assert isinstance(parser.next_event(), Request)
    for piece in (b"ab", b"cd", b"ef"):
        assert parser.next_event() is NEED_DATA
        parser.feed(piece)
        assert parser.next_event() == piece
    assert parser.next_event() is END


def test_a_parser_that_refused_stays_refused() -> None:
    for data in (b"BAD\r\n", b"GET /" + b"a" * 20_000, head(GET)[:-2] + b"a" * 70_000):
        parser = parser_fed(data)
        with pytest.raises(ProtocolError):
            parser.next_event()
        for more in (b"", b"x", head(GET)):
            parser.feed(more)
            with pytest.raises((ProtocolError, RuntimeError)):
                parser.next_event()


def test_a_refusal_has_a_reason_that_does_not_quote_the_peer() -> None:
    secret = b"Bearer-s3cr3t"
    for data in (
        head(GET, b"Authorization : " + secret),
        head(GET, host=b"Host: @" + secret),
        b"GET " + secret + b" HTTP/1.1\r\n",
        head(POST, b"Content-Length: " + secret),
        head(POST, b"Expect: " + secret),
    ):
        parser = parser_fed(data)
        with pytest.raises(ProtocolError) as refused:
            parser.next_event()
        assert refused.value.reason
        assert secret.decode() not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_what_was_not_read_can_be_taken_for_another_protocol() -> None:
    data = head(GET, b"Connection: Upgrade", b"Upgrade: websocket")
    for tail in (b"", b"\x81\x05hello", b"\x81\x05he\nlo"):
        parser = parser_fed(data + tail)
        assert isinstance(parser.next_event(), Request)
        assert parser.next_event() is END
        parser.feed(b"more")
        assert parser.take_unread() == tail + b"more"
        assert parser.take_unread() == b""


def test_an_unfinished_line_counts_as_unread() -> None:
    parser = parser_fed(b"GET / HT")
    assert parser.next_event() is NEED_DATA
    assert parser.take_unread() == b"GET / HT"


def test_a_parser_between_requests_is_idle() -> None:
    parser = RequestParser(Limits())
    seen = [parser.idle]
    parser.feed(b"G")
    seen.append(parser.idle)
    parser.feed(head(GET)[1:])
    while parser.next_event() is not END:
        seen.append(parser.idle)
    parser.next_request()
    assert seen == [True, False, False]
    assert parser.idle
