"""Sec-WebSocket-Extensions, and the terms of permessage-deflate (RFC 6455 section 9, RFC 7692).

What each of the four parameters may be in an offer, and what comes of it::

    parameter                    in an offer    then the answer has
    server_no_context_takeover   no value       it
    client_no_context_takeover   no value       it: a hint that costs us nothing
    server_max_window_bits       8 to 15        it, with as many bits or fewer
    client_max_window_bits       8 to 15, or    it, with as many bits or fewer, if that is less
                                 no value       than 15; never where the offer lacks it

An offer with another parameter, one twice, or a value outside the table is declined, and so is one
that limits our window to 8 bits, which zlib cannot deflate with. The first offer that can be
accepted is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from zonda.wire.websocket.deflate import (
    MAX_WINDOW_BITS,
    MIN_DEFLATE_BITS,
    DeflateOptions,
    Deflater,
    Inflater,
)
from zonda.wire.websocket.grammar import Role

__all__ = ["DeflateParameters", "Extension", "negotiate_deflate", "parse_extensions", "parse_list"]

Extension = tuple[str, tuple[tuple[str, str | None], ...]]
"""A name, and its parameters, each with its value if it has one."""

PERMESSAGE_DEFLATE = "permessage-deflate"

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SEPARATOR = re.compile(rb"[ \t,]*")
_NAME = re.compile(_TOKEN)
_PARAMETER = re.compile(
    rb"[ \t]*;[ \t]*(" + _TOKEN + rb")"
    rb"(?:[ \t]*=[ \t]*(?:(" + _TOKEN + rb')|"((?:[^"\\]|\\.)*)"))?'
)
_END = re.compile(rb"[ \t]*(?:,|\Z)")
_ESCAPE = re.compile(rb"\\(.)")
_BITS = re.compile(r"8|9|1[0-5]")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeflateParameters:
    """The terms of permessage-deflate that both ends have agreed on (RFC 7692 section 7.1).

    Attributes:
        server_no_context_takeover: Whether the server's window ends with each message.
        client_no_context_takeover: Whether the client's does.
        server_max_window_bits: Of the server's window, or None: nothing was said, which means 15.
        client_max_window_bits: Of the client's window, or None.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None

    @property
    def field_value(self) -> bytes:
        """The value of the Sec-WebSocket-Extensions field that says so."""
        parts = [PERMESSAGE_DEFLATE]
        if self.server_no_context_takeover:
            parts.append("server_no_context_takeover")
        if self.client_no_context_takeover:
            parts.append("client_no_context_takeover")
        if self.server_max_window_bits is not None:
            parts.append(f"server_max_window_bits={self.server_max_window_bits}")
        if self.client_max_window_bits is not None:
            parts.append(f"client_max_window_bits={self.client_max_window_bits}")
        return "; ".join(parts).encode()

    def inflater(self, role: Role = "server") -> Inflater:
        """What inflates the peer's messages; ``role`` is our end."""
        if role == "server":
            bits, ends = self.client_max_window_bits, self.client_no_context_takeover
        else:
            bits, ends = self.server_max_window_bits, self.server_no_context_takeover
        return Inflater(MAX_WINDOW_BITS if bits is None else bits, takeover=not ends)

    def deflater(self, options: DeflateOptions, role: Role = "server") -> Deflater:
        """What deflates our messages; ``role`` is our end.

        A window narrower than agreed inflates the same, so the options have their say too.
        """
        if role == "server":
            bits, ends = self.server_max_window_bits, self.server_no_context_takeover
            most = options.server_window_bits
        else:
            bits, ends = self.client_max_window_bits, self.client_no_context_takeover
            most = max(options.client_window_bits, MIN_DEFLATE_BITS)
        return Deflater(
            most if bits is None else min(most, bits),
            takeover=not ends,
            level=options.level,
            memory_level=options.memory_level,
            threshold=options.threshold,
        )


def parse_list(values: Iterable[bytes]) -> list[str]:
    """The tokens of a field that is a list of them, over however many lines.

    Raises:
        ValueError: An element is not a token.
    """
    elements = [part.strip(b" \t") for value in values for part in value.split(b",")]
    if not all(_NAME.fullmatch(element) for element in elements if element):
        raise ValueError("an element that is not a token")
    return [element.decode("ascii") for element in elements if element]


def parse_extensions(values: Iterable[bytes]) -> list[Extension]:
    """The offers in the values of the Sec-WebSocket-Extensions lines, in the order of preference.

    Raises:
        ValueError: They break the grammar (RFC 6455 section 9.1).
    """
    text = b",".join(values)
    offers: list[Extension] = []
    position = _end(_SEPARATOR.match(text))
    while position < len(text):
        name = _NAME.match(text, position)
        if name is None:
            raise ValueError("an extension without a name")
        position = name.end()
        parameters: list[tuple[str, str | None]] = []
        while (found := _PARAMETER.match(text, position)) is not None:
            parameters.append((found[1].decode("ascii"), _value(found[2], found[3])))
            position = found.end()
        end = _END.match(text, position)
        if end is None:
            raise ValueError("a malformed extension parameter")
        position = _end(_SEPARATOR.match(text, end.end()))
        offers.append((name[0].decode("ascii"), tuple(parameters)))
    return offers


def _end(match: re.Match[bytes] | None) -> int:
    return match.end() if match is not None else 0


def _value(token: bytes | None, quoted: bytes | None) -> str | None:
    if quoted is not None:
        token = _ESCAPE.sub(rb"\1", quoted)
        if not _NAME.fullmatch(token):
            raise ValueError("a quoted parameter that is not a token")
    return None if token is None else token.decode("ascii")


def negotiate_deflate(
    offers: Iterable[Extension], options: DeflateOptions
) -> DeflateParameters | None:
    """The answer to the first offer of permessage-deflate that can be accepted, or None."""
    for name, parameters in offers:
        if name == PERMESSAGE_DEFLATE:
            agreed = _answer(parameters, options)
            if agreed is not None:
                return agreed
    return None


def _answer(
    parameters: tuple[tuple[str, str | None], ...], options: DeflateOptions
) -> DeflateParameters | None:
    """The terms for one offer, or None to decline it (RFC 7692 section 7.1)."""
    offer = dict(parameters)
    if len(offer) != len(parameters):
        return None
    flags = {"server_no_context_takeover", "client_no_context_takeover"}
    for name, value in parameters:
        if name in flags:
            valid = value is None
        elif name == "server_max_window_bits":
            valid = value is not None and _BITS.fullmatch(value) is not None
        elif name == "client_max_window_bits":
            valid = value is None or _BITS.fullmatch(value) is not None
        else:
            valid = False
        if not valid:
            return None
    server_most = int(offer.get("server_max_window_bits") or MAX_WINDOW_BITS)
    if server_most < MIN_DEFLATE_BITS:
        return None
    server_bits = min(server_most, options.server_window_bits)
    client_most = int(offer.get("client_max_window_bits") or MAX_WINDOW_BITS)
    client_bits = min(client_most, options.client_window_bits)
    says_server_bits = "server_max_window_bits" in offer or server_bits < MAX_WINDOW_BITS
    says_client_bits = "client_max_window_bits" in offer and client_bits < MAX_WINDOW_BITS
    return DeflateParameters(
        server_no_context_takeover=(
            "server_no_context_takeover" in offer or not options.server_takeover
        ),
        client_no_context_takeover=(
            "client_no_context_takeover" in offer or not options.client_takeover
        ),
        server_max_window_bits=server_bits if says_server_bits else None,
        client_max_window_bits=client_bits if says_client_bits else None,
    )
