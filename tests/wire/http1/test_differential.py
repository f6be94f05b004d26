"""Our parser beside h11 and httptools on generated requests: every divergence is known and ours
follows a clause.
"""

from __future__ import annotations

from random import Random

import h11
import httptools
import pytest

from tests.wire.http1.clauses import CLAUSES
from tests.wire.http1.divergences import DIVERGENCES, Anatomy, Divergence, Kind, Peer
from tests.wire.http1.generator import Generator
from zonda.wire.http1 import END, NEED_DATA, Limits, ProtocolError, Request, RequestParser

SEEDS = range(8)
EXAMPLES = 600

Accepted = tuple[bytes, bytes, bytes, int]
"""Method, target, body, and how many octets of the input the request took."""


def read_by_us(data: bytes) -> Accepted | None:
    parser = RequestParser(Limits())
    parser.feed(data)
    head = None
    body = b""
    try:
        while (event := parser.next_event()) is not END:
            if event is NEED_DATA:
                return None
            if isinstance(event, Request):
                head = event
            else:
                assert isinstance(event, bytes)
                body += event
    except ProtocolError:
        return None
    assert head is not None
    return head.method.encode(), head.target, body, len(data) - len(parser.take_unread())


def read_by_h11(data: bytes) -> Accepted | None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**17)
    connection.receive_data(data)
    head = None
    body = b""
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return None
            if isinstance(event, h11.Request):
                head = event
            else:
                assert isinstance(event, h11.Data)
                body += bytes(event.data)
    except h11.RemoteProtocolError:
        return None
    assert head is not None
    rest, _ = connection.trailing_data
    return bytes(head.method), bytes(head.target), body, len(data) - len(rest)


class Httptools:
    """The callbacks of httptools."""

    def __init__(self) -> None:
        self.target = b""
        self.body = b""
        self.complete = False

    def on_url(self, target: bytes) -> None:
        self.target += target

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def read_by_httptools(data: bytes) -> Accepted | None:
    callbacks = Httptools()
    parser = httptools.HttpRequestParser(callbacks)
    # One octet at a time is how to learn where the message ended.
    for i in range(len(data)):
        try:
            parser.feed_data(data[i : i + 1])
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            return None
        if callbacks.complete:
            return parser.get_method(), callbacks.target, callbacks.body, i + 1
    return None


PEERS = {"h11": read_by_h11, "httptools": read_by_httptools}


def kind_of(ours: Accepted | None, theirs: Accepted | None) -> Kind:
    if ours is None:
        return "we refuse"
    return "they refuse" if theirs is None else "other content"


def explanation(peer: str, kind: Kind, data: bytes) -> Divergence | None:
    anatomy = Anatomy(data)
    return next(
        (
            known
            for known in DIVERGENCES
            if peer in known.peers and kind in known.kinds and known.applies(anatomy)
        ),
        None,
    )


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_divergence_from_a_peer_is_known(peer: Peer, seed: int) -> None:
    generator = Generator(Random(seed))
    agreed = 0
    for _ in range(EXAMPLES):
        data = generator.request()
        ours, theirs = read_by_us(data), PEERS[peer](data)
        if ours == theirs:
            agreed += ours is not None
            continue
        kind = kind_of(ours, theirs)
        assert explanation(peer, kind, data), (
            f"{peer}: {kind}, and nothing explains it:\n{data!r}\n{ours=}\n{theirs=}"
        )
    # Were nearly everything refused, agreement would say little.
    assert agreed > EXAMPLES // 4


@pytest.mark.parametrize("known", DIVERGENCES, ids=lambda known: known.name)
def test_a_known_divergence_is_still_there(known: Divergence) -> None:
    ours = read_by_us(known.example)
    for peer in known.peers:
        theirs = PEERS[peer](known.example)
        assert ours != theirs, f"{peer} has come round: take it out of the table"
        kind = kind_of(ours, theirs)
        assert kind in known.kinds
        assert explanation(peer, kind, known.example) is known


def test_every_known_divergence_follows_a_clause() -> None:
    clauses = {clause.id for clause in CLAUSES}
    assert [known.name for known in DIVERGENCES if known.clause not in clauses] == []
