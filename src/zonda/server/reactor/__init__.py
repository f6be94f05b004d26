"""Sockets, files and time-outs of a worker: epoll where it can be had, asyncio elsewhere."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from typing import cast

from zonda.server.reactor.interface import Reactor
from zonda.server.reactor.portable import PortableReactor

__all__ = ["available", "make_reactor"]


def available() -> tuple[str, ...]:
    """The reactors that run in this install, best first."""
    if importlib.util.find_spec("zonda.server.reactor.epoll") is None:
        return ("asyncio",)
    return ("epoll", "asyncio")


def make_reactor(name: str, loop: asyncio.AbstractEventLoop) -> Reactor:
    """A reactor on ``loop``.

    Args:
        name: ``"epoll"``, ``"asyncio"``, or ``"auto"`` for the best there is.
        loop: The event loop that the application will run on.

    Raises:
        RuntimeError: ``"epoll"`` was asked for, and this is not Linux or not the compiled build.
    """
    names = available()
    if name == "auto":
        name = names[0]
    if name not in names:
        raise RuntimeError(
            f"the {name} reactor needs Linux and the compiled build: "
            "use --reactor auto, or install with a C compiler at hand"
        )
    if name == "epoll":
        module = importlib.import_module("zonda.server.reactor.epoll")
        return cast("Reactor", module.EpollReactor(loop))
    return PortableReactor(loop)
