"""What the WebSocket codec raises: the peer's faults and the application's faults, kept apart."""

from __future__ import annotations

__all__ = ["HandshakeRefused", "MessageError", "WebSocketError"]


class HandshakeRefused(Exception):
    """The opening handshake cannot be accepted, whatever the application would say.

    Attributes:
        status: The status code to answer with.
        reason: One line for the log and the body: what was wrong. It never quotes the peer's bytes.
        headers: Fields that the answer must carry.
    """

    def __init__(
        self, status: int, reason: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(status, reason, headers)
        self.status = status
        self.reason = reason
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


class WebSocketError(Exception):
    """The peer sent something that the protocol forbids or that passes a limit.

    Attributes:
        code: The close code to send before the connection is closed (RFC 6455 section 7.4.1).
        reason: What was wrong: short enough for a Close frame. It never quotes the peer's bytes.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


class MessageError(RuntimeError):
    """What the application wants to send cannot be put on the wire as it stands.

    A close code that no endpoint may send, a reason or a ping that does not fit its frame, a
    message after the Close frame, a handshake response that contradicts the request. The text says
    which, and what to send instead.
    """
