"""The wheel of time-outs by itself, on a real event loop."""

import asyncio
import logging
import time

import pytest

from tests.server.harness import in_loop, soon, until
from zonda.server.reactor.wheel import TICK, Timer, TimerOwner, TimerWheel


class Owner(TimerOwner):
    """Notes when its timers come due."""

    def __init__(self) -> None:
        self.due: list[tuple[int, float]] = []
        self.told = asyncio.Event()

    def timer_due(self, kind: int) -> None:
        self.due.append((kind, time.monotonic()))
        self.told.set()


@in_loop
async def test_a_timer_comes_due_once_and_not_early() -> None:
    owner, wheel = Owner(), TimerWheel(asyncio.get_running_loop())
    timer = Timer(owner, 7)
    begun = time.monotonic()
    wheel.arm(timer, 3)
    assert timer.deadline > 0
    await soon(owner.told.wait())
    assert owner.due[0][0] == 7
    assert owner.due[0][1] - begun >= 3 * TICK - 0.001
    assert timer.deadline == 0
    await asyncio.sleep(3 * TICK)
    assert len(owner.due) == 1


@in_loop
async def test_timers_come_due_in_the_order_of_their_deadlines() -> None:
    owner, wheel = Owner(), TimerWheel(asyncio.get_running_loop())
    timers = [Timer(owner, kind) for kind in range(4)]
    for timer, ticks in zip(timers, (4, 1, 3, 2), strict=True):
        wheel.arm(timer, ticks)
    await until(lambda: len(owner.due) == 4)
    assert [kind for kind, _ in owner.due] == [1, 3, 2, 0]


@in_loop
async def test_a_disarmed_timer_does_not_come_due() -> None:
    owner, other = Owner(), Owner()
    wheel = TimerWheel(asyncio.get_running_loop())
    disarmed, dropped, later = Timer(owner, 1), Timer(owner, 2), Timer(other, 3)
    for timer in (disarmed, dropped):
        wheel.arm(timer, 1)
    wheel.arm(later, 3)
    wheel.disarm(disarmed)
    wheel.drop(dropped)
    await soon(other.told.wait())
    assert owner.due == []


@in_loop
async def test_a_timer_can_be_moved_on_and_back() -> None:
    owner, wheel = Owner(), TimerWheel(asyncio.get_running_loop())
    on, back = Timer(owner, 1), Timer(owner, 2)
    wheel.arm(on, 1)
    wheel.arm(back, 500)
    for ticks in (2, 3, 4):
        wheel.arm(on, ticks)
    wheel.arm(back, 2)
    begun = time.monotonic()
    await until(lambda: len(owner.due) == 2)
    assert [kind for kind, _ in owner.due] == [2, 1]
    assert owner.due[1][1] - begun >= 4 * TICK - 0.01


@in_loop
async def test_arming_with_zero_means_never() -> None:
    owner, other = Owner(), Owner()
    wheel = TimerWheel(asyncio.get_running_loop())
    never, later = Timer(owner, 1), Timer(other, 2)
    wheel.arm(never, 1)
    wheel.arm(never, 0)
    wheel.arm(later, 3)
    await soon(other.told.wait())
    assert owner.due == []


@in_loop
async def test_a_timer_can_be_armed_again_from_its_own_call() -> None:
    wheel = TimerWheel(asyncio.get_running_loop())

    class Again(Owner):
        def timer_due(self, kind: int) -> None:
            super().timer_due(kind)
            if len(self.due) < 3:
                wheel.arm(timer, 1)

    owner = Again()
    timer = Timer(owner, 1)
    wheel.arm(timer, 1)
    await until(lambda: len(owner.due) == 3)


@in_loop
async def test_a_wheel_starts_again_after_it_has_stood_still() -> None:
    owner, wheel = Owner(), TimerWheel(asyncio.get_running_loop())
    for _ in range(2):
        timer = Timer(owner, 1)
        begun = time.monotonic()
        wheel.arm(timer, 1)
        owner.told.clear()
        await soon(owner.told.wait())
        assert owner.due[-1][1] - begun >= TICK - 0.001
        await asyncio.sleep(5 * TICK)


@pytest.mark.parametrize("turning", [True, False])
@in_loop
async def test_a_blocked_event_loop_makes_no_timer_early(turning: bool) -> None:
    owner, wheel = Owner(), TimerWheel(asyncio.get_running_loop())
    if turning:
        wheel.arm(Timer(Owner(), 1), 100)
        await asyncio.sleep(0)
    time.sleep(0.8)  # noqa: ASYNC251 (the application's fault)
    timer = Timer(owner, 1)
    begun = time.monotonic()
    wheel.arm(timer, 5)
    await soon(owner.told.wait())
    assert owner.due[0][1] - begun >= 5 * TICK - 0.001
    wheel.close()


@in_loop
async def test_a_deadline_further_off_than_a_turn_is_kept() -> None:
    owner, wheel = Owner(), TimerWheel(asyncio.get_running_loop())
    timer = Timer(owner, 1)
    wheel.arm(timer, 100_000)
    assert timer.deadline > 90_000
    wheel.arm(timer, 1)
    await soon(owner.told.wait())


@in_loop
async def test_an_owner_that_raises_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wheel = TimerWheel(asyncio.get_running_loop())

    class Raising(Owner):
        def timer_due(self, kind: int) -> None:  # noqa: ARG002
            raise ZeroDivisionError("odd")

    owner = Owner()
    raising, fine = Timer(Raising(), 1), Timer(owner, 2)
    wheel.arm(raising, 1)
    wheel.arm(fine, 1)
    with caplog.at_level(logging.ERROR, "asyncio"):
        await soon(owner.told.wait())
    assert "a time-out could not be handled" in caplog.text


@in_loop
async def test_a_suspended_timer_keeps_the_time_it_had_left() -> None:
    owner, wheel = Owner(), TimerWheel(asyncio.get_running_loop())
    timer = Timer(owner, 1)
    assert wheel.suspend(timer) == 0
    begun = time.monotonic()
    wheel.arm(timer, 4)
    left = wheel.suspend(timer)
    await asyncio.sleep(8 * TICK)
    assert owner.due == []
    waited = time.monotonic() - begun
    while not owner.due:  # however often it is suspended
        wheel.resume(timer, left)
        await asyncio.sleep(TICK / 5)
        left = wheel.suspend(timer) or left
        assert time.monotonic() - begun < waited + 40 * TICK
    assert owner.due[0][1] - begun >= waited + 4 * TICK - 0.001
    assert len(owner.due) == 1


@in_loop
async def test_a_closed_wheel_is_silent() -> None:
    owner, wheel = Owner(), TimerWheel(asyncio.get_running_loop())
    timer = Timer(owner, 1)
    wheel.arm(timer, 1)
    wheel.close()
    await asyncio.sleep(4 * TICK)
    assert owner.due == []


def test_durations_are_rounded_up() -> None:
    assert TimerWheel.ticks(0) == 0
    assert TimerWheel.ticks(0.001) == 1
    assert TimerWheel.ticks(0.1) == 1
    assert TimerWheel.ticks(0.11) == 2
    assert TimerWheel.ticks(20) == 200
