"""The lifespan protocol, against applications that keep it and that break it in every way."""

import asyncio
import contextvars
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from zonda.asgi.types import LifespanScope, LifespanSendEvent, Receive, Send
from zonda.server.lifespan import Lifespan, LifespanFailed, LifespanProtocolError

App = Callable[[LifespanScope, Receive, Send], Awaitable[None]]

setting = contextvars.ContextVar[str]("setting")


@pytest.fixture(autouse=True)
def caught(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "zonda")
    return caplog


def lines(caught: pytest.LogCaptureFixture, least: int = logging.INFO) -> list[str]:
    return [record.getMessage() for record in caught.records if record.levelno >= least]


def run(app: App, mode: str = "auto", **options: Any) -> Lifespan:  # noqa: ANN401
    """Take `app` through start-up and shutdown."""

    async def main() -> Lifespan:
        lifespan = Lifespan(app, {}, mode, **options)
        await lifespan.startup()
        await lifespan.shutdown()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return lifespan

    return asyncio.run(main())


async def well_behaved(scope: LifespanScope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})


async def http_only(scope: LifespanScope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http", "this application knows only HTTP"  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_well_behaved_application_starts_and_stops_in_silence(
    mode: str, caught: pytest.LogCaptureFixture
) -> None:
    run(well_behaved, mode)
    assert lines(caught) == []


def test_the_scope_says_what_it_is() -> None:
    scopes: list[LifespanScope] = []

    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await well_behaved(scope, receive, send)

    lifespan = run(app)
    assert scopes == [
        {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    ]
    assert scopes[0].get("state") is lifespan.state


def test_off_never_calls_the_application() -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        raise AssertionError

    run(app, "off")


def test_context_variables_set_in_start_up_are_in_the_context_and_later_ones_are_not() -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        setting.set("from start-up")
        await receive()
        await send({"type": "lifespan.startup.complete"})
        setting.set("from later")
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    assert run(app).context.get(setting) == "from start-up"
    assert setting.get("not here") == "not here"


def test_start_up_waits_for_the_application() -> None:
    async def main() -> None:
        ready = asyncio.Event()

        async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
            await receive()
            await ready.wait()
            await send({"type": "lifespan.startup.complete"})
            await receive()

        lifespan = Lifespan(app, {})
        starting = asyncio.ensure_future(lifespan.startup())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not starting.done()
        ready.set()
        await starting
        await lifespan.shutdown()

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_failed_start_up_is_raised_with_the_applications_message(
    mode: str, caught: pytest.LogCaptureFixture
) -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(LifespanFailed, match=r"^no database$"):
        run(app, mode)
    assert lines(caught) == []


def test_an_application_that_says_it_failed_and_raises_too_is_told_once(
    caught: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed"})
        raise ValueError("no database")

    with pytest.raises(LifespanFailed, match="ValueError: no database"):
        run(app)
    assert lines(caught) == []


def test_without_a_reason_the_failure_says_that() -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.failed"})

    with pytest.raises(LifespanFailed, match="gives no reason"):
        run(app)


def test_auto_goes_on_without_an_application_that_refuses_the_scope(
    caught: pytest.LogCaptureFixture,
) -> None:
    run(http_only)
    assert lines(caught) == []
    assert "does not use lifespan" in lines(caught, logging.DEBUG)[0]


def test_auto_goes_on_without_an_application_that_answers_with_http(
    caught: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    run(app)
    assert lines(caught) == []


def test_auto_goes_on_without_an_application_that_returns_at_once(
    caught: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        return

    run(app)
    assert lines(caught) == []


def test_auto_goes_on_after_an_error_in_start_up_and_says_so_once(
    caught: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await receive()
        raise ValueError("no database")

    run(app)
    (line,) = lines(caught)
    assert "goes on without lifespan; --lifespan on makes this fatal" in line
    error = caught.records[-1].exc_info
    assert error is not None
    frames = traceback.extract_tb(error[2])
    assert [frame.name for frame in frames] == ["app"]


def test_on_fails_when_the_application_refuses_the_scope(
    caught: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(LifespanFailed, match="raised AssertionError: this application knows only"):
        run(http_only, "on")
    assert len(lines(caught)) == 1
    assert caught.records[-1].exc_info is not None


def test_on_fails_when_the_application_returns_without_an_answer() -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await receive()

    with pytest.raises(LifespanFailed, match="returned without an answer"):
        run(app, "on")


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (["lifespan.shutdown.complete"], "may send lifespan.startup.complete or"),
        (["lifespan.startup.complete"] * 2, "may send nothing until it receives lifespan.shutdown"),
        (
            ["lifespan.startup.complete", "lifespan.shutdown.complete"],
            "may send nothing until it receives lifespan.shutdown",
        ),
        (["lifespan.startup.failed", "lifespan.startup.complete"], "may send nothing after"),
        (["http.response.start"], "'http.response.start' on the lifespan channel"),
        ([None], "sent None on the lifespan channel"),
    ],
)
def test_a_message_out_of_order_raises_what_may_be_sent(
    messages: list[str | None], expected: str
) -> None:
    errors: list[str] = []

    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            for message in messages:
                await send(cast("LifespanSendEvent", {"type": message}))
        except LifespanProtocolError as error:
            errors.append(str(error))
        await receive()

    asyncio.run(cancelled_after_start_up(app))
    assert len(errors) == 1
    assert expected in errors[0]


async def cancelled_after_start_up(app: App) -> None:
    """Start `app`, which may answer, fail or do neither, and end it."""
    lifespan = Lifespan(app, {})
    starting = asyncio.ensure_future(lifespan.startup())
    for _ in range(5):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    await lifespan.shutdown()


def test_cancelling_start_up_cancels_the_application() -> None:
    cancelled: list[bool] = []

    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    asyncio.run(cancelled_after_start_up(app))
    assert cancelled == [True]


def test_an_application_that_returns_early_is_told_of_no_shutdown(
    caught: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})

    run(app)
    assert lines(caught) == ["The application's lifespan has returned; it will hear of no shutdown"]


def test_an_error_while_serving_is_logged_once_with_its_traceback(
    caught: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise ValueError("background")

    run(app)
    (line,) = lines(caught)
    assert "failed while the server runs" in line
    assert caught.records[-1].exc_info is not None


def test_a_failed_shutdown_is_logged_with_the_applications_message(
    caught: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "queue not flushed"})

    run(app)
    assert lines(caught) == ["The application failed to shut down: queue not flushed"]


def test_an_error_in_shutdown_is_logged_once_with_its_traceback(
    caught: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise ValueError("queue not flushed")

    run(app)
    assert lines(caught) == ["The application raised an error in its shutdown"]
    assert caught.records[-1].exc_info is not None


def test_a_shutdown_that_never_ends_is_cancelled_at_the_limit(
    caught: pytest.LogCaptureFixture,
) -> None:
    cancelled: list[bool] = []

    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    run(app, shutdown_timeout=0.01)
    assert cancelled == [True]
    (line,) = lines(caught)
    assert "did not shut down within 0.01 s" in line


def test_abort_ends_the_wait_for_shutdown() -> None:
    async def main() -> None:
        stopping = asyncio.Event()

        async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            stopping.set()
            await asyncio.Event().wait()

        lifespan = Lifespan(app, {})
        await lifespan.startup()
        ending = asyncio.ensure_future(lifespan.shutdown())
        await stopping.wait()
        lifespan.abort()
        await ending

    asyncio.run(main())


def test_an_application_that_listens_for_ever_ends_with_the_server() -> None:
    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await send({"type": "lifespan.shutdown.complete"})

    run(app)


def test_what_follows_the_answer_to_shutdown_is_waited_for() -> None:
    done: list[bool] = []

    async def app(scope: LifespanScope, receive: Receive, send: Send) -> None:
        await well_behaved(scope, receive, send)
        for _ in range(5):
            await asyncio.sleep(0)
        done.append(True)

    run(app)
    assert done == [True]


def test_shutdown_without_start_up_does_nothing() -> None:
    asyncio.run(Lifespan(well_behaved, {}).shutdown())
