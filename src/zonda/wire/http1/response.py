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
one raises, ``out`` is as it was. A head is put together in a scratch buffer that all encoders of a
worker share, and becomes one ``bytes``.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from zonda.wire.http1 import octets
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
        self.scratch = bytearray(4096)
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

    def start(self, method: str, is_http_10: bool, keep_alive: bool) -> None:
        """Begin the answer to a request; ``keep_alive`` is the most that the head may promise."""
        self.keep_alive = keep_alive
        self._head_only = method == "HEAD"
        self._http_10 = is_http_10

    def head(
        self, out: list[Any], status: int, fields: Fields, length: int, defaults: DefaultFields
    ) -> int:
        """Append the head.

        Args:
            out: Where the octets go.
            status: 200 to 999.
            fields: The application's fields, written in their order.
            length: Octets of the body if all of it is known now, else -1.
            defaults: What the server adds.

        Raises:
            ResponseError: A field or the status cannot be sent, or ``length`` is not what the
                application's Content-Length says.
        """
        if not 200 <= status <= 999:
            raise ResponseError(f"status {status} is not a final status: send 200 to 999")
        bodiless = self._head_only or status in (204, 205, 304)
        declared = -1
        has_date = False
        has_server = False
        has_upgrade = False
        scratch = defaults.scratch
        size = octets.put(scratch, 0, _STATUS_LINES[status])
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
                    if status in (204, 205):
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
                size = octets.put(scratch, size, KNOWN_FIELDS.prefix(slot))
            else:
                size = octets.put(scratch, size, _CRLF)
                size = octets.put(scratch, size, name)
                size = octets.put(scratch, size, _COLON)
            size = octets.put(scratch, size, value)
        if not has_date and not has_server:
            size = octets.put(scratch, size, defaults.all)
        else:
            if not has_date:
                size = octets.put(scratch, size, defaults.date)
            if not has_server:
                size = octets.put(scratch, size, defaults.server)
            size = octets.put(scratch, size, defaults.extra)

        framing = self._frame(status, length, declared, bodiless)
        if framing:
            size = octets.put(scratch, size, framing)
        if has_upgrade:
            # A sender of Upgrade names it in Connection (RFC 9110 section 7.8).
            both = _UPGRADE_KEEP_ALIVE if self.keep_alive else _UPGRADE_CLOSE
            size = octets.put(scratch, size, both)
        elif not self.keep_alive:
            size = octets.put(scratch, size, _CLOSE)
        elif self._http_10:
            size = octets.put(scratch, size, _KEEP_ALIVE)
        size = octets.put(scratch, size, _END_OF_HEAD)
        out.append(octets.taken(scratch, size))
        return size

    def _frame(self, status: int, length: int, declared: int, bodiless: bool) -> bytes:
        """Settle how the body is framed.

        Returns:
            The field line that says so, empty if the application's own fields do, or nothing does.
        """
        self._remaining = -1
        self.sends_body = not bodiless
        if bodiless:
            self._mode = _NO_BODY
            if status == 205:
                return _LENGTH_LINES[0]
            if self._head_only and declared < 0 and length > 0 and status not in (204, 304):
                return _length_line(length)
            return b""
        if declared >= 0:
            if 0 <= length != declared:
                raise _length_error(declared, length)
            self._mode = _LENGTH
            self._remaining = declared
            return b""
        if length >= 0:
            self._mode = _LENGTH
            self._remaining = length
            return _length_line(length)
        if self._http_10:
            self._mode = _CLOSED
            self.keep_alive = False
            return b""
        self._mode = _CHUNKED
        return _CHUNKED_LINE

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


def encode_switching(fields: Fields, defaults: DefaultFields) -> bytes:
    """The 101 (Switching Protocols) after which the connection speaks another protocol.

    Args:
        fields: Upgrade, which names the protocol, and what else there is to say. Connection is
            added here.
        defaults: What else to add, where ``fields`` do not have it.

    Raises:
        ResponseError: As ``encode_fields``.
    """
    fields = list(fields)
    lines = encode_fields(fields)
    names = {name.lower() for name, _ in fields}
    date = b"" if b"date" in names else defaults.date
    server = b"" if b"server" in names else defaults.server
    parts = (_STATUS_LINES[101], b"\r\nconnection: upgrade", date, server, defaults.extra, _CRLF)
    return b"".join(parts) + lines + _CRLF


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
