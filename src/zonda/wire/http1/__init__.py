"""The HTTP/1 codec: octets to requests, responses to octets (RFC 9110, RFC 9112)."""

from __future__ import annotations

from zonda.wire.events import END, NEED_DATA, Request
from zonda.wire.http1.errors import ProtocolError, ResponseError
from zonda.wire.http1.grammar import Limits
from zonda.wire.http1.parser import RequestParser
from zonda.wire.http1.response import (
    DefaultFields,
    ResponseEncoder,
    encode_fields,
    encode_interim,
    encode_switching,
)

__all__ = [
    "END",
    "NEED_DATA",
    "DefaultFields",
    "Limits",
    "ProtocolError",
    "Request",
    "RequestParser",
    "ResponseEncoder",
    "ResponseError",
    "encode_fields",
    "encode_interim",
    "encode_switching",
]
