"""The alphabets of HTTP/1 and the limits of the codec, in one place.

Each table is 256 bytes, indexed by an octet. Zero means that the octet is not allowed there.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "FIELD_VALUE",
    "HEX_DIGIT",
    "HOST",
    "MAX_CHUNK_LINE",
    "MAX_EMPTY_LINES",
    "MAX_METHOD",
    "TARGET",
    "TARGET_PERCENT",
    "TARGET_QUERY",
    "TOKEN",
    "Limits",
]

_ALPHA = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGIT = b"0123456789"

MAX_METHOD = 32
"""Octets in a method; a longer one is answered 501 (RFC 9112 section 3)."""

MAX_EMPTY_LINES = 4
"""Empty lines skipped ahead of a request line (RFC 9112 section 2.2 asks for at least one)."""

MAX_CHUNK_LINE = 256
"""Octets in a chunk-size line, extensions and all (RFC 9112 section 7.1.1 asks for a limit)."""

TARGET_QUERY = 2
TARGET_PERCENT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a request the parser takes.

    Attributes:
        line: Octets in the request line, CRLF included; beyond it 414.
        head: Octets in the whole head, or in the trailer section; beyond it 431.
        fields: Field lines in a head, or in a trailer section; beyond it 431.
        body: Octets in a body, framing not counted; beyond it 413. 0 means no limit.
    """

    line: int = 16_384
    head: int = 65_536
    fields: int = 100
    body: int = 2**30


def _table(allowed: bytes, value: int = 1) -> bytes:
    return bytes(value if octet in allowed else 0 for octet in range(256))


def _token() -> bytes:
    """Tchar (RFC 9110 section 5.6.2), each mapped to its lower-case form."""
    tchar = b"!#$%&'*+-.^_`|~" + _DIGIT + _ALPHA
    return bytes(ord(chr(octet).lower()) if octet in tchar else 0 for octet in range(256))


def _target() -> bytes:
    """Visible ASCII but for "#": a fragment is never sent (RFC 9112 section 3.2)."""
    table = bytearray(_table(bytes(octet for octet in range(0x21, 0x7F) if octet != 0x23)))
    table[0x3F] = TARGET_QUERY
    table[0x25] = TARGET_PERCENT
    return bytes(table)


def _hex() -> bytes:
    """Each hexadecimal digit mapped to its value plus one."""
    table = bytearray(256)
    for value, digit in enumerate(b"0123456789abcdef"):
        table[digit] = value + 1
        table[ord(chr(digit).upper())] = value + 1
    return bytes(table)


TOKEN = _token()

# VCHAR, obs-text, SP and HTAB (RFC 9110 section 5.5).
FIELD_VALUE = _table(b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100)))

TARGET = _target()

# 1 for what a registered name or an IPv4 address has (RFC 3986 section 3.2.2: unreserved and
# sub-delims), 2 for what percent-encoding, an IP literal and a port add.
HOST = bytes(
    max(plain, rare * 2)
    for plain, rare in zip(
        _table(_ALPHA + _DIGIT + b"-._~!$&'()*+,;="), _table(b"%:[]"), strict=True
    )
)

HEX_DIGIT = _hex()
