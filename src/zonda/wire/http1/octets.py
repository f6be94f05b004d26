"""A slice of ``bytes``, cheap in the compiled build: ``octets_inline.pxd`` gives it a C body."""

from __future__ import annotations

__all__ = ["cut"]


def cut(data: bytes, start: int, end: int) -> bytes:
    """``data[start:end]`` for ``0 <= start <= end <= len(data)``, which is not checked."""
    return data[start:end]
