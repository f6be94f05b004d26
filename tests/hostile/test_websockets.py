"""Clients of WebSockets that are slow, silent, greedy, or gone in the middle of a frame."""

import asyncio
import contextlib
import hashlib
import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.child import MIB, serving
from tests.hostile.peers import (
    BINARY,
    CARRIERS,
    PING,
    PONG,
    TEXT,
    Peer,
    WebSocket,
    frame,
    good_clients,
    read_frame,
)
from tests.server.harness import in_loop

ws, wss = [WebSocket(carrier) for carrier in CARRIERS]
in_the_clear = pytest.mark.parametrize("kind", [ws], ids=["ws"])
each_kind = pytest.mark.parametrize("kind", [ws, wss], ids=["ws", "wss"])

SEED = int(os.environ.get("ZONDA_HOSTILE_SEED", "0")) or random.SystemRandom().getrandbits(32)


@in_the_clear
@in_loop
async def test_slow_and_undecided_handshakes_are_ended(kind: WebSocket, tmp_path: Path) -> None:
    times: dict[str, Any] = {"timeout_head": 1, "ws_timeout_handshake": 1, "timeout_linger": 0.5}
    async with serving(tmp_path, kind, **times) as child:
        async with good_clients(child) as good:
            slow = [await kind.dial(child) for _ in range(500)]
            undecided = [await kind.dial(child) for _ in range(100)]
            for peer in undecided:
                await peer.send(kind.handshake("/undecided"))
            statuses = set()
            content = kind.handshake("/echo")
            at = 0
            left = slow
            while left:
                still = []
                for peer in left:
                    with contextlib.suppress(ConnectionError):
                        peer.send_now(content[at : at + 1])
                    answer = peer.recv_now()
                    if answer is None:
                        still.append(peer)
                    else:
                        statuses.add(answer[9:12])
                        peer.close()
                left = still
                at += 1
                assert at < len(content), "a handshake has come through"
                await asyncio.sleep(0.1)
            assert statuses <= {b"408", b""}
            for peer in undecided:
                assert (await peer.read_response()).status == 503
                peer.close()
            await good.complete(20)
        await child.assert_unharmed(memory=16 * MIB)


@in_the_clear
@in_loop
async def test_frames_that_trickle_in_hold_up_nobody(kind: WebSocket, tmp_path: Path) -> None:
    async with serving(tmp_path, kind) as child:
        async with good_clients(child) as good:
            starts = [frame(BINARY, size=8 * MIB), frame(TEXT, size=100), frame(PING, size=100)]
            peers = [await kind.open(child, "/echo") for _ in range(600)]
            octets = [starts[number % len(starts)] + b"x" * 20 for number in range(len(peers))]
            for at in range(20):
                for peer, data in zip(peers, octets, strict=True):
                    await peer.send(data[at : at + 1])
                await asyncio.sleep(0.05)
            await good.complete(100)
            for number, peer in enumerate(peers):
                peer.reset() if number % 2 else peer.close()
        # What a message claims to be long is not set aside for it.
        await child.assert_unharmed(memory=48 * MIB)


@each_kind
@in_loop
async def test_a_flood_of_messages_into_a_stalled_application_is_held_by_tcp(
    kind: WebSocket, tmp_path: Path
) -> None:
    async with serving(tmp_path, kind) as child:
        async with good_clients(child) as good:
            peer = await kind.open(child, "/gathered")
            digest = hashlib.sha256()
            sent = 0

            async def flood() -> None:
                nonlocal sent
                for number in range(100):
                    payload = number.to_bytes(8, "big") * 1024  # 8 KiB
                    data = frame(BINARY, payload) * 128
                    for _ in range(128):
                        digest.update(payload)
                    view = memoryview(data)
                    while view:
                        count = peer.send_now(view)
                        sent += count
                        view = view[count:]
                        if not count:
                            await peer.writable()
                await peer.send(frame(TEXT, b"end"))

            sending = asyncio.ensure_future(flood())
            await good.complete(100)
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.5)
            assert sent < 16 * MIB
            assert child.peak < 8 * MIB
            await child.ask("/gate")
            await sending
            told = f"{100 * MIB} {digest.hexdigest()}".encode()
            assert await read_frame(peer) == (TEXT, told)
            peer.close()
        await child.assert_unharmed(memory=8 * MIB)


@each_kind
@in_loop
async def test_those_who_do_not_read_a_broadcast_are_ended(kind: WebSocket, tmp_path: Path) -> None:
    readers = 80
    async with serving(tmp_path, kind, timeout_write=1) as child:
        async with good_clients(child) as good:
            for _ in range(readers):
                await kind.open(child, "/broadcast", receive_buffer=4096)
            listener = await kind.open(child, "/broadcast")
            for _ in range(1000):
                assert await read_frame(listener) == (BINARY, bytes(1000))
            listener.close()
            await good.complete(100)
            assert (await child.counts())["produced"] < readers * 6 * MIB
        await child.settled()
        assert child.log.count("stopped reading") == readers
        await child.assert_unharmed(memory=readers * MIB)


@in_the_clear
@in_loop
async def test_the_silent_are_pinged_and_ended_and_those_who_answer_stay(
    kind: WebSocket, tmp_path: Path
) -> None:
    times: dict[str, Any] = {"ws_ping_interval": 0.5, "ws_ping_timeout": 0.5, "timeout_linger": 0.5}
    async with serving(tmp_path, kind, **times) as child:
        async with good_clients(child) as good:
            silent = [await kind.open(child, "/echo") for _ in range(300)]
            alive = [await kind.open(child, "/echo") for _ in range(20)]

            async def answer(peer: Peer) -> None:
                for _ in range(3):
                    opcode, payload = await read_frame(peer)
                    assert opcode == PING
                    await peer.send(frame(PONG, payload))
                await kind.ask(peer, f"alive-{id(peer)}")
                peer.close()

            async with asyncio.TaskGroup() as group:
                for peer in alive:
                    group.create_task(answer(peer))
                for peer in silent:
                    group.create_task(peer.read_to_end())
            await good.complete(20)
            for peer in silent:
                assert b"\x03\xf3" in peer.unread, "no Close frame with 1011"
                peer.close()
        await child.assert_unharmed(memory=16 * MIB)


@in_the_clear
@in_loop
async def test_pings_of_a_client_that_does_not_read_pile_up_nowhere(
    kind: WebSocket, tmp_path: Path
) -> None:
    async with serving(tmp_path, kind, timeout_write=1) as child:
        async with good_clients(child) as good:
            peers = [await kind.open(child, "/echo", receive_buffer=4096) for _ in range(20)]
            pings = memoryview(frame(PING, b"x" * 125) * 1000)
            left = dict.fromkeys(peers, pings)
            for _ in range(400):
                for peer in peers:
                    with contextlib.suppress(ConnectionError):
                        sent = peer.send_now(left[peer])
                        left[peer] = left[peer][sent:] or pings
                await asyncio.sleep(0.002)
            await good.complete(20)
            for peer in peers:
                peer.close()
        await child.assert_unharmed(memory=20 * MIB)


@each_kind
@in_loop
async def test_clients_killed_in_the_middle_of_a_frame_leave_nothing(
    kind: WebSocket, tmp_path: Path
) -> None:
    print(f"ZONDA_HOSTILE_SEED={SEED} does the same again")  # noqa: T201 (pytest shows it)
    victims, places = (1_000 if kind is ws else 250), asyncio.Semaphore(40)

    async def live_and_die(number: int) -> None:
        chance = random.Random(f"{SEED}-{number}")
        peer = await kind.dial(child)
        path = chance.choice(["/echo", "/gathered", "/broadcast", "/undecided"])
        content = chance.randbytes(chance.choice([0, 10, 125, 70_000]))
        frames = [frame(BINARY, content), frame(PING, content[:100]), frame(TEXT, b"abc")]
        data = kind.handshake(path) + b"".join(chance.choices(frames, k=5))
        with contextlib.suppress(ConnectionError):
            await peer.send(data[: chance.randrange(len(data))])
            if chance.random() < 0.5:
                await asyncio.sleep(chance.random() / 50)
                peer.recv_now(chance.randrange(1, 5000))
        if chance.random() < 0.5:
            peer.reset()
        else:
            peer.close()

    async def victim(number: int) -> None:
        async with places:
            await live_and_die(number)

    # Where asyncio's transports do not tell that a client has left which is not read from, what
    # nobody accepts ends by its time-out.
    async with serving(tmp_path, kind, ws_timeout_handshake=2) as child:
        async with good_clients(child) as good:
            async with asyncio.TaskGroup() as group:
                for number in range(victims):
                    group.create_task(victim(number))
            await good.complete(20)
        await child.ask("/gate")
        await child.assert_unharmed(memory=48 * MIB)


@in_the_clear
@in_loop
async def test_nonsense_in_frames_ends_the_websocket_and_floods_no_log(
    kind: WebSocket, tmp_path: Path
) -> None:
    chance = random.Random(5)
    number = 1_000
    async with serving(tmp_path, kind, timeout_linger=0.5) as child:
        async with good_clients(child) as good:
            for _ in range(number):
                peer = await kind.open(child, "/echo")
                with contextlib.suppress(ConnectionError):
                    await peer.send(b"\xf3" + chance.randbytes(chance.randrange(1, 500)))
                    await peer.read_to_end()
                assert peer.unread[:1] == b"\x88", "no Close frame"
                peer.close()
            await good.complete(20)
        await child.assert_unharmed(memory=24 * MIB)
        assert len(child.log.splitlines()) < number


@in_the_clear
@in_loop
async def test_an_application_that_is_deaf_to_the_close_does_not_spin(
    kind: WebSocket, tmp_path: Path
) -> None:
    async with serving(tmp_path, kind) as child:
        async with good_clients(child) as good:
            for number in range(20):
                peer = await kind.open(child, "/deaf")
                peer.reset() if number % 2 else peer.close()
            await good.complete(100)
        await child.running(20)
        await child.assert_quiet()
        await child.ask("/gate")
        await child.assert_unharmed(memory=8 * MIB)
