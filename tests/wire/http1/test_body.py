"""Where a request's body ends: Content-Length, chunked, neither (RFC 9112 sections 6 and 7)."""

from __future__ import annotations

import pytest

from tests.wire.http1.transcript import head, one, read, refusal
from zonda.wire.http1 import Limits
from zonda.wire.http1.grammar import MAX_CHUNK_LINE

POST = b"POST / HTTP/1.1"
CHUNKED = head(POST, b"Transfer-Encoding: chunked")


# Content-Length


def test_a_request_that_declares_no_body_has_none() -> None:
    message = one(head(POST))
    assert (message.body, message.content_length, message.chunked) == (b"", -1, False)


def test_a_body_of_a_length_is_read() -> None:
    message = one(head(POST, b"Content-Length: 5") + b"hello")
    assert (message.body, message.content_length, message.chunked) == (b"hello", 5, False)


def test_a_length_of_zero_is_an_empty_body() -> None:
    message = one(head(POST, b"Content-Length: 0"))
    assert (message.body, message.content_length) == (b"", 0)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE", b"X"])
def test_framing_does_not_depend_on_the_method(method: bytes) -> None:
    assert one(head(method + b" / HTTP/1.1", b"Content-Length: 2") + b"ok").body == b"ok"


def test_an_upgrade_does_not_change_the_framing() -> None:
    fields = (b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 2")
    assert one(head(POST, *fields) + b"ok").body == b"ok"


@pytest.mark.parametrize("value", [b"5", b" 5", b"5 ", b"\t5\t", b"05", b"000000005"])
def test_a_length_is_decimal_digits(value: bytes) -> None:
    assert one(head(POST, b"Content-Length:" + value) + b"hello").content_length == 5


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"+5",
        b"-5",
        b"-0",
        b"0x5",
        b"5.0",
        b"5e0",
        b"5_0",
        b"5 5",
        b"5\t5",
        b"5;",
        b"five",
        b"5, 5",
        b"5,5",
        b"5, 6",
        b"5,",
        b",5",
        b'"5"',
        b"\xb2",
        b"\xd9\xa5",
    ],
)
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_a_malformed_length_is_refused(version: bytes, value: bytes) -> None:
    assert refusal(head(b"POST / " + version, b"Content-Length: " + value) + b"hello") == 400


@pytest.mark.parametrize("value", [b"9" * 19, b"18446744073709551621", b"9" * 500, b"0" * 500])
def test_a_length_past_64_bits_does_not_wrap_around(value: bytes) -> None:
    assert refusal(head(POST, b"Content-Length: " + value), limits=Limits(body=0)) == 400


@pytest.mark.parametrize("second", [b"Content-Length: 5", b"content-length: 6", b"CONTENT-LENGTH:"])
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_more_than_one_length_is_refused(version: bytes, second: bytes) -> None:
    data = head(b"POST / " + version, b"Content-Length: 5", second)
    assert refusal(data + b"hello") == 400


def test_a_length_over_the_limit_is_refused_before_any_of_the_body() -> None:
    limits = Limits(body=10)
    assert one(head(POST, b"Content-Length: 10") + b"a" * 10, limits=limits).body == b"a" * 10
    assert refusal(head(POST, b"Content-Length: 11"), limits=limits) == 413


def test_a_limit_of_zero_lets_any_length_in() -> None:
    data = head(POST, b"Content-Length: %d" % 10**17)
    assert read(data, limits=Limits(body=0)).messages[0].content_length == 10**17


@pytest.mark.parametrize("body", [b"", b"h", b"hell"])
def test_a_body_cut_short_is_not_complete(body: bytes) -> None:
    transcript = read(head(POST, b"Content-Length: 5") + body)
    assert transcript.refused is None
    assert not transcript.messages[0].complete


# Transfer-Encoding


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED", b" chunked \t"])
def test_chunked_is_the_coding_that_is_read(value: bytes) -> None:
    message = one(head(POST, b"Transfer-Encoding: " + value) + b"2\r\nok\r\n0\r\n\r\n")
    assert (message.body, message.chunked, message.content_length) == (b"ok", True, -1)


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
@pytest.mark.parametrize(
    "fields",
    [
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 0"),
        (b"Transfer-Encoding: identity", b"Content-Length: 5"),
    ],
)
def test_a_length_beside_a_coding_is_refused(version: bytes, fields: tuple[bytes, ...]) -> None:
    assert refusal(head(b"POST / " + version, *fields) + b"0\r\n\r\n") == 400


@pytest.mark.parametrize("value", [b"chunked", b"gzip, chunked", b"gzip", b"identity"])
def test_a_coding_in_http_1_0_is_refused(value: bytes) -> None:
    data = head(b"POST / HTTP/1.0", b"Transfer-Encoding: " + value)
    assert refusal(data + b"0\r\n\r\n") == 400


@pytest.mark.parametrize(
    "fields",
    [
        (b"Transfer-Encoding: chunked, chunked",),
        (b"Transfer-Encoding: chunked,chunked",),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked, gzip, chunked",),
        (b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked"),
    ],
)
def test_chunked_more_than_once_is_refused(fields: tuple[bytes, ...]) -> None:
    assert refusal(head(POST, *fields) + b"0\r\n\r\n") == 400


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b",",
        b"gzip",
        b"identity",
        b"chunked, gzip",
        b"chunked, identity",
        b"xchunked",
        b"chunkedx",
        b"chunk ed",
        b"chunked;",
        b"chunked;q=1",
        b'"chunked"',
        b"chunked\xa0",
        b"deflate;chunked",
    ],
)
def test_a_coding_other_than_chunked_at_the_end_is_refused(value: bytes) -> None:
    assert refusal(head(POST, b"Transfer-Encoding: " + value) + b"0\r\n\r\n") == 400


@pytest.mark.parametrize("value", [b"gzip, chunked", b"x, chunked", b"gzip,deflate , CHUNKED"])
def test_a_coding_before_chunked_is_not_implemented(value: bytes) -> None:
    assert refusal(head(POST, b"Transfer-Encoding: " + value) + b"0\r\n\r\n") == 501


@pytest.mark.parametrize("value", [b"chunked,", b",chunked", b", chunked ,"])
def test_an_empty_element_beside_chunked_is_refused(value: bytes) -> None:
    assert refusal(head(POST, b"Transfer-Encoding: " + value) + b"0\r\n\r\n") == 400


# Chunks


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
        (b"ff\r\n" + b"x" * 255 + b"\r\n0\r\n\r\n", b"x" * 255),
    ],
)
def test_chunks_are_joined(wire: bytes, body: bytes) -> None:
    assert one(CHUNKED + wire).body == body


@pytest.mark.parametrize(
    "size",
    [
        b"",
        b" 5",
        b"5 ",
        b"\t5",
        b"5\t",
        b"+5",
        b"-5",
        b"-0",
        b"0x5",
        b"0X5",
        b"5h",
        b"g",
        b"5.0",
        b"5_0",
        b"5,5",
        b"5 5",
        b"\xb5",
        b"5\x00",
        b"5\x0b",
        b"ffffffffffffffff",
        b"10000000000000005",
        b"8000000000000000",
        b"f" * 40,
    ],
)
def test_a_malformed_chunk_size_is_refused(size: bytes) -> None:
    data = CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n"
    assert refusal(data) == 400
    assert refusal(data, limits=Limits(body=0)) == 400


@pytest.mark.parametrize(
    "wire",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\rhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5\r\nhello\r\n0\r\n\rx\r\n",
        b"5;a\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b'5;a="\n"\r\nhello\r\n0\r\n\r\n',
        b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
        b"\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_chunk_lines_end_with_cr_lf_alone(wire: bytes) -> None:
    assert refusal(CHUNKED + wire) == 400


@pytest.mark.parametrize(
    "extension",
    [
        b";a",
        b";a=b",
        b';a="b c"',
        b';a="\\"\\\\"',
        b";a=b;c=d;e",
        b" ; a",
        b"\t;\ta = b",
        b" ;a;b",
        b';a="\xe9"',
    ],
)
def test_chunk_extensions_are_ignored(extension: bytes) -> None:
    wire = b"5" + extension + b"\r\nhello\r\n0" + extension + b"\r\n\r\n"
    assert one(CHUNKED + wire).body == b"hello"


@pytest.mark.parametrize("octet", [0, 1, 8, 11, 12, 31, 127], ids="{:#04x}".format)
def test_a_control_character_in_a_chunk_extension_is_refused(octet: int) -> None:
    assert refusal(CHUNKED + b"5;a=%c\r\nhello\r\n0\r\n\r\n" % octet) == 400


def test_a_chunk_extension_has_a_limit() -> None:
    most = MAX_CHUNK_LINE - len(b"5;\r\n")
    assert one(CHUNKED + b"5;" + b"a" * most + b"\r\nhello\r\n0\r\n\r\n").body == b"hello"
    assert refusal(CHUNKED + b"5;" + b"a" * (most + 1) + b"\r\nhello\r\n0\r\n\r\n") == 400
    assert refusal(CHUNKED + b"5;" + b"a" * (most * 2)) == 400


def test_chunks_over_the_limit_are_refused_as_they_pass_it() -> None:
    limits = Limits(body=10)
    within = b"5\r\nhello\r\n5\r\nworld\r\n"
    assert one(CHUNKED + within + b"0\r\n\r\n", limits=limits).body == b"helloworld"
    assert refusal(CHUNKED + within + b"1\r\n", limits=limits) == 413
    assert refusal(CHUNKED + b"b\r\n", limits=limits) == 413


def test_a_large_chunk_is_read_in_pieces_as_they_come() -> None:
    transcript = read(CHUNKED, b"ffffffffff\r\n", b"a" * 10, limits=Limits(body=0))
    assert transcript.refused is None
    assert transcript.messages[0].body == b"a" * 10


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"5",
        b"5\r\n",
        b"5\r\nhel",
        b"5\r\nhello",
        b"5\r\nhello\r\n",
        b"0\r\n",
        b"0\r\na: b\r\n",
    ],
)
def test_a_chunked_body_cut_short_is_not_complete(wire: bytes) -> None:
    transcript = read(CHUNKED + wire)
    assert transcript.refused is None
    assert not transcript.messages[0].complete


# Trailers


def test_trailers_are_kept_apart_from_the_head() -> None:
    message = one(CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 1\r\nx-sum:2 \r\nServer-Timing: t\r\n\r\n")
    assert message.trailers == ((b"x-sum", b"1"), (b"x-sum", b"2"), (b"server-timing", b"t"))
    assert message.headers == ((b"host", b"example.com"), (b"transfer-encoding", b"chunked"))


def test_trailers_do_not_last_beyond_their_request() -> None:
    first = CHUNKED + b"0\r\nx: y\r\n\r\n"
    transcript = read(first + CHUNKED + b"0\r\n\r\n" + head(b"GET / HTTP/1.1"))
    assert [message.trailers for message in transcript.messages] == [((b"x", b"y"),), (), ()]


@pytest.mark.parametrize(
    "name",
    [
        b"Content-Length",
        b"transfer-encoding",
        b"HOST",
        b"Connection",
        b"Keep-Alive",
        b"TE",
        b"Trailer",
        b"Upgrade",
        b"Expect",
        b"Max-Forwards",
        b"Range",
        b"Cache-Control",
        b"Authorization",
        b"Proxy-Authorization",
        b"Cookie",
        b"Set-Cookie",
        b"Content-Encoding",
        b"Content-Type",
        b"Content-Range",
    ],
)
def test_a_trailer_that_frames_routes_or_controls_is_refused(name: bytes) -> None:
    assert refusal(CHUNKED + b"0\r\n" + name + b": 5\r\n\r\n") == 400


@pytest.mark.parametrize(
    "line",
    [
        b"a",
        b" a: b",
        b"\ta: b",
        b"a : b",
        b": b",
        b"a: \x00",
        b"a: b\n",
        b"a\r: b",
        b"a: b\r\n c",
        b"(: b",
    ],
)
def test_trailers_have_the_syntax_of_fields(line: bytes) -> None:
    assert refusal(CHUNKED + b"0\r\n" + line + b"\r\n\r\n") == 400


def test_trailers_have_the_limits_of_a_head() -> None:
    limits = Limits(head=100, fields=4)
    trailer = CHUNKED + b"0\r\n"
    assert len(one(trailer + b"a: b\r\n" * 4 + b"\r\n", limits=limits).trailers) == 4
    assert refusal(trailer + b"a: b\r\n" * 5 + b"\r\n", limits=limits) == 431
    assert refusal(trailer + b"a: " + b"b" * 100 + b"\r\n\r\n", limits=limits) == 431
    assert refusal(trailer + b"a" * 200, limits=limits) == 431
