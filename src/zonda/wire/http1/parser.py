"""HTTP/1 requests, from octets to events (RFC 9112). No I/O, no clock, no callbacks.

Grammar, and the state that reads each part::

    request      = *( CRLF ) request-line fields CRLF body

    REQUEST_LINE   method SP request-target SP "HTTP/1." DIGIT CRLF     -> FIELDS
    FIELDS         *( token ":" OWS value OWS CRLF ) CRLF               -> yields Request, then
                       chunked                                          -> CHUNK_SIZE
                       Content-Length above 0                           -> BODY
                       neither                                          -> COMPLETE
    BODY           Content-Length octets, in pieces as they come        -> COMPLETE
    CHUNK_SIZE     1*HEXDIG [ chunk-ext ] CRLF                          -> CHUNK_DATA;
                                                                           at 0 TRAILERS
    CHUNK_DATA     that many octets, in pieces as they come             -> CHUNK_END
    CHUNK_END      CRLF                                                 -> CHUNK_SIZE
    TRAILERS       *( field CRLF ) CRLF                                 -> COMPLETE
    COMPLETE       yields END until next_request()                      -> REQUEST_LINE
    FAILED         entered by any ProtocolError, never left

Theory of operation. The parser holds one ``bytes`` and a position in it, so that a body piece
which fills a whole read is handed on without a copy. Each line is read in one pass that checks
and measures at once. A line is judged when it is whole: one that is cut off by the end of the
input is put aside in ``_partial`` and joined with what follows once a line feed arrives, so a
trickle of single octets costs no more than a flood, and the events, errors included, do not
depend on how the input was split.

Strictness. Where two readers of one message could disagree on its framing, the message is
refused: a bare CR or LF, white space before a colon, folded lines, more than one Host or
Content-Length, Content-Length beside Transfer-Encoding, a coding other than one ``chunked``.
The limits are in ``grammar.Limits``.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from zonda.wire.events import END, NEED_DATA, Request, Sentinel
from zonda.wire.http1 import octets
from zonda.wire.http1.errors import ProtocolError
from zonda.wire.http1.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    KNOWN_FIELDS,
    TRANSFER_ENCODING,
    UPGRADE,
)
from zonda.wire.http1.grammar import (
    FIELD_VALUE,
    HEX_DIGIT,
    MAX_CHUNK_LINE,
    MAX_EMPTY_LINES,
    MAX_METHOD,
    TARGET,
    TOKEN,
    Limits,
)
from zonda.wire.http1.grammar import HOST as HOST_OCTET

__all__ = ["RequestParser"]

_REQUEST_LINE = 0
_FIELDS = 1
_BODY = 2
_CHUNK_SIZE = 3
_CHUNK_DATA = 4
_CHUNK_END = 5
_TRAILERS = 6
_COMPLETE = 7
_FAILED = 8

_CR = 0x0D
_LF = 0x0A
_SP = 0x20
_HTAB = 0x09
_COLON = 0x3A
_SEMICOLON = 0x3B
_SLASH = 0x2F
_GET = b"GET"
_HTTP_11 = b"HTTP/1.1\r\n"

_MAX_LENGTH_DIGITS = 18  # what a signed 64-bit integer surely holds

_METHODS = {
    name.encode(): name
    for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "QUERY")
}

# A trailer section may not carry what frames, routes, controls or authenticates a message
# (RFC 9110 section 6.5.1).
_FORBIDDEN_TRAILERS = frozenset(
    b"authorization cache-control connection content-encoding content-length content-range "
    b"content-type cookie expect host keep-alive max-forwards proxy-authenticate "
    b"proxy-authorization range set-cookie te trailer transfer-encoding upgrade "
    b"www-authenticate".split()
)


class RequestParser:
    """Reads the requests of one connection, one after another.

    ``feed`` it what was read, then call ``next_event`` until it answers ``NEED_DATA``. After
    ``END`` call ``next_request`` to go on with what was pipelined behind.

    Attributes:
        trailers: The fields of the trailer section, complete once ``END`` was yielded.
    """

    def __init__(self, limits: Limits) -> None:
        self._max_line = limits.line
        self._max_head = limits.head
        self._max_fields = limits.fields
        self._max_body = limits.body
        self._data = b""
        self._pos = 0
        self._partial: bytearray | None = None
        self._state = _REQUEST_LINE
        self._request = Request()
        self.trailers: list[tuple[bytes, bytes]] = []
        self._begin_message()

    def _begin_message(self) -> None:
        self._section_size = 0
        self._field_count = 0
        self._empty_lines = 0
        self._host: bytes | None = None
        self._authority: bytes | None = None
        self._close = False
        self._keep_alive = False
        self._coding: bytes | None = None
        self._remaining = 0
        self._body_size = 0

    # Input

    def feed(self, data: bytes) -> None:
        """Take in what was read from the peer. Nothing is parsed until ``next_event``."""
        if self._partial is not None:
            self._partial += data
            if _LF in data:
                self._data = bytes(self._partial)
                self._pos = 0
                self._partial = None
        elif self._pos == len(self._data):
            self._data = data
            self._pos = 0
        else:
            self._data = self._data[self._pos :] + data
            self._pos = 0

    def take_unread(self) -> bytes:
        """Remove and return what was fed and not parsed: another protocol's first octets."""
        unread = bytes(self._partial) if self._partial is not None else self._data[self._pos :]
        self._data = b""
        self._pos = 0
        self._partial = None
        return unread

    def unread(self) -> int:
        """Octets fed and not parsed yet."""
        if self._partial is not None:
            return len(self._partial)
        return len(self._data) - self._pos

    @property
    def idle(self) -> bool:
        """Whether no part of a request has been seen since the last one."""
        return self._state == _REQUEST_LINE and self.unread() == 0

    # Events

    def next_event(self) -> Request | bytes | Sentinel:
        """The next event: a ``Request``, a piece of its body, ``END`` or ``NEED_DATA``.

        Raises:
            ProtocolError: The input breaks the protocol or passes a limit. Answer with its
                status and close: where the next request would begin is unknown.
        """
        try:
            return self._next_event()
        except ProtocolError:
            self._state = _FAILED
            self.take_unread()
            raise

    def next_request(self) -> None:
        """Go on to the next request on the connection, after ``END``."""
        if self._state != _COMPLETE:
            raise RuntimeError("next_request() comes after END")
        self._state = _REQUEST_LINE
        if self.trailers:
            self.trailers = []
        self._begin_message()

    def _next_event(self) -> Request | bytes | Sentinel:
        while True:
            if self._partial is not None:
                self._check_size(len(self._partial))
                return NEED_DATA
            state = self._state
            if state == _REQUEST_LINE:
                if not self._read_request_line():
                    return NEED_DATA
                self._state = _FIELDS
            elif state == _FIELDS:
                if not self._read_fields(self._request.headers):
                    return NEED_DATA
                return self._finish_head()
            elif state in (_BODY, _CHUNK_DATA):
                return self._read_content()
            elif state == _CHUNK_SIZE:
                if not self._read_chunk_size():
                    return NEED_DATA
            elif state == _CHUNK_END:
                if not self._read_chunk_end():
                    return NEED_DATA
            elif state == _TRAILERS:
                if not self._read_fields(self.trailers):
                    return NEED_DATA
                self._state = _COMPLETE
            elif state == _COMPLETE:
                return END
            else:
                raise RuntimeError("the parser has failed before: close the connection")

    # Lines

    def _cut_off(self, start: int) -> bool:
        """Put the unfinished line at ``start`` aside until its end has come. Always False."""
        if start < len(self._data):
            self._partial = bytearray(self._data[start:])
            self._check_size(len(self._partial))
        self._data = b""
        self._pos = 0
        return False

    def _check_size(self, line: int) -> None:
        """Refuse a line, whole or not, that passes the limits of the part it stands in."""
        if self._state == _REQUEST_LINE:
            if line > self._max_line:
                raise ProtocolError(414, f"request line longer than {self._max_line} bytes")
        elif self._state == _CHUNK_SIZE:
            if line > MAX_CHUNK_LINE:
                raise ProtocolError(400, f"chunk-size line longer than {MAX_CHUNK_LINE} bytes")
        elif self._section_size + line > self._max_head:
            raise ProtocolError(431, f"header section larger than {self._max_head} bytes")

    def _refuse(self, start: int, status: int, reason: str) -> bool:
        """Refuse the line at ``start``, but only once it is whole, and its size before its text."""
        end = self._data.find(b"\n", start)
        if end < 0:
            return self._cut_off(start)
        self._check_size(end + 1 - start)
        raise ProtocolError(status, reason)

    # The head

    def _read_request_line(self) -> bool:
        data = self._data
        size = len(data)
        pos = self._pos
        while pos < size and data[pos] == _CR:
            if pos + 1 == size:
                return self._cut_off(pos)
            if data[pos + 1] != _LF:
                return self._refuse(pos, 400, "bare CR ahead of the request line")
            self._empty_lines += 1
            if self._empty_lines > MAX_EMPTY_LINES:
                raise ProtocolError(400, "too many empty lines ahead of the request line")
            pos += 2
        start = pos
        while pos < size and TOKEN[data[pos]]:
            pos += 1
        method_end = pos
        if pos == size:
            return self._cut_off(start)
        if method_end == start:
            raise ProtocolError(400, "a request does not begin with a method")
        if data[pos] != _SP:
            return self._refuse(start, 400, "malformed method")
        pos += 1
        target_start = pos
        query = -1
        escaped = False
        while pos < size:
            kind = TARGET[data[pos]]
            if kind != 1:
                if kind == 0:
                    break
                if kind == 2:
                    if query < 0:
                        query = pos
                elif query < 0:
                    escaped = True
            pos += 1
        target_end = pos
        end = target_end + len(b" HTTP/1.1\r")
        if end >= size or not octets.match(data, target_end + 1, end + 1, _HTTP_11):
            end = data.find(b"\n", pos)
            if end < 0:
                return self._cut_off(start)
        self._check_size(end + 1 - start)
        if target_end == target_start or data[target_end] != _SP:
            raise ProtocolError(400, "malformed request target")
        request = Request.__new__(Request)
        request.set_up()
        self._read_version(request, octets.cut(data, target_end + 1, end))
        if octets.match(data, start, method_end, _GET):
            request.method = "GET"
        else:
            request.method = _read_method(octets.cut(data, start, method_end))
        target = octets.cut(data, target_start, target_end)
        request.target = target
        if data[target_start] == _SLASH:
            if query < 0:
                request.raw_path = target
            else:
                request.raw_path = octets.cut(data, target_start, query)
                request.query_string = octets.cut(data, query + 1, target_end)
        else:
            escaped = self._read_other_form(request, target)
        if escaped:
            request.path = unquote_to_bytes(request.raw_path).decode("utf-8", "replace")
        else:
            request.path = request.raw_path.decode("ascii")
        self._request = request
        self._section_size = end + 1 - start
        self._pos = end + 1
        return True

    def _read_version(self, request: Request, text: bytes) -> None:
        """Read ``HTTP/1.x`` CR. A minor version above 1 counts as 1 (RFC 9110 section 2.5)."""
        if text == b"HTTP/1.1\r":
            return
        if len(text) != len(b"HTTP/1.1\r") or not text.startswith(b"HTTP/") or text[8] != _CR:
            raise ProtocolError(400, "malformed HTTP version, or a bare CR or LF")
        if text[6:7] != b"." or not (text[5:6].isdigit() and text[7:8].isdigit()):
            raise ProtocolError(400, "malformed HTTP version")
        if text[5:6] != b"1":
            raise ProtocolError(505, "HTTP version not supported: this is HTTP/1")
        if text[7:8] == b"0":
            request.http_version = "1.0"
            request.is_http_10 = True

    def _read_other_form(self, request: Request, target: bytes) -> bool:
        """Absolute-form and asterisk-form (RFC 9112 sections 3.2.2 and 3.2.4).

        Returns:
            Whether the path has percent-encoded octets.
        """
        if target == b"*":
            if request.method != "OPTIONS":
                raise ProtocolError(400, "the asterisk-form is for OPTIONS alone")
            request.raw_path = target
            return False
        scheme, separator, rest = target.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            raise ProtocolError(400, "a target is a path, or an absolute http or https URI")
        hier, mark, query = rest.partition(b"?")
        authority, slash, path = hier.partition(b"/")
        if not authority or not _is_host(authority):
            raise ProtocolError(400, "malformed authority in the request target")
        self._authority = authority
        request.query_string = query
        if slash or mark or request.method != "OPTIONS":
            request.raw_path = b"/" + path
        else:
            # The last proxy's way to say OPTIONS * (RFC 9112 section 3.2.4).
            request.raw_path = b"*"
        return b"%" in path

    def _read_fields(self, fields: list[tuple[bytes, bytes]]) -> bool:
        """Read field lines up to the empty one, in the head or in the trailer section."""
        data = self._data
        size = len(data)
        pos = self._pos
        while True:
            start = pos
            # The name, hashed as it is checked.
            hashed = 0
            while pos < size:
                octet = TOKEN[data[pos]]
                if octet == 0:
                    break
                hashed = (hashed * 31 + octet) & 0xFFFFFF
                pos += 1
            if pos == size:
                return self._cut_off(start)
            name_end = pos
            if data[pos] != _COLON or pos == start:
                if pos == start and data[pos] == _CR:
                    if pos + 1 == size:
                        return self._cut_off(start)
                    if data[pos + 1] == _LF:
                        self._check_size(2)
                        self._pos = pos + 2
                        return True
                return self._refuse(start, 400, _field_fault(data, start, pos))
            # The value, without the white space around it.
            pos += 1
            while pos < size and (data[pos] == _SP or data[pos] == _HTAB):
                pos += 1
            value_start = pos
            while pos < size and FIELD_VALUE[data[pos]]:
                pos += 1
            if pos + 1 >= size:
                if pos < size and data[pos] != _CR:
                    return self._refuse(start, 400, "control character in a field value")
                return self._cut_off(start)
            if data[pos] != _CR or data[pos + 1] != _LF:
                return self._refuse(start, 400, "control character, bare CR or LF in a field")
            value_end = pos
            while value_end > value_start and (
                data[value_end - 1] == _SP or data[value_end - 1] == _HTAB
            ):
                value_end -= 1
            pos += 2
            self._check_size(pos - start)
            self._section_size += pos - start
            self._field_count += 1
            if self._field_count > self._max_fields:
                raise ProtocolError(431, f"more than {self._max_fields} field lines")
            value = octets.cut(data, value_start, value_end)
            slot = KNOWN_FIELDS.find(data, start, name_end, hashed)
            if slot < 0:
                name = octets.cut(data, start, name_end).lower()
            else:
                name = KNOWN_FIELDS.name(slot)
                known = KNOWN_FIELDS.id(slot)
                if known <= UPGRADE and self._state == _FIELDS:
                    self._take_framing(known, value)
            if self._state == _TRAILERS and name in _FORBIDDEN_TRAILERS:
                raise ProtocolError(400, "a field that is not allowed in a trailer section")
            fields.append((name, value))
            self._pos = pos

    def _take_framing(self, known: int, value: bytes) -> None:
        """Note a field that says where the message ends, or what follows it."""
        if known == HOST:
            if self._host is not None:
                raise ProtocolError(400, "more than one Host field")
            if not _is_host(value):
                raise ProtocolError(400, "malformed Host field")
            self._host = value
        elif known == CONTENT_LENGTH:
            if self._request.content_length >= 0:
                raise ProtocolError(400, "more than one Content-Length field")
            self._request.content_length = _read_length(value)
        elif known == TRANSFER_ENCODING:
            if self._coding is not None:
                raise ProtocolError(400, "more than one Transfer-Encoding field")
            self._coding = value.lower()
        elif known == CONNECTION:
            options = value.lower()
            if options == b"keep-alive":
                self._keep_alive = True
            else:
                for option in options.split(b","):
                    option = option.strip(b" \t")
                    if option == b"close":
                        self._close = True
                    elif option == b"keep-alive":
                        self._keep_alive = True
        elif known == EXPECT:
            if not self._request.is_http_10:
                if value.lower() != b"100-continue":
                    raise ProtocolError(417, "an expectation other than 100-continue")
                self._request.expects_continue = True
        elif not self._request.is_http_10:
            before = self._request.upgrade
            self._request.upgrade = value if before is None else before + b", " + value

    def _finish_head(self) -> Request:
        request = self._request
        if request.is_http_10:
            request.keep_alive = self._keep_alive and not self._close
        else:
            request.keep_alive = not self._close
            if self._host is None:
                raise ProtocolError(400, "no Host field")
        if self._authority is not None:
            self._replace_host(request)
        if self._coding is not None:
            self._take_coding(request)
        length = request.content_length
        if length > 0:
            if 0 < self._max_body < length:
                raise ProtocolError(413, f"body larger than {self._max_body} bytes")
            self._remaining = length
            self._state = _BODY
        elif request.chunked:
            self._state = _CHUNK_SIZE
        else:
            request.expects_continue = False
            self._state = _COMPLETE
        return request

    def _replace_host(self, request: Request) -> None:
        """Let the target's authority stand for Host (RFC 9112 section 3.2.2)."""
        fields = [field for field in request.headers if field[0] != b"host"]
        fields.insert(0, (b"host", self._authority or b""))
        request.headers = fields

    def _take_coding(self, request: Request) -> None:
        """Accept one ``chunked`` and nothing else (RFC 9112 sections 6.1 and 6.3)."""
        if request.is_http_10:
            raise ProtocolError(400, "Transfer-Encoding in an HTTP/1.0 request")
        if request.content_length >= 0:
            raise ProtocolError(400, "both Content-Length and Transfer-Encoding")
        coding = self._coding or b""
        if coding != b"chunked":
            codings = [each.strip(b" \t") for each in coding.split(b",")]
            if codings.count(b"chunked") > 1 or b"" in codings or codings.pop() != b"chunked":
                raise ProtocolError(400, "chunked is not the last coding, applied once")
            raise ProtocolError(501, "a transfer coding other than chunked")
        request.chunked = True

    # The body

    def _read_content(self) -> bytes | Sentinel:
        """A piece of the body, or of one chunk: as much as is there."""
        available = len(self._data) - self._pos
        if available == 0:
            return NEED_DATA
        size = min(available, self._remaining)
        end = self._pos + size
        piece = self._data
        if size != len(piece):
            piece = octets.cut(piece, self._pos, end)
        if end == len(self._data):
            # Let go of the read, which may be far larger than the piece.
            self._data = b""
            end = 0
        self._pos = end
        self._remaining -= size
        if self._remaining == 0:
            self._state = _COMPLETE if self._state == _BODY else _CHUNK_END
        return piece

    def _read_chunk_size(self) -> bool:
        data = self._data
        size = len(data)
        start = self._pos
        pos = start
        length = 0
        while pos < size:
            digit = HEX_DIGIT[data[pos]]
            if digit == 0:
                break
            if length > 0xFFFFFFFFFFF:
                return self._refuse(start, 400, "chunk size out of range")
            length = length * 16 + digit - 1
            pos += 1
        digits = pos - start
        while pos < size and (data[pos] == _SP or data[pos] == _HTAB):
            pos += 1
        if pos < size and data[pos] == _SEMICOLON:
            while pos < size and FIELD_VALUE[data[pos]]:
                pos += 1
        elif pos > start + digits:
            return self._refuse(start, 400, "white space after a chunk size")
        if pos + 1 >= size:
            if pos < size and data[pos] != _CR:
                return self._refuse(start, 400, "malformed chunk-size line")
            return self._cut_off(start)
        if digits == 0 or data[pos] != _CR or data[pos + 1] != _LF:
            return self._refuse(start, 400, "malformed chunk-size line")
        pos += 2
        self._check_size(pos - start)
        self._pos = pos
        if length == 0:
            self._section_size = 0
            self._field_count = 0
            self._state = _TRAILERS
            return True
        self._body_size += length
        if 0 < self._max_body < self._body_size:
            raise ProtocolError(413, f"body larger than {self._max_body} bytes")
        self._remaining = length
        self._state = _CHUNK_DATA
        return True

    def _read_chunk_end(self) -> bool:
        data = self._data
        pos = self._pos
        if pos == len(data):
            return False
        if data[pos] != _CR:
            raise ProtocolError(400, "chunk data longer than its size says")
        if pos + 1 == len(data):
            return False
        if data[pos + 1] != _LF:
            raise ProtocolError(400, "bare CR after chunk data")
        self._pos = pos + 2
        self._state = _CHUNK_SIZE
        return True


def _read_method(method: bytes) -> str:
    known = _METHODS.get(method)
    if known is not None:
        return known
    if len(method) > MAX_METHOD:
        raise ProtocolError(501, f"method longer than {MAX_METHOD} bytes")
    if method == b"CONNECT":
        raise ProtocolError(501, "CONNECT is not implemented: this is not a proxy")
    return method.decode("ascii")


def _field_fault(data: bytes, start: int, pos: int) -> str:
    """Say what is wrong with the field line at ``start`` whose name ends at ``pos``."""
    if pos == start:
        if data[pos] in (_SP, _HTAB):
            return "folded field line"
        if data[pos] == _COLON:
            return "field line without a name"
        return "malformed field line, or a bare CR or LF"
    if data[pos] in (_SP, _HTAB):
        return "white space in or after a field name"
    return "malformed field name"


def _read_length(value: bytes) -> int:
    """1*DIGIT and nothing else (RFC 9110 section 8.6)."""
    length = 0
    i = 0
    end = len(value)
    while i < end and 0x30 <= value[i] <= 0x39:
        length = length * 10 + value[i] - 0x30
        i += 1
    if i < end or not 0 < end <= _MAX_LENGTH_DIGITS:
        raise ProtocolError(400, "malformed Content-Length")
    return length


def _is_host(value: bytes) -> bool:
    """Whether ``value`` is a uri-host with an optional port, or empty (RFC 9110 section 7.2)."""
    end = len(value)
    i = 0
    while i < end and HOST_OCTET[value[i]] == 1:
        i += 1
    if i == end:
        return True
    if value[i] == _COLON and i > 0:
        return _is_port(value, i + 1)
    return _is_rare_host(value)


def _is_port(value: bytes, start: int) -> bool:
    """Whether what follows ``start`` is a port, or nothing."""
    end = len(value)
    i = start
    while i < end and 0x30 <= value[i] <= 0x39:
        i += 1
    return i == end and end - start <= 5


def _is_rare_host(value: bytes) -> bool:
    """A uri-host that is an IP literal or has percent-encoded octets."""
    for octet in value:
        if not HOST_OCTET[octet]:
            return False
    if value.startswith(b"["):
        literal, bracket, port = value[1:].partition(b"]")
        if not bracket or not literal or (port and not port.startswith(b":")):
            return False
        address = all(octet in b"0123456789abcdefABCDEF:." for octet in literal)
        future = literal[:1] in (b"v", b"V") and b"." in literal and b"[" not in literal
        return (address or future) and _is_port(port[1:], 0)
    host, _, port = value.partition(b":")
    if b"[" in value or b"]" in value or not host:
        return False
    return _escapes_are_whole(host) and _is_port(port, 0)


def _escapes_are_whole(text: bytes) -> bool:
    """Whether each ``%`` is followed by two hexadecimal digits."""
    return all(
        len(part) >= 2 and HEX_DIGIT[part[0]] and HEX_DIGIT[part[1]]
        for part in text.split(b"%")[1:]
    )
