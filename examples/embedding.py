"""A server as one task among others, in an event loop of one's own.

python examples/embedding.py

`serve` returns after a drain: on SIGINT or SIGTERM, or when it is cancelled. Here it shares the
loop, and a plain object, with a program that has work of its own.
"""

import asyncio
from dataclasses import dataclass

import zonda
from zonda.asgi.types import Receive, Scope, Send


@dataclass
class Work:
    """What the program does, and the server shows."""

    steps: int = 0

    async def go_on(self) -> None:
        """Work, until cancelled."""
        while True:
            self.steps += 1
            await asyncio.sleep(0.1)

    async def app(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Tell how far it is; an application is anything that can be called like this."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"step {self.steps}\n".encode()})


async def main() -> None:
    work = Work()
    working = asyncio.create_task(work.go_on())
    try:
        await zonda.serve(work.app, port=8000)
    finally:
        working.cancel()


if __name__ == "__main__":
    asyncio.run(main())
