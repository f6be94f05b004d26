"""The request line: version, method, and the four forms of the target (RFC 9112 2.3 and 3)."""

from __future__ import annotations

import pytest

from tests.wire.http1.transcript import head, one, refusal
from zonda.wire.http1 import Limits


def line(text: bytes) -> bytes:
    return head(text)


# HTTP version


def test_http_1_1_is_read() -> None:
    assert one(line(b"GET / HTTP/1.1")).http_version == "1.1"


def test_http_1_0_is_read() -> None:
    assert one(line(b"GET / HTTP/1.0")).http_version == "1.0"


@pytest.mark.parametrize("minor", range(2, 10))
def test_a_higher_minor_version_counts_as_1_1(minor: int) -> None:
    message = one(line(b"GET / HTTP/1.%d" % minor))
    assert message.http_version == "1.1"
    assert message.keep_alive


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9", b"HTTP/9.9"])
def test_another_major_version_is_not_supported(version: bytes) -> None:
    assert refusal(line(b"GET / " + version)) == 505


def test_the_http_2_preface_is_not_supported() -> None:
    assert refusal(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 505


@pytest.mark.parametrize(
    "version",
    [
        b"http/1.1",
        b"Http/1.1",
        b"HTTP/1",
        b"HTTP/1.",
        b"HTTP/.1",
        b"HTTP/11",
        b"HTTP/1,1",
        b"HTTP/1.10",
        b"HTTP/01.1",
        b"HTTP/1.1.1",
        b"HTTP/+1.1",
        b"HTTP/-1.1",
        b"HTTP/a.1",
        b"HTTP/1.a",
        b"HTTP/1.\xb1",
        b"HTTPS/1.1",
        b"HTTP 1.1",
        b"HTTP\\1.1",
        b"HTTP/1.1x",
        b"HTTP/1.1\x00",
        b"HTTP/1.1\t",
        b"HTTP/1.1 ",
    ],
)
def test_a_malformed_version_is_refused(version: bytes) -> None:
    assert refusal(line(b"GET / " + version)) == 400


# The line


@pytest.mark.parametrize(
    "text",
    [
        b"GET",
        b"GET ",
        b"GET /",
        b"GET / ",
        b"GET HTTP/1.1",
        b"GET  HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b" GET / HTTP/1.1",
        b"\tGET / HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET\t/\tHTTP/1.1",
        b"GET\x0b/ HTTP/1.1",
        b"GET /\x0cHTTP/1.1",
        b"GET /\xa0HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET / HTTP/1.1 HTTP/1.1",
        b"/ HTTP/1.1",
        b": HTTP/1.1",
        b"HTTP/1.1 200 OK",
    ],
)
def test_a_malformed_request_line_is_refused(text: bytes) -> None:
    assert refusal(line(text)) == 400


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"EHLO example.com\r\n",
        b"\x00\x00\x00\x00\r\n",
        b"{}\r\n",
        b"<policy-file-request/>\x00\r\n",
    ],
    ids=["tls", "ssh", "smtp", "nul", "json", "flash"],
)
def test_what_is_not_http_is_refused(text: bytes) -> None:
    assert refusal(text) == 400


def test_a_request_line_of_8000_octets_is_read() -> None:
    target = b"/" + b"a" * 7985
    assert one(line(b"GET %b HTTP/1.1" % target)).target == target


def test_a_request_line_at_the_limit_is_read() -> None:
    limits = Limits(line=100)
    target = b"/" + b"a" * (100 - len(b"GET / HTTP/1.1\r\n"))
    assert one(line(b"GET %b HTTP/1.1" % target), limits=limits).target == target


def test_a_request_line_over_the_limit_is_too_long() -> None:
    limits = Limits(line=100)
    target = b"/" + b"a" * (101 - len(b"GET / HTTP/1.1\r\n"))
    assert refusal(line(b"GET %b HTTP/1.1" % target), limits=limits) == 414


def test_a_request_line_without_end_is_too_long() -> None:
    assert refusal(b"GET /" + b"a" * 200, limits=Limits(line=100)) == 414


# Method


@pytest.mark.parametrize(
    "method",
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "QUERY", "PROPFIND"],
)
def test_every_method_but_connect_is_read(method: str) -> None:
    assert one(line(method.encode() + b" / HTTP/1.1")).method == method


def test_a_method_may_have_any_token_character() -> None:
    assert one(line(b"!#$%&'*+-.^_`|~09azAZ / HTTP/1.1")).method == "!#$%&'*+-.^_`|~09azAZ"


@pytest.mark.parametrize("method", ["get", "Get", "gET"])
def test_the_method_is_case_sensitive(method: str) -> None:
    assert one(line(method.encode() + b" / HTTP/1.1")).method == method


@pytest.mark.parametrize("octet", b'\x00\x01\x7f\x80\xff"(),/:;<=>?@[\\]{}')
def test_a_method_that_is_not_a_token_is_refused(octet: int) -> None:
    assert refusal(line(b"G%cT / HTTP/1.1" % octet)) == 400


def test_a_method_of_32_octets_is_read() -> None:
    assert one(line(b"M" * 32 + b" / HTTP/1.1")).method == "M" * 32


def test_a_longer_method_is_not_implemented() -> None:
    assert refusal(line(b"M" * 33 + b" / HTTP/1.1")) == 501


@pytest.mark.parametrize("target", [b"example.com:443", b"/", b"http://example.com/", b":0"])
def test_connect_is_not_implemented(target: bytes) -> None:
    assert refusal(line(b"CONNECT %b HTTP/1.1" % target)) == 501


# Request target


@pytest.mark.parametrize(
    ("target", "raw_path", "query"),
    [
        (b"/", b"/", b""),
        (b"/a/b;c=d,e", b"/a/b;c=d,e", b""),
        (b"/a?b=c&d", b"/a", b"b=c&d"),
        (b"/a?", b"/a", b""),
        (b"/?a?b", b"/", b"a?b"),
        (b"/?/../%20", b"/", b"/../%20"),
        (b"//example.org/a", b"//example.org/a", b""),
        (b"/a//b/./../c", b"/a//b/./../c", b""),
        (b"/*", b"/*", b""),
        (b"/http://example.org/", b"/http://example.org/", b""),
        (b"/:@!$&'()*+,;=-._~", b"/:@!$&'()*+,;=-._~", b""),
    ],
)
def test_origin_form_is_split_at_the_first_question_mark(
    target: bytes, raw_path: bytes, query: bytes
) -> None:
    message = one(line(b"GET %b HTTP/1.1" % target))
    assert (message.target, message.raw_path, message.query_string) == (target, raw_path, query)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/plain", "/plain"),
        (b"/a%20b", "/a b"),
        (b"/%2F%2f", "///"),
        (b"/caf%C3%A9", "/café"),
        (b"/%f0%9f%8c%ac", "/\N{WIND BLOWING FACE}"),
        (b"/%ff", "/�"),
        (b"/%c3", "/�"),
        (b"/%00", "/\x00"),
        (b"/%25%32%30", "/%20"),
        (b"/+", "/+"),
        (b"/%3f", "/?"),
    ],
)
def test_the_path_is_decoded_once_as_utf_8(raw: bytes, path: str) -> None:
    message = one(line(b"GET %b?%%41 HTTP/1.1" % raw))
    assert message.path == path
    assert message.raw_path == raw
    assert message.query_string == b"%41"


@pytest.mark.parametrize(
    "octet", [*range(0x21), ord("#"), 0x7F, 0x80, 0xA0, 0xE9, 0xFF], ids="{:#04x}".format
)
def test_octets_that_no_uri_may_hold_are_refused(octet: int) -> None:
    assert refusal(line(b"GET /a%cb HTTP/1.1" % octet)) == 400
    assert refusal(line(b"GET /?a%cb HTTP/1.1" % octet)) == 400


@pytest.mark.parametrize(
    "target",
    [
        b"index.html",
        b"?query",
        b"\\",
        b"example.com:80",
        b"example.com",
        b"**",
        b"*/",
        b"*?a",
        b"http:/example.com",
        b"http:example.com",
        b"://example.com/",
        b"mailto:a@example.com",
        b"ftp://example.com/",
        b"javascript://example.com/",
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"OPTIONS"])
def test_a_target_of_no_known_form_is_refused(method: bytes, target: bytes) -> None:
    assert refusal(line(b"%b %b HTTP/1.1" % (method, target))) == 400


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"options", b"OPTION"])
def test_the_asterisk_form_is_for_options_alone(method: bytes) -> None:
    assert refusal(line(method + b" * HTTP/1.1")) == 400


def test_options_of_the_whole_server_has_the_path_asterisk() -> None:
    message = one(line(b"OPTIONS * HTTP/1.1"))
    assert (message.raw_path, message.path, message.query_string) == (b"*", "*", b"")


# Absolute-form


@pytest.mark.parametrize(
    ("target", "host", "raw_path", "query"),
    [
        (b"http://h/", b"h", b"/", b""),
        (b"http://h", b"h", b"/", b""),
        (b"http://h?q", b"h", b"/", b"q"),
        (b"http://h/a%20b?c=d?e", b"h", b"/a%20b", b"c=d?e"),
        (b"https://h:8443/a", b"h:8443", b"/a", b""),
        (b"HTTP://H:80/a", b"H:80", b"/a", b""),
        (b"http://h:/a", b"h:", b"/a", b""),
        (b"http://127.0.0.1:8000/", b"127.0.0.1:8000", b"/", b""),
        (b"http://[::1]:8000/", b"[::1]:8000", b"/", b""),
        (b"http://h//a", b"h", b"//a", b""),
        (b"http://h/http://i/", b"h", b"/http://i/", b""),
        (b"http://h?http://i/", b"h", b"/", b"http://i/"),
    ],
)
@pytest.mark.parametrize("field", [b"Host: other.example:99", b"Host:", b"HOST: h"])
def test_the_authority_of_an_absolute_target_stands_for_host(
    target: bytes, host: bytes, raw_path: bytes, query: bytes, field: bytes
) -> None:
    message = one(head(b"GET %b HTTP/1.1" % target, b"Accept: */*", host=field))
    assert message.field(b"host") == [host]
    assert message.field(b"accept") == [b"*/*"]
    assert (message.target, message.raw_path, message.query_string) == (target, raw_path, query)


def test_the_path_of_an_absolute_target_is_decoded() -> None:
    assert one(line(b"GET http://h/caf%C3%A9?%41 HTTP/1.1")).path == "/café"


def test_an_absolute_target_names_the_host_of_http_1_0_too() -> None:
    message = one(head(b"GET http://h/ HTTP/1.0", host=None))
    assert message.field(b"host") == [b"h"]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://h", "*", b""),
        (b"http://h:8001", "*", b""),
        (b"http://h/", "/", b""),
        (b"http://h?q", "/", b"q"),
    ],
)
def test_options_of_an_authority_without_a_path_is_of_the_whole_server(
    target: bytes, path: str, query: bytes
) -> None:
    message = one(line(b"OPTIONS %b HTTP/1.1" % target))
    assert (message.path, message.raw_path) == (path, path.encode())
    assert message.query_string == query


@pytest.mark.parametrize(
    "target",
    [
        b"http://",
        b"http:///",
        b"http:///path",
        b"http://?q",
        b"http://:80/",
        b"http://:/",
        b"http://user@h/",
        b"http://user:secret@h/",
        b"http://@h/",
        b"http://h:port/",
        b"http://h:80:80/",
        b"http://h:-1/",
        b"http://[::1/",
        b"http://::1/",
        b"http://[::1]x/",
        b"http://[]/",
        b"http://h\\i/",
        b"http://h%/",
        b"http://h%4/",
        b"http://h%zz/",
        b'http://h"/',
        b"http://<h>/",
        b"http://h{/",
    ],
)
def test_a_malformed_authority_in_the_target_is_refused(target: bytes) -> None:
    assert refusal(line(b"GET %b HTTP/1.1" % target)) == 400


def test_an_absolute_target_does_not_make_up_for_a_missing_host() -> None:
    assert refusal(head(b"GET http://h/ HTTP/1.1", host=None)) == 400


@pytest.mark.parametrize("target", [b"https://", b"https:///a", b"https://:443/"])
def test_an_https_target_without_a_host_is_refused(target: bytes) -> None:
    assert refusal(line(b"GET %b HTTP/1.1" % target)) == 400
