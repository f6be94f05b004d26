"""ASGI 2 applications, which are called twice, as ASGI 3 applications (ASGI spec, "Legacy")."""

from __future__ import annotations

from typing import Any

from zonda.asgi.types import ASGI2App, ASGIApp, Receive, Send

__all__ = ["single_callable"]


def single_callable(app: ASGI2App) -> ASGIApp:
    """``app(scope)(receive, send)`` as ``application(scope, receive, send)``.

    The scope tells the application that it is talked to as ASGI 2.
    """

    async def application(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401
        scope["asgi"] = {**scope["asgi"], "version": "2.0"}
        await app(scope)(receive, send)

    return application
