"""What the parser yields beside messages: a text message is a ``str``, a binary one ``bytes``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Close", "Ping", "Pong"]


@dataclass(frozen=True, slots=True)
class Ping:
    """A Ping frame: answer it with a Pong of the same payload (RFC 6455 section 5.5.2).

    Attributes:
        payload: At most 125 bytes.
    """

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """A Pong frame, asked for or not (RFC 6455 section 5.5.3).

    Attributes:
        payload: That of the Ping it answers, if it answers one.
    """

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """A Close frame, the last event there is (RFC 6455 section 5.5.1).

    Attributes:
        code: Its code, or 1005 when it carries none.
        reason: Its reason, or an empty text.
    """

    code: int
    reason: str
