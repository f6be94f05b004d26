"""The field names that the codec knows: found without making an object, returned as one.

A request carries the same two dozen names again and again. The parser hashes a name while it
checks its octets, and this table answers with the one interned ``bytes`` object for it. The ids
let the codec act on the few names that frame a message without comparing strings.
"""

from __future__ import annotations

from zonda.wire.http1.grammar import TOKEN

__all__ = ["KNOWN_FIELDS", "FieldTable"]

_SLOTS = 1024  # a power of two, about ten times the names, so that a miss is one probe

# The ids below are the positions of the first names in _NAMES. Only these mean something to the
# codec; every other known name shares OTHER.
UNKNOWN = 0
HOST = 1
CONTENT_LENGTH = 2
TRANSFER_ENCODING = 3
CONNECTION = 4
EXPECT = 5
UPGRADE = 6
DATE = 7
SERVER = 8
OTHER = 9

_NAMES = (
    b"host content-length transfer-encoding connection expect upgrade date server "
    b"accept accept-charset accept-datetime accept-encoding accept-language accept-ranges "
    b"access-control-allow-credentials access-control-allow-headers access-control-allow-methods "
    b"access-control-allow-origin access-control-expose-headers access-control-max-age "
    b"access-control-request-headers access-control-request-method age allow alt-svc alt-used "
    b"authorization cache-control content-disposition content-encoding content-language "
    b"content-location content-range content-security-policy content-type cookie "
    b"cross-origin-embedder-policy cross-origin-opener-policy cross-origin-resource-policy "
    b"device-memory dnt "
    b"early-data etag expires forwarded from if-match if-modified-since if-none-match if-range "
    b"if-unmodified-since keep-alive last-event-id last-modified link location max-forwards origin "
    b"pragma priority proxy-authenticate proxy-authorization proxy-connection purpose range "
    b"referer referrer-policy retry-after sec-ch-ua sec-ch-ua-arch sec-ch-ua-bitness "
    b"sec-ch-ua-full-version-list sec-ch-ua-mobile sec-ch-ua-model sec-ch-ua-platform "
    b"sec-ch-ua-platform-version sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user "
    b"sec-gpc sec-purpose sec-websocket-accept sec-websocket-extensions sec-websocket-key "
    b"sec-websocket-protocol sec-websocket-version server-timing set-cookie "
    b"strict-transport-security te traceparent tracestate trailer upgrade-insecure-requests "
    b"user-agent vary via warning www-authenticate x-api-key x-content-type-options "
    b"x-correlation-id x-csrf-token x-csrftoken x-forwarded-for x-forwarded-host "
    b"x-forwarded-port x-forwarded-proto x-frame-options x-http-method-override x-powered-by "
    b"x-real-ip x-request-id x-requested-with x-xss-protection"
).split()


class FieldTable:
    """An open-addressed hash table from a name's octets to the name in lower case and its id."""

    def __init__(self) -> None:
        self._names: list[bytes] = [b""] * _SLOTS
        self._prefixes: list[bytes] = [b""] * _SLOTS
        ids = bytearray(_SLOTS)
        for number, name in enumerate(_NAMES, start=1):
            slot = self.hash(name, 0, len(name)) & (_SLOTS - 1)
            while self._names[slot]:
                slot = (slot + 1) & (_SLOTS - 1)
            self._names[slot] = name
            self._prefixes[slot] = b"\r\n" + name + b": "
            ids[slot] = min(number, OTHER)
        self._ids = bytes(ids)

    def hash(self, data: bytes, start: int, end: int) -> int:
        """The hash that ``find`` takes: callers that walk the octets anyway compute it inline."""
        value = 0
        for i in range(start, end):
            value = (value * 31 + TOKEN[data[i]]) & 0xFFFFFF
        return value

    def find(self, data: bytes, start: int, end: int, hashed: int) -> int:
        """The slot of the name ``data[start:end]``, whatever its case, or -1."""
        slot = hashed & (_SLOTS - 1)
        length = end - start
        while True:
            name = self._names[slot]
            if not name:
                return -1
            if len(name) == length:
                i = 0
                while i < length and name[i] == TOKEN[data[start + i]]:
                    i += 1
                if i == length:
                    return slot
            slot = (slot + 1) & (_SLOTS - 1)

    def name(self, slot: int) -> bytes:
        """The interned lower-case name in ``slot``."""
        return self._names[slot]

    def prefix(self, slot: int) -> bytes:
        """What a field line of that name begins with, the CRLF of the line before included."""
        return self._prefixes[slot]

    def id(self, slot: int) -> int:
        """The id of the name in ``slot``: one of the constants above."""
        return self._ids[slot]


KNOWN_FIELDS = FieldTable()
