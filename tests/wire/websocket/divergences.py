"""Where websockets and wsproto read a stream otherwise than we do, and the clause we follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.wire.websocket.frames import (
    CONTINUATION,
    PING,
    TEXT,
    Transcript,
    frame,
)
from zonda.wire.websocket import DeflateParameters

HELLO = bytes.fromhex("f248cdc9c90700")


@dataclass(frozen=True, slots=True)
class Header:
    """What a frame's header says."""

    opcode: int
    fin: bool
    compressed: bool
    length: int
    width: int


def headers(data: bytes) -> list[Header]:
    """The headers in a stream of masked frames, as far as they are whole."""
    found = []
    at = 0
    while at + 2 <= len(data):
        short = data[at + 1] & 0x7F
        width = {126: 2, 127: 8}.get(short, 0)
        length = int.from_bytes(data[at + 2 : at + 2 + width], "big") if width else short
        first = data[at]
        found.append(Header(first & 15, first > 127, bool(first & 64), length, width))
        at += 2 + width + 4 * (data[at + 1] > 127) + length
    return found


def long_length(data: bytes, ours: Transcript, theirs: Transcript) -> bool:
    wasted = any(
        header.length < (126 if header.width == 2 else 65536) or header.length >= 2**63
        for header in headers(data)
        if header.width
    )
    return wasted and ours.refused == 1002 and theirs.events[: len(ours.events)] == ours.events


def text_at_the_end(data: bytes, ours: Transcript, theirs: Transcript) -> bool:
    return ours.refused == 1007 and theirs.events[: len(ours.events)] == ours.events


def control_within_compressed(data: bytes, ours: Transcript, theirs: Transcript) -> bool:
    within = False
    for header in headers(data):
        if header.opcode > 7:
            if within:
                return True
        else:
            within = not header.fin and (header.compressed or header.opcode == CONTINUATION)
    return False


@dataclass(frozen=True, slots=True)
class Divergence:
    """One way in which a peer differs."""

    name: str
    peers: tuple[str, ...]
    applies: Callable[[bytes, Transcript, Transcript], bool]
    clause: str
    """The id of the clause that we follow."""
    example: bytes
    deflate: DeflateParameters | None = None


DIVERGENCES = [
    Divergence(
        "a length in more octets than it needs, or of 64 bits",
        ("websockets",),
        long_length,
        "6455-5.2-minimal",
        frame(TEXT, b"a", width=2),
    ),
    Divergence(
        "text is judged when its message is whole",
        ("websockets",),
        text_at_the_end,
        "6455-8.1-utf8",
        frame(TEXT, b"\xff", fin=False) + frame(PING) + frame(CONTINUATION),
    ),
    Divergence(
        "a surrogate is judged at its third octet",
        ("wsproto",),
        text_at_the_end,
        "6455-8.1-utf8",
        frame(TEXT, b"\xed\xa0", fin=False) + frame(PING) + frame(CONTINUATION, b"\x80"),
    ),
    Divergence(
        "a control frame within a compressed message disturbs its inflating",
        ("wsproto",),
        control_within_compressed,
        "6455-5.4-injected",
        frame(TEXT, HELLO[:3], fin=False, rsv=4) + frame(PING) + frame(CONTINUATION, HELLO[3:]),
        DeflateParameters(),
    ),
]
