"""The WebSocket codec: handshake, frames and compression (RFC 6455, RFC 7692, RFC 8441)."""

from __future__ import annotations

from zonda.wire.events import NEED_DATA
from zonda.wire.websocket.closing import CloseCode, is_sendable
from zonda.wire.websocket.deflate import DeflateOptions, Deflater, Inflater
from zonda.wire.websocket.encoder import MessageEncoder
from zonda.wire.websocket.errors import HandshakeRefused, MessageError, WebSocketError
from zonda.wire.websocket.events import Close, Ping, Pong
from zonda.wire.websocket.extensions import DeflateParameters, negotiate_deflate, parse_extensions
from zonda.wire.websocket.grammar import Limits, Role
from zonda.wire.websocket.handshake import Handshake, read_handshake
from zonda.wire.websocket.parser import MessageParser

__all__ = [
    "NEED_DATA",
    "Close",
    "CloseCode",
    "DeflateOptions",
    "DeflateParameters",
    "Deflater",
    "Handshake",
    "HandshakeRefused",
    "Inflater",
    "Limits",
    "MessageEncoder",
    "MessageError",
    "MessageParser",
    "Ping",
    "Pong",
    "Role",
    "WebSocketError",
    "is_sendable",
    "negotiate_deflate",
    "parse_extensions",
    "read_handshake",
]
