"""Clients that are killed in the middle of whatever they do."""

import asyncio
import contextlib
import os
import random
from pathlib import Path

import pytest

from tests.hostile.child import MIB, Child, serving
from tests.hostile.peers import CARRIERS, CLEAR, Kind, good_clients
from tests.server.harness import in_loop

VICTIMS = 1_500
AT_ONCE = 40

SEED = int(os.environ.get("ZONDA_HOSTILE_SEED", "0")) or random.SystemRandom().getrandbits(32)
"""Where and how each is killed follows from this; a failure tells it."""


def messages(identity: str, chance: random.Random) -> bytes:
    """A request, or several pipelined, of those that an application reads, answers or fails."""
    head = f"HTTP/1.1\r\nHost: h\r\nX-Id: {identity}\r\nConnection: close\r\n".encode()
    content = chance.randbytes(chance.choice([1, 100, 5_000, 300_000]))
    kinds = [
        b"GET /download/%d %b\r\n" % (chance.choice([10, 100_000, 3_000_000]), head),
        b"GET /endless %b\r\n" % head,
        b"POST /upload %bContent-Length: %d\r\n\r\n%b" % (head, len(content), content),
        b"POST /upload %bTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (head, len(content), content),
        b"POST /good %bExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc" % head,
        b"POST /download/500000 %bContent-Length: %d\r\n\r\n%b" % (head, len(content), content),
    ]
    return chance.choice(kinds)


async def live_and_die(kind: Kind, child: Child, number: int, seed: int) -> None:
    """Send up to some octet, read up to some octet, and be gone, in order or with a reset."""
    chance = random.Random(f"{seed}-{number}")
    data = messages(f"victim-{number}", chance)
    peer = await kind.dial(child)
    with contextlib.suppress(ConnectionError):
        if chance.random() < 0.5:
            await peer.send(data[: chance.randrange(len(data))])
        else:
            await peer.send(data)
            left = chance.choice([0, 1, 50, 1_000, 200_000])
            while left > 0 and (got := await peer.recv(left)):
                left -= len(got)
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() / 50)
    if chance.random() < 0.5:
        peer.reset()
    else:
        peer.close()


@pytest.mark.parametrize("kind", CARRIERS, ids=lambda kind: kind.name)
@in_loop
async def test_clients_killed_anywhere_leave_nothing(kind: Kind, tmp_path: Path) -> None:
    print(f"ZONDA_HOSTILE_SEED={SEED} does the same again")  # noqa: T201 (pytest shows it)
    # A handshake each costs ten times the rest.
    victims_to_be = VICTIMS if kind is CLEAR else VICTIMS // 5
    async with serving(tmp_path, kind) as child:
        async with good_clients(child) as good:
            places = asyncio.Semaphore(AT_ONCE)

            async def victim(number: int) -> None:
                async with places:
                    await live_and_die(kind, child, number, SEED)

            async with asyncio.TaskGroup() as group:
                for number in range(victims_to_be):
                    group.create_task(victim(number))
            await good.complete(20)
        await child.settled()
        book = await child.book()
        victims = {name: times for name, times in book["begun"].items() if name[:6] == "victim"}
        assert len(victims) > victims_to_be // 3
        assert set(victims.values()) == {1}
        assert victims == {name: book["ended"].get(name) for name in victims}
        await child.assert_unharmed(memory=48 * MIB)
