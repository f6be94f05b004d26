"""What codecs yield: a request head, and two sentinels beside the pieces of its body."""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["END", "NEED_DATA", "Request", "Sentinel"]


class Sentinel(enum.Enum):
    """Events without content."""

    NEED_DATA = "NEED_DATA"
    END = "END"

    def __repr__(self) -> str:
        return self.name


NEED_DATA: Final = Sentinel.NEED_DATA
"""Nothing complete is left: feed more."""

END: Final = Sentinel.END
"""The request is complete, body and trailers included."""


class Request:
    """The head of one request, checked, whatever the HTTP version that carried it.

    Attributes:
        method: The method, as sent: methods are case-sensitive.
        target: The request target as sent.
        raw_path: The path octets, not decoded; ``b"*"`` for the asterisk-form.
        path: ``raw_path`` percent-decoded as UTF-8; octets that are not UTF-8 become U+FFFD.
        query_string: What follows the first ``?``, not decoded.
        headers: ``(name, value)`` pairs in the order sent, names in lower case.
        http_version: ``"1.0"``, ``"1.1"`` or ``"2"``; a higher minor version of 1 counts as 1.1.
        is_http_10: Whether that is ``"1.0"``, where much is not known yet.
        keep_alive: Whether the peer lets the connection go on after the response.
        content_length: Octets of the body, or -1 when there is no Content-Length.
        chunked: Whether the body is in the chunked coding.
        expects_continue: Whether the peer waits for 100 (Continue) before it sends the body.
        upgrade: The Upgrade field's value, or None. It never changes the framing.
    """

    def __init__(self) -> None:
        self.set_up()

    def set_up(self) -> None:
        """Set the attributes of an empty request: what ``__init__`` does, callable at C cost."""
        self.method = ""
        self.target = b""
        self.raw_path = b""
        self.path = ""
        self.query_string = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.http_version = "1.1"
        self.is_http_10 = False
        self.keep_alive = True
        self.content_length = -1
        self.chunked = False
        self.expects_continue = False
        self.upgrade: bytes | None = None

    @property
    def has_body(self) -> bool:
        """Whether octets of a body may follow the head."""
        return self.chunked or self.content_length > 0

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target!r} HTTP/{self.http_version}>"
