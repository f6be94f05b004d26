"""What holds for every input: splits, round trips with h11, chunkings."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.http1.generator import Generator
from tests.wire.http1.transcript import Fields, head, octets, one, read
from zonda.wire.http1 import DefaultFields, Limits, ResponseEncoder

TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Small enough for generated requests to meet each of them.
NARROW = Limits(line=40, head=120, fields=4, body=20)
# Names that mean something to one side or the other.
FRAMING = {
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"expect",
    b"upgrade",
    b"date",
    b"server",
}

tokens = st.lists(st.sampled_from(TOKEN), min_size=1, max_size=20).map(bytes)
values = st.binary(max_size=30).map(
    lambda value: bytes(octet for octet in value if octet >= 0x20 and octet != 0x7F).strip(b" ")
)
fields = st.lists(
    st.tuples(tokens.filter(lambda name: name.lower() not in FRAMING), values), max_size=6
)
bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
targets = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=40
).map(lambda text: b"/" + text.encode())
requests = st.integers(0, 2**64).map(lambda seed: Generator(Random(seed)).request())
cuts = st.lists(st.integers(0, 400), max_size=8)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """``data`` in pieces, some of which may be empty."""
    ends = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


# Splits


@given(data=requests, places=cuts)
def test_the_split_of_the_input_changes_nothing(data: bytes, places: list[int]) -> None:
    assert read(*cut(data, places)) == read(data)


@given(data=requests)
def test_single_octets_are_read_like_the_whole(data: bytes) -> None:
    assert read(*octets(data)) == read(data)


@given(data=requests, places=cuts)
def test_the_split_of_the_input_does_not_move_a_limit(data: bytes, places: list[int]) -> None:
    whole = read(data, limits=NARROW)
    assert read(*cut(data, places), limits=NARROW) == whole
    assert read(*octets(data), limits=NARROW) == whole


@given(data=st.binary(max_size=200), places=cuts)
def test_the_split_of_noise_changes_nothing(data: bytes, places: list[int]) -> None:
    assert read(*cut(data, places)) == read(data)


@given(data=requests)
def test_a_limit_never_lets_more_in(data: bytes) -> None:
    wide = read(data, limits=Limits(line=2**20, head=2**20, fields=2**20, body=0))
    narrow = read(data, limits=NARROW)
    if narrow.refused is None:
        assert narrow == wide
    else:
        assert wide.messages[: max(len(narrow.messages) - 1, 0)] == narrow.messages[:-1]


@given(sent=fields)
def test_a_request_appears_with_the_last_octet_of_its_head(sent: list[tuple[bytes, bytes]]) -> None:
    data = head(b"GET / HTTP/1.1", *(b"%b: %b" % field for field in sent))
    assert read(data[:-1]).messages == ()
    assert read(data[:-1], data[-1:]).messages[0].complete


# Requests


@given(
    method=tokens.filter(lambda method: method != b"CONNECT"),
    target=targets,
    sent=fields,
    pieces=bodies,
    chunked=st.booleans(),
    trailers=fields,
)
def test_what_the_client_of_h11_sends_is_read(
    *,
    method: bytes,
    target: bytes,
    sent: list[tuple[bytes, bytes]],
    pieces: list[bytes],
    chunked: bool,
    trailers: list[tuple[bytes, bytes]],
) -> None:
    body = b"".join(pieces)
    framing = (
        (b"transfer-encoding", b"chunked") if chunked else (b"content-length", b"%d" % len(body))
    )
    client = h11.Connection(h11.CLIENT)
    request = h11.Request(method=method, target=target, headers=[(b"host", b"h"), *sent, framing])
    # Both sides refuse some names in a trailer section, not the same ones.
    kept = [(b"x-" + name, value) for name, value in trailers] if chunked else []
    events: list[h11.Event] = [request, *map(h11.Data, pieces), h11.EndOfMessage(headers=kept)]
    message = one(b"".join(client.send(event) or b"" for event in events))
    assert message.method.encode() == method
    assert message.target == target
    assert message.body == body
    assert message.chunked is chunked
    assert message.headers == lower([(b"host", b"h"), *sent, framing])
    assert message.trailers == lower(kept)


def lower(sent: list[tuple[bytes, bytes]]) -> Fields:
    return tuple((name.lower(), value) for name, value in sent)


@given(
    chunks=st.lists(
        st.tuples(st.binary(min_size=1, max_size=40), st.integers(0, 4), st.booleans()),
        max_size=8,
    ),
    extension=st.lists(st.tuples(tokens, st.one_of(st.none(), tokens)), max_size=3),
    space=st.sampled_from([b"", b" ", b"\t"]),
    trailers=fields,
    places=cuts,
)
def test_any_chunking_of_a_body_is_read_as_that_body(
    chunks: list[tuple[bytes, int, bool]],
    extension: list[tuple[bytes, bytes | None]],
    space: bytes,
    trailers: list[tuple[bytes, bytes]],
    places: list[int],
) -> None:
    suffix = b"".join(
        space + b";" + space + name + (b"" if value is None else b"=" + value)
        for name, value in extension
    )[:200]
    wire = head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked")
    for data, zeros, upper in chunks:
        size = (b"%X" if upper else b"%x") % len(data)
        wire += b"0" * zeros + size + suffix + b"\r\n" + data + b"\r\n"
    kept = [(b"x-" + name, value) for name, value in trailers]
    wire += b"0" + suffix + b"\r\n" + b"".join(b"%b: %b\r\n" % field for field in kept) + b"\r\n"
    transcript = read(*cut(wire, places))
    assert transcript.refused is None
    message = transcript.messages[0]
    assert message.complete
    assert message.body == b"".join(data for data, _, _ in chunks)
    assert message.trailers == lower(kept)


# Responses


@given(
    status=st.integers(200, 599).filter(lambda status: status != 205),
    sent=fields,
    pieces=bodies,
    known=st.sampled_from(["declared", "at hand", "unknown"]),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    version=st.sampled_from(["1.0", "1.1"]),
    keep_alive=st.booleans(),
    trailers=fields,
)
@settings(max_examples=200)
def test_what_the_encoder_writes_h11_reads(
    *,
    status: int,
    sent: list[tuple[bytes, bytes]],
    pieces: list[bytes],
    known: str,
    method: str,
    version: str,
    keep_alive: bool,
    trailers: list[tuple[bytes, bytes]],
) -> None:
    body = b"".join(pieces)
    declared = [(b"Content-Length", b"%d" % len(body))] if known == "declared" else []
    encoder = ResponseEncoder()
    out: list[bytes] = []
    encoder.start(method, version == "1.0", keep_alive)
    length = len(body) if known == "at hand" else -1
    encoder.head(out, status, [*sent, *declared], length, DefaultFields())
    for piece in pieces:
        encoder.data(out, piece)
    encoder.end(out, trailers)

    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(b"".join(out))
    client.receive_data(b"")
    response = client.next_event()
    assert isinstance(response, h11.Response)
    received = b""
    while isinstance(event := client.next_event(), h11.Data):
        received += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert response.status_code == status
    assert [field for field in response.headers if field[0] not in FRAMING] == [*lower(sent)]
    chunked = (b"transfer-encoding", b"chunked") in list(response.headers)
    assert list(event.headers) == ([*lower(trailers)] if chunked else [])
    assert received == (b"" if method == "HEAD" or status in (204, 304) else body)
    assert client.trailing_data == (b"", True)
    names = [name for name, _ in response.headers]
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    closes = (b"connection", b"close") in list(response.headers)
    assert closes is not encoder.keep_alive
