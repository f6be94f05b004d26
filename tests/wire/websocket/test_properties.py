"""What holds for every input: splits, round trips, all terms of compression."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.websocket import check_frames, check_handshake, check_mask
from tests.wire.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Event,
    cut,
    encoder,
    frame,
    octets,
    read,
)
from zonda.wire.websocket import Close, DeflateParameters, Limits, Ping, Pong, Role

TERMS = [
    None,
    *(
        DeflateParameters(
            server_no_context_takeover=server_ends,
            client_no_context_takeover=client_ends,
            server_max_window_bits=server_bits,
            client_max_window_bits=client_bits,
        )
        for server_ends, client_ends, server_bits, client_bits in product(
            (False, True), (False, True), (None, 9, 12), (None, 9, 15)
        )
    ),
]

NARROW = Limits(message=50, fragments=3)

cuts = st.lists(st.integers(0, 400), max_size=8)
payloads = st.binary(max_size=40) | st.text(max_size=20).map(str.encode)
frames = st.builds(
    frame,
    st.sampled_from([TEXT, BINARY, CONTINUATION, CONTINUATION, PING, PONG, CLOSE, 3]),
    payloads,
    fin=st.booleans(),
    key=st.binary(min_size=4, max_size=4),
)
streams = st.lists(frames, max_size=8).map(b"".join)

controls = st.binary(max_size=125)
closes = st.sampled_from([1000, 1001, 3000, 4999]).flatmap(
    lambda code: st.text(max_size=30).map(lambda reason: Close(code, reason))
)
messages = st.lists(
    st.text(max_size=300)
    | st.binary(max_size=300)
    | st.integers(0, 70_000).map(lambda size: b"ab" * (size // 2))
    | controls.map(Ping)
    | controls.map(Pong),
    max_size=8,
)


def written(sent: list[Event], role: Role, deflate: DeflateParameters | None = None) -> bytes:
    writer = encoder(role, deflate)
    out: list[bytes] = []
    size = 0
    for event in sent:
        if isinstance(event, str):
            size += writer.text(out, event)
        elif isinstance(event, bytes):
            size += writer.binary(out, event)
        elif isinstance(event, Ping):
            size += writer.ping(out, event.payload)
        elif isinstance(event, Pong):
            size += writer.pong(out, event.payload)
        else:
            size += writer.close(out, event.code, event.reason)
    wire = b"".join(out)
    assert size == len(wire)
    return wire


@given(data=streams, places=cuts)
def test_the_split_of_the_input_changes_nothing(data: bytes, places: list[int]) -> None:
    whole = read(data)
    assert read(*cut(data, places)) == whole
    assert read(*octets(data)) == whole


@given(data=streams, places=cuts)
def test_the_split_of_the_input_does_not_move_a_limit(data: bytes, places: list[int]) -> None:
    whole = read(data, limits=NARROW)
    assert read(*cut(data, places), limits=NARROW) == whole
    assert read(*octets(data), limits=NARROW) == whole


@given(data=st.binary(max_size=300))
def test_noise_breaks_no_invariant(data: bytes) -> None:
    check_frames(data)
    check_handshake(data)
    check_mask(data)


@pytest.mark.parametrize("role", ["server", "client"])
@given(sent=messages, last=closes, places=cuts)
def test_what_one_end_writes_the_other_reads(
    role: Role, sent: list[Event], last: Close, places: list[int]
) -> None:
    wire = written([*sent, last], role)
    other: Role = "client" if role == "server" else "server"
    transcript = read(*cut(wire, places), role=other)
    assert transcript.refused is None
    assert transcript.events == (*sent, last)


@pytest.mark.parametrize("role", ["server", "client"])
@given(deflate=st.sampled_from(TERMS), sent=messages, places=cuts)
def test_compressed_messages_come_out_as_they_went_in(
    role: Role, deflate: DeflateParameters | None, sent: list[Event], places: list[int]
) -> None:
    wire = written(sent, role, deflate)
    other: Role = "client" if role == "server" else "server"
    transcript = read(*cut(wire, places), role=other, deflate=deflate)
    assert transcript.refused is None
    assert transcript.events == tuple(sent)


@given(text=st.text(max_size=60), places=cuts, rest=st.binary(max_size=6))
def test_text_is_judged_as_python_judges_it(text: str, places: list[int], rest: bytes) -> None:
    data = text.encode() + rest
    try:
        expected: str | None = data.decode()
    except UnicodeDecodeError:
        expected = None
    pieces = cut(data, places)
    last = len(pieces) - 1
    wire = b"".join(
        frame(CONTINUATION if i else TEXT, piece, fin=i == last) for i, piece in enumerate(pieces)
    )
    for transcript in (read(wire), read(*octets(wire))):
        assert transcript.events == (() if expected is None else (expected,))
        assert transcript.refused == (1007 if expected is None else None)
