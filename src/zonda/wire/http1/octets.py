"""Slices of ``bytes``, cheap in the compiled build: ``octets_inline.pxd`` has their C bodies."""

from __future__ import annotations

__all__ = ["cut", "match", "put", "taken"]


def cut(data: bytes, start: int, end: int) -> bytes:
    """``data[start:end]`` for ``0 <= start <= end <= len(data)``, which is not checked."""
    return data[start:end]


def match(data: bytes, start: int, end: int, text: bytes) -> bool:
    """Whether ``data[start:end]`` is ``text``."""
    return data[start:end] == text


def put(target: bytearray, at: int, data: bytes) -> int:
    """Write ``data`` at ``at``, growing ``target`` where needed.

    Returns:
        The position behind it.
    """
    end = at + len(data)
    target[at:end] = data
    return end


def taken(source: bytearray, size: int) -> bytes:
    """The first ``size`` octets of ``source``."""
    return bytes(source[:size])
