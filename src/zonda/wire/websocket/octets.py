"""Masking and slices of ``bytes``, cheap in the compiled build.

``octets_inline.pxd`` has the C bodies: eight octets a step. Here the exclusive or of two long
integers does the work, which is the fastest that plain Python has.
"""

from __future__ import annotations

from codecs import utf_8_decode

__all__ = ["append_masked", "cut", "masked", "valid_end"]


def cut(data: bytes, start: int, end: int) -> bytes:
    """``data[start:end]`` for ``0 <= start <= end <= len(data)``, which is not checked."""
    return data[start:end]


def masked(data: bytes, start: int, end: int, keys: bytes, at: int, phase: int) -> bytes:
    """``data[start:end]`` with a mask put on, or taken off (RFC 6455 section 5.3).

    Args:
        data: Where the octets are.
        start: Of the slice, which is not checked.
        end: Of the slice.
        keys: Where the four octets of the masking key are.
        at: Where in ``keys`` they begin.
        phase: How many octets of the frame's payload came before these; the lowest two bits count.
    """
    size = end - start
    turn = phase & 3
    key = keys[at + turn : at + 4] + keys[at : at + turn]
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(data[start:end], "little") ^ mask).to_bytes(size, "little")


def append_masked(
    buffer: bytearray, data: bytes, start: int, end: int, keys: bytes, at: int, phase: int
) -> None:
    """Append what ``masked`` returns to ``buffer``."""
    buffer += masked(data, start, end, keys, at, phase)


def valid_end(buffer: bytearray, start: int) -> int:
    """Where in ``buffer``, valid UTF-8 up to ``start``, a character that is not whole yet begins.

    Raises:
        UnicodeDecodeError: An octet cannot go on the text, whatever will follow.
    """
    with memoryview(buffer) as whole, whole[start:] as rest:
        return start + utf_8_decode(rest, "strict", False)[1]
