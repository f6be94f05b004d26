"""Field lines, Host, and the limits of a head (RFC 9112 2.2, 3.2, 5; RFC 9110 5 and 7.2)."""

from __future__ import annotations

import pytest

from tests.wire.http1.transcript import head, one, read, refusal
from zonda.wire.http1 import Limits

GET = b"GET / HTTP/1.1"


# Names and values


def test_field_names_come_in_lower_case_and_in_order() -> None:
    message = one(head(GET, b"B: 1", b"a: 2", b"X-Made-Up: 3", b"b: 4"))
    assert message.headers == (
        (b"host", b"example.com"),
        (b"b", b"1"),
        (b"a", b"2"),
        (b"x-made-up", b"3"),
        (b"b", b"4"),
    )


@pytest.mark.parametrize("name", [b"Accept-Encoding", b"ACCEPT-ENCODING", b"accept-encodinG"])
def test_a_known_field_name_is_known_in_any_case(name: bytes) -> None:
    assert one(head(GET, name + b": gzip")).field(b"accept-encoding") == [b"gzip"]


def test_a_field_name_may_have_any_token_character() -> None:
    assert one(head(GET, b"!#$%&'*+-.^_`|~09azAZ: 1")).field(b"!#$%&'*+-.^_`|~09azaz") == [b"1"]


@pytest.mark.parametrize(
    "field",
    [b"a:b", b"a: b", b"a:  b", b"a:\tb", b"a: b ", b"a: b\t \t", b"a: \t b \t"],
)
def test_white_space_around_a_value_is_not_part_of_it(field: bytes) -> None:
    assert one(head(GET, field)).field(b"a") == [b"b"]


@pytest.mark.parametrize("field", [b"a:", b"a: ", b"a:\t", b"a: \t \t"])
def test_a_value_may_be_empty(field: bytes) -> None:
    assert one(head(GET, field)).field(b"a") == [b""]


def test_white_space_and_colons_inside_a_value_stay() -> None:
    assert one(head(GET, b"a: b: \t c")).field(b"a") == [b"b: \t c"]


def test_octets_beyond_ascii_in_a_value_are_opaque() -> None:
    value = bytes(range(0x80, 0x100)) + "é\N{WIND BLOWING FACE}".encode()
    assert one(head(GET, b"a: " + value)).field(b"a") == [value]


def test_a_field_given_more_than_once_is_not_merged() -> None:
    assert one(head(GET, b"a: 1", b"a: 2", b"a: 1")).field(b"a") == [b"1", b"2", b"1"]


@pytest.mark.parametrize("octet", [*range(9), *range(10, 32), 127], ids="{:#04x}".format)
def test_a_control_character_in_a_value_is_refused(octet: int) -> None:
    for value in (b"%cb", b"b%cc", b"b%c"):
        assert refusal(head(GET, b"a: " + value % octet)) == 400


@pytest.mark.parametrize("octet", b'\x00\x0b\x7f\x80\xff"(),/;<=>?@[\\]{}')
def test_a_field_name_that_is_not_a_token_is_refused(octet: int) -> None:
    assert refusal(head(GET, b"a%cb: c" % octet)) == 400
    assert refusal(head(GET, b"%cb: c" % octet)) == 400
    assert refusal(head(GET, b"b%c: c" % octet)) == 400


@pytest.mark.parametrize("field", [b":", b": b", b" : b"])
def test_a_field_without_a_name_is_refused(field: bytes) -> None:
    assert refusal(head(GET, field)) == 400


@pytest.mark.parametrize("field", [b"a", b"a b", b"a=b", b"GET / HTTP/1.1"])
def test_a_line_without_a_colon_is_refused(field: bytes) -> None:
    assert refusal(head(GET, field)) == 400


@pytest.mark.parametrize(
    "field",
    [b"a : b", b"a\t: b", b"a  : b", b"a b: c", b"Host : h", b"Transfer-Encoding : chunked"],
)
def test_white_space_before_the_colon_is_refused(field: bytes) -> None:
    assert refusal(head(GET, field)) == 400


# Line ends


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\r HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\rHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHo\rst: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\ra: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\rh\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\ra: b\r\n\r\n",
        b"\r\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_a_bare_cr_is_refused(data: bytes) -> None:
    assert refusal(data) == 400


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\n HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\n\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\nh\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\na: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\na\n: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\n",
        b"GET / HTTP/1.1\r\nHost: h\n\n",
        b"GET / HTTP/1.1\nHost: h\n\n",
        b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_a_bare_lf_is_refused(data: bytes) -> None:
    assert refusal(data) == 400


@pytest.mark.parametrize(
    "fields",
    [
        (b"a: b", b" c"),
        (b"a: b", b"\tc"),
        (b"a: b", b" "),
        (b"a:", b" b"),
        (b"a: b", b" c: d"),
        (b"Transfer-Encoding:", b" chunked"),
    ],
)
def test_a_folded_field_line_is_refused(fields: tuple[bytes, ...]) -> None:
    assert refusal(head(GET, *fields)) == 400


@pytest.mark.parametrize("first", [b" Host: h", b"\tHost: h", b" ", b" \t", b" a: b"])
def test_white_space_before_the_first_field_is_refused(first: bytes) -> None:
    assert refusal(head(GET, first, b"Host: h", host=None)) == 400


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_few_empty_lines_before_the_request_line_are_skipped(count: int) -> None:
    assert one(b"\r\n" * count + head(GET)).target == b"/"


def test_empty_lines_before_the_request_line_have_a_limit() -> None:
    assert refusal(b"\r\n" * 100 + head(GET)) == 400


def test_empty_lines_between_requests_are_skipped() -> None:
    transcript = read(head(GET) + b"\r\n\r\n" + head(b"GET /b HTTP/1.1"))
    assert [message.target for message in transcript.messages] == [b"/", b"/b"]


# Host


@pytest.mark.parametrize("minor", [1, 2, 9])
def test_a_request_without_host_is_refused(minor: int) -> None:
    assert refusal(head(b"GET / HTTP/1.%d" % minor, host=None)) == 400
    assert refusal(head(b"GET / HTTP/1.%d" % minor, b"X-Host: h", host=None)) == 400


def test_http_1_0_may_leave_host_out() -> None:
    assert one(head(b"GET / HTTP/1.0", host=None)).headers == ()


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
@pytest.mark.parametrize("second", [b"Host: example.com", b"host: other", b"HOST:"])
def test_more_than_one_host_is_refused(version: bytes, second: bytes) -> None:
    assert refusal(head(b"GET / " + version, second)) == 400
    assert refusal(head(b"GET / " + version, b"a: b", second)) == 400


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"h",
        b"example.com",
        b"EXAMPLE.com.",
        b"example.com:80",
        b"example.com:",
        b"127.0.0.1",
        b"127.0.0.1:65535",
        b"[::1]",
        b"[::1]:8080",
        b"[2001:db8::a:b]:",
        b"[::ffff:127.0.0.1]",
        b"[v1.fe80::a+en1]",
        b"xn--caf-dma.example",
        b"under_score",
        b"caf%C3%A9.example",
        b"a!$&'()*+,;=b",
        b"-~.",
    ],
)
def test_a_host_of_the_uri_grammar_is_read(value: bytes) -> None:
    assert one(head(GET, host=b"Host: " + value)).field(b"host") == [value]


@pytest.mark.parametrize(
    "value",
    [
        b"a b",
        b"a, b",
        b"a/b",
        b"/",
        b"http://a",
        b"a?b",
        b"a#b",
        b"a@b",
        b"@",
        b"a\\b",
        b'"a"',
        b"<a>",
        b"a|b",
        b"a^b",
        b"a`b",
        b"{a}",
        b":",
        b":80",
        b"a:b",
        b"a:80:80",
        b"a:+80",
        b"a:8 0",
        b"a:80a",
        b"::1",
        b"[::1",
        b"::1]",
        b"[]",
        b"[::1]80",
        b"[::1]:a",
        b"[[::1]]",
        b"[::1%eth0]",
        b"[gggg::]",
        b"[v1.a]:b",
        b"[v1.a]b",
        b"a[::1]",
        b"a%",
        b"a%4",
        b"a%zz",
        b"caf\xc3\xa9",
        b"\xff",
    ],
)
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_a_malformed_host_is_refused(version: bytes, value: bytes) -> None:
    assert refusal(head(b"GET / " + version, host=b"Host: " + value)) == 400


# Limits


def test_a_head_at_the_limit_is_read() -> None:
    data = head(GET, b"a: " + b"b" * 50)
    assert one(data, limits=Limits(head=len(data))).field(b"a") == [b"b" * 50]


def test_a_head_over_the_limit_is_too_large() -> None:
    data = head(GET, b"a: " + b"b" * 50)
    assert refusal(data, limits=Limits(head=len(data) - 3)) == 431


def test_a_field_line_without_end_is_too_large() -> None:
    assert refusal(head(GET)[:-2] + b"a" * 2000, limits=Limits(head=1000)) == 431
    assert refusal(head(GET)[:-2] + b"a: " + b"b" * 2000, limits=Limits(head=1000)) == 431


def test_many_short_fields_are_too_large_together() -> None:
    fields = [b"a: b"] * 90
    assert refusal(head(GET, *fields), limits=Limits(head=500)) == 431


def test_as_many_fields_as_the_limit_are_read() -> None:
    fields = [b"a: b"] * 9
    assert len(one(head(GET, *fields), limits=Limits(fields=10)).headers) == 10


def test_more_fields_than_the_limit_are_too_many() -> None:
    fields = [b"a: b"] * 10
    assert refusal(head(GET, *fields), limits=Limits(fields=10)) == 431


def test_the_limits_begin_anew_with_each_request() -> None:
    limits = Limits(line=20, head=60, fields=3)
    data = head(GET, b"a: b", b"c: d")
    transcript = read(data * 5, limits=limits)
    assert transcript.refused is None
    assert len(transcript.messages) == 5


def test_a_limit_falls_at_the_same_octet_however_the_input_is_cut() -> None:
    data = head(GET, b"a: b", b"c: d")
    head_of = [refusal(data, limits=Limits(head=size)) for size in range(1, len(data) + 1)]
    line_of = [refusal(data, limits=Limits(line=size)) for size in range(1, len(GET) + 3)]
    assert head_of == sorted(head_of, key=lambda status: status is None)
    assert line_of == [414] * (len(GET) + 1) + [None]
