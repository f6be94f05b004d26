"""Run the parser over some input and write down what it said, checking the order as it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zonda.wire.http1 import END, NEED_DATA, Limits, ProtocolError, Request, RequestParser

if TYPE_CHECKING:
    from collections.abc import Iterable

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One request as the parser reported it; ``complete`` once END was seen."""

    method: str
    target: bytes
    raw_path: bytes
    path: str
    query_string: bytes
    headers: Fields
    http_version: str
    keep_alive: bool
    content_length: int
    chunked: bool
    expects_continue: bool
    upgrade: bytes | None
    body: bytes = b""
    trailers: Fields = ()
    complete: bool = False

    def field(self, name: bytes) -> list[bytes]:
        """The values of the field ``name``, in order."""
        return [value for field, value in self.headers if field == name]


@dataclass(frozen=True, slots=True)
class Transcript:
    """All that came of some input: the requests, and the status of the refusal if there was one."""

    messages: tuple[Message, ...]
    refused: int | None = None


def read(*pieces: bytes, limits: Limits | None = None) -> Transcript:
    """Feed ``pieces`` one after another, taking every event before the next is fed."""
    parser = RequestParser(limits or Limits())
    reader = _Reader(parser)
    try:
        for piece in pieces:
            parser.feed(piece)
            reader.take_events()
    except ProtocolError as error:
        return Transcript(reader.transcript(), error.status)
    return Transcript(reader.transcript())


class _Reader:
    """Gathers events into messages; a parser that breaks their order fails the test."""

    def __init__(self, parser: RequestParser) -> None:
        self._parser = parser
        self._done: list[Message] = []
        self._head: Request | None = None
        self._body: list[bytes] = []

    def take_events(self) -> None:
        while True:
            event = self._parser.next_event()
            if event is NEED_DATA:
                return
            if isinstance(event, Request):
                assert self._head is None, "a second head before END"
                self._head = event
            elif event is END:
                assert self._head is not None, "END before a head"
                assert self._parser.next_event() is END, "END lasts until next_request()"
                self._done.append(self._message(complete=True))
                self._head = None
                self._body = []
                self._parser.next_request()
            else:
                assert isinstance(event, bytes)
                assert event, "an empty piece of body"
                assert self._head is not None, "a body before its head"
                self._body.append(event)

    def transcript(self) -> tuple[Message, ...]:
        if self._head is None:
            return tuple(self._done)
        return (*self._done, self._message(complete=False))

    def _message(self, *, complete: bool) -> Message:
        head = self._head
        assert head is not None
        return Message(
            method=head.method,
            target=head.target,
            raw_path=head.raw_path,
            path=head.path,
            query_string=head.query_string,
            headers=tuple(head.headers),
            http_version=head.http_version,
            keep_alive=head.keep_alive,
            content_length=head.content_length,
            chunked=head.chunked,
            expects_continue=head.expects_continue,
            upgrade=head.upgrade,
            body=b"".join(self._body),
            trailers=tuple(self._parser.trailers) if complete else (),
            complete=complete,
        )


def octets(data: bytes) -> Iterable[bytes]:
    """``data`` cut into single octets."""
    return (data[i : i + 1] for i in range(len(data)))


def one(data: bytes, *, limits: Limits | None = None) -> Message:
    """The one complete request in ``data``, which must be all of it, however it is cut."""
    transcript = read(data, limits=limits)
    assert transcript == read(*octets(data), limits=limits), "the split changed the outcome"
    assert transcript.refused is None
    assert len(transcript.messages) == 1
    assert transcript.messages[0].complete
    return transcript.messages[0]


def refusal(data: bytes, *, limits: Limits | None = None) -> int | None:
    """The status that ``data`` is refused with, which must not depend on how it is cut."""
    transcript = read(data, limits=limits)
    assert transcript == read(*octets(data), limits=limits), "the split changed the outcome"
    return transcript.refused


def head(line: bytes, *fields: bytes, host: bytes | None = b"Host: example.com") -> bytes:
    """A request head: ``line``, a Host field unless it is None, ``fields``, the empty line."""
    lines = [line, *([host] if host is not None else []), *fields]
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n"
