"""Compressed messages in both directions (RFC 7692 sections 6 and 7.2)."""

from __future__ import annotations

import zlib

import pytest

from tests.wire.websocket.frames import (
    BINARY,
    CONTINUATION,
    PING,
    TEXT,
    encoder,
    events,
    frame,
    octets,
    outcome,
    read,
    refusal,
)
from zonda.wire.websocket import (
    CloseCode,
    DeflateOptions,
    DeflateParameters,
    Deflater,
    Inflater,
    Limits,
    MessageEncoder,
    Ping,
)

PLAIN = DeflateParameters()
ALONE = DeflateParameters(server_no_context_takeover=True, client_no_context_takeover=True)


def deflated(data: bytes, final: bool = False) -> bytes:
    state = zlib.compressobj(wbits=-15)
    if final:
        return state.compress(data) + state.flush() + b"\x00"
    return (state.compress(data) + state.flush(zlib.Z_SYNC_FLUSH))[:-4]


def compressed(opcode: int, *parts: bytes) -> bytes:
    last = len(parts) - 1
    return b"".join(
        frame(CONTINUATION if i else opcode, part, fin=i == last, rsv=0 if i else 4)
        for i, part in enumerate(parts)
    )


# The examples of RFC 7692 section 7.2.3

HELLO = bytes.fromhex("f248cdc9c90700")


def test_a_message_in_one_block_is_inflated() -> None:
    assert events(compressed(TEXT, HELLO), deflate=PLAIN) == ("Hello",)


def test_a_compressed_message_may_be_fragmented() -> None:
    for i in range(len(HELLO) + 1):
        assert events(compressed(TEXT, HELLO[:i], HELLO[i:]), deflate=PLAIN) == ("Hello",)


def test_the_window_outlives_a_message() -> None:
    wire = compressed(TEXT, HELLO) + compressed(TEXT, bytes.fromhex("f200110000"))
    assert events(wire, deflate=PLAIN) == ("Hello", "Hello")


def test_the_window_ends_with_the_message_where_that_was_agreed() -> None:
    wire = compressed(TEXT, HELLO)
    assert events(wire * 2, deflate=ALONE) == ("Hello", "Hello")
    wire += compressed(TEXT, bytes.fromhex("f200110000"))
    assert refusal(wire, deflate=ALONE) == CloseCode.INVALID_DATA


def test_a_block_without_compression_is_inflated() -> None:
    wire = compressed(TEXT, bytes.fromhex("000500faff48656c6c6f00"))
    assert events(wire, deflate=PLAIN) == ("Hello",)


def test_a_block_with_bfinal_set_is_inflated() -> None:
    wire = compressed(TEXT, bytes.fromhex("f348cdc9c9070000"))
    assert events(wire * 3, deflate=PLAIN) == ("Hello",) * 3


def test_a_message_may_have_several_blocks() -> None:
    wire = compressed(TEXT, bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", "")))
    assert events(wire, deflate=PLAIN) == ("Hello",)


def test_an_empty_message_is_one_octet() -> None:
    wire = compressed(TEXT, b"\x00") + compressed(BINARY, b"\x00") + compressed(TEXT, HELLO)
    assert events(wire, deflate=PLAIN) == ("", b"", "Hello")


def test_messages_that_are_not_compressed_stand_between() -> None:
    wire = compressed(TEXT, HELLO) + frame(TEXT, b"plain") + compressed(BINARY, HELLO)
    assert events(wire, deflate=PLAIN) == ("Hello", "plain", b"Hello")


def test_control_frames_are_never_compressed() -> None:
    wire = frame(TEXT, HELLO[:3], fin=False, rsv=4) + frame(PING, b"p")
    wire += frame(CONTINUATION, HELLO[3:])
    assert events(wire, deflate=PLAIN) == (Ping(b"p"), "Hello")
    assert refusal(frame(PING, HELLO, rsv=4), deflate=PLAIN) == CloseCode.PROTOCOL_ERROR


def test_the_bit_belongs_to_the_first_frame_alone() -> None:
    wire = frame(TEXT, HELLO[:3], fin=False, rsv=4) + frame(CONTINUATION, HELLO[3:], rsv=4)
    assert refusal(wire, deflate=PLAIN) == CloseCode.PROTOCOL_ERROR
    wire = frame(TEXT, b"a", fin=False) + frame(CONTINUATION, HELLO, rsv=4)
    assert refusal(wire, deflate=PLAIN) == CloseCode.PROTOCOL_ERROR


def test_the_bit_without_the_extension_is_refused() -> None:
    assert refusal(compressed(TEXT, HELLO)) == CloseCode.PROTOCOL_ERROR


# What is wrong


@pytest.mark.parametrize("bad", [b"\xff\xff", b"\x07", b"\x06\x00"])
def test_what_is_not_deflate_is_refused(bad: bytes) -> None:
    assert refusal(compressed(BINARY, bad), deflate=PLAIN) == CloseCode.INVALID_DATA


def test_text_is_judged_after_inflating() -> None:
    assert refusal(compressed(TEXT, deflated(b"\xff")), deflate=PLAIN) == CloseCode.INVALID_DATA
    wire = frame(TEXT, deflated(b"\xc0"), fin=False, rsv=4)
    assert outcome(wire, deflate=PLAIN).refused == CloseCode.INVALID_DATA
    assert events(compressed(TEXT, deflated("ñ".encode())), deflate=PLAIN) == ("ñ",)


# Limits


def test_a_message_inflates_up_to_the_limit_and_no_further() -> None:
    limits = Limits(message=5000)
    for size, refused in ((5000, None), (5001, CloseCode.MESSAGE_TOO_BIG)):
        data = deflated(bytes(size))
        for wire in (compressed(BINARY, data), compressed(BINARY, data[:5], data[5:])):
            assert read(wire, limits=limits, deflate=PLAIN).refused == refused
            assert read(*octets(wire), limits=limits, deflate=PLAIN).refused == refused


def test_a_bomb_is_not_inflated() -> None:
    bomb = deflated(bytes(2**24 + 1))
    assert len(bomb) < 20_000
    assert refusal(compressed(BINARY, bomb), deflate=PLAIN) == CloseCode.MESSAGE_TOO_BIG


def test_the_inflater_stops_one_byte_beyond_the_room() -> None:
    inflater = Inflater(15, takeover=True)
    assert inflater.inflate(deflated(bytes(100)), 100, last=True) == bytes(100)


def test_a_compressed_message_may_be_larger_on_the_wire_than_the_limit() -> None:
    stored = bytes.fromhex("000500faff48656c6c6f00")
    assert events(compressed(TEXT, stored), deflate=PLAIN, limits=Limits(message=5)) == ("Hello",)


def test_final_blocks_without_end_are_refused() -> None:
    empty = b"\x03\x00"
    assert events(compressed(TEXT, empty * 200 + b"\x00"), deflate=PLAIN) == ("",)
    wire = compressed(TEXT, empty * 300 + b"\x00")
    assert refusal(wire, deflate=PLAIN) == CloseCode.POLICY_VIOLATION
    assert events(compressed(TEXT, empty * 200 + b"\x00") * 2, deflate=PLAIN) == ("", "")


# State


def test_zlib_has_no_state_before_it_is_used() -> None:
    inflater = Inflater(15, takeover=True)
    deflater = Deflater(15, takeover=True)
    assert (inflater._state, deflater._state) == (None, None)
    deflater.deflate(b"a")
    inflater.inflate(HELLO, 100, last=True)
    assert None not in (inflater._state, deflater._state)


def test_zlib_keeps_no_state_without_takeover() -> None:
    inflater = Inflater(15, takeover=False)
    deflater = Deflater(15, takeover=False)
    assert deflater.deflate(b"a" * 99) == deflater.deflate(b"a" * 99)
    inflater.inflate(HELLO, 100, last=True)
    assert (inflater._state, deflater._state) == (None, None)


# Our messages


def test_what_we_compress_has_the_bit_and_no_tail() -> None:
    out: list[bytes] = []
    encoder(deflate=PLAIN).text(out, "Hello")
    assert out == [b"\xc1\x07" + HELLO]


def test_our_window_outlives_a_message_unless_it_may_not() -> None:
    text = "the quick brown fox jumps over the lazy dog"
    for agreed, smaller in ((PLAIN, True), (ALONE, False)):
        out: list[bytes] = []
        writer = encoder(deflate=agreed)
        first, second = writer.text(out, text), writer.text(out, text)
        assert (second < first) is smaller
        assert read(b"".join(out), role="client", deflate=agreed).events == (text, text)


def test_a_message_below_the_threshold_is_sent_as_it_is() -> None:
    deflater = Deflater(15, takeover=True, threshold=5)
    writer = MessageEncoder(deflater=deflater)
    out: list[bytes] = []
    writer.binary(out, b"aaaa")
    assert out.pop() == b"\x82\x04aaaa"
    assert deflater._state is None
    writer.binary(out, b"aaaaa")
    assert out[0][0] == 0xC2


def test_our_window_is_no_wider_than_was_agreed() -> None:
    noise = bytes(i * i * 31 >> 3 & 0xFF for i in range(700))
    for bits in range(9, 16):
        agreed = DeflateParameters(server_max_window_bits=bits)
        out: list[bytes] = []
        agreed.deflater(DeflateOptions(server_window_bits=15))
        encoder(deflate=agreed).binary(out, noise * 90)
        state = zlib.decompressobj(-bits)
        wire = b"".join(out)
        start = 4 if wire[1] == 126 else 10
        assert state.decompress(wire[start:] + b"\x00\x00\xff\xff") == noise * 90
