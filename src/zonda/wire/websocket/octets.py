"""Masks, frame headers and slices of ``bytes``, cheap in the compiled build.

``octets_inline.pxd`` has the C bodies: eight octets a step. Here the exclusive or of two long
integers does the work, which is the fastest that plain Python has.
"""

from __future__ import annotations

from codecs import utf_8_decode

from zonda.wire.websocket.grammar import LENGTH_16, LENGTH_64

__all__ = [
    "append_masked",
    "cut",
    "header",
    "joined",
    "joined_text",
    "masked",
    "masked_text",
    "read_key",
    "valid_end",
]


def cut(data: bytes, start: int, end: int) -> bytes:
    """``data[start:end]`` for ``0 <= start <= end <= len(data)``, which is not checked."""
    return data[start:end]


def read_key(data: bytes, start: int) -> int:
    """The masking key at ``data[start : start + 4]``, which is not checked, as a number."""
    return int.from_bytes(data[start : start + 4], "little")


def masked(data: bytes, start: int, end: int, key: int, phase: int) -> bytes:
    """``data[start:end]`` with a mask put on, or taken off (RFC 6455 section 5.3).

    Args:
        data: Where the octets are.
        start: Of the slice, which is not checked.
        end: Of the slice.
        key: The masking key, as ``read_key`` has it.
        phase: How many octets of the frame's payload came before these; the lowest two bits count.
    """
    size = end - start
    octets = key.to_bytes(4, "little")
    turned = octets[phase & 3 :] + octets[: phase & 3]
    mask = int.from_bytes((turned * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(data[start:end], "little") ^ mask).to_bytes(size, "little")


def masked_text(data: bytes, start: int, end: int, key: int) -> str:
    """What ``masked`` returns, a whole payload, as text.

    Raises:
        UnicodeDecodeError: It is not UTF-8.
    """
    return masked(data, start, end, key, 0).decode("utf-8")


def append_masked(  # noqa: PLR0913, PLR0917 - compiled, a slice costs more than two arguments
    buffer: bytearray, data: bytes, start: int, end: int, key: int, phase: int
) -> None:
    """Append what ``masked`` returns to ``buffer``."""
    buffer += masked(data, start, end, key, phase)


def valid_end(buffer: bytearray, start: int) -> int:
    """Where in ``buffer``, valid UTF-8 up to ``start``, a character that is not whole yet begins.

    Raises:
        UnicodeDecodeError: An octet cannot go on the text, whatever will follow.
    """
    with memoryview(buffer) as whole, whole[start:] as rest:
        return start + utf_8_decode(rest, "strict", False)[1]


def header(first: int, mask: int, size: int) -> bytes:
    """A frame's first octets, up to and including the length, in as few as it needs."""
    if size < LENGTH_16:
        return bytes((first, mask | size))
    if size < 0x10000:
        return bytes((first, mask | LENGTH_16)) + size.to_bytes(2, "big")
    return bytes((first, mask | LENGTH_64)) + size.to_bytes(8, "big")


def joined(first: int, payload: bytes) -> bytes:
    """A frame without a mask, in one piece."""
    return header(first, 0, len(payload)) + payload


def joined_text(first: int, text: str) -> bytes:
    """A frame of ``text`` without a mask, in one piece.

    Raises:
        UnicodeEncodeError: It has a lone surrogate.
    """
    return joined(first, text.encode("utf-8"))
