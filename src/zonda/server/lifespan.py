"""The lifespan protocol: the application hears that the server starts and that it stops.

One Task runs the application with the `lifespan` scope for as long as the worker serves. What the
application may send depends on what it has been told and has answered; `_NEXT` is that table. How
its Task may end is another:

    in the phase  the Task ends by     and so
    ------------  -------------------  -----------------------------------------------------------
    STARTING      return or error      mode auto: the application does not use lifespan; go on
                                       mode on: `LifespanFailed`, the process ends with code 3
    SERVING       return               nothing more is told; logged
                  error                the same; logged with its traceback
    STOPPING      return               taken for shutdown.complete
                  error                logged with its traceback; the process ends all the same
    FAILED        return or error      `LifespanFailed`; the application has given its reason
    OVER          error                logged with its traceback

Context variables that the application sets before `startup.complete` are in `Lifespan.context`;
each exchange runs in a copy of that.
"""

import asyncio
import contextlib
import contextvars
import enum
from typing import Any

from zonda.asgi.types import ASGIApp, LifespanReceiveEvent, LifespanScope, LifespanSendEvent
from zonda.server.logs import logger

__all__ = ["Lifespan", "LifespanFailed", "LifespanProtocolError"]

# How long an application may go on that has answered already, or that is being cancelled. It has
# nothing left to say then, so this only bounds a fault.
_LAST_WORDS = 5.0


class LifespanFailed(Exception):
    """The application did not start up. The message is the application's reason."""


class LifespanProtocolError(RuntimeError):
    """The application sent a lifespan message that does not fit what it was told."""


class _Phase(enum.Enum):
    """How far it has come; the value says what the application may send."""

    STARTING = "lifespan.startup.complete or lifespan.startup.failed"
    SERVING = "nothing until it receives lifespan.shutdown"
    STOPPING = "lifespan.shutdown.complete or lifespan.shutdown.failed"
    FAILED = "nothing after lifespan.startup.failed"
    OVER = "nothing after its answer to lifespan.shutdown"


_NEXT = {
    (_Phase.STARTING, "lifespan.startup.complete"): _Phase.SERVING,
    (_Phase.STARTING, "lifespan.startup.failed"): _Phase.FAILED,
    (_Phase.STOPPING, "lifespan.shutdown.complete"): _Phase.OVER,
    (_Phase.STOPPING, "lifespan.shutdown.failed"): _Phase.OVER,
}


class Lifespan:
    """Runs `app` through start-up and shutdown.

    `state` is the dictionary that the application fills for its requests; `mode` is `auto`, `on` or
    `off` (see `Settings.lifespan`); `shutdown_timeout` is in seconds. Belongs to one event loop.
    """

    def __init__(
        self,
        app: ASGIApp,
        state: dict[str, Any],
        mode: str = "auto",
        *,
        shutdown_timeout: float = 30.0,
    ) -> None:
        self.state = state
        self.context = contextvars.copy_context()
        self._context = self.context.copy()  # the Task's own
        self._app = app
        self._mode = mode
        self._shutdown_timeout = shutdown_timeout
        self._phase = _Phase.STARTING
        self._reason = ""  # why start-up failed
        self._task: asyncio.Task[None] | None = None
        self._received = 0
        self._answered = asyncio.Event()  # or the Task has ended
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()  # the Task has ended, or waits for what never comes

    async def startup(self) -> None:
        """Tell the application that the server starts, and wait until it is ready.

        Raises `LifespanFailed`. There is no limit to this wait: only the application knows how
        long its loading takes. Cancelling the wait cancels the application.
        """
        if self._mode == "off":
            return
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name="lifespan", context=self._context
        )
        self._task.add_done_callback(self._task_ended)
        try:
            await self._answered.wait()
        except asyncio.CancelledError:
            await self._end(self._task)
            raise
        if self._phase is _Phase.FAILED or (self._phase is _Phase.STARTING and self._mode == "on"):
            await self._end(self._task)
            raise LifespanFailed(self._reason or "the application gives no reason")

    async def shutdown(self) -> None:
        """Tell the application that the server stops, and wait for it, at most the time limit.

        Whatever the application does wrong is logged, not raised.
        """
        if self._task is None:
            return
        if self._phase is _Phase.SERVING and not self._task.done():
            self._phase = _Phase.STOPPING
            self._answered.clear()
            self._stopping.set()
            try:
                async with asyncio.timeout(self._shutdown_timeout):
                    await self._answered.wait()
            except TimeoutError:
                logger.error(
                    "The application did not shut down within %g s and is cancelled "
                    "(--timeout-graceful-shutdown is the limit)",
                    self._shutdown_timeout,
                )
        await self._end(self._task)

    def abort(self) -> None:
        """End the wait of `shutdown` now; the application is cancelled."""
        if self._phase is _Phase.STOPPING:
            self._answered.set()

    async def _run(self) -> None:
        scope: LifespanScope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            if error.__traceback__ is not None:  # begin it in the application, not here
                error.__traceback__ = error.__traceback__.tb_next
            self._raised(error)
        else:
            self._returned()

    async def _receive(self) -> LifespanReceiveEvent:
        self._received += 1
        if self._received == 1:
            return {"type": "lifespan.startup"}
        if self._received == 2 and self._phase is not _Phase.FAILED:
            await self._stopping.wait()
            return {"type": "lifespan.shutdown"}
        # There is nothing more to receive. An application that loops over receive() without an
        # end stands here; it has done all that it will do.
        self._idle.set()
        nothing: asyncio.Future[LifespanReceiveEvent] = asyncio.get_running_loop().create_future()
        return await nothing

    async def _send(self, message: LifespanSendEvent) -> None:
        kind = message.get("type")
        following = _NEXT.get((self._phase, kind))
        if following is None:
            raise LifespanProtocolError(
                f"the application sent {kind!r} on the lifespan channel; "
                f"it may send {self._phase.value}"
            )
        self._phase = following
        reason = str(message.get("message", ""))
        if following is _Phase.SERVING:
            # A copy: what the Task sets from here on is not for requests.
            self.context = self._context.copy()
        elif following is _Phase.FAILED:
            self._reason = reason
        elif kind == "lifespan.shutdown.failed":
            logger.error("The application failed to shut down: %s", reason or "it gives no reason")
        self._answered.set()

    def _returned(self) -> None:
        if self._phase is _Phase.STARTING:
            self._reason = "the application returned without an answer to lifespan.startup"
            if self._mode == "auto":
                logger.debug("The application does not use lifespan: it returned at once")
        elif self._phase is _Phase.SERVING:
            logger.info("The application's lifespan has returned; it will hear of no shutdown")

    def _raised(self, error: Exception) -> None:
        if self._phase is _Phase.STARTING:
            self._raised_in_startup(error)
        elif self._phase is _Phase.FAILED:
            # It has said so already; frameworks send the reason and then raise it as well.
            self._reason = self._reason or _text(error)
        elif self._phase is _Phase.SERVING:
            logger.error(
                "The application's lifespan has failed while the server runs; "
                "it will hear of no shutdown",
                exc_info=error,
            )
        else:
            logger.error("The application raised an error in its shutdown", exc_info=error)

    def _raised_in_startup(self, error: Exception) -> None:
        self._reason = f"the application raised {_text(error)}"
        if self._mode == "on":
            logger.error("The application raised an error in its start-up", exc_info=error)
        elif self._received == 0 or isinstance(error, LifespanProtocolError):
            # It refused the scope, or took it for a request's.
            logger.debug("The application does not use lifespan: %s", _text(error))
        else:
            # The protocol has the server go on; but an application that has received
            # lifespan.startup probably meant to start up, and someone should know that it did not.
            logger.warning(
                "The application raised an error after it received lifespan.startup, and goes on "
                "without lifespan; --lifespan on makes this fatal, --lifespan off avoids it",
                exc_info=error,
            )

    def _task_ended(self, _: asyncio.Task[None]) -> None:
        self._answered.set()
        self._idle.set()

    async def _end(self, task: asyncio.Task[None]) -> None:
        """See the Task to its end: let it finish if it has answered, cancel it if not."""
        if self._phase in {_Phase.FAILED, _Phase.OVER}:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS):
                    await self._idle.wait()
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_LAST_WORDS)
        if not task.done():
            logger.warning("The application's lifespan ignores its cancellation and is abandoned")


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
