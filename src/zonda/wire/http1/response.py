"""HTTP/1 responses, from the application's parts to octets (RFC 9112 sections 4 to 7).

How a body is framed is settled with the head and then holds::

    NO_BODY   HEAD, 204, 205, 304: nothing follows, whatever the application sends
    LENGTH    the application gave Content-Length, or the whole body is at hand: counted exactly
    CHUNKED   HTTP/1.1 and the length is unknown
    CLOSED    HTTP/1.0 and the length is unknown: the end of the connection ends the body

Nothing that the application sends can break out of its own response: field names and values are
checked octet by octet, and a body that disagrees with its Content-Length raises before a surplus
octet is written. The framing fields (Transfer-Encoding, Connection) are ours alone.

Every method appends ``bytes`` to the list ``out`` and returns how many octets it appended. When
one raises, ``out`` is as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from zonda.wire.http1.errors import ResponseError
from zonda.wire.http1.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    KNOWN_FIELDS,
    SERVER,
    TRANSFER_ENCODING,
    UPGRADE,
)
from zonda.wire.http1.grammar import FIELD_VALUE, TOKEN

__all__ = ["DefaultFields", "ResponseEncoder", "encode_fields", "encode_interim"]

Fields = Iterable[tuple[bytes, bytes]]

_NO_BODY = 0
_LENGTH = 1
_CHUNKED = 2
_CLOSED = 3

# Inside a head each line carries the CRLF of the line before it: one part less to put together.
_LENGTH_LINES = [b"\r\ncontent-length: %d" % number for number in range(2048)]
_CLOSE = b"\r\nconnection: close"
_KEEP_ALIVE = b"\r\nconnection: keep-alive"
_UPGRADE_CLOSE = b"\r\nconnection: upgrade, close"
_UPGRADE_KEEP_ALIVE = b"\r\nconnection: upgrade, keep-alive"
_CHUNKED_LINE = b"\r\ntransfer-encoding: chunked"
_COLON = b": "
_CRLF = b"\r\n"
_END_OF_HEAD = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n"
_MAX_LENGTH_DIGITS = 18


def _status_lines() -> list[bytes]:
    phrases = {status.value: status.phrase for status in HTTPStatus}
    return [
        f"HTTP/1.1 {code} {phrases.get(code, '')}".encode() if code >= 100 else b""
        for code in range(1000)
    ]


_STATUS_LINES = _status_lines()


class DefaultFields:
    """Field lines that the server adds to every response that does not carry them itself.

    Args:
        date: The value of ``date``; empty when turned off. See ``renew``.
        server: The value of ``server``; empty when turned off.
        extra: Further fields, always added.
    """

    def __init__(self, date: bytes = b"", server: bytes = b"", extra: Fields = ()) -> None:
        self.server = b"\r\nserver: " + server if server else b""
        self.extra = b"".join(b"\r\n%b: %b" % field for field in extra)
        self.renew(date)

    def renew(self, date: bytes) -> None:
        """Set the value of ``date``, which changes once a second."""
        self.date = b"\r\ndate: " + date if date else b""
        self.all = self.date + self.server + self.extra


class ResponseEncoder:
    """Writes the responses of one connection, one after another.

    Attributes:
        keep_alive: Once the head is written: whether the connection may go on after it.
        sends_body: Once the head is written: whether octets of a body go on the wire.
    """

    def __init__(self) -> None:
        self.keep_alive = True
        self.sends_body = False
        self._head_only = False
        self._http_10 = False
        self._mode = _NO_BODY
        self._remaining = -1
        self._chunk_size = -1
        self._chunk_line = b""

    def start(self, method: str, http_version: str, keep_alive: bool) -> None:
        """Begin the answer to a request; ``keep_alive`` is the most that the head may promise."""
        self.keep_alive = keep_alive
        self._head_only = method == "HEAD"
        self._http_10 = http_version == "1.0"

    def head(
        self, out: list[Any], status: int, fields: Fields, length: int, defaults: DefaultFields
    ) -> int:
        """Append the head.

        Args:
            out: Where the octets go.
            status: 200 to 999.
            fields: The application's fields, written in their order and case.
            length: Octets of the body if all of it is known now, else -1.
            defaults: What the server adds.

        Raises:
            ResponseError: A field or the status cannot be sent, or ``length`` is not what the
                application's Content-Length says.
        """
        mark = len(out)
        try:
            return self._head(out, status, fields, length, defaults)
        except BaseException:
            del out[mark:]
            raise

    def _head(
        self, out: list[Any], status: int, fields: Fields, length: int, defaults: DefaultFields
    ) -> int:
        if not 200 <= status <= 999:
            raise ResponseError(f"status {status} is not a final status: send 200 to 999")
        bodiless = self._head_only or status in (204, 205, 304)
        declared = -1
        has_date = False
        has_server = False
        has_upgrade = False
        line = _STATUS_LINES[status]
        out.append(line)
        size = len(line)
        for field in fields:
            name, value = field
            if type(name) is not bytes:
                name = _as_bytes(name, "name")
            if type(value) is not bytes:
                value = _as_bytes(value, "value")
            slot = _check_field(name, value)
            known = 0 if slot < 0 else KNOWN_FIELDS.id(slot)
            if 0 < known <= SERVER:
                if known == CONTENT_LENGTH:
                    if declared >= 0:
                        raise ResponseError("more than one content-length: send one")
                    declared = _read_length(value)
                    if status == 204:
                        continue
                    if bodiless and status == 205:
                        continue
                elif known == CONNECTION:
                    if _has_option(value, b"close"):
                        self.keep_alive = False
                    continue
                elif known == TRANSFER_ENCODING:
                    continue
                elif known == UPGRADE:
                    has_upgrade = True
                elif known == DATE:
                    has_date = True
                elif known == SERVER:
                    has_server = True
            if slot >= 0:
                out.append(KNOWN_FIELDS.prefix(slot))
            else:
                out.append(_CRLF)
                out.append(name)
                out.append(_COLON)
            out.append(value)
            size += len(name) + len(value) + 4
        line = defaults.all
        if has_date or has_server:
            line = defaults.extra
            if not has_date:
                line = defaults.date + line
            if not has_server:
                line = defaults.server + line
        out.append(line)
        size += len(line)

        self._remaining = -1
        line = b""
        if bodiless:
            self._mode = _NO_BODY
            if status == 205:
                line = _LENGTH_LINES[0]
            elif self._head_only and declared < 0 and length > 0 and status not in (204, 304):
                line = _length_line(length)
        elif declared >= 0:
            if 0 <= length != declared:
                raise _length_error(declared, length)
            self._mode = _LENGTH
            self._remaining = declared
        elif length >= 0:
            self._mode = _LENGTH
            self._remaining = length
            line = _length_line(length)
        elif self._http_10:
            self._mode = _CLOSED
            self.keep_alive = False
        else:
            self._mode = _CHUNKED
            line = _CHUNKED_LINE
        self.sends_body = self._mode != _NO_BODY
        if line:
            out.append(line)
            size += len(line)
        if has_upgrade:
            # A sender of Upgrade names it in Connection (RFC 9110 section 7.8).
            line = _UPGRADE_KEEP_ALIVE if self.keep_alive else _UPGRADE_CLOSE
            out.append(line)
            size += len(line)
        elif not self.keep_alive:
            out.append(_CLOSE)
            size += len(_CLOSE)
        elif self._http_10:
            out.append(_KEEP_ALIVE)
            size += len(_KEEP_ALIVE)
        out.append(_END_OF_HEAD)
        return size + 4

    def data(self, out: list[Any], data: bytes) -> int:
        """Append a piece of the body.

        Raises:
            ResponseError: The body is longer than its Content-Length. Nothing was appended.
        """
        size = len(data)
        if size == 0 or self._mode == _NO_BODY:
            return 0
        added = self.open_piece(out, size)
        out.append(data)
        return added + size + self.close_piece(out)

    def open_piece(self, out: list[Any], size: int) -> int:
        """Append what goes ahead of ``size`` octets of the body that the caller sends itself.

        ``size`` is above 0, and ``sends_body`` is true; ``close_piece`` follows.

        Raises:
            ResponseError: The body is longer than its Content-Length. Nothing was appended.
        """
        if self._mode == _LENGTH:
            if size > self._remaining:
                raise ResponseError(
                    f"the body is {size - self._remaining} bytes longer than its content-length: "
                    "send the right content-length, or none"
                )
            self._remaining -= size
        elif self._mode == _CHUNKED:
            if size != self._chunk_size:
                self._chunk_size = size
                self._chunk_line = b"%x\r\n" % size
            out.append(self._chunk_line)
            return len(self._chunk_line)
        return 0

    def close_piece(self, out: list[Any]) -> int:
        """Append what goes behind a piece of the body."""
        if self._mode == _CHUNKED:
            out.append(_CRLF)
            return 2
        return 0

    def end(self, out: list[Any], trailers: Fields | None = None) -> int:
        """Append what ends the body: the last chunk and the trailer section, if chunked.

        Raises:
            ResponseError: The body is shorter than its Content-Length, or a trailer field cannot
                be sent. The connection cannot go on: close it without ending the response.
        """
        if self._mode == _LENGTH:
            if self._remaining > 0:
                raise ResponseError(
                    f"the body is {self._remaining} bytes shorter than its content-length: "
                    "send the right content-length, or none"
                )
            return 0
        if self._mode != _CHUNKED:
            return 0
        section = encode_fields(trailers) if trailers is not None else b""
        out.append(_LAST_CHUNK)
        if section:
            out.append(section)
        out.append(_CRLF)
        return 5 + len(section)

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is what ends the body."""
        return self._mode == _CLOSED


def encode_fields(fields: Fields) -> bytes:
    """Field lines, each with its CRLF, checked like those of a head.

    Raises:
        ResponseError: A name or a value has an octet that may not stand there.
    """
    lines: list[bytes] = []
    for name, value in fields:
        name = _as_bytes(name, "name")
        value = _as_bytes(value, "value")
        slot = _check_field(name, value)
        if slot >= 0 and KNOWN_FIELDS.id(slot) in (CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION):
            raise ResponseError(f"{name!r} frames a message: it is not allowed here")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)


def encode_interim(status: int, fields: Fields) -> bytes:
    """An informational response, such as 100 (Continue) or 103 (Early Hints)."""
    return _STATUS_LINES[status] + _CRLF + encode_fields(fields) + _CRLF


def _length_line(length: int) -> bytes:
    if length < 2048:
        return _LENGTH_LINES[length]
    return b"\r\ncontent-length: %d" % length


def _length_error(declared: int, length: int) -> ResponseError:
    return ResponseError(
        f"the body has {length} bytes and its content-length says {declared}: "
        "send the right content-length, or none"
    )


def _has_option(value: bytes, option: bytes) -> bool:
    """Whether a Connection field's value has ``option`` (RFC 9110 section 7.6.1)."""
    return option in [each.strip() for each in value.lower().split(b",")]


def _as_bytes(value: object, part: str) -> bytes:
    if isinstance(value, bytes):
        return bytes(value)
    raise ResponseError(
        f"a header {part} is bytes, not {type(value).__name__}: encode {value!r} as latin-1"
    )


def _check_field(name: bytes, value: bytes) -> int:
    """Refuse what could break out of its field (RFC 9110 section 5.5).

    Returns:
        The name's slot in the table of known fields, or -1.
    """
    hashed = 0
    i = 0
    end = len(name)
    while i < end:
        octet = TOKEN[name[i]]
        if octet == 0:
            raise ResponseError(f"header name {name!r} has a byte that is not allowed in a token")
        hashed = (hashed * 31 + octet) & 0xFFFFFF
        i += 1
    if end == 0:
        raise ResponseError("a header name is empty")
    i = 0
    end = len(value)
    while i < end:
        if not FIELD_VALUE[value[i]]:
            raise ResponseError(f"the value of header {name!r} has a control character")
        i += 1
    return KNOWN_FIELDS.find(name, 0, len(name), hashed)


def _read_length(value: bytes) -> int:
    length = 0
    i = 0
    end = len(value)
    while i < end and 0x30 <= value[i] <= 0x39:
        length = length * 10 + value[i] - 0x30
        i += 1
    if i < end or not 0 < end <= _MAX_LENGTH_DIGITS:
        raise ResponseError(f"content-length {value!r} is not a number of bytes")
    return length
