"""The server's half of the opening handshake (RFC 6455 section 4.2, RFC 8441 section 5).

What is asked of a request, in this order, and how it is refused::

    GET over HTTP/1.1                                        400
    Upgrade names websocket, Connection names upgrade        400
    no body                                                  400
    one Sec-WebSocket-Version, and it is 13                  400; 426 when it is missing or another
    one Sec-WebSocket-Key, 16 octets in base64               400
    Sec-WebSocket-Protocol: tokens, none of them twice       400
    Sec-WebSocket-Extensions after its grammar               400

An extended CONNECT has no key and nothing of the upgrade; HTTP/2 itself checks what it has
instead. Whether the Origin may connect, and who the client is, is the application's to say.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha1

from zonda.wire.websocket.errors import HandshakeRefused, MessageError
from zonda.wire.websocket.extensions import (
    DeflateParameters,
    Extension,
    parse_extensions,
    parse_list,
)

__all__ = ["Handshake", "asks_for_websocket", "read_handshake"]

Fields = Iterable[tuple[bytes, bytes]]

_VERSION = b"13"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# 16 octets are 22 digits of base64 and the padding.
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")

# What the handshake says itself, and what a response without a body cannot say.
_OURS = frozenset(
    b"connection content-length sec-websocket-accept sec-websocket-extensions "
    b"sec-websocket-protocol sec-websocket-version transfer-encoding upgrade".split()
)


@dataclass(frozen=True, slots=True)
class Handshake:
    """An opening handshake that can be accepted.

    Attributes:
        accept: The value of Sec-WebSocket-Accept, or None for an extended CONNECT.
        subprotocols: What the client offers, in its order of preference.
        extensions: What the client offers, in its order of preference.
    """

    accept: bytes | None
    subprotocols: tuple[str, ...]
    extensions: tuple[Extension, ...]

    def response_fields(
        self,
        subprotocol: str | None = None,
        deflate: DeflateParameters | None = None,
        extra: Fields = (),
    ) -> list[tuple[bytes, bytes]]:
        """The fields of the response that accepts it: 101, or 200 to an extended CONNECT.

        The Connection field of a 101 is HTTP/1's to add.

        Args:
            subprotocol: The chosen one, if any.
            deflate: What ``negotiate_deflate`` made of the extensions.
            extra: The application's fields.

        Raises:
            MessageError: The client did not offer the subprotocol, or one of ``extra`` is the
                handshake's to say.
        """
        fields: list[tuple[bytes, bytes]] = []
        if self.accept is not None:
            fields.append((b"upgrade", b"websocket"))
            fields.append((b"sec-websocket-accept", self.accept))
        if subprotocol is not None:
            if subprotocol not in self.subprotocols:
                raise MessageError(
                    f"the client did not offer the subprotocol {subprotocol!r}, and would close "
                    "the connection: choose one of the scope's subprotocols, or none"
                )
            fields.append((b"sec-websocket-protocol", subprotocol.encode("ascii")))
        if deflate is not None:
            fields.append((b"sec-websocket-extensions", deflate.field_value))
        for name, value in extra:
            if name.lower() in _OURS:
                raise MessageError(
                    f"the header {name!r} is the handshake's own: leave it out of the headers, "
                    "and give a subprotocol as the subprotocol"
                )
            fields.append((name, value))
        return fields


def asks_for_websocket(upgrade: bytes) -> bool:
    """Whether an Upgrade field's value names WebSocket among the protocols it asks for."""
    return b"websocket" in _options([upgrade])


def read_handshake(
    method: str, http_version: str, headers: Fields, *, extended_connect: bool = False
) -> Handshake:
    """Check the request that asks for a WebSocket.

    Args:
        method: Of the request.
        http_version: ``"1.0"``, ``"1.1"`` or, for an extended CONNECT, ``"2"`` or ``"3"``.
        headers: Of the request, names in lower case.
        extended_connect: Whether it came as ``:protocol`` of HTTP/2 or HTTP/3 (RFC 8441).

    Raises:
        HandshakeRefused: Answer with its status and fields.
    """
    fields = _gather(headers)
    accept = None
    if extended_connect:
        if method != "CONNECT":
            raise HandshakeRefused(400, "a WebSocket over this HTTP version begins with CONNECT")
        _check_version(fields.get(b"sec-websocket-version", []))
    else:
        _check_upgrade(method, http_version, fields)
        _check_version(fields.get(b"sec-websocket-version", []))
        accept = _accept(fields.get(b"sec-websocket-key", []))
    return Handshake(
        accept,
        _subprotocols(fields.get(b"sec-websocket-protocol", [])),
        _extensions(fields.get(b"sec-websocket-extensions", [])),
    )


def _gather(headers: Fields) -> dict[bytes, list[bytes]]:
    gathered: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        gathered.setdefault(name, []).append(value)
    return gathered


def _check_upgrade(method: str, http_version: str, fields: dict[bytes, list[bytes]]) -> None:
    if method != "GET":
        raise HandshakeRefused(400, "a WebSocket handshake with a method other than GET")
    if http_version != "1.1":
        raise HandshakeRefused(400, "a WebSocket handshake over HTTP/1.0")
    if b"websocket" not in _options(fields.get(b"upgrade", [])):
        raise HandshakeRefused(400, "no Upgrade field that names websocket")
    if b"upgrade" not in _options(fields.get(b"connection", [])):
        raise HandshakeRefused(400, "no Connection field that names upgrade")
    # The octets of a body and those of the first frames would look alike to someone on the way.
    if b"transfer-encoding" in fields or fields.get(b"content-length", [b"0"]) != [b"0"]:
        raise HandshakeRefused(400, "a WebSocket handshake with a body")


def _options(values: list[bytes]) -> list[bytes]:
    return [option.strip(b" \t").lower() for value in values for option in value.split(b",")]


def _check_version(values: list[bytes]) -> None:
    if len(values) > 1:
        raise HandshakeRefused(400, "more than one Sec-WebSocket-Version field")
    if values != [_VERSION]:
        # A 426 says which protocol it wants (RFC 9110 section 15.5.22).
        needed = ((b"sec-websocket-version", _VERSION), (b"upgrade", b"websocket"))
        raise HandshakeRefused(426, "a WebSocket version other than 13", needed)


def _accept(values: list[bytes]) -> bytes:
    if len(values) != 1:
        raise HandshakeRefused(400, "not exactly one Sec-WebSocket-Key field")
    if not _KEY.fullmatch(values[0]):
        raise HandshakeRefused(400, "a Sec-WebSocket-Key that is not 16 octets in base64")
    return b64encode(sha1(values[0] + _GUID, usedforsecurity=False).digest())


def _subprotocols(values: list[bytes]) -> tuple[str, ...]:
    try:
        names = parse_list(values)
    except ValueError:
        raise HandshakeRefused(400, "a subprotocol that is not a token") from None
    if values and not names:
        raise HandshakeRefused(400, "a Sec-WebSocket-Protocol field without a subprotocol")
    if len(set(names)) != len(names):
        raise HandshakeRefused(400, "a subprotocol offered twice")
    return tuple(names)


def _extensions(values: list[bytes]) -> tuple[Extension, ...]:
    try:
        return tuple(parse_extensions(values))
    except ValueError as error:
        raise HandshakeRefused(400, f"Sec-WebSocket-Extensions: {error}") from None
