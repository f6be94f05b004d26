"""Frames made by hand, and what the parser says to them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from zonda.wire.events import Sentinel
from zonda.wire.websocket import (
    NEED_DATA,
    Close,
    DeflateOptions,
    DeflateParameters,
    Limits,
    MessageEncoder,
    MessageParser,
    Ping,
    Pong,
    Role,
    WebSocketError,
)

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x37\xfa\x21\x3d"

Event = str | bytes | Ping | Pong | Close


@dataclass(frozen=True, slots=True)
class Transcript:
    """All that came of some input: the events, and the close code of the refusal, if any."""

    events: tuple[Event, ...]
    refused: int | None = None


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = KEY,
    width: int | None = None,
    length: int | None = None,
) -> bytes:
    """One frame; ``width`` octets of extended length instead of what the length needs."""
    length = len(payload) if length is None else length
    if width is None:
        width = 0 if length < 126 else 2 if length < 65536 else 8
    short = {0: length, 2: 126, 8: 127}[width]
    head = bytes((fin << 7 | rsv << 4 | opcode, (key is not None) << 7 | short))
    head += length.to_bytes(width, "big") if width else b""
    if key is None:
        return head + payload
    return head + key + bytes(octet ^ key[i & 3] for i, octet in enumerate(payload))


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def octets(data: bytes) -> Iterable[bytes]:
    """``data`` cut into single octets."""
    return (data[i : i + 1] for i in range(len(data)))


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """``data`` in pieces, some of which may be empty."""
    ends = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


def taken(parser: MessageParser) -> Iterator[Event]:
    """The events that are there."""
    while not isinstance(event := parser.next_event(), Sentinel):
        yield event
    assert event is NEED_DATA


def read(
    *pieces: bytes,
    limits: Limits | None = None,
    role: Role = "server",
    deflate: DeflateParameters | None = None,
) -> Transcript:
    """Feed ``pieces`` one after another, taking every event before the next is fed."""
    inflater = deflate.inflater(role) if deflate else None
    parser = MessageParser(limits or Limits(), role=role, inflater=inflater)
    events: list[Event] = []
    try:
        for piece in pieces:
            parser.feed(piece)
            events.extend(taken(parser))
    except WebSocketError as error:
        return Transcript(tuple(events), int(error.code))
    return Transcript(tuple(events))


def outcome(
    data: bytes, *, limits: Limits | None = None, deflate: DeflateParameters | None = None
) -> Transcript:
    """What a server makes of ``data``, which must not depend on how it is cut."""
    transcript = read(data, limits=limits, deflate=deflate)
    by_octet = read(*octets(data), limits=limits, deflate=deflate)
    assert transcript == by_octet, "the split changed the outcome"
    return transcript


def events(data: bytes, **options: Limits | DeflateParameters | None) -> tuple[Event, ...]:
    """The events in ``data``, none of which is refused."""
    transcript = outcome(data, **options)  # type: ignore[arg-type]
    assert transcript.refused is None
    return transcript.events


def refusal(data: bytes, **options: Limits | DeflateParameters | None) -> int | None:
    """The close code that ``data`` is refused with."""
    return outcome(data, **options).refused  # type: ignore[arg-type]


def encoder(role: Role = "server", deflate: DeflateParameters | None = None) -> MessageEncoder:
    """What writes for ``role``, compressing everything if ``deflate`` was agreed on."""
    options = DeflateOptions(server_window_bits=15, client_window_bits=15, threshold=0)
    return MessageEncoder(
        masks=(lambda: os.urandom(4)) if role == "client" else None,
        deflater=deflate.deflater(options, role) if deflate else None,
    )
