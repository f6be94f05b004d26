"""Slices of ``bytes``, cheap in the compiled build: ``octets_inline.pxd`` has their C bodies."""

from __future__ import annotations

__all__ = ["cut", "match"]


def cut(data: bytes, start: int, end: int) -> bytes:
    """``data[start:end]`` for ``0 <= start <= end <= len(data)``, which is not checked."""
    return data[start:end]


def match(data: bytes, start: int, end: int, text: bytes) -> bool:
    """Whether ``data[start:end]`` is ``text``."""
    return data[start:end] == text
