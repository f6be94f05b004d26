"""Whatever comes in whatever pieces: over the wire it is what the codec says it is."""

import asyncio
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.harness import PATIENCE, loop_factory, serving
from tests.server.websocket_client import DEFLATE, Recorder, echo, open_websocket, ping, text
from tests.wire.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PONG,
    TEXT,
    close_frame,
    cut,
    frame,
    read,
)
from tests.wire.websocket.generator import Generator
from zonda.server.reactor import available
from zonda.wire.websocket import Close, DeflateParameters, Ping

REACTORS = pytest.mark.parametrize("reactor_name", available())


@dataclass(frozen=True)
class Sent:
    """A message and how it is sent."""

    content: str | bytes
    places: list[int]
    pings: list[bytes]


CONTENT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    st.binary(max_size=300),
    st.sampled_from([b"\0" * 70_000, "é" * 40_000, "", b""]),
)
SENT = st.builds(
    Sent,
    content=CONTENT,
    places=st.lists(st.integers(0, 400), max_size=3),
    pings=st.lists(st.binary(max_size=125), max_size=3),
)


def frames(sent: Sent) -> bytes:
    """The frames of a message, a ping ahead of each as long as there are some."""
    payload = sent.content.encode() if isinstance(sent.content, str) else sent.content
    pieces = cut(payload, sent.places)
    pings = iter(sent.pings)
    wire = b""
    for number, piece in enumerate(pieces):
        if (between := next(pings, None)) is not None:
            wire += ping(between)
        opcode = CONTINUATION if number else TEXT if isinstance(sent.content, str) else BINARY
        wire += frame(opcode, piece, fin=number == len(pieces) - 1)
    return wire


async def _echoes(reactor: str, script: list[Sent], places: list[int], queue: int) -> None:
    wire = b"".join(map(frames, script)) + close_frame(1000)
    messages = [sent.content for sent in script]
    pings = [each for sent in script for each in sent.pings[: len(sent.places) + 1]]
    async with serving(echo, reactor=reactor, ws_max_queue=queue) as server:
        peer = await open_websocket(server)

        async def send() -> None:
            for piece in cut(wire, places):
                await peer.send(piece)
                await asyncio.sleep(0)

        sending = asyncio.create_task(send())
        found: list[str | bytes] = []
        pongs: list[bytes] = []
        while (received := await peer.frame()).opcode != CLOSE:
            if received.opcode == PONG:
                pongs.append(received.payload)
            elif received.opcode == TEXT:
                found.append(received.payload.decode())
            else:
                found.append(received.payload)
        await sending
        # What the application had no time to echo before the close is missing at the end.
        assert found == messages[: len(found)]
        assert pongs == pings
        await peer.client.assert_closed()


@REACTORS
@settings(max_examples=25)
@given(
    script=st.lists(SENT, max_size=6),
    places=st.lists(st.integers(0, 3000), max_size=10),
    queue=st.integers(1, 4),
)
def test_any_script_echoes_and_every_ping_is_answered(
    reactor_name: str, script: list[Sent], places: list[int], queue: int
) -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(
            asyncio.wait_for(_echoes(reactor_name, script, places, queue), 4 * PATIENCE),
        )


async def _agrees(reactor: str, seed: int, places: list[int], *, compresses: bool) -> None:
    data = Generator(Random(seed), compresses=compresses).stream()
    agreed = DeflateParameters(server_max_window_bits=12, client_max_window_bits=12)
    expected = read(data, deflate=agreed if compresses else None)
    recorder = Recorder()
    async with serving(recorder, reactor=reactor) as server:
        peer = await open_websocket(server, *([DEFLATE] if compresses else []))
        for piece in cut(data, places):
            await peer.send(piece)
            await asyncio.sleep(0)
        messages = [each for each in expected.events if isinstance(each, (str, bytes))]
        pings = [each.payload for each in expected.events if isinstance(each, Ping)]
        for payload in pings:
            assert await peer.pong() == payload
        last = expected.events[-1] if expected.events else None
        if expected.refused is not None:
            assert (await peer.closed())[0] == expected.refused
        elif isinstance(last, Close):
            assert (await peer.closed()) == (last.code, "")
        else:
            # A close makes an end, also within a message that never was whole.
            assert await peer.close(4999) == (4999, "")
        await server.idle()
        assert recorder.messages == messages
        if isinstance(last, Close):
            assert recorder.end == (last.code, last.reason)
        else:
            assert recorder.end[0] == (expected.refused or 4999)


@REACTORS
@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    compresses=st.booleans(),
    places=st.lists(st.integers(0, 400), max_size=10),
)
def test_the_server_says_what_the_codec_says(
    reactor_name: str, seed: int, compresses: bool, places: list[int]
) -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(
            asyncio.wait_for(
                _agrees(reactor_name, seed, places, compresses=compresses), 4 * PATIENCE
            )
        )


@REACTORS
def test_an_echo_loses_nothing_when_the_client_closes_last(reactor_name: str) -> None:
    async def run() -> None:
        async with serving(echo, reactor=reactor_name, ws_max_queue=3) as server:
            peer = await open_websocket(server)
            sending = asyncio.create_task(peer.send(*(text(str(n)) for n in range(1000))))
            assert [await peer.message() for _ in range(1000)] == [str(n) for n in range(1000)]
            await sending
            assert await peer.close() == (1000, "")

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(asyncio.wait_for(run(), 4 * PATIENCE))
