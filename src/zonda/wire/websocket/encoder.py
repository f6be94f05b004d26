"""WebSocket messages on the wire (RFC 6455 sections 5 and 7).

Each message is one frame. A server's frames are not masked; a client's are, each with a key of its
own, which the caller supplies, since a codec has no source of chance.

Every method appends ``bytes`` to the list ``out`` and returns how many octets it appended. When one
raises, ``out`` is as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zonda.wire.websocket import octets
from zonda.wire.websocket.closing import encode_close
from zonda.wire.websocket.deflate import Deflater
from zonda.wire.websocket.errors import MessageError
from zonda.wire.websocket.grammar import (
    BINARY,
    CLOSE,
    FIN,
    MASK,
    MAX_CONTROL,
    PING,
    PONG,
    RSV1,
    TEXT,
)

__all__ = ["MessageEncoder"]

_MAX_JOINED = 1024
"""Octets of payload up to which a copy costs less than a second part to write."""


class MessageEncoder:
    """Writes the messages of one connection, one after another.

    Args:
        masks: For a client: gives the key of a frame, four octets that nobody can predict (RFC 6455
            section 5.3). None for a server, which masks nothing.
        deflater: What compresses our messages, if permessage-deflate was agreed on.

    Attributes:
        closed: Whether the Close frame was written, after which nothing may be.
    """

    def __init__(
        self, *, masks: Callable[[], bytes] | None = None, deflater: Deflater | None = None
    ) -> None:
        self.closed = False
        self._masks = masks
        self._deflater = deflater
        self._threshold = 0 if deflater is None else deflater.threshold

    def text(self, out: list[Any], text: str) -> int:
        """Append a text message.

        Raises:
            MessageError: The Close frame was written before, or the text has a lone surrogate.
        """
        try:
            if len(text) <= _MAX_JOINED and self._deflater is None and self._masks is None:
                if self.closed:
                    raise _after_close()
                frame = octets.joined_text(FIN | TEXT, text)
                out.append(frame)
                return len(frame)
            payload = text.encode("utf-8")
        except UnicodeEncodeError:
            raise MessageError(
                "a text message with a lone surrogate is not UTF-8: send it as bytes, or replace it"
            ) from None
        return self._message(out, TEXT, payload)

    def binary(self, out: list[Any], data: bytes) -> int:
        """Append a binary message.

        Raises:
            MessageError: The Close frame was written before.
        """
        return self._message(out, BINARY, data)

    def ping(self, out: list[Any], payload: bytes = b"") -> int:
        """Append a Ping.

        Raises:
            MessageError: The Close frame was written before, or the payload has more than 125
                bytes.
        """
        return self._control(out, PING, payload)

    def pong(self, out: list[Any], payload: bytes = b"") -> int:
        """Append a Pong with the payload of the Ping that it answers.

        Raises:
            MessageError: As for ``ping``.
        """
        return self._control(out, PONG, payload)

    def close(self, out: list[Any], code: int, reason: str = "") -> int:
        """Append the Close frame.

        Args:
            out: Where the octets go.
            code: As RFC 6455 section 7.4 has them; 1005 sends none.
            reason: For the log of the other end, at most 123 bytes of UTF-8.

        Raises:
            MessageError: The Close frame was written before, or the code or the reason cannot be
                sent.
        """
        added = self._control(out, CLOSE, encode_close(code, reason))
        self.closed = True
        return added

    def _message(self, out: list[Any], opcode: int, payload: bytes) -> int:
        if self._deflater is not None and len(payload) >= self._threshold:
            if self.closed:
                raise _after_close()
            return self._frame(out, FIN | RSV1 | opcode, self._deflater.deflate(payload))
        return self._frame(out, FIN | opcode, payload)

    def _control(self, out: list[Any], opcode: int, payload: bytes) -> int:
        if len(payload) > MAX_CONTROL:
            raise MessageError(
                f"a ping or pong has at most {MAX_CONTROL} bytes, not {len(payload)}: shorten it"
            )
        return self._frame(out, FIN | opcode, payload)

    def _frame(self, out: list[Any], first: int, payload: bytes) -> int:
        if self.closed:
            raise _after_close()
        size = len(payload)
        if self._masks is not None:
            key = self._masks()
            if len(key) != 4:
                raise MessageError("a masking key has four octets")
            head = octets.header(first, MASK, size) + key
            out.append(head)
            out.append(octets.masked(payload, 0, size, octets.read_key(key, 0), 0))
            return len(head) + size
        if size <= _MAX_JOINED:
            frame = octets.joined(first, payload)
            out.append(frame)
            return len(frame)
        head = octets.header(first, 0, size)
        out.append(head)
        out.append(payload)
        return len(head) + size


def _after_close() -> MessageError:
    return MessageError("nothing may follow the Close frame: stop sending once it is closed")
