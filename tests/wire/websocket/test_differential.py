"""Our parser beside websockets and wsproto on generated streams: every divergence is known."""

from __future__ import annotations

from random import Random

import pytest

from tests.wire.websocket.divergences import DIVERGENCES, Divergence
from tests.wire.websocket.frames import Transcript, read
from tests.wire.websocket.generator import Generator
from tests.wire.websocket.peers import PEERS, Peer
from zonda.wire.websocket import DeflateParameters

TERMS = {
    "plain": None,
    "deflate": DeflateParameters(),
    "no takeover": DeflateParameters(
        server_no_context_takeover=True, client_no_context_takeover=True
    ),
}
EXAMPLES = 600


def explanation(peer: str, data: bytes, ours: Transcript, theirs: Transcript) -> Divergence | None:
    return next((d for d in DIVERGENCES if peer in d.peers and d.applies(data, ours, theirs)), None)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("seed", range(4))
def test_every_divergence_from_a_peer_is_known(peer: Peer, terms: str, seed: int) -> None:
    deflate = TERMS[terms]
    generator = Generator(Random(seed), compresses=deflate is not None)
    agreed = 0
    for _ in range(EXAMPLES):
        data = generator.stream()
        ours, theirs = read(data, deflate=deflate), PEERS[peer](data, deflate)
        if ours == theirs:
            agreed += ours.refused is None
            continue
        assert explanation(peer, data, ours, theirs), (
            f"{peer}: nothing explains it:\n{data!r}\n{ours=}\n{theirs=}"
        )
    # Were nearly everything refused, agreement would say little.
    assert agreed > EXAMPLES // 4


@pytest.mark.parametrize("known", DIVERGENCES, ids=lambda known: known.name)
def test_a_known_divergence_is_still_there(known: Divergence) -> None:
    for peer in known.peers:
        ours = read(known.example, deflate=known.deflate)
        theirs = PEERS[peer](known.example, known.deflate)
        assert ours != theirs, f"{peer} has come round: take it out of the table"
        assert known.applies(known.example, ours, theirs)
