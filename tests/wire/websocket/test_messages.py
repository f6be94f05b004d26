"""Messages in several frames, text, and limits (RFC 6455 sections 5.4, 8.1 and 10.4)."""

from __future__ import annotations

import pytest

from tests.wire.websocket.frames import (
    BINARY,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    close_frame,
    events,
    frame,
    outcome,
    read,
    refusal,
)
from zonda.wire.websocket import (
    NEED_DATA,
    Close,
    CloseCode,
    Limits,
    MessageParser,
    Ping,
    Pong,
    WebSocketError,
)


def fragmented(opcode: int, *payloads: bytes) -> bytes:
    last = len(payloads) - 1
    return b"".join(
        frame(CONTINUATION if i else opcode, payload, fin=i == last)
        for i, payload in enumerate(payloads)
    )


# Fragmentation


def test_fragments_make_one_message() -> None:
    assert events(fragmented(TEXT, b"Hel", b"", b"lo")) == ("Hello",)
    assert events(fragmented(BINARY, b"", b"\x00", b"\xff")) == (b"\x00\xff",)


def test_fragments_may_all_be_empty() -> None:
    assert events(fragmented(TEXT, b"", b"", b"")) == ("",)
    assert events(fragmented(BINARY, b"", b"")) == (b"",)


def test_control_frames_between_fragments_come_first() -> None:
    wire = frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"b", fin=False)
    wire += frame(PONG) + frame(CONTINUATION, b"c")
    assert events(wire) == (Ping(b"p"), Pong(b""), "abc")


def test_a_close_frame_between_fragments_ends_it_all() -> None:
    wire = frame(TEXT, b"a", fin=False) + close_frame(1001) + frame(CONTINUATION, b"b")
    assert events(wire) == (Close(1001, ""),)


def test_a_continuation_of_nothing_is_refused() -> None:
    for fin in (False, True):
        assert refusal(frame(CONTINUATION, b"a", fin=fin)) == CloseCode.PROTOCOL_ERROR
    transcript = outcome(frame(TEXT, b"a") + frame(CONTINUATION, b"b"))
    assert transcript.events == ("a",)
    assert transcript.refused == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_new_message_within_a_fragmented_one_is_refused(opcode: int) -> None:
    wire = frame(TEXT, b"a", fin=False) + frame(opcode, b"b")
    assert refusal(wire) == CloseCode.PROTOCOL_ERROR


def test_one_message_does_not_touch_the_next() -> None:
    wire = fragmented(TEXT, b"a", b"b") + frame(BINARY, b"\xff") + fragmented(BINARY, b"c", b"d")
    assert events(wire) == ("ab", b"\xff", b"cd")


# UTF-8

GREEK = "κόσμε".encode()
OTHERS = ["\u07ff\u0800\uffff\U00010000\U0010ffff", "\x00\x7f", "\ud7ff\ue000\ufffd", "𝄞 a"]


@pytest.mark.parametrize("text", [GREEK.decode(), *OTHERS])
def test_a_character_may_be_split_between_fragments(text: str) -> None:
    data = text.encode()
    for i in range(len(data) + 1):
        assert events(fragmented(TEXT, data[:i], data[i:])) == (text,)
    assert events(fragmented(TEXT, *(data[i : i + 1] for i in range(len(data))))) == (text,)


INVALID = [
    b"\x80",
    b"\xbf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80",
    b"\xfe",
    b"\xff",
    b"\xce\x20",
    b"\xe1\xbd\x20",
]


@pytest.mark.parametrize("bad", INVALID)
def test_text_that_is_not_utf_8_is_refused(bad: bytes) -> None:
    assert refusal(frame(TEXT, GREEK + bad)) == CloseCode.INVALID_DATA
    assert refusal(frame(TEXT, GREEK + bad + b"a")) == CloseCode.INVALID_DATA
    assert refusal(fragmented(TEXT, GREEK, bad, b"a")) == CloseCode.INVALID_DATA


@pytest.mark.parametrize("end", [b"\xce", b"\xe1\xbd", b"\xf0\x9f\x8c"])
def test_text_that_ends_within_a_character_is_refused(end: bytes) -> None:
    assert refusal(frame(TEXT, GREEK + end)) == CloseCode.INVALID_DATA
    assert refusal(fragmented(TEXT, GREEK, end)) == CloseCode.INVALID_DATA
    assert refusal(fragmented(TEXT, end, b"")) == CloseCode.INVALID_DATA


@pytest.mark.parametrize("bad", [b"\x80", b"\xf4\x90", b"\xed\xa0", b"\xe0\x80", b"\xf0\x8f"])
def test_the_first_wrong_octet_of_a_text_is_enough(bad: bytes) -> None:
    # Neither the frame nor the message has ended.
    begun = frame(TEXT, GREEK + bad, length=1000)
    assert refusal(begun) == CloseCode.INVALID_DATA
    assert read(begun[:-1]).refused is None
    rest = frame(TEXT, GREEK, fin=False) + frame(CONTINUATION, bad, fin=False)
    assert refusal(rest) == CloseCode.INVALID_DATA
    assert read(rest[:-1]).refused is None


def test_binary_may_be_anything() -> None:
    assert events(fragmented(BINARY, *INVALID)) == (b"".join(INVALID),)


# Limits


def test_the_limit_of_a_message_is_16_mib_by_default() -> None:
    assert Limits().message == 16 * 1024 * 1024


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_at_the_limit_is_taken_and_one_beyond_is_refused(opcode: int) -> None:
    limits = Limits(message=200)
    assert len(events(frame(opcode, bytes(200)), limits=limits)) == 1
    assert len(events(fragmented(opcode, bytes(150), bytes(50)), limits=limits)) == 1
    too_big = CloseCode.MESSAGE_TOO_BIG
    assert refusal(frame(opcode, bytes(201)), limits=limits) == too_big
    assert refusal(fragmented(opcode, bytes(150), bytes(51)), limits=limits) == too_big


def test_a_message_beyond_the_limit_is_refused_by_its_header() -> None:
    header = frame(BINARY, length=2**60)[:10]
    assert read(header).refused == CloseCode.MESSAGE_TOO_BIG
    assert read(header[:-1]).refused is None


def test_the_limit_is_of_one_message_and_not_of_all() -> None:
    limits = Limits(message=10)
    assert events(frame(BINARY, bytes(10)) * 3, limits=limits) == (bytes(10),) * 3
    assert events(fragmented(TEXT, b"a" * 5, b"b" * 5) * 2, limits=limits) == ("aaaaabbbbb",) * 2


def test_the_limit_may_be_turned_off() -> None:
    parser = MessageParser(Limits(message=0))
    parser.feed(frame(BINARY, b"abc", length=2**40))
    assert parser.next_event() is NEED_DATA


def test_a_message_of_too_many_frames_is_refused() -> None:
    limits = Limits(fragments=3)
    assert events(fragmented(BINARY, b"", b"a", b"") * 2, limits=limits) == (b"a", b"a")
    wire = fragmented(BINARY, b"", b"", b"", b"")
    assert refusal(wire, limits=limits) == CloseCode.POLICY_VIOLATION


def test_control_frames_do_not_count_as_fragments() -> None:
    wire = frame(TEXT, fin=False) + frame(PING) * 9 + frame(CONTINUATION)
    assert events(wire, limits=Limits(fragments=2))[-1] == ""


def test_a_refusal_lets_go_of_the_message() -> None:
    parser = MessageParser(Limits())
    parser.feed(frame(BINARY, bytes(1000), fin=False))
    assert parser.next_event() is NEED_DATA
    assert parser.buffered == 1000
    parser.feed(frame(BINARY, key=KEY))
    with pytest.raises(WebSocketError):
        parser.next_event()
    assert parser.buffered == parser.unread == 0
