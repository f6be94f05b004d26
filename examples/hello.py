"""The smallest application: what a server calls, and the two events that make a response.

zonda run hello:app --app-dir examples
"""

from zonda.asgi.types import Receive, Scope, Send


async def app(scope: Scope, _receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")],
        }
    )
    await send({"type": "http.response.body", "body": b"Hello, World!"})
