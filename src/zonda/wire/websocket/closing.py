"""The payload of a Close frame: which codes an endpoint may send (RFC 6455 section 7.4)."""

from __future__ import annotations

from enum import IntEnum

from zonda.wire.websocket.errors import MessageError, WebSocketError
from zonda.wire.websocket.events import Close

__all__ = ["MAX_REASON", "CloseCode", "decode_close", "encode_close", "is_sendable"]

MAX_REASON = 123
"""Octets of UTF-8 in a reason: a control frame's 125, less the code."""


class CloseCode(IntEnum):
    """The codes of RFC 6455 section 7.4.1, and the ones registered with IANA since."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_CODE = 1005
    """Never sent: stands for a Close frame without a code."""
    ABNORMAL = 1006
    """Never sent: stands for a connection that ended without a Close frame."""
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015
    """Never sent: stands for a failed TLS handshake."""


_NEVER_SENT = {CloseCode.NO_CODE, CloseCode.ABNORMAL, CloseCode.TLS_HANDSHAKE}
_SENDABLE = frozenset(int(code) for code in CloseCode if code not in _NEVER_SENT)


def is_sendable(code: int) -> bool:
    """Whether a Close frame may carry ``code``.

    The registered codes may, but for those which only stand for something; 3000 to 3999 belong to
    libraries and 4000 to 4999 to applications (RFC 6455 section 7.4.2).
    """
    return code in _SENDABLE or 3000 <= code <= 4999


def decode_close(payload: bytes) -> Close:
    """Read the payload of a Close frame.

    Raises:
        WebSocketError: It is cut short, its code is not one to send, or its reason is not UTF-8.
    """
    if not payload:
        return Close(int(CloseCode.NO_CODE), "")
    if len(payload) == 1:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a Close frame with half a code")
    code = int.from_bytes(payload[:2], "big")
    if not is_sendable(code):
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a close code that is never sent")
    try:
        reason = payload[2:].decode("utf-8")
    except UnicodeDecodeError:
        raise WebSocketError(CloseCode.INVALID_DATA, "a close reason that is not UTF-8") from None
    return Close(code, reason)


def encode_close(code: int, reason: str) -> bytes:
    """The payload of a Close frame; code 1005 without a reason makes an empty one.

    Raises:
        MessageError: The code is not one to send, or the reason is too long.
    """
    if code == CloseCode.NO_CODE and not reason:
        return b""
    if not is_sendable(code):
        raise MessageError(
            f"close code {code} is never sent: use 1000, 1001, another registered code, or one of "
            "3000 to 4999"
        )
    try:
        text = reason.encode("utf-8")
    except UnicodeEncodeError:
        raise MessageError("a close reason with a lone surrogate is not UTF-8") from None
    if len(text) > MAX_REASON:
        raise MessageError(
            f"a close reason has at most {MAX_REASON} bytes of UTF-8, not {len(text)}: shorten it"
        )
    return code.to_bytes(2, "big") + text
