"""What the HTTP/1 codec raises: the peer's faults and the application's faults, kept apart."""

from __future__ import annotations

__all__ = ["ProtocolError", "ResponseError"]


class ProtocolError(Exception):
    """The peer sent something that HTTP/1 forbids or that passes a limit.

    Attributes:
        status: The status code to answer with before the connection is closed.
        reason: One line for the log: what was wrong. It never quotes the peer's bytes.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


class ResponseError(RuntimeError):
    """The application's response cannot be put on the wire as it stands.

    A field with CR, LF or NUL in it, a body that does not match its Content-Length, a status out
    of range. The message says which part is wrong and what to send instead.
    """
