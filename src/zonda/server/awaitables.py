"""Interpreted on purpose: a compiled ``async def`` is not a coroutine to ``inspect``."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

__all__ = ["ApplicationExit", "awaiting", "guarded"]


class ApplicationExit(RuntimeError):
    """The application called ``sys.exit()`` or raised ``SystemExit`` while it answered."""


async def awaiting(awaitable: Awaitable[None]) -> None:
    """A coroutine for a Task to run, around an application that returned another awaitable."""
    await awaitable


async def guarded(coroutine: Coroutine[Any, Any, None]) -> None:
    """Keep one request's ``SystemExit`` from ending the event loop, as asyncio lets it.

    An eager Task shows it to whoever started it; one that starts later shows it to the loop.
    """
    try:
        await coroutine
    except SystemExit as error:
        raise ApplicationExit("the application called sys.exit()") from error
