"""Clients that send octet by octet, and clients that do not read."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.child import MIB, serving
from tests.hostile.peers import CARRIERS, CLEAR, Kind, Peer, good_clients
from tests.server.harness import in_loop

LORISES = 2_000
PACE = 0.2
"""Seconds between two octets of one client: below any time-out between octets."""


def slow_requests() -> list[tuple[bytes, bytes]]:
    """What slow clients send at once, and what they then send octet by octet for ever."""
    post = b"POST /upload HTTP/1.1\r\nHost: h\r\n"
    return [
        (b"", b""),
        (b"", b"GET /good HTTP/1.1\r\nHost: h\r\nX-Slow: " + b"a" * 1000),
        (b"GET /good HTTP/1.1\r\n", b"Host: h\r\n" + b"X-Slow: a\r\n" * 90),
        (post + b"Content-Length: 100000\r\n\r\n", b"b" * 1000),
        (post + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nb\r\n" * 200),
        (post + b"Transfer-Encoding: chunked\r\n\r\n1;", b"c" * 1000),
    ]


async def trickle(peers: list[tuple[Peer, bytes]]) -> list[bytes]:
    """Send octet by octet on every connection until the server has ended all; what it answered."""
    answers = []
    at = 0
    while peers:
        left = []
        for peer, content in peers:
            answer = peer.recv_now()
            if answer is None:
                try:
                    peer.send_now(content[at : at + 1])
                except ConnectionError:
                    answer = b""
            if answer is None:
                left.append((peer, content))
            else:
                answers.append(answer)
                peer.close()
        peers = left
        at += 1
        assert at * PACE < 20, f"{len(peers)} are still served"
        await asyncio.sleep(PACE)
    return answers


@pytest.mark.parametrize("kind", CARRIERS, ids=lambda kind: kind.name)
@in_loop
async def test_slow_senders_are_ended_and_others_are_served(kind: Kind, tmp_path: Path) -> None:
    times: dict[str, Any] = {"timeout_head": 1, "timeout_body": 1, "timeout_linger": 0.5}
    async with serving(tmp_path, kind, **times) as child:
        async with good_clients(child) as good:
            patterns = slow_requests()
            peers = []
            lorises = LORISES if kind is CLEAR else LORISES // 4
            for number in range(lorises):
                first, rest = patterns[number % len(patterns)]
                peer = await kind.dial(child)
                await peer.send(first)
                peers.append((peer, rest))
            attack = asyncio.ensure_future(trickle(peers))
            await good.complete(100)
            answers = await attack
        assert len(answers) == lorises
        told = [answer for answer in answers if answer]
        # Who has sent nothing is not answered; whoever has is told why, unless it was sending when
        # the connection was closed.
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in told)
        assert len(told) > lorises // 2
        await child.assert_unharmed(memory=40 * MIB + lorises * kind.memory)


READERS = 80
ASKED = 20 * MIB


@pytest.mark.parametrize("kind", CARRIERS, ids=lambda kind: kind.name)
@in_loop
async def test_readers_of_nothing_hold_the_application_and_are_ended(
    kind: Kind, tmp_path: Path
) -> None:
    async with serving(tmp_path, kind, timeout_write=1) as child:
        peers = []
        async with good_clients(child) as good:
            for _ in range(READERS):
                peer = await kind.dial(child, receive_buffer=4096)
                await peer.send(b"GET /download/%d HTTP/1.1\r\nHost: h\r\n\r\n" % ASKED)
                peers.append(peer)
            await good.complete(100)
            # A queue's worth each and what the system takes, of two thousand MiB.
            assert (await child.counts())["produced"] < READERS * 6 * MIB
        await child.settled()
        assert child.log.count("stopped reading") == READERS
        for peer in peers:
            peer.close()
        await child.assert_unharmed(memory=READERS * (MIB + kind.memory))


@pytest.mark.parametrize("kind", CARRIERS, ids=lambda kind: kind.name)
@in_loop
async def test_slow_readers_get_all_of_it_at_their_pace(kind: Kind, tmp_path: Path) -> None:
    size = 8 * MIB

    async def read(peer: Peer) -> None:
        await peer.send(b"GET /download/%d HTTP/1.1\r\nHost: h\r\n\r\n" % size)
        head = await peer.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        left = size - len(peer.unread)
        while left:
            left -= len(await peer.recv())
            await asyncio.sleep(0.002)
        peer.close()

    async with serving(tmp_path, kind) as child:
        async with good_clients(child) as good, asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(read(await kind.dial(child, receive_buffer=65_536)))
            await good.complete(100)
        await child.assert_unharmed(memory=10 * MIB)
