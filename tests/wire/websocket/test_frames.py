"""Every rule of a single frame: bits, opcodes, masks, lengths (RFC 6455 sections 5.1 to 5.5)."""

from __future__ import annotations

import pytest

from tests.wire.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    events,
    frame,
    octets,
    read,
    refusal,
)
from zonda.wire.websocket import (
    NEED_DATA,
    Close,
    CloseCode,
    DeflateParameters,
    Limits,
    MessageParser,
    Ping,
    Pong,
    WebSocketError,
)

HELLO = bytes.fromhex("818537fa213d7f9f4d5158")


def test_the_masked_hello_of_the_rfc_is_read() -> None:
    assert events(HELLO) == ("Hello",)


def test_the_examples_of_the_rfc_are_read_by_a_client() -> None:
    wire = bytes.fromhex("810548656c6c6f010348656c80026c6f890548656c6c6f")
    wire += bytes.fromhex("827e0100") + bytes(256) + bytes.fromhex("827f0000000000010000")
    wire += bytes(65536)
    expected = ("Hello", "Hello", Ping(b"Hello"), bytes(256), bytes(65536))
    assert read(wire, role="client").events == expected
    assert read(*octets(wire[:300]), role="client").events == expected[:4]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 7, 8, 9, 15, 125, 126, 127, 65535, 65536, 70001])
def test_a_payload_of_any_size_is_unmasked(size: int) -> None:
    payload = bytes(i * 7 & 0xFF for i in range(size))
    wire = frame(BINARY, payload)
    assert read(wire).events == (payload,)
    for step in (1, 5, 8, 1000):
        pieces = (wire[i : i + step] for i in range(0, len(wire), step))
        assert read(*pieces).events == (payload,)


def test_an_empty_message_is_a_message() -> None:
    assert events(frame(TEXT) + frame(BINARY)) == ("", b"")


def test_text_and_binary_are_told_apart() -> None:
    assert events(frame(TEXT, b"a") + frame(BINARY, b"a")) == ("a", b"a")


def test_nothing_is_parsed_before_an_event_is_asked_for() -> None:
    parser = MessageParser(Limits())
    parser.feed(b"\xff\xff")
    parser.feed(HELLO)
    assert parser.unread == 2 + len(HELLO)
    with pytest.raises(WebSocketError):
        parser.next_event()


def test_what_is_not_asked_for_stays_unread() -> None:
    parser = MessageParser(Limits())
    parser.feed(HELLO * 2)
    assert parser.next_event() == "Hello"
    assert parser.unread == len(HELLO)
    parser.feed(HELLO)
    assert [parser.next_event() for _ in range(3)] == ["Hello", "Hello", NEED_DATA]
    assert parser.unread == parser.buffered == 0


def test_a_claimed_length_takes_no_memory() -> None:
    parser = MessageParser(Limits())
    parser.feed(frame(BINARY, b"abc", length=2**24))
    assert parser.next_event() is NEED_DATA
    assert parser.buffered == 3


# Masks


def test_a_server_refuses_a_frame_without_a_mask() -> None:
    for opcode in (TEXT, BINARY, PING, CLOSE):
        assert refusal(frame(opcode, key=None)) == CloseCode.PROTOCOL_ERROR


def test_a_client_refuses_a_frame_with_a_mask() -> None:
    assert read(HELLO, role="client").refused == CloseCode.PROTOCOL_ERROR


def test_each_frame_is_unmasked_with_its_own_key() -> None:
    wire = frame(TEXT, b"one", fin=False, key=b"abcd") + frame(
        CONTINUATION, b"two", key=b"\0\1\2\3"
    )
    assert events(wire) == ("onetwo",)


# The first octet


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
def test_a_reserved_bit_without_an_extension_is_refused(rsv: int, opcode: int) -> None:
    assert refusal(frame(opcode, rsv=rsv)) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("rsv", [1, 2, 3, 5, 6, 7])
def test_the_other_reserved_bits_are_refused_with_deflate(rsv: int) -> None:
    wire = frame(TEXT, b"\0", rsv=rsv)
    assert refusal(wire, deflate=DeflateParameters()) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_a_reserved_opcode_is_refused(opcode: int) -> None:
    assert refusal(frame(opcode)) == CloseCode.PROTOCOL_ERROR


# Lengths


@pytest.mark.parametrize(("width", "length"), [(2, 0), (2, 125), (8, 0), (8, 126), (8, 65535)])
def test_a_length_in_more_octets_than_it_needs_is_refused(width: int, length: int) -> None:
    wire = frame(BINARY, bytes(length), width=width)
    assert refusal(wire) == CloseCode.PROTOCOL_ERROR


def test_a_length_of_64_bits_is_refused() -> None:
    wire = frame(BINARY, length=2**63)
    assert refusal(wire) == CloseCode.PROTOCOL_ERROR
    assert refusal(wire, limits=Limits(message=0)) == CloseCode.PROTOCOL_ERROR


def test_a_length_of_63_bits_is_one() -> None:
    assert refusal(frame(BINARY, length=2**63 - 1)) == CloseCode.MESSAGE_TOO_BIG


# Control frames


@pytest.mark.parametrize("size", [0, 5, 125])
def test_pings_and_pongs_carry_their_payload(size: int) -> None:
    payload = bytes(range(size))
    expected = (Ping(payload), Pong(payload))
    assert events(frame(PING, payload) + frame(PONG, payload)) == expected


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_a_control_frame_of_more_than_125_octets_is_refused(opcode: int) -> None:
    assert refusal(frame(opcode, bytes(126))) == CloseCode.PROTOCOL_ERROR
    assert refusal(frame(opcode, bytes(65536))) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_a_fragmented_control_frame_is_refused(opcode: int) -> None:
    assert refusal(frame(opcode, fin=False)) == CloseCode.PROTOCOL_ERROR


# Close


def test_a_close_frame_gives_its_code_and_reason() -> None:
    assert events(close_frame(1000, "adiós".encode())) == (Close(1000, "adiós"),)


def test_a_close_frame_without_a_code_counts_as_1005() -> None:
    assert events(frame(CLOSE)) == (Close(1005, ""),)


def test_a_close_frame_with_half_a_code_is_refused() -> None:
    assert refusal(frame(CLOSE, b"\x03")) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_a_close_code_that_may_be_sent_is_taken(code: int) -> None:
    assert events(close_frame(code)) == (Close(code, ""),)


@pytest.mark.parametrize(
    "code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
)
def test_a_close_code_that_is_never_sent_is_refused(code: int) -> None:
    assert refusal(close_frame(code)) == CloseCode.PROTOCOL_ERROR


def test_a_close_reason_that_is_not_utf_8_is_refused() -> None:
    assert refusal(close_frame(1000, b"\xce\xba\xe1")) == CloseCode.INVALID_DATA


def test_nothing_is_read_after_a_close_frame() -> None:
    wire = close_frame(1000) + b"\xff" * 40
    assert events(wire) == (Close(1000, ""),)
    parser = MessageParser(Limits())
    parser.feed(wire)
    assert isinstance(parser.next_event(), Close)
    parser.feed(HELLO)
    assert parser.next_event() is NEED_DATA
    assert parser.unread == 0


# Failing


def test_a_parser_that_failed_stays_failed() -> None:
    parser = MessageParser(Limits())
    parser.feed(frame(TEXT, key=None) + HELLO)
    with pytest.raises(WebSocketError):
        parser.next_event()
    parser.feed(HELLO)
    with pytest.raises(RuntimeError, match="failed before"):
        parser.next_event()


def test_a_refusal_says_why_and_fits_a_close_frame() -> None:
    parser = MessageParser(Limits())
    parser.feed(frame(3))
    with pytest.raises(WebSocketError, match="1002: a reserved opcode") as caught:
        parser.next_event()
    assert len(caught.value.reason) <= 123
