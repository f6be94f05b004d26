"""Start-up and shutdown, and what the requests share in between.

zonda run lifespan_state:app --app-dir examples

Each worker starts the application once. What its start-up puts into the state, a connection pool
say, is in every request's scope; its shutdown runs when the last request has ended.
"""

import sqlite3
import threading

from zonda.asgi.types import HTTPScope, LifespanScope, Receive, Scope, Send


class Visits:
    """A table of visits, in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        self._connection.execute("CREATE TABLE visits (path TEXT)")

    def add(self, path: str) -> int:
        """Note a visit, and return how many the path has had."""
        with self._lock:
            self._connection.execute("INSERT INTO visits VALUES (?)", (path,))
            query = "SELECT count(*) FROM visits WHERE path = ?"
            (count,) = self._connection.execute(query, (path,)).fetchone()
        return int(count)

    def close(self) -> None:
        """Forget them all."""
        self._connection.close()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "http":
        await count(scope, send)
    else:
        raise NotImplementedError(scope["type"])


async def lifespan(scope: LifespanScope, receive: Receive, send: Send) -> None:
    await receive()  # lifespan.startup
    try:
        visits = Visits()
    except sqlite3.Error as error:
        # The server ends, and this is what it says.
        await send({"type": "lifespan.startup.failed", "message": f"no database: {error}"})
        return
    scope.get("state", {})["visits"] = visits
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    visits.close()
    await send({"type": "lifespan.shutdown.complete"})


async def count(scope: HTTPScope, send: Send) -> None:
    visits: Visits = scope.get("state", {})["visits"]
    text = f"{scope['path']} was visited {visits.add(scope['path'])} times\n"
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain; charset=utf-8")],
        }
    )
    await send({"type": "http.response.body", "body": text.encode()})
