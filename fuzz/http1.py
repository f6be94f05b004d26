"""What holds for every input of the HTTP/1 codec, as two functions that raise when it does not.

The targets beside this file hand them to a fuzzer; the suite hands them the corpora.
"""

# ruff: noqa: S101 - an invariant is an assertion

from __future__ import annotations

import re
import zlib
from random import Random

import h11

from tests.wire.http1.transcript import Message, octets, read
from zonda.wire.http1 import DefaultFields, Limits, ResponseEncoder, ResponseError

# The second is narrow enough for a small input to pass each limit.
LIMITS = (Limits(), Limits(line=64, head=200, fields=4, body=24))
# A request that was read and is written out again may have grown by its white space.
WIDE = Limits(line=2**20, head=2**24, fields=2**16, body=0)
LARGEST_FED_OCTET_BY_OCTET = 2048
STATUSES = {None, 400, 413, 414, 417, 431, 501, 505}

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
VALUE = re.compile(rb"([!-~\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
TARGET = re.compile(rb'[!"$-~]+')


def check_request(data: bytes) -> None:
    """Assert what holds for ``data`` as a client's half of a connection.

    However it is split, it gives the same events, in a legal order, and nothing but ProtocolError
    is raised. What was accepted is sound, and written out again it is read the same.
    """
    for limits in LIMITS:
        whole = read(data, limits=limits)
        assert whole.refused in STATUSES
        assert read(*_cut(data), limits=limits) == whole
        if len(data) <= LARGEST_FED_OCTET_BY_OCTET:
            assert read(*octets(data), limits=limits) == whole
        for message in whole.messages:
            _check_message(message, limits)
            if message.complete:
                assert read(_written(message), limits=WIDE).messages == (message,)


def _cut(data: bytes) -> list[bytes]:
    # The same input is always cut at the same places: a failure must happen again.
    random = Random(zlib.crc32(data))
    places = sorted(random.randrange(len(data) + 1) for _ in range(4))
    return [data[i:j] for i, j in zip([0, *places], [*places, len(data)], strict=True)]


def _check_message(message: Message, limits: Limits) -> None:
    for name, value in (*message.headers, *message.trailers):
        assert TOKEN.fullmatch(name)
        assert name == name.lower()
        assert VALUE.fullmatch(value)
    assert len(message.headers) <= limits.fields
    assert len(message.trailers) <= limits.fields
    assert TOKEN.fullmatch(message.method.encode())
    assert message.method != "CONNECT"
    assert len(message.target) < limits.line
    assert TARGET.fullmatch(message.target)
    assert message.raw_path == b"*" or message.raw_path.startswith(b"/")
    if message.target.startswith(b"/"):
        query = b"?" + message.query_string if b"?" in message.target else b""
        assert message.raw_path + query == message.target
    assert len(message.field(b"host")) <= 1
    assert message.http_version in {"1.0", "1.1"}
    if message.http_version == "1.0":
        assert not message.chunked
        assert not message.expects_continue
        assert message.upgrade is None
    else:
        assert message.field(b"host")
    assert not (message.chunked and message.content_length >= 0)
    assert message.chunked or not message.trailers
    if limits.body:
        assert len(message.body) <= limits.body
        assert message.content_length <= limits.body
    if message.complete and not message.chunked:
        assert len(message.body) == max(message.content_length, 0)


def _written(message: Message) -> bytes:
    line = b"%b %b HTTP/%b" % (
        message.method.encode(),
        message.target,
        message.http_version.encode(),
    )
    lines = [line, *(b"%b: %b" % field for field in message.headers), b"", b""]
    wire = b"\r\n".join(lines)
    if not message.chunked:
        return wire + message.body
    if message.body:
        wire += b"%x\r\n%b\r\n" % (len(message.body), message.body)
    trailers = b"".join(b"%b: %b\r\n" % field for field in message.trailers)
    return wire + b"0\r\n" + trailers + b"\r\n"


def check_response(data: bytes) -> None:
    r"""Assert what holds for the response that ``data`` describes.

    It is refused with ResponseError and without a trace, or a client reads what was meant. A
    description is text, with 0xFE for a line feed within an element::

        GET 1.1 keep 200 -1          method, version, keep or close, status, length at hand
        name: value                  fields, up to an empty line

        piece|piece                  pieces of the body, up to the first empty line

        name: value                  trailers
    """
    sections = [*data.split(b"\n\n", 2), b"", b"", b""]
    line, *fields = sections[0].split(b"\n")
    words = [*line.split(b" "), b"", b"", b"", b"", b""]
    method = "HEAD" if words[0] == b"HEAD" else "GET"
    version = "1.0" if words[1] == b"1.0" else "1.1"
    pieces = [_unescaped(piece) for piece in sections[1].split(b"|")]
    _check_response(
        method,
        version,
        keep_alive=words[2] != b"close",
        status=_number(words[3], 200),
        length=_number(words[4], -1),
        fields=_pairs(fields),
        pieces=pieces,
        trailers=_pairs(sections[2].split(b"\n")),
    )


def _number(text: bytes, default: int) -> int:
    return int(text) if re.fullmatch(rb"[0-9]{1,4}", text) else default


def _pairs(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    found = (line.partition(b": ") for line in lines if line)
    return [(_unescaped(name), _unescaped(value)) for name, _, value in found]


def _unescaped(text: bytes) -> bytes:
    return text.replace(b"\xfe", b"\n")


def _check_response(  # noqa: PLR0913 - all that a response is made of
    method: str,
    version: str,
    *,
    keep_alive: bool,
    status: int,
    length: int,
    fields: list[tuple[bytes, bytes]],
    pieces: list[bytes],
    trailers: list[tuple[bytes, bytes]],
) -> None:
    encoder = ResponseEncoder()
    out: list[bytes] = []
    size = 0
    before: list[bytes] = []
    encoder.start(method, version == "1.0", keep_alive)
    try:
        size += encoder.head(out, status, fields, length, DefaultFields())
        for piece in pieces:
            before = list(out)
            size += encoder.data(out, piece)
        before = list(out)
        size += encoder.end(out, trailers)
    except ResponseError:
        assert out == before
        return
    wire = b"".join(out)
    assert size == len(wire)
    assert keep_alive or not encoder.keep_alive
    _check_head(wire.partition(b"\r\n\r\n")[0], status)

    empty = method == "HEAD" or status in {204, 205, 304}
    response, body, received = _read_by_h11(wire, method)
    assert response.status_code == status
    assert body == (b"" if empty else b"".join(pieces))
    assert _of_the_application(list(response.headers)) == _of_the_application(fields)
    names = [name for name, _ in response.headers]
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert version == "1.1" or b"transfer-encoding" not in names
    options = b",".join(value for name, value in response.headers if name == b"connection")
    assert (b"close" in [option.strip() for option in options.split(b",")]) != encoder.keep_alive
    if received:
        assert received == _of_the_application(trailers)


def _check_head(head: bytes, status: int) -> None:
    line, *lines = head.split(b"\r\n")
    assert line.startswith(b"HTTP/1.1 %d " % status)
    for text in (line, *lines):
        assert re.fullmatch(rb"[\t -~\x80-\xff]+", text)
    for text in lines:
        assert TOKEN.fullmatch(text.partition(b": ")[0])


def _of_the_application(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    framing = {b"content-length", b"transfer-encoding", b"connection"}
    return [
        (name.lower(), value.strip(b" \t")) for name, value in fields if name.lower() not in framing
    ]


def _read_by_h11(wire: bytes, method: str) -> tuple[h11.Response, bytes, list[tuple[bytes, bytes]]]:
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**24)
    client.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(wire)
    client.receive_data(b"")
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data == (b"", True)
    return response, body, list(event.headers)
