"""The ASGI runner: applications called for HTTP requests and WebSockets (ASGI 3).

``task`` is what both have in common, ``http`` and ``websocket`` are what they have not.
"""

from __future__ import annotations

from zonda.server.asgi.runner import ASGIRunner

__all__ = ["ASGIRunner"]
