"""The transformation of permessage-deflate, in both directions (RFC 7692 section 7.2).

A zlib state is made when the first compressed message needs it, so that a connection that only
agreed to compress costs nothing yet. Its memory is settled by the window: an inflater takes 7 KiB
and, where a window outlives its message, ``2**window_bits`` bytes; a deflater
``2**(window_bits + 2) + 2**(memory_level + 9)`` bytes and some 6 KiB.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from zonda.wire.websocket.closing import CloseCode
from zonda.wire.websocket.errors import WebSocketError

__all__ = [
    "MAX_FINAL_BLOCKS",
    "MAX_WINDOW_BITS",
    "MIN_DEFLATE_BITS",
    "MIN_WINDOW_BITS",
    "DeflateOptions",
    "Deflater",
    "Inflater",
]

MIN_WINDOW_BITS = 8
MAX_WINDOW_BITS = 15

MIN_DEFLATE_BITS = 9
"""The smallest window that zlib deflates with: it refuses 8 without the zlib header."""

MAX_FINAL_BLOCKS = 256
"""Blocks with BFINAL set in one message, each of which asks for a new zlib state."""

# What an empty stored block leaves behind its header bits (RFC 7692 section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeflateOptions:
    """What we ask of permessage-deflate, where the client leaves it to us.

    With the defaults a connection that compresses both ways holds some 50 KiB: a window of 4 KiB
    serves messages of that size as well as one of 32 KiB, which would take 300 KiB.

    Attributes:
        server_window_bits: The most of our window, 9 to 15; a client may ask for less.
        client_window_bits: The most of the client's window, 8 to 15, where it lets us choose.
        server_takeover: Whether our window outlives a message, where the client lets it.
        client_takeover: Whether the client's window may outlive a message.
        level: Of effort, 1 to 9.
        memory_level: Of zlib, 1 to 9; see above.
        threshold: Bytes below which a message is sent as it is.
    """

    server_window_bits: int = 12
    client_window_bits: int = 12
    server_takeover: bool = True
    client_takeover: bool = True
    level: int = 6
    memory_level: int = 5
    threshold: int = 64

    def __post_init__(self) -> None:
        if not MIN_DEFLATE_BITS <= self.server_window_bits <= MAX_WINDOW_BITS:
            raise ValueError("server_window_bits is 9 to 15")
        if not MIN_WINDOW_BITS <= self.client_window_bits <= MAX_WINDOW_BITS:
            raise ValueError("client_window_bits is 8 to 15")


class Inflater:
    """Inflates the messages of one connection, never more than is asked for.

    Args:
        window_bits: Of the peer's window.
        takeover: Whether the window outlives a message.
    """

    def __init__(self, window_bits: int, *, takeover: bool) -> None:
        # A wider window inflates the same, and zlib itself once took 8 for 9.
        self._window_bits = max(window_bits, MIN_DEFLATE_BITS)
        self._takeover = takeover
        self._state: zlib._Decompress | None = None  # pyright: ignore[reportPrivateUsage]
        self._final_blocks = 0

    def inflate(self, data: bytes, room: int, last: bool) -> bytes:
        """Inflate a part of a message.

        Args:
            data: The part, as the frames carry it.
            room: The most bytes that may come of it.
            last: Whether the message ends with it.

        Raises:
            WebSocketError: More than ``room`` came of it (1009), or it is not DEFLATE (1007).
        """
        if last:
            data += _TAIL
        parts: list[bytes] = []
        while True:
            state = self._state
            if state is None or state.eof:
                state = self._state = zlib.decompressobj(-self._window_bits)
            try:
                part = state.decompress(data, room + 1)
            except zlib.error:
                raise WebSocketError(
                    CloseCode.INVALID_DATA, "a compressed message that is not DEFLATE"
                ) from None
            room -= len(part)
            if room < 0:
                raise WebSocketError(
                    CloseCode.MESSAGE_TOO_BIG, "a message that inflates beyond the limit"
                )
            parts.append(part)
            if not state.eof:
                break
            # A block with BFINAL set ends the stream, and the message goes on behind it (RFC 7692
            # section 7.2.3.4).
            self._final_blocks += 1
            if self._final_blocks > MAX_FINAL_BLOCKS:
                raise WebSocketError(CloseCode.POLICY_VIOLATION, "too many final DEFLATE blocks")
            data = state.unused_data
            if not data:
                break
        if last:
            self._final_blocks = 0
            if not self._takeover:
                self._state = None
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Deflater:
    """Deflates the messages of one connection.

    Args:
        window_bits: Of our window, 9 to 15.
        takeover: Whether the window outlives a message.
        level: Of effort, 1 to 9.
        memory_level: Of zlib, 1 to 9.
        threshold: Bytes below which a message is better sent as it is.
    """

    def __init__(
        self,
        window_bits: int,
        *,
        takeover: bool,
        level: int = 6,
        memory_level: int = 5,
        threshold: int = 0,
    ) -> None:
        self.threshold = threshold
        self._window_bits = window_bits
        self._takeover = takeover
        self._level = level
        self._memory_level = memory_level
        self._state: zlib._Compress | None = None  # pyright: ignore[reportPrivateUsage]

    def deflate(self, data: bytes) -> bytes:
        """One whole message, deflated."""
        if not data:
            return b"\x00"  # zlib flushes nothing twice, and so may return nothing here
        state = self._state
        if state is None:
            state = zlib.compressobj(
                self._level, zlib.DEFLATED, -self._window_bits, self._memory_level
            )
            if self._takeover:
                self._state = state
        deflated = state.compress(data) + state.flush(zlib.Z_SYNC_FLUSH)
        return deflated[: len(deflated) - len(_TAIL)]
