"""WebSocket messages, from octets to events (RFC 6455 sections 5 to 8). No I/O, no clock.

The states, and what reads each::

    HEADER     2 octets, the length's 0, 2 or 8, the mask's 0 or 4
                   text, binary, continuation                       -> PAYLOAD
                   close, ping, pong                                -> CONTROL
    PAYLOAD    the payload of a data frame, in pieces as they come  -> HEADER; with the last
                                                                       octet of a message yields it
    CONTROL    the payload of a control frame, at most 125 octets   -> HEADER, yields Ping or Pong;
                                                                       CLOSED, yields Close
    CLOSED     drops what still comes
    FAILED     entered by any WebSocketError, never left

and what may begin where (section 5.4)::

                        text, binary    continuation    close, ping, pong
    between messages    yes             1002            yes
    within a message    1002            yes             yes

Theory of operation. A message that arrives in one frame and one piece is unmasked, decoded and
yielded, and no buffer is touched. Any other is put together in one ``bytearray``, unmasked as it
comes: a message takes no more memory than what was received of it, whatever length its header
claims, and a frame of a gigabyte needs no gigabyte of input to be refused. Text is judged as far
as it has come, so that the first octet that is wrong fails the connection (section 8.1). So is
compressed text, after inflating, which stops at the limit.

Verdicts follow the order of the octets and not how they were split. One exception: a compressed
message that is wrong in two ways at once (not DEFLATE, not UTF-8, too large) may be refused for
either, since zlib keeps to itself what it inflated ahead of an error.
"""

from __future__ import annotations

from zonda.wire.events import NEED_DATA, Sentinel
from zonda.wire.websocket import octets
from zonda.wire.websocket.closing import CloseCode, decode_close
from zonda.wire.websocket.deflate import Inflater
from zonda.wire.websocket.errors import WebSocketError
from zonda.wire.websocket.events import Close, Ping, Pong
from zonda.wire.websocket.grammar import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    LENGTH_16,
    MASK,
    MAX_CONTROL,
    OPCODE,
    PING,
    PONG,
    RSV,
    RSV1,
    TEXT,
    Limits,
    Role,
)

__all__ = ["MessageParser"]

_HEADER = 0
_PAYLOAD = 1
_CONTROL = 2
_CLOSED = 3
_FAILED = 4

_NO_LIMIT = 2**62


class MessageParser:
    """Reads the messages of one connection, one after another.

    ``feed`` it what was read, then call ``next_event`` until it answers ``NEED_DATA``.

    Args:
        limits: How much of a message to take.
        role: Our end: a server asks for masked frames, a client for unmasked ones.
        inflater: What inflates the peer's messages, if permessage-deflate was agreed on.
    """

    def __init__(
        self, limits: Limits, *, role: Role = "server", inflater: Inflater | None = None
    ) -> None:
        self._max_message = limits.message or _NO_LIMIT
        self._max_fragments = limits.fragments
        self._masked = role == "server"
        self._inflater = inflater
        self._data = b""
        self._pos = 0
        self._state = _HEADER
        # The frame.
        self._opcode = 0
        self._final = False
        self._remaining = 0
        self._taken = 0
        self._key = 0
        # The message: TEXT, BINARY, or CONTINUATION where there is none.
        self._kind = CONTINUATION
        self._compressed = False
        self._fragments = 0
        self._buffer: bytearray | None = None
        self._valid = 0

    def feed(self, data: bytes) -> None:
        """Take in what was read from the peer. Nothing is parsed until ``next_event``."""
        if self._pos == len(self._data):
            self._data = data
        else:
            self._data = self._data[self._pos :] + data
        self._pos = 0

    @property
    def unread(self) -> int:
        """Octets fed and not parsed yet."""
        return len(self._data) - self._pos

    @property
    def buffered(self) -> int:
        """Bytes held of a message that is not complete."""
        return 0 if self._buffer is None else len(self._buffer)

    def next_event(self) -> str | bytes | Ping | Pong | Close | Sentinel:
        """The next event: a message (``str`` or ``bytes``), a control frame, or ``NEED_DATA``.

        Raises:
            WebSocketError: The input breaks the protocol or passes a limit. Send a Close frame
                with its code and close.
        """
        try:
            return self._next_event()
        except WebSocketError:
            self._state = _FAILED
            self._drop()
            raise

    def _drop(self) -> None:
        """Let go of everything: what comes from now on says nothing."""
        self._data = b""
        self._pos = 0
        self._buffer = None
        self._inflater = None

    def _next_event(self) -> str | bytes | Ping | Pong | Close | Sentinel:
        while True:
            state = self._state
            if state == _HEADER:
                if not self._read_header():
                    return NEED_DATA
            elif state == _PAYLOAD:
                message = self._read_payload()
                if message is not None:
                    return message
                if self._remaining:
                    return NEED_DATA
            elif state == _CONTROL:
                if len(self._data) - self._pos < self._remaining:
                    return NEED_DATA
                return self._read_control()
            elif state == _CLOSED:
                self._drop()
                return NEED_DATA
            else:
                raise RuntimeError("the parser has failed before: close the connection")

    # The header

    def _read_header(self) -> bool:
        """Read a frame's header and judge it. False when it is not whole yet."""
        data = self._data
        pos = self._pos
        available = len(data) - pos
        if available < 2:
            return False
        first = data[pos]
        second = data[pos + 1]
        opcode = first & OPCODE
        length = second & 0x7F
        if first & RSV or opcode > BINARY:
            self._check_rare(first, length)
        if (second & MASK != 0) != self._masked:
            raise WebSocketError(
                CloseCode.PROTOCOL_ERROR,
                "a frame without a mask" if self._masked else "a frame with a mask",
            )
        if opcode <= BINARY and (opcode == CONTINUATION) != (self._kind != CONTINUATION):
            raise WebSocketError(
                CloseCode.PROTOCOL_ERROR,
                "a continuation of no message"
                if opcode == CONTINUATION
                else "a new message within a fragmented one",
            )
        pos += 2
        if length >= LENGTH_16:
            size = 2 if length == LENGTH_16 else 8
            if available < 2 + size:
                return False
            length = _read_length(data, pos, size)
            pos += size
        if opcode <= BINARY:
            self._check_size(first, length)
        if self._masked:
            if len(data) - pos < 4:
                return False
            self._key = octets.read_key(data, pos)
            pos += 4
        # The header is whole: from here on nothing is read of it twice.
        self._opcode = opcode
        self._remaining = length
        self._taken = 0
        self._pos = pos
        if opcode > BINARY:
            self._state = _CONTROL
            return True
        self._final = first & FIN != 0
        self._fragments += 1
        if opcode != CONTINUATION:
            self._kind = opcode
            self._compressed = first & RSV1 != 0
        self._state = _PAYLOAD
        return True

    def _check_rare(self, first: int, length: int) -> None:
        """Judge the reserved bits, and what a control frame may not be."""
        opcode = first & OPCODE
        fault = ""
        if first & RSV:
            if first & RSV != RSV1 or self._inflater is None:
                fault = "a reserved bit that no extension gave a meaning"
            elif opcode not in (TEXT, BINARY):
                fault = "a compressed frame that does not begin a message"
        if not fault and opcode > BINARY:
            if not CLOSE <= opcode <= PONG:
                fault = "a reserved opcode"
            elif not first & FIN:
                fault = "a fragmented control frame"
            elif length > MAX_CONTROL:
                fault = "a control frame of more than 125 octets"
        if fault:
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, fault)

    def _check_size(self, first: int, length: int) -> None:
        """Refuse a data frame that passes a limit, before any of its payload is taken."""
        if self._fragments >= self._max_fragments:
            raise WebSocketError(
                CloseCode.POLICY_VIOLATION, f"a message of more than {self._max_fragments} frames"
            )
        # What a compressed message comes to is known when it is inflated.
        if first & RSV1 or self._compressed:
            return
        size = 0 if self._buffer is None else len(self._buffer)
        if length > self._max_message - size:
            raise WebSocketError(
                CloseCode.MESSAGE_TOO_BIG, f"a message larger than {self._max_message} bytes"
            )

    # Control frames

    def _read_control(self) -> Ping | Pong | Close:
        payload = self._take(self._pos + self._remaining)
        if self._opcode == PING:
            return Ping(payload)
        if self._opcode == PONG:
            return Pong(payload)
        event = decode_close(payload)
        self._state = _CLOSED
        self._drop()
        return event

    def _take(self, end: int) -> bytes:
        """The payload of a frame that is all there, up to ``end``."""
        if self._masked:
            payload = octets.masked(self._data, self._pos, end, self._key, 0)
        else:
            payload = octets.cut(self._data, self._pos, end)
        self._pos = end
        self._remaining = 0
        self._state = _HEADER
        return payload

    # Data frames

    def _read_payload(self) -> str | bytes | None:
        """Take what is there of the payload. The message, once that completes it, or None."""
        start = self._pos
        available = len(self._data) - start
        size = min(self._remaining, available)
        end = start + size
        whole = size == self._remaining
        last = whole and self._final
        if last and self._taken == 0 and self._fragments == 1:
            return self._read_whole(end)
        if size or last:
            self._append(start, end, last)
        self._taken += size
        self._remaining -= size
        if end == len(self._data):
            # Let go of the read, which may be far larger than the piece.
            self._data = b""
            end = 0
        self._pos = end
        if not whole:
            return None
        self._state = _HEADER
        return self._put_together() if last else None

    def _read_whole(self, end: int) -> str | bytes:
        """A message of one frame that is all there."""
        if self._kind == TEXT and self._masked and not self._compressed:
            return self._read_whole_text(end)
        payload = self._take(end)
        if self._compressed:
            assert self._inflater is not None  # noqa: S101 - for type checkers
            payload = self._inflater.inflate(payload, self._max_message, True)
        text = self._kind == TEXT
        self._begin_message()
        if not text:
            return payload
        try:
            return payload.decode("utf-8")
        except UnicodeDecodeError:
            raise _not_utf_8() from None

    def _read_whole_text(self, end: int) -> str:
        """A text message of one masked frame that is all there: what most messages are."""
        start = self._pos
        self._pos = end
        self._remaining = 0
        self._state = _HEADER
        self._begin_message()
        try:
            return octets.masked_text(self._data, start, end, self._key)
        except UnicodeDecodeError:
            raise _not_utf_8() from None

    def _append(self, start: int, end: int, last: bool) -> None:
        """Add a piece of a payload to the message, and judge it as far as that is possible."""
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = bytearray()
        if self._compressed:
            assert self._inflater is not None  # noqa: S101 - for type checkers
            if self._masked:
                piece = octets.masked(self._data, start, end, self._key, self._taken)
            else:
                piece = octets.cut(self._data, start, end)
            buffer += self._inflater.inflate(piece, self._max_message - len(buffer), last)
        elif self._masked:
            octets.append_masked(buffer, self._data, start, end, self._key, self._taken)
        else:
            buffer += octets.cut(self._data, start, end)
        if self._kind == TEXT:
            try:
                valid = self._valid = octets.valid_end(buffer, self._valid)
            except UnicodeDecodeError:
                raise _not_utf_8() from None
            # Python judges a surrogate when its third octet has come: the second is enough.
            if len(buffer) - valid == 2 and buffer[valid] == 0xED and buffer[valid + 1] > 0x9F:
                raise _not_utf_8()

    def _put_together(self) -> str | bytes:
        """The message that the buffer has come to."""
        buffer = self._buffer
        assert buffer is not None  # noqa: S101 - for type checkers
        text = self._kind == TEXT
        if text and self._valid != len(buffer):
            raise _not_utf_8()
        self._begin_message()
        return buffer.decode("utf-8") if text else bytes(buffer)

    def _begin_message(self) -> None:
        self._kind = CONTINUATION
        self._compressed = False
        self._fragments = 0
        self._buffer = None
        self._valid = 0


def _not_utf_8() -> WebSocketError:
    return WebSocketError(CloseCode.INVALID_DATA, "a text message that is not UTF-8")


def _read_length(data: bytes, pos: int, size: int) -> int:
    """The length in ``size`` octets: as few as it needs, and at most 63 bits (section 5.2)."""
    length = 0
    end = pos + size
    if size == 8 and data[pos] & 0x80:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a length of more than 63 bits")
    while pos < end:
        length = length << 8 | data[pos]
        pos += 1
    if length < (LENGTH_16 if size == 2 else 0x10000):
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a length in more octets than it needs")
    return length
