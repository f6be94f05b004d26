"""What holds for every input of the WebSocket codec, as functions that raise when it does not.

The targets beside this file hand them to a fuzzer; the suite hands them the corpora.
"""

# ruff: noqa: S101 - an invariant is an assertion

from __future__ import annotations

import re
import zlib
from random import Random

from tests.wire.websocket.frames import Transcript, cut, encoder, octets, read
from zonda.wire.http1 import DefaultFields, encode_switching
from zonda.wire.websocket import (
    Close,
    DeflateOptions,
    DeflateParameters,
    HandshakeRefused,
    Limits,
    Ping,
    Pong,
    Role,
    is_sendable,
    negotiate_deflate,
    read_handshake,
)
from zonda.wire.websocket import octets as slices

# The second is narrow enough for a small input to pass each limit.
LIMITS = (Limits(), Limits(message=40, fragments=3))
TERMS = (
    None,
    DeflateParameters(),
    DeflateParameters(server_no_context_takeover=True, client_no_context_takeover=True),
    DeflateParameters(server_max_window_bits=9, client_max_window_bits=9),
)
ROLES: tuple[Role, Role] = ("server", "client")
CODES = {None, 1002, 1007, 1008, 1009}
# A compressed message that is wrong twice may be refused for either: see the parser's head.
OF_CONTENT = {1007, 1008, 1009}
LARGEST_FED_OCTET_BY_OCTET = 2048

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def check_frames(data: bytes) -> None:
    """Assert what holds for a stream of frames; the first octet says how it is read.

    However it is split, it gives the same events and nothing but WebSocketError is raised. What
    was read is within the limits, and written out again it is read the same.
    """
    if not data:
        return
    choice, data = data[0], data[1:]
    limits = LIMITS[choice & 1]
    role = ROLES[choice >> 1 & 1]
    deflate = TERMS[choice >> 2 & 3]
    whole = read(data, limits=limits, role=role, deflate=deflate)
    assert whole.refused in CODES
    # The same input is always cut at the same places: a failure must happen again.
    random = Random(zlib.crc32(data))
    places = [random.randrange(len(data) + 1) for _ in range(4)]
    _check_same(whole, read(*cut(data, places), limits=limits, role=role, deflate=deflate), deflate)
    if len(data) <= LARGEST_FED_OCTET_BY_OCTET:
        by_octet = read(*octets(data), limits=limits, role=role, deflate=deflate)
        _check_same(whole, by_octet, deflate)
    _check_events(whole, limits)
    _check_written(whole, role, deflate)


def _check_same(
    transcript: Transcript, other: Transcript, deflate: DeflateParameters | None
) -> None:
    assert transcript.events == other.events
    if deflate is None or not {transcript.refused, other.refused} <= OF_CONTENT:
        assert transcript.refused == other.refused


def _check_events(transcript: Transcript, limits: Limits) -> None:
    for event in transcript.events:
        if isinstance(event, str):
            assert len(event.encode()) <= limits.message
        elif isinstance(event, bytes):
            assert len(event) <= limits.message
        elif isinstance(event, Ping | Pong):
            assert len(event.payload) <= 125
        else:
            assert event is transcript.events[-1]
            assert transcript.refused is None
            assert is_sendable(event.code) or event == Close(1005, "")
            assert len(event.reason.encode()) <= 123


def _check_written(transcript: Transcript, role: Role, deflate: DeflateParameters | None) -> None:
    """What was read is written by the same end as the peer, and read again."""
    writer = encoder("client" if role == "server" else "server", deflate)
    out: list[bytes] = []
    size = 0
    for event in transcript.events:
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
    assert read(wire, role=role, deflate=deflate) == Transcript(transcript.events)


def check_mask(data: bytes) -> None:
    """Assert that a mask put on twice is off again, wherever the payload is cut."""
    key = (data + b"\x01\x80\x7f\xff")[:4]
    number = slices.read_key(key, 0)
    expected = bytes(octet ^ key[i & 3] for i, octet in enumerate(data))
    for middle in {0, len(data) // 3, len(data)}:
        first = slices.masked(data, 0, middle, number, 0)
        buffer = bytearray(first)
        slices.append_masked(buffer, data, middle, len(data), number, middle)
        assert bytes(buffer) == expected


def check_handshake(data: bytes) -> None:
    r"""Assert what holds for a handshake with the fields in ``data``, a line each: ``name: value``.

    It is refused, or the response says only what the request offered.
    """
    lines = (line.partition(b": ") for line in data.split(b"\n"))
    headers = [(name.lower(), value) for name, _, value in lines if name]
    try:
        handshake = read_handshake("GET", "1.1", headers)
    except HandshakeRefused as refusal:
        assert refusal.status in {400, 426}  # noqa: PT017 - not a test
        assert refusal.reason  # noqa: PT017
        return
    assert len(set(handshake.subprotocols)) == len(handshake.subprotocols)
    assert all(TOKEN.fullmatch(name) for name in handshake.subprotocols)
    deflate = negotiate_deflate(handshake.extensions, DeflateOptions())
    for subprotocol in (None, *handshake.subprotocols[:3]):
        said = handshake.response_fields(subprotocol, deflate)
        wire = encode_switching(said, DefaultFields())
        head, end, rest = wire.partition(b"\r\n\r\n")
        assert (end, rest) == (b"\r\n\r\n", b"")
        for line in head.split(b"\r\n"):
            assert re.fullmatch(rb"[ -~]+", line)
    if deflate is not None:
        assert any(name == "permessage-deflate" for name, _ in handshake.extensions)
        # Both ends can be made of what was agreed.
        assert deflate.inflater().inflate(
            deflate.deflater(DeflateOptions()).deflate(b"a"), 1, last=True
        )
