"""Interpreted on purpose: a compiled ``async def`` is not a coroutine to ``inspect``."""

from __future__ import annotations

from collections.abc import Awaitable

__all__ = ["awaiting"]


async def awaiting(awaitable: Awaitable[None]) -> None:
    """A coroutine for a Task to run, around an application that returned another awaitable."""
    await awaitable
