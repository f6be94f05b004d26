"""Clients of TLS that never come to a request."""

import asyncio
import random
from pathlib import Path

from tests.hostile.child import MIB, serving
from tests.hostile.peers import HTTPS, Peer, connected, good_clients
from tests.server.harness import in_loop

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)


@in_loop
async def test_handshakes_that_do_not_come_are_ended(tmp_path: Path) -> None:
    number = 1_000
    kind = HTTPS()
    async with serving(tmp_path, kind, timeout_tls_handshake=1) as child:
        async with good_clients(child) as good:
            left = [Peer(connected(child), child.peers) for _ in range(number)]
            at = 0
            while left:
                still = []
                for index, peer in enumerate(left):
                    ended = peer.recv_now() == b""
                    if not ended and index % 2:
                        try:
                            peer.send_now(HELLO[at : at + 1])
                        except ConnectionError:
                            ended = True
                    if ended:
                        peer.close()
                    else:
                        still.append(peer)
                left = still
                at += 1
                assert at < 100, f"{len(left)} are still waited for"
                await asyncio.sleep(0.2)
            await good.complete(20)
        await child.assert_unharmed(memory=16 * MIB + number * kind.memory)


@in_loop
async def test_what_is_no_handshake_is_refused(tmp_path: Path) -> None:
    number = 500
    chance = random.Random(3)
    kind = HTTPS()
    async with serving(tmp_path, kind) as child:
        async with good_clients(child) as good:
            for _ in range(number):
                peer = Peer(connected(child), child.peers)
                await peer.send(
                    chance.choice([b"GET / HTTP/1.1\r\n\r\n", chance.randbytes(300), HELLO])
                )
                if chance.random() < 0.5:
                    peer.reset()
                else:
                    peer.close()
            await good.complete(20)
        await child.assert_unharmed(memory=24 * MIB)
        assert len(child.log) < 100_000
