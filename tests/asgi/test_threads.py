"""The bridge between coroutines and threads: ``zonda.asgi.threads`` on ``zonda.asgi.pool``."""

import asyncio
import contextvars
import functools
import gc
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.harness import in_loop, soon, until
from zonda.asgi.threads import Lease, ThreadPool, ThreadPoolFull, call_in_loop, is_cancelled

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
PATIENCE = 10.0


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Every test closes its pools; then none of their threads is left."""
    yield
    for thread in pool_threads():
        thread.join(PATIENCE)
    assert not pool_threads()


def pool_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("zonda-thread")]


class Pool(ThreadPool):
    """A pool that is closed at the end of a block, when nothing may run or wait in it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            await until(lambda: not self.statistics.running, "an end of all calls")
            assert self.statistics.waiting == 0
        self.close()


class Gate:
    """A function that stays on its thread until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.left = False

    def __call__(self) -> str:
        self.entered.set()
        assert self.opened.wait(PATIENCE)
        self.left = True
        return "through"

    async def reached(self) -> None:
        await until(self.entered.is_set, "a call on its thread")


# Functions


@in_loop
async def test_a_function_runs_on_a_thread_and_its_result_is_awaited() -> None:
    async with Pool(2) as pool:
        here = threading.get_ident()
        assert await pool.run(pow, 2, 5) == 32
        assert await pool.run(threading.get_ident) != here


@in_loop
async def test_an_exception_arrives_with_the_traceback_of_the_function() -> None:
    def fails() -> None:
        raise LookupError("found nothing")

    async with Pool(1) as pool:
        with pytest.raises(LookupError, match="found nothing") as caught:
            await pool.run(fails)
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert "fails" in names


@in_loop
async def test_stop_iteration_arrives_as_an_error_that_a_coroutine_can_raise() -> None:
    async with Pool(1) as pool:
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            await pool.run(next, iter(()))
        assert isinstance(caught.value.__cause__, StopIteration)


@in_loop
async def test_a_function_that_exits_takes_its_caller_along_and_no_thread() -> None:
    def leaves() -> None:
        raise GeneratorExit

    async with Pool(1) as pool:
        with pytest.raises(GeneratorExit):
            await pool.run(leaves)
        assert await pool.run(str, 1) == "1"


def test_one_pool_serves_several_loops() -> None:
    pool = Pool(2)

    async def ask() -> int:
        return await pool.run(pow, 3, 2)

    assert [asyncio.run(ask()) for _ in range(3)] == [9, 9, 9]
    pool.close()


# Context variables


@in_loop
async def test_context_variables_go_both_ways() -> None:
    def function() -> str:
        seen = VARIABLE.get()
        VARIABLE.set("from the thread")
        return seen

    async with Pool(1) as pool:
        VARIABLE.set("from the task")
        assert await pool.run(function) == "from the task"
        assert VARIABLE.get() == "from the thread"


@in_loop
async def test_what_a_failing_function_has_set_comes_back_too() -> None:
    def function() -> None:
        VARIABLE.set("set before it failed")
        raise ValueError

    async with Pool(1) as pool:
        with pytest.raises(ValueError):  # noqa: PT011
            await pool.run(function)
        assert VARIABLE.get() == "set before it failed"


@in_loop
async def test_no_context_is_left_behind_on_a_thread() -> None:
    async def sets(pool: Pool) -> None:
        await pool.run(VARIABLE.set, "mine")

    async with Pool(1) as pool:
        await asyncio.create_task(sets(pool))
        assert await pool.run(VARIABLE.get) == "unset"
        lease = pool.lease()
        lease.submit(VARIABLE.set, "submitted").result(PATIENCE)
        assert lease.submit(VARIABLE.get).result(PATIENCE) == "unset"
        lease.shutdown()


# Bounds


@in_loop
async def test_no_more_run_than_there_may_be_threads_and_the_rest_wait_in_order() -> None:
    order: list[int] = []
    gates = [Gate(), Gate()]
    async with Pool(2) as pool:
        blocked = [asyncio.create_task(pool.run(gate)) for gate in gates]
        for gate in gates:
            await gate.reached()
        waiting = [asyncio.create_task(pool.run(order.append, number)) for number in range(5)]
        await until(lambda: pool.statistics.waiting == 5)
        assert (pool.statistics.running, pool.statistics.threads) == (2, 2)
        gates[0].opened.set()
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2, 3, 4]
        gates[1].opened.set()
        assert await asyncio.gather(*blocked) == ["through", "through"]
        assert pool.statistics.peak == 2
        assert pool.statistics.started == 7
        assert pool.statistics.waited > 0
        assert pool.statistics.longest_wait <= pool.statistics.waited


@in_loop
async def test_a_call_beyond_the_queue_is_refused() -> None:
    gate = Gate()
    async with Pool(1, waiting=1) as pool:
        first = asyncio.create_task(pool.run(gate))
        await gate.reached()
        second = asyncio.create_task(pool.run(str, 2))
        await until(lambda: pool.statistics.waiting == 1)
        with pytest.raises(ThreadPoolFull, match="1 threads are busy and 1 calls wait"):
            await pool.run(str, 3)
        assert pool.statistics.refused == 1
        gate.opened.set()
        assert [await first, await second] == ["through", "2"]


@in_loop
async def test_calls_that_block_do_not_keep_others_from_the_threads_there_are() -> None:
    together = threading.Barrier(8, timeout=PATIENCE)
    async with Pool(8) as pool:
        await asyncio.gather(*(pool.run(together.wait) for _ in range(8)))
        # And once more, now that all of them rest.
        await asyncio.gather(*(pool.run(together.wait) for _ in range(8)))
        assert pool.statistics.threads == 8


@in_loop
async def test_the_thread_that_rested_last_is_used_first() -> None:
    together = threading.Barrier(3, timeout=PATIENCE)
    async with Pool(3) as pool:
        await asyncio.gather(*(pool.run(together.wait) for _ in range(3)))
        used = set()
        for _ in range(10):
            await until(lambda: not pool.statistics.running)  # it has gone to rest
            used.add(await pool.run(threading.get_ident))
        assert len(used) == 1


@in_loop
async def test_threads_that_nobody_needs_end() -> None:
    async with Pool(4, idle=0.01) as pool:
        await asyncio.gather(*(pool.run(str, number) for number in range(20)))
        await until(lambda: pool.statistics.threads == 0)
        assert await pool.run(str, 1) == "1"


@in_loop
async def test_threads_that_end_and_calls_that_come_do_not_miss_each_other() -> None:
    async with Pool(2, idle=0.0) as pool:
        for number in range(300):
            assert await soon(pool.run(abs, number), "a thread on its way out") == number


@in_loop
async def test_a_closed_pool_runs_what_waits_and_takes_nothing_more() -> None:
    gate = Gate()
    async with Pool(1) as pool:
        running = asyncio.create_task(pool.run(gate))
        await gate.reached()
        waiting = asyncio.create_task(pool.run(str, 1))
        await until(lambda: pool.statistics.waiting == 1)
        pool.close()
        with pytest.raises(RuntimeError, match="closed"):
            await pool.run(str, 2)
        assert not pool.join(0)
        gate.opened.set()
        assert [await running, await waiting] == ["through", "1"]
        assert pool.join(PATIENCE)


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ThreadPool(0)
    with pytest.raises(ValueError, match="none, or some"):
        ThreadPool(1, waiting=-1)


@in_loop
async def test_calls_that_return_together_wake_the_loop_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.SelectorEventLoop):
        pytest.skip("the loop's methods cannot be replaced")
    woken: list[object] = []
    wake = loop.call_soon_threadsafe

    def counting(*args: Any, **kwargs: Any) -> asyncio.Handle:  # noqa: ANN401
        woken.append(args)
        return wake(*args, **kwargs)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counting)
    async with Pool(1) as pool:
        done: list[int] = []
        tasks = [asyncio.create_task(pool.run(done.append, number)) for number in range(10)]
        await asyncio.sleep(0)  # each task has put its call
        while len(done) < 10:
            threading.Event().wait(0.001)
        await asyncio.gather(*tasks)
    assert len(woken) == 1


# Cancellation


@in_loop
async def test_a_cancelled_call_that_waits_is_taken_back() -> None:
    gate = Gate()
    called: list[object] = []
    async with Pool(1) as pool:
        running = asyncio.create_task(pool.run(gate))
        await gate.reached()
        waiting = asyncio.create_task(pool.run(called.append, 1))
        await until(lambda: pool.statistics.waiting == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert pool.statistics.waiting == 0
        gate.opened.set()
        await running
    assert not called


@in_loop
async def test_a_cancelled_call_that_runs_is_waited_for() -> None:
    gate = Gate()
    async with Pool(1) as pool:
        running = asyncio.create_task(pool.run(gate))
        await gate.reached()
        for _ in range(3):
            running.cancel("enough")
            await asyncio.sleep(0)
            assert not running.done()
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert gate.left


@in_loop
async def test_an_abandoned_call_lets_its_task_go_and_is_counted_until_it_ends() -> None:
    gate = Gate()
    async with Pool(1) as pool:
        running = asyncio.create_task(pool.run(gate, abandon_on_cancel=True))
        await gate.reached()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert pool.statistics.running == 1
        gate.opened.set()
        await until(lambda: gate.left)


@in_loop
async def test_the_failure_of_an_abandoned_call_is_reported() -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
    gate = Gate()

    def fails() -> None:
        gate()
        raise LookupError("too late")

    async with Pool(1) as pool:
        running = asyncio.create_task(pool.run(fails, abandon_on_cancel=True))
        await gate.reached()
        running.cancel()
        await asyncio.wait([running])
        gate.opened.set()
        await until(lambda: reports)
    assert isinstance(reports[0]["exception"], LookupError)


@in_loop
async def test_the_failure_of_a_cancelled_call_is_the_context_of_the_cancellation() -> None:
    gate = Gate()

    def fails() -> None:
        gate()
        raise LookupError("as well")

    async with Pool(1) as pool:
        running = asyncio.create_task(pool.run(fails))
        await gate.reached()
        running.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError) as caught:
            await running
        error: BaseException | None = caught.value
        found = []
        while error is not None:
            found.append(type(error))
            error = error.__context__
        assert LookupError in found


@in_loop
async def test_a_time_out_that_passes_meanwhile_is_a_time_out() -> None:
    gate = Gate()

    async def bounded(pool: Pool) -> None:
        async with asyncio.timeout(0):
            await pool.run(gate)

    async with Pool(1) as pool:
        running = asyncio.create_task(bounded(pool))
        await gate.reached()
        gate.opened.set()
        with pytest.raises(TimeoutError):
            await running


@in_loop
async def test_anyio_can_cancel_a_call_that_is_waited_for() -> None:
    anyio = pytest.importorskip("anyio", reason="anyio is not installed")
    gate = Gate()

    async def bounded(pool: Pool) -> bool:
        with anyio.move_on_after(0) as scope:
            await pool.run(gate)
        return bool(scope.cancelled_caught)

    async with Pool(1) as pool:
        running = asyncio.create_task(bounded(pool))
        await gate.reached()
        for _ in range(10):  # it cancels again in each
            await asyncio.sleep(0)
        assert not running.done()
        gate.opened.set()
        assert await running


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks are not eager before 3.12")
def test_eager_tasks_can_call() -> None:
    async def coroutine(number: int) -> int:
        return number + 1

    async def main() -> None:
        if sys.version_info >= (3, 12):
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with Pool(2) as pool:
            calls = [pool.run(call_in_loop, coroutine, number) for number in range(9)]
            tasks = [asyncio.create_task(call) for call in calls]
            assert await asyncio.gather(*tasks) == list(range(1, 10))

    # Not in uvloop's, whose own calls the factory of some Pythons does not take.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


@in_loop
async def test_a_function_can_ask_whether_it_is_cancelled() -> None:
    seen: list[bool] = []
    gate = Gate()

    def function() -> None:
        seen.append(is_cancelled())
        gate()
        seen.append(is_cancelled())

    async with Pool(1) as pool:
        running = asyncio.create_task(pool.run(function))
        await gate.reached()
        running.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.wait([running])
    assert seen == [False, True]
    assert is_cancelled() is False


# From a thread to the loop


@in_loop
async def test_a_function_can_await_in_the_loop_it_came_from() -> None:
    async def asks(number: int) -> tuple[int, int]:
        await asyncio.sleep(0)
        return threading.get_ident(), number

    async with Pool(1) as pool:
        here = threading.get_ident()
        assert await pool.run(call_in_loop, asks, 7) == (here, 7)


@in_loop
async def test_what_a_coroutine_raises_arrives_in_the_function() -> None:
    async def fails() -> None:
        raise LookupError("in the loop")

    def function() -> str:
        with pytest.raises(LookupError, match="in the loop"):
            call_in_loop(fails)
        return "caught"

    async with Pool(1) as pool:
        assert await pool.run(function) == "caught"


@in_loop
async def test_context_variables_go_to_the_loop_and_back() -> None:
    async def coroutine() -> str:
        seen = VARIABLE.get()
        VARIABLE.set(seen + ", loop")
        return seen

    def function() -> str:
        VARIABLE.set(VARIABLE.get() + ", thread")
        return call_in_loop(coroutine)

    async with Pool(1) as pool:
        VARIABLE.set("task")
        assert await pool.run(function) == "task, thread"
        assert VARIABLE.get() == "task, thread, loop"


def nest(pool: ThreadPool | Lease, depth: int) -> Callable[[], list[int]]:
    """A function that goes to the loop and back to a thread, so many times."""

    async def coroutine() -> list[int]:
        return await pool.run(nest(pool, depth - 1))

    def function() -> list[int]:
        here = threading.get_ident()
        return [here, *(call_in_loop(coroutine) if depth else []), threading.get_ident()]

    return function


@in_loop
async def test_nesting_needs_one_thread_however_deep() -> None:
    async with Pool(1, waiting=0) as pool:
        assert len(set(await soon(pool.run(nest(pool, 5)), "a thread that never comes"))) == 1


@in_loop
async def test_calls_that_nest_side_by_side_do_not_run_out_of_threads() -> None:
    async def several(pool: Pool) -> list[str]:
        return await asyncio.gather(*(pool.run(str, number) for number in range(10)))

    async with Pool(2) as pool:
        outer = [pool.run(call_in_loop, several, pool) for _ in range(6)]
        assert await soon(asyncio.gather(*outer), "threads") == [[str(n) for n in range(10)]] * 6


@in_loop
async def test_what_outlives_a_visit_to_the_loop_goes_to_the_pool() -> None:
    late: list[asyncio.Task[str]] = []
    go_on = asyncio.Event()

    async def afterwards(pool: Pool) -> str:
        await go_on.wait()
        return await pool.run(str, 1)

    async def coroutine(pool: Pool) -> None:
        late.append(asyncio.create_task(afterwards(pool)))

    async with Pool(1) as pool:
        await pool.run(call_in_loop, coroutine, pool)
        go_on.set()
        assert await soon(late[0]) == "1"


@in_loop
async def test_a_cancelled_call_cancels_what_it_awaits_in_the_loop() -> None:
    entered = asyncio.Event()

    async def for_ever() -> None:
        entered.set()
        await asyncio.Event().wait()

    def function() -> str:
        with pytest.raises(asyncio.CancelledError):
            call_in_loop(for_ever)
        call_in_loop(asyncio.sleep, 0)  # it is told once
        finished.append(True)
        return "ended"

    finished: list[bool] = []
    async with Pool(1) as pool:
        running = asyncio.create_task(pool.run(function))
        await soon(entered.wait())
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(running, "a function that was to be cancelled")
    assert finished == [True]


@in_loop
async def test_a_function_that_is_cancelled_on_its_thread_is_told_when_it_next_awaits() -> None:
    gate = Gate()

    def function() -> None:
        gate()
        with pytest.raises(asyncio.CancelledError):
            call_in_loop(asyncio.sleep, 0)
        call_in_loop(asyncio.sleep, 0)
        finished.append(True)

    finished: list[bool] = []
    async with Pool(1) as pool:
        running = asyncio.create_task(pool.run(function, abandon_on_cancel=True))
        await gate.reached()
        running.cancel()
        await asyncio.wait([running])
        gate.opened.set()
        await until(lambda: finished)


def test_other_threads_have_no_loop_to_go_back_to() -> None:
    with pytest.raises(RuntimeError, match="no event loop to go back to"):
        call_in_loop(asyncio.sleep, 0)


@in_loop
async def test_a_submitted_function_has_the_loop_that_it_was_submitted_in() -> None:
    async with Pool(1) as pool:
        lease = pool.lease()
        loop = asyncio.get_running_loop()
        function = functools.partial(call_in_loop, asyncio.sleep, 0)
        await soon(loop.run_in_executor(lease, function))
        lease.release()


# Leases


@in_loop
async def test_all_calls_of_a_lease_run_on_one_thread_in_their_order() -> None:
    seen: list[tuple[int, int]] = []

    def note(number: int) -> None:
        seen.append((number, threading.get_ident()))

    async with Pool(3) as pool, pool.lease() as thread:
        await asyncio.gather(*(thread.run(note, number) for number in range(50)))
        await asyncio.gather(*(pool.run(str, number) for number in range(50)))
        await thread.run(note, 50)
        assert [number for number, _ in seen] == list(range(51))
        assert len({thread for _, thread in seen}) == 1


@in_loop
async def test_a_lease_takes_its_thread_with_its_first_call_and_gives_it_back() -> None:
    async with Pool(1) as pool:
        async with pool.lease():
            assert await pool.run(str, 1) == "1"
        async with pool.lease() as thread:
            leased = await thread.run(threading.get_ident)
            assert pool.statistics.running == 1
        assert await soon(pool.run(threading.get_ident), "the thread of a lease") == leased
        with pytest.raises(RuntimeError, match="released"):
            await thread.run(str, 1)


@in_loop
async def test_leases_wait_for_threads_as_calls_do() -> None:
    async with Pool(1, waiting=1) as pool:
        async with pool.lease() as first:
            await first.run(str, 1)
            second, third = pool.lease(), pool.lease()
            waiting = asyncio.create_task(second.run(str, 2))
            await until(lambda: pool.statistics.waiting == 1)
            with pytest.raises(ThreadPoolFull):
                await third.run(str, 3)
        assert await soon(waiting) == "2"
        second.release()
        # What was refused can be tried again.
        assert await soon(third.run(str, 3)) == "3"
        third.release()


@in_loop
async def test_a_lease_that_is_cancelled_while_it_waits_takes_no_thread() -> None:
    gate = Gate()
    async with Pool(1) as pool:
        running = asyncio.create_task(pool.run(gate))
        await gate.reached()

        async def leases() -> None:
            async with pool.lease() as thread:
                await thread.run(str, 1)

        waiting = asyncio.create_task(leases())
        await until(lambda: pool.statistics.waiting == 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert pool.statistics.waiting == 0
        gate.opened.set()
        await running


@in_loop
async def test_a_call_that_is_abandoned_on_a_lease_keeps_its_thread_until_it_ends() -> None:
    gate = Gate()
    async with Pool(1) as pool:
        async with pool.lease() as thread:
            running = asyncio.create_task(thread.run(gate, abandon_on_cancel=True))
            await gate.reached()
            running.cancel()
            await asyncio.wait([running])
        assert pool.statistics.running == 1
        gate.opened.set()
        await until(lambda: not pool.statistics.running)
    assert gate.left


@in_loop
async def test_the_calls_of_one_lease_are_bounded_too() -> None:
    gate = Gate()
    async with Pool(1, waiting=2) as pool, pool.lease() as thread:
        running = asyncio.create_task(thread.run(gate))
        await gate.reached()
        waiting = [asyncio.create_task(thread.run(str, number)) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ThreadPoolFull, match="2 calls wait for one thread"):
            await thread.run(str, 3)
        gate.opened.set()
        assert await asyncio.gather(running, *waiting) == ["through", "0", "1"]


@in_loop
async def test_nesting_stays_on_the_thread_of_the_lease() -> None:
    async with Pool(3) as pool, pool.lease() as thread:
        assert len(set(await soon(thread.run(nest(thread, 4)), "the leased thread"))) == 1


@in_loop
async def test_unrelated_calls_do_not_come_between_a_leased_call_and_what_it_awaits() -> None:
    order: list[str] = []
    entered = asyncio.Event()
    go_on = asyncio.Event()

    async def coroutine(thread: Lease) -> None:
        entered.set()
        await go_on.wait()
        await thread.run(order.append, "nested")

    def function(thread: Lease) -> None:
        call_in_loop(coroutine, thread)
        order.append("function")

    async with Pool(1) as pool, pool.lease() as thread:
        running = asyncio.create_task(thread.run(function, thread))
        await soon(entered.wait())
        other = asyncio.create_task(thread.run(order.append, "other"))
        await asyncio.sleep(0)
        go_on.set()
        await soon(asyncio.gather(running, other))
    assert order == ["nested", "function", "other"]


@in_loop
async def test_a_forgotten_lease_does_not_keep_its_thread() -> None:
    async with Pool(1) as pool:
        await pool.lease().run(str, 1)
        gc.collect()
        assert await soon(pool.run(str, 2), "the thread of a lease that nobody has") == "2"


def test_a_lease_is_an_executor() -> None:
    pool = ThreadPool(2)
    with pool.lease() as executor:
        assert list(executor.map(pow, [2, 3], [4, 4])) == [16, 81]
        assert executor.submit(dict, a=1).result(PATIENCE) == {"a": 1}
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 1, 0).result(PATIENCE)
        threads = {executor.submit(threading.get_ident).result(PATIENCE) for _ in range(5)}
        assert len(threads) == 1
    with pytest.raises(RuntimeError, match="released"):
        executor.submit(str, 1)
    pool.close()


def test_shutting_a_lease_down_waits_for_its_calls_or_cancels_them() -> None:
    pool = ThreadPool(1)
    gate = Gate()
    lease = pool.lease()
    running = lease.submit(gate)
    assert gate.entered.wait(PATIENCE)
    waiting = lease.submit(str, 1)
    lease.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    assert not running.done()
    gate.opened.set()
    lease.shutdown()
    assert running.result(PATIENCE) == "through"
    pool.lease().shutdown()  # one that was never used
    pool.close()


def test_a_lease_that_shuts_itself_down_does_not_wait_for_itself() -> None:
    pool = ThreadPool(1)
    lease = pool.lease()
    lease.submit(lease.shutdown).result(PATIENCE)
    pool.close()


@in_loop
async def test_asgiref_runs_thread_sensitive_code_on_a_lease() -> None:
    sync = pytest.importorskip("asgiref.sync", reason="asgiref is not installed")

    def thread_of_the_view() -> int:
        # Django does this: back to the loop, and from there to the same thread.
        inner: Callable[[], Awaitable[int]] = sync.sync_to_async(threading.get_ident)

        async def coroutine() -> int:
            return await inner()

        assert sync.async_to_sync(coroutine)() == threading.get_ident()
        return threading.get_ident()

    async with Pool(2) as pool, pool.lease() as thread:
        leased = await thread.run(threading.get_ident)
        async with sync.ThreadSensitiveContext(executor=thread):
            assert await soon(sync.sync_to_async(thread_of_the_view)()) == leased


# Anything, in any order


PLANS = st.lists(
    st.tuples(
        st.sampled_from(["pool", "lease", "nested"]),
        st.booleans(),  # whether it is abandoned when cancelled
        st.one_of(st.none(), st.integers(0, 6)),  # turns of the loop after which it is cancelled
        st.booleans(),  # whether it fails
    ),
    max_size=24,
)


@settings(max_examples=60)
@given(plans=PLANS, threads=st.integers(2, 4))  # the lease has one of them
def test_whatever_is_cancelled_when_every_call_ends_and_nothing_is_left(  # noqa: C901, PLR0915
    plans: list[tuple[str, bool, int | None, bool]], threads: int
) -> None:
    begun: list[int] = []
    ended: list[int] = []
    order: list[int] = []

    async def main() -> None:  # noqa: C901
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # abandoned failures
        pool = ThreadPool(threads)
        lease = pool.lease()

        async def in_the_loop(number: int) -> None:
            await asyncio.sleep(0)
            await pool.run(str, number)

        def function(number: int) -> int:
            begun.append(number)
            try:
                kind, _, _, fails = plans[number]
                if kind == "lease":
                    order.append(number)
                if kind == "nested":
                    call_in_loop(in_the_loop, number)
                if fails:
                    raise LookupError(number)
                return number
            finally:
                ended.append(number)

        async def one(number: int) -> int:
            kind, abandoned, _, _ = plans[number]
            runner = lease if kind == "lease" else pool
            return await runner.run(function, number, abandon_on_cancel=abandoned)

        async def cancel(task: asyncio.Task[int], turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()

        tasks = [asyncio.create_task(one(number)) for number in range(len(plans))]
        cancelling = [
            asyncio.create_task(cancel(task, turns))
            for task, (_, _, turns, _) in zip(tasks, plans, strict=True)
            if turns is not None
        ]
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
        await asyncio.gather(*cancelling)
        lease.release()
        await until(lambda: not (pool.statistics.running or pool.statistics.waiting))
        for number, result in enumerate(results):
            _, _, turns, fails = plans[number]
            if isinstance(result, asyncio.CancelledError):
                assert turns is not None
            elif fails:
                assert isinstance(result, LookupError)
                assert result.args == (number,)
            else:
                assert result == number
            if not isinstance(result, asyncio.CancelledError):
                assert begun.count(number) == 1
        pool.close()
        assert pool.join(PATIENCE)

    asyncio.run(main())
    assert sorted(begun) == sorted(ended)
    assert len(set(begun)) == len(begun)
    assert order == sorted(order)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_many_tasks_on_few_threads_lose_nothing(loop: str) -> None:
    factory = pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else None
    calls = 3000

    async def main() -> None:
        async with Pool(3, idle=0.001) as pool:
            counted: list[int] = []

            async def one(number: int) -> None:
                for step in range(calls // 60):
                    assert await pool.run(pow, number, 2) == number**2
                    counted.append(step)

            async with asyncio.timeout(4 * PATIENCE):
                await asyncio.gather(*(one(number) for number in range(60)))
            assert len(counted) == calls
            assert pool.statistics.started == calls
            assert pool.statistics.peak <= 3

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
