"""Applications on a free port, for tests: of our users, and our own.

from zonda.testing import LiveServer

with LiveServer("app:app") as server:
    httpx.get(server.url)
"""

from zonda.testing.live import LiveServer, LiveServerError

__all__ = ["LiveServer", "LiveServerError"]
