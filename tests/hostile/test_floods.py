"""Clients that send too much, too often, or nonsense."""

import asyncio
import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.child import MIB, Child, serving
from tests.hostile.peers import CARRIERS, CLEAR, GoneError, Kind, Peer, good_clients
from tests.server.harness import in_loop, until
from zonda import _build

FLOOD = 100 * MIB


async def wait_until_held(child: Child, flood: "Flood") -> None:
    """Return once the server takes no more: TCP holds the sender."""
    sent = -1
    while sent != flood.sent:
        sent = flood.sent
        await asyncio.sleep(0.5)


class Flood:
    """A body of FLOOD octets that is sent as fast as the server takes it."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.sent = 0
        self.digest = hashlib.sha256()
        self._random = random.Random(7)

    async def send(self) -> None:
        """Send all of it."""
        block = self._random.randbytes(MIB)
        for _ in range(FLOOD // MIB):
            self.digest.update(block)
            view = memoryview(block)
            while view:
                sent = self.peer.send_now(view)
                self.sent += sent
                view = view[sent:]
                if not sent:
                    await self.peer.writable()


@pytest.mark.parametrize("kind", CARRIERS, ids=lambda kind: kind.name)
@in_loop
async def test_a_flood_into_an_application_that_does_not_read_is_held_by_tcp(
    kind: Kind, tmp_path: Path
) -> None:
    async with serving(tmp_path, kind) as child:
        async with good_clients(child) as good:
            flood = Flood(await kind.dial(child))
            head = b"POST /stalled HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % FLOOD
            await flood.peer.send(head)
            sending = asyncio.ensure_future(flood.send())
            await good.complete(100)
            await wait_until_held(child, flood)
            # What the server keeps, and what the buffers of two sockets hold.
            assert flood.sent < 16 * MIB
            assert child.peak < 8 * MIB
            await child.ask("/gate")
            await sending
            response = await flood.peer.read_response()
            assert response.content == f"{FLOOD} {flood.digest.hexdigest()}".encode()
            flood.peer.close()
        await child.assert_unharmed(memory=8 * MIB)


@in_loop
async def test_connections_that_come_and_go_leave_nothing(tmp_path: Path) -> None:
    number = 20_000
    kind = CLEAR
    async with serving(tmp_path, kind) as child:
        async with good_clients(child) as good:
            waiting: list[Peer] = []
            for _ in range(number):
                peer = await kind.dial(child)
                waiting.append(peer)
                if len(waiting) == 200:
                    for each in waiting:
                        each.reset()
                    waiting.clear()
                    await asyncio.sleep(0)
            await good.complete(20)
        await child.assert_unharmed(memory=32 * MIB)
        assert len(child.log) < 100_000


def garbage(chance: random.Random) -> bytes:
    """What no server should understand, of one kind or another."""
    kinds: list[Callable[[], bytes]] = [
        lambda: chance.randbytes(chance.randrange(1, 3000)),
        lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(500),
        lambda: b"GET / HTTP/1.1\r\n" + chance.randbytes(200) + b"\r\n\r\n",
        lambda: b"POST /upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        lambda: b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        lambda: b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        lambda: b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        lambda: b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 200_000,
    ]
    return chance.choice(kinds)()


@in_loop
async def test_nonsense_is_refused_without_a_flood_in_the_log(tmp_path: Path) -> None:
    number = 5_000 if _build.compiled else 1_500
    at_once = 50
    chance = random.Random(11)
    kind = CLEAR
    statuses: set[bytes] = set()

    async def spout() -> None:
        for _ in range(number // at_once):
            peer = await kind.dial(child)
            try:
                await peer.send(garbage(chance))
                peer.sock.shutdown(1)
                statuses.add((await peer.read_to_end())[9:12])
            except OSError:
                pass  # it was closed while we were sending
            finally:
                peer.close()

    async with serving(tmp_path, kind, timeout_linger=0.5) as child:
        async with good_clients(child) as good, asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(spout())
            await good.complete(20)
        assert (
            {b"400", b"414", b"431", b"505"}
            <= statuses
            <= {*(b"", b"400", b"408", b"414", b"431", b"501", b"505")}
        )
        await child.assert_unharmed(memory=24 * MIB)
        assert len(child.log.splitlines()) < number / 2, "a line for each is a flood of its own"
        # What was not shown is summed up once a second.
        await until(lambda: "not shown" in child.log, "a sum of the refusals")


@in_loop
async def test_an_application_that_fails_each_time_ends_nothing_else(tmp_path: Path) -> None:
    kind = CLEAR
    failures = 2_000
    async with serving(tmp_path, kind) as child:
        async with good_clients(child) as good:
            peer = await kind.dial(child)
            for _ in range(failures):
                await peer.send(b"GET /fail HTTP/1.1\r\nHost: h\r\n\r\n")
                try:
                    assert (await peer.read_response()).status == 500
                except GoneError:
                    peer.close()
                    peer = await kind.dial(child)
            peer.close()
            await good.complete(20)
        await child.settled()
        assert child.peak < 16 * MIB
        await child.assert_quiet()
        # Each is the application's fault, and evidence of it.
        assert child.log.count("exception in the ASGI application") == failures
