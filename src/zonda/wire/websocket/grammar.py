"""The bits and opcodes of a frame and the limits of the codec, in one place (RFC 6455 section 5.2).

::

     first octet               second octet       then
    +-+-+-+-+-------+         +-+-------------+   length, 2 octets where the 7 bits say 126
    |F|R|R|R| opcode|         |M| length      |           8 octets where they say 127
    |I|S|S|S|       |         |A| 7 bits      |   mask, 4 octets where MASK is set
    |N|V|V|V|       |         |S|             |   payload
    | |1|2|3|       |         |K|             |
    +-+-+-+-+-------+         +-+-------------+
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "FIN",
    "LENGTH_16",
    "LENGTH_64",
    "MASK",
    "MAX_CONTROL",
    "OPCODE",
    "PING",
    "PONG",
    "RSV",
    "RSV1",
    "TEXT",
    "Limits",
    "Role",
]

Role = Literal["server", "client"]
"""Which end of the connection we are: a client masks its frames, a server does not."""

FIN = 0x80
RSV = 0x70
RSV1 = 0x40
OPCODE = 0x0F

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

MASK = 0x80
LENGTH_16 = 126
LENGTH_64 = 127

MAX_CONTROL = 125
"""Octets in the payload of a control frame (RFC 6455 section 5.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a message the parser takes.

    Attributes:
        message: Bytes in a message once inflated and put together; beyond it 1009. 0 means no
            limit.
        fragments: Frames in a message; beyond it 1008.
    """

    message: int = 2**24
    fragments: int = 100_000
