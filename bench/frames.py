"""A strict little WebSocket client, RFC 6455: what servers send before they are measured."""

import base64
import hashlib
import os
import socket
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from answers import AnswerError, read_head

TEXT, BINARY, CLOSE, PING = 0x1, 0x2, 0x8, 0x9
NORMAL = (1000).to_bytes(2, "big")
"""The payload of a Close that complains of nothing."""
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SMALLEST_WINDOW = -9
"""For zlib: raw, and a window that every server may ask a client for (RFC 7692, section 7.1.2)."""
FLUSHED = b"\x00\x00\xff\xff"
"""What a flush ends with, and a deflated message leaves out (section 7.2.1)."""


@dataclass(frozen=True)
class Frame:
    """One frame of a server's."""

    opcode: int
    payload: bytes
    deflated: bool


def upgrade(client: socket.socket, source: BinaryIO, *, deflate: bool = False) -> bool:
    """The opening handshake; `deflate` offers permessage-deflate. Whether the server took it."""
    key = base64.b64encode(os.urandom(16))
    lines = [b"GET / HTTP/1.1", b"Host: 127.0.0.1", b"Upgrade: websocket", b"Connection: Upgrade"]
    lines += [b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + key]
    if deflate:
        # As browsers do.
        lines.append(b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
    client.sendall(b"\r\n".join([*lines, b"", b""]))
    status, headers = read_head(source)
    # The protocol names SHA-1; it guards nothing.
    accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest()).decode()
    if status != 101 or headers.get("sec-websocket-accept") != accept:
        raise AnswerError(f"no WebSocket: status {status}, {headers}")
    extensions = headers.get("sec-websocket-extensions", "")
    if extensions and not (deflate and extensions.startswith("permessage-deflate")):
        raise AnswerError(f"an extension that was not offered: {extensions!r}")
    return bool(extensions)


def frame(opcode: int, payload: bytes, *, deflated: bool = False) -> bytes:
    """A whole message in one frame, masked as a client's must be."""
    size = len(payload)
    first = bytes([0x80 | (0x40 if deflated else 0) | opcode])
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    pattern = mask * (size // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(pattern[:size], "big")
    return first + length + mask + masked.to_bytes(size, "big")


def exactly(source: BinaryIO, size: int) -> bytes:
    """So many bytes, or AnswerError where the server ended the connection before."""
    found = source.read(size)
    if len(found) < size:
        raise AnswerError("the connection ended within a frame")
    return found


def read_frame(source: BinaryIO) -> Frame:
    """One frame; raises AnswerError unless it is a whole message, or a control frame."""
    first, second = exactly(source, 2)
    if not first & 0x80 or first & 0x30 or second & 0x80:
        raise AnswerError(f"a frame begins with {first:#04x} {second:#04x}")
    size = second
    if second >= 126:
        size = int.from_bytes(exactly(source, 2 if second == 126 else 8), "big")
    return Frame(first & 0x0F, exactly(source, size), bool(first & 0x40))


def deflate(message: bytes) -> bytes:
    """The payload of a deflated message."""
    compressor = zlib.compressobj(wbits=SMALLEST_WINDOW)
    whole = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return whole.removesuffix(FLUSHED)


def inflate(payload: bytes) -> bytes:
    """The message of a deflated payload, the first of its connection."""
    return zlib.decompressobj(wbits=-15).decompress(payload + FLUSHED)
