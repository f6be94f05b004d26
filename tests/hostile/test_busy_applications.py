"""Applications that never give way, and what is left of them when their client is gone."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.child import MIB, serving
from tests.hostile.peers import CLEAR, good_clients
from tests.server.harness import in_loop


@in_loop
async def test_an_application_that_sends_for_ever_ends_with_its_client(tmp_path: Path) -> None:
    async with serving(tmp_path) as child:
        async with good_clients(child) as good:
            peers = [await CLEAR.dial(child) for _ in range(4)]
            for peer in peers:
                await peer.send(b"GET /endless HTTP/1.1\r\nHost: h\r\n\r\n")
            reading = [asyncio.ensure_future(peer.read_to_end()) for peer in peers]
            await good.complete(100)
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)
            for number, peer in enumerate(peers):
                peer.reset() if number % 2 else peer.close()
            await good.complete(20)
        await child.assert_unharmed(memory=16 * MIB)


@pytest.mark.parametrize("path", ["/deaf", "/stubborn"])
@in_loop
async def test_an_application_that_is_deaf_to_the_disconnect_does_not_spin(
    path: str, tmp_path: Path
) -> None:
    async with serving(tmp_path) as child:
        async with good_clients(child) as good:
            for _ in range(20):
                peer = await CLEAR.dial(child)
                await peer.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
                await asyncio.sleep(0.01)
                peer.reset()
            await good.complete(100)
        await child.running(20)
        await child.assert_quiet()
        await child.ask("/gate")
        await child.assert_unharmed(memory=8 * MIB)


@in_loop
async def test_an_application_that_does_not_sleep_keeps_nobody_from_being_served(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as child:
        peer = await CLEAR.dial(child)
        await peer.send(b"GET /sleepless HTTP/1.1\r\nHost: h\r\n\r\n")
        async with good_clients(child) as good:
            await good.complete(100)
        await child.ask("/gate")
        assert (await peer.read_response()).content == b"tired"
        peer.close()
        await child.assert_unharmed(memory=8 * MIB)


@in_loop
async def test_nobody_is_punished_for_an_application_that_computes(tmp_path: Path) -> None:
    times: dict[str, Any] = {
        "timeout_head": 1,
        "timeout_body": 1,
        "timeout_keep_alive": 1,
        "timeout_write": 1,
    }
    async with serving(tmp_path, CLEAR, **times) as child:
        async with good_clients(child) as good:
            await good.complete(20)
            idle, head, body = [await CLEAR.dial(child) for _ in range(3)]
            await CLEAR.ask(idle, "idle-1")
            await head.send(b"GET /upload HTTP/1.1\r\nHo")
            await body.send(b"POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na")
            computing = asyncio.ensure_future(child.ask("/compute/3"))
            await asyncio.sleep(0.2)  # into the computation
            await CLEAR.ask(idle, "idle-2")
            await head.send(b"st: h\r\n\r\n")
            await body.send(b"b")
            assert (await head.read_response()).status == 200
            assert (await body.read_response()).content.startswith(b"2 ")
            assert await computing == b"computed"
            await good.complete(20)
            for peer in (idle, head, body):
                peer.close()
        await child.assert_unharmed(memory=8 * MIB)
