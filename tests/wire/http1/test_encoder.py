"""Responses on the wire: framing, hop-by-hop fields, injection (RFC 9112 4 to 7, 9.3, 11.1)."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from zonda.wire.http1 import (
    DefaultFields,
    ResponseEncoder,
    ResponseError,
    encode_fields,
    encode_interim,
)

Fields = list[tuple[bytes, bytes]]
NOTHING = DefaultFields()
NO_BODY = [204, 205, 304]


def written(
    *pieces: bytes,
    status: int = 200,
    fields: Fields | None = None,
    length: int = -1,
    method: str = "GET",
    version: str = "1.1",
    keep_alive: bool = True,
    trailers: Fields | None = None,
    defaults: DefaultFields = NOTHING,
) -> tuple[bytes, list[bytes], bytes, bool]:
    """The status line, the field lines, what follows the head, and whether to keep alive.

    Names are in lower case, since their case means nothing. The encoder's count of the octets that
    it appended is checked on the way.
    """
    encoder = ResponseEncoder()
    out: list[bytes] = []
    encoder.start(method, version == "1.0", keep_alive)
    size = encoder.head(out, status, fields or [], length, defaults)
    assert encoder.sends_body is (method != "HEAD" and status not in NO_BODY)
    for piece in pieces:
        size += encoder.data(out, piece)
    size += encoder.end(out, trailers)
    wire = b"".join(out)
    assert size == len(wire)
    head, _, body = wire.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    parts = [field.partition(b":") for field in lines]
    lines = [name.lower() + colon + value for name, colon, value in parts]
    return line, lines, body, encoder.keep_alive


# The status line


def test_the_status_line_has_the_phrase_of_the_status() -> None:
    assert written(status=200)[0] == b"HTTP/1.1 200 OK"
    assert written(status=404)[0] == b"HTTP/1.1 404 Not Found"


def test_a_status_without_a_phrase_keeps_the_space_before_it() -> None:
    assert written(status=299)[0] == b"HTTP/1.1 299 "
    assert written(status=999)[0] == b"HTTP/1.1 999 "


def test_an_http_1_0_client_is_answered_as_an_http_1_1_server() -> None:
    assert written(version="1.0")[0] == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 199, 1000, 2000])
def test_a_status_that_is_not_final_is_refused(status: int) -> None:
    with pytest.raises(ResponseError, match="status"):
        written(status=status)


@pytest.mark.parametrize("status", [int(s) for s in HTTPStatus if s >= 200])
def test_every_registered_status_can_be_sent(status: int) -> None:
    assert written(status=status, length=0)[0].startswith(b"HTTP/1.1 %d " % status)


# Framing


def test_a_declared_length_is_kept() -> None:
    _, lines, body, keep_alive = written(
        b"he", b"llo", fields=[(b"Content-Length", b"5"), (b"a", b"b")]
    )
    assert lines == [b"content-length: 5", b"a: b"]
    assert (body, keep_alive) == (b"hello", True)


@pytest.mark.parametrize("size", [0, 1, 13, 2047, 2048, 100_000])
def test_a_body_that_is_all_there_gets_a_length(size: int) -> None:
    _, lines, body, _ = written(b"x" * size, length=size)
    assert lines == [b"content-length: %d" % size]
    assert body == b"x" * size


def test_a_body_of_unknown_length_is_chunked() -> None:
    _, lines, body, keep_alive = written(b"hello", b"", b"x" * 255, b"hello")
    assert lines == [b"transfer-encoding: chunked"]
    assert body == b"5\r\nhello\r\nff\r\n" + b"x" * 255 + b"\r\n5\r\nhello\r\n0\r\n\r\n"
    assert keep_alive


def test_an_empty_body_of_unknown_length_is_one_last_chunk() -> None:
    assert written(b"", b"")[2] == b"0\r\n\r\n"


def test_http_1_0_gets_no_chunks_but_the_end_of_the_connection() -> None:
    _, lines, body, keep_alive = written(b"he", b"llo", version="1.0")
    assert lines == [b"connection: close"]
    assert (body, keep_alive) == (b"hello", False)


def test_trailers_follow_the_last_chunk() -> None:
    body = written(b"ok", trailers=[(b"X-Sum", b"1"), (b"x-sum", b"2")])[2]
    assert body == b"2\r\nok\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("version", "length", "method"), [("1.0", -1, "GET"), ("1.1", 2, "GET"), ("1.1", -1, "HEAD")]
)
def test_trailers_are_left_out_where_the_framing_has_no_place(
    version: str, length: int, method: str
) -> None:
    body = written(b"ok", version=version, length=length, method=method, trailers=[(b"x", b"1")])[2]
    assert body == (b"" if method == "HEAD" else b"ok")


@pytest.mark.parametrize("name", [b"Content-Length", b"transfer-encoding", b"CONNECTION"])
def test_a_trailer_that_frames_a_message_is_refused(name: bytes) -> None:
    with pytest.raises(ResponseError):
        written(b"ok", trailers=[(name, b"1")])


# No body


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_head_gets_the_fields_of_get_and_no_body(status: int, version: str) -> None:
    fields = [(b"content-length", b"5")]
    _, lines, body, _ = written(
        b"hello", status=status, fields=fields, method="HEAD", version=version
    )
    assert b"content-length: 5" in lines
    assert body == b""


def test_head_gets_the_length_of_a_body_that_is_all_there() -> None:
    _, lines, body, _ = written(b"hello", length=5, method="HEAD")
    assert (lines, body) == ([b"content-length: 5"], b"")


def test_head_of_a_body_of_unknown_length_keeps_the_connection() -> None:
    for version in ("1.0", "1.1"):
        _, lines, body, keep_alive = written(b"a", b"b", method="HEAD", version=version)
        assert b"content-length: 0" not in lines
        assert (body, keep_alive) == (b"", True)


@pytest.mark.parametrize("status", NO_BODY)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_status_without_a_body_never_has_one(status: int, method: str, version: str) -> None:
    for length in (-1, 0, 5):
        _, lines, body, keep_alive = written(
            b"hello", status=status, method=method, version=version, length=length
        )
        assert (body, keep_alive) == (b"", True)
        assert not any(line.startswith(b"transfer-encoding") for line in lines)


def test_no_content_has_no_length() -> None:
    assert written(status=204, fields=[(b"content-length", b"0")])[1] == []
    assert written(status=204, length=0)[1] == []


def test_not_modified_keeps_the_length_of_what_was_not_sent() -> None:
    _, lines, body, _ = written(status=304, fields=[(b"content-length", b"5")])
    assert (lines, body) == ([b"content-length: 5"], b"")
    assert written(status=304, length=0)[1] == []


def test_reset_content_says_that_it_is_empty() -> None:
    for fields in ([], [(b"content-length", b"5")]):
        assert written(status=205, fields=fields)[1] == [b"content-length: 0"]


# A body that is not what was declared


def test_a_body_longer_than_its_length_is_refused_before_any_surplus() -> None:
    encoder = ResponseEncoder()
    out: list[bytes] = []
    encoder.start("GET", False, True)
    encoder.head(out, 200, [(b"content-length", b"5")], -1, NOTHING)
    encoder.data(out, b"hell")
    before = list(out)
    with pytest.raises(ResponseError, match="longer"):
        encoder.data(out, b"o!")
    assert out == before


@pytest.mark.parametrize("sent", [b"", b"hell"])
def test_a_body_shorter_than_its_length_is_refused_at_its_end(sent: bytes) -> None:
    encoder = ResponseEncoder()
    out: list[bytes] = []
    encoder.start("GET", False, True)
    encoder.head(out, 200, [(b"content-length", b"5")], -1, NOTHING)
    encoder.data(out, sent)
    before = list(out)
    with pytest.raises(ResponseError, match="shorter"):
        encoder.end(out, None)
    assert out == before


@pytest.mark.parametrize("length", [0, 4, 6])
def test_a_whole_body_that_contradicts_its_length_is_refused_with_its_head(length: int) -> None:
    with pytest.raises(ResponseError, match="content-length"):
        written(b"x" * length, fields=[(b"content-length", b"5")], length=length)


@pytest.mark.parametrize(
    "value", [b"", b"+5", b"-5", b"5, 5", b"0x5", b"5.0", b"five", b"\xb2", b"9" * 19]
)
def test_a_malformed_length_is_refused(value: bytes) -> None:
    with pytest.raises(ResponseError, match="content-length"):
        written(b"hello", fields=[(b"content-length", value)])


def test_more_than_one_length_is_refused() -> None:
    with pytest.raises(ResponseError, match="content-length"):
        written(b"hello", fields=[(b"content-length", b"5"), (b"Content-Length", b"5")])


# Injection


@pytest.mark.parametrize("octet", [*range(9), *range(10, 32), 127], ids="{:#04x}".format)
def test_a_control_character_in_a_value_is_refused_before_any_octet_is_out(octet: int) -> None:
    for value in (b"%c" % octet, b"a%c" % octet, b"a%cset-cookie: b" % octet):
        encoder = ResponseEncoder()
        out = [b"before"]
        encoder.start("GET", False, True)
        with pytest.raises(ResponseError):
            encoder.head(out, 200, [(b"a", b"b"), (b"location", value)], 0, NOTHING)
        assert out == [b"before"]


@pytest.mark.parametrize("octet", b'\x00\t\n\r "(),/:;<=>?@[\\]{}\x7f\x80\xff')
def test_a_name_that_is_not_a_token_is_refused(octet: int) -> None:
    for name in (b"%ca" % octet, b"a%cb" % octet, b"a%c" % octet):
        with pytest.raises(ResponseError, match="name"):
            written(fields=[(name, b"v")])


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ResponseError, match="name"):
        written(fields=[(b"", b"v")])


@pytest.mark.parametrize("field", [("a", b"b"), (b"a", "b"), (b"a", None), (1, b"b")])
def test_a_field_that_is_not_bytes_is_refused(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(ResponseError, match="bytes"):
        written(fields=[field])


@pytest.mark.parametrize("field", [(b"a\r\nb", b"c"), (b"a", b"b\r\nc: d"), (b"a", b"\x00")])
def test_trailers_and_interim_responses_cannot_be_split_either(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(ResponseError):
        written(b"ok", trailers=[field])
    with pytest.raises(ResponseError):
        encode_interim(103, [field])
    with pytest.raises(ResponseError):
        encode_fields([field])


def test_a_refused_trailer_leaves_the_body_without_an_end() -> None:
    encoder = ResponseEncoder()
    out: list[bytes] = []
    encoder.start("GET", False, True)
    encoder.head(out, 200, [], -1, NOTHING)
    before = list(out)
    with pytest.raises(ResponseError):
        encoder.end(out, [(b"a", b"b\n")])
    assert out == before


def test_octets_beyond_ascii_and_tabs_may_stand_in_a_value() -> None:
    value = b"a\tb \xe9" + bytes(range(0x80, 0x100))
    assert b"x: " + value in written(fields=[(b"x", value)])[1]


def test_fields_keep_their_order() -> None:
    fields = [(b"Set-Cookie", b"a"), (b"x-B", b"1"), (b"set-cookie", b"b"), (b"X-b", b"")]
    lines = written(fields=fields, length=0)[1]
    assert lines[:4] == [b"set-cookie: a", b"x-b: 1", b"set-cookie: b", b"x-b: "]


# Hop-by-hop fields


@pytest.mark.parametrize("value", [b"chunked", b"gzip, chunked", b"identity"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_the_framing_does_not_follow_the_applications_transfer_encoding(
    value: bytes, version: str
) -> None:
    fields = [(b"Transfer-Encoding", value)]
    _, lines, body, _ = written(b"ok", fields=fields, version=version, length=2)
    assert b"content-length: 2" in lines
    assert not any(line.lower().startswith(b"transfer-encoding") for line in lines)
    assert body == b"ok"


def test_a_length_and_a_coding_never_go_out_together() -> None:
    fields = [(b"transfer-encoding", b"chunked"), (b"content-length", b"2")]
    _, lines, body, _ = written(b"ok", fields=fields)
    assert (lines, body) == ([b"content-length: 2"], b"ok")


@pytest.mark.parametrize("value", [b"close", b"Close", b"keep-alive, CLOSE"])
def test_an_application_may_close_the_connection(value: bytes) -> None:
    _, lines, _, keep_alive = written(fields=[(b"Connection", value)], length=0)
    assert [line for line in lines if line.lower().startswith(b"connection")] == [
        b"connection: close"
    ]
    assert not keep_alive


def test_an_application_cannot_keep_alive_what_the_client_closes() -> None:
    fields = [(b"connection", b"keep-alive")]
    _, lines, _, keep_alive = written(fields=fields, length=0, keep_alive=False)
    assert b"connection: close" in lines
    assert b"connection: keep-alive" not in lines
    assert not keep_alive


@pytest.mark.parametrize(
    ("version", "keep_alive", "connection"),
    [
        ("1.1", True, []),
        ("1.1", False, [b"connection: close"]),
        ("1.0", True, [b"connection: keep-alive"]),
        ("1.0", False, [b"connection: close"]),
    ],
)
def test_the_connection_field_says_whether_it_goes_on(
    version: str, keep_alive: bool, connection: list[bytes]
) -> None:
    lines = written(b"ok", length=2, version=version, keep_alive=keep_alive)[1]
    assert [line for line in lines if line.startswith(b"connection")] == connection


def test_an_upgrade_offer_has_its_connection_option() -> None:
    fields = [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    lines = [line.lower() for line in written(status=426, fields=fields, length=0)[1]]
    assert b"upgrade: websocket" in lines
    connection = b",".join(line for line in lines if line.startswith(b"connection: "))
    assert b"upgrade" in connection


# What the server adds


DEFAULTS = DefaultFields(b"today", b"zonda", [(b"x-extra", b"1")])


@pytest.mark.parametrize(
    ("own", "added"),
    [
        ([], {b"date: today", b"server: zonda"}),
        ([(b"Date", b"mine")], {b"date: mine", b"server: zonda"}),
        ([(b"SERVER", b"mine")], {b"date: today", b"server: mine"}),
        ([(b"date", b"mine"), (b"server", b"")], {b"date: mine", b"server: "}),
    ],
)
def test_defaults_are_added_unless_the_application_has_them(own: Fields, added: set[bytes]) -> None:
    lines = written(fields=own, length=0, defaults=DEFAULTS)[1]
    assert len(lines) == 4
    assert set(lines) == added | {b"x-extra: 1", b"content-length: 0"}


def test_defaults_that_are_turned_off_are_left_out() -> None:
    assert written(length=0, defaults=NOTHING)[1] == [b"content-length: 0"]


def test_the_date_is_renewed() -> None:
    defaults = DefaultFields(b"today", b"zonda")
    defaults.renew(b"tomorrow")
    assert written(length=0, defaults=defaults)[1][0] == b"date: tomorrow"


# Several responses, interim responses, pieces that the caller sends


def test_an_encoder_writes_one_response_after_another() -> None:
    encoder = ResponseEncoder()
    bodies = []
    for method, version, length in (
        ("GET", "1.1", -1),
        ("HEAD", "1.1", -1),
        ("GET", "1.1", 2),
        ("GET", "1.1", -1),
        ("GET", "1.0", -1),
    ):
        out: list[bytes] = []
        encoder.start(method, version == "1.0", True)
        encoder.head(out, 200, [], length, NOTHING)
        encoder.data(out, b"ok")
        encoder.end(out, None)
        bodies.append(b"".join(out).partition(b"\r\n\r\n")[2])
    assert bodies == [b"2\r\nok\r\n0\r\n\r\n", b"", b"ok", b"2\r\nok\r\n0\r\n\r\n", b"ok"]


def test_interim_responses_have_a_head_alone() -> None:
    assert encode_interim(100, []) == b"HTTP/1.1 100 Continue\r\n\r\n"
    hints = encode_interim(103, [(b"link", b"</a.css>; rel=preload")])
    assert hints == b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n"


@pytest.mark.parametrize("name", [b"Content-Length", b"transfer-encoding"])
def test_interim_responses_have_no_framing_fields(name: bytes) -> None:
    with pytest.raises(ResponseError):
        encode_interim(103, [(name, b"1")])


def test_a_piece_that_the_caller_sends_itself_is_framed_like_any_other() -> None:
    for length, wire in ((-1, b"5\r\nhello\r\n0\r\n\r\n"), (5, b"hello")):
        encoder = ResponseEncoder()
        out: list[bytes] = []
        encoder.start("GET", False, True)
        encoder.head(out, 200, [], length, NOTHING)
        out.clear()
        size = encoder.open_piece(out, 5)
        out.append(b"hello")
        size += encoder.close_piece(out)
        size += encoder.end(out, None)
        assert b"".join(out) == wire
        assert size == len(wire) - 5


def test_a_piece_that_the_caller_sends_itself_is_counted() -> None:
    encoder = ResponseEncoder()
    out: list[bytes] = []
    encoder.start("GET", False, True)
    encoder.head(out, 200, [], 5, NOTHING)
    before = list(out)
    with pytest.raises(ResponseError, match="longer"):
        encoder.open_piece(out, 6)
    assert out == before


def test_the_connection_ends_only_a_body_without_length_or_chunks() -> None:
    encoder = ResponseEncoder()
    for method, version, length, ends in (
        ("GET", "1.0", -1, True),
        ("GET", "1.0", 0, False),
        ("GET", "1.1", -1, False),
        ("HEAD", "1.0", -1, False),
    ):
        encoder.start(method, version == "1.0", True)
        encoder.head([], 200, [], length, NOTHING)
        assert encoder.ends_with_connection is ends
