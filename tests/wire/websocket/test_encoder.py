"""Messages on the wire (RFC 6455 sections 5.2, 5.5, 6.1 and 7.4)."""

from __future__ import annotations

import pytest

from tests.wire.websocket.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    encoder,
    frame,
    read,
)
from zonda.wire.websocket import (
    CloseCode,
    DeflateParameters,
    MessageEncoder,
    MessageError,
    is_sendable,
)

SIZES = [0, 1, 125, 126, 127, 1024, 1025, 65535, 65536, 70000]


@pytest.mark.parametrize("size", SIZES)
def test_a_server_does_not_mask_and_uses_the_shortest_length(size: int) -> None:
    out: list[bytes] = []
    payload = b"x" * size
    writer = MessageEncoder()
    added = writer.binary(out, payload)
    assert b"".join(out) == frame(BINARY, payload, key=None)
    assert added == len(b"".join(out))
    out.clear()
    writer.text(out, payload.decode())
    assert b"".join(out) == frame(TEXT, payload, key=None)


@pytest.mark.parametrize("size", SIZES)
def test_a_client_masks_each_frame_with_a_key_of_its_own(size: int) -> None:
    keys = iter([b"abcd", b"\x00\x01\x02\x03"])
    writer = MessageEncoder(masks=lambda: next(keys))
    payload = bytes(i & 0xFF for i in range(size))
    out: list[bytes] = []
    added = writer.binary(out, payload) + writer.binary(out, payload)
    wire = b"".join(out)
    assert added == len(wire)
    assert wire == frame(BINARY, payload, key=b"abcd") + frame(
        BINARY, payload, key=b"\x00\x01\x02\x03"
    )


def test_a_key_of_another_size_is_an_error() -> None:
    writer = MessageEncoder(masks=lambda: b"abc")
    with pytest.raises(MessageError, match="four octets"):
        writer.text([], "a")


def test_text_is_utf_8() -> None:
    out: list[bytes] = []
    MessageEncoder().text(out, "ñ€😀")
    assert out == [frame(TEXT, "ñ€😀".encode(), key=None)]


def test_a_lone_surrogate_is_not_sent() -> None:
    out: list[bytes] = []
    with pytest.raises(MessageError, match="surrogate"):
        MessageEncoder().text(out, "a\ud800")
    with pytest.raises(MessageError, match="surrogate"):
        MessageEncoder().close(out, 1000, "\ud800")
    assert out == []


def test_pings_and_pongs_carry_up_to_125_bytes() -> None:
    writer = MessageEncoder()
    out: list[bytes] = []
    writer.ping(out)
    writer.ping(out, bytes(125))
    writer.pong(out, b"a")
    expected = [
        frame(PING, key=None),
        frame(PING, bytes(125), key=None),
        frame(PONG, b"a", key=None),
    ]
    assert out == expected
    for send in (writer.ping, writer.pong):
        with pytest.raises(MessageError, match="125"):
            send(out, bytes(126))
    assert out == expected


# Close


def test_a_close_frame_has_a_code_and_a_reason() -> None:
    out: list[bytes] = []
    writer = MessageEncoder()
    assert not writer.closed
    added = writer.close(out, CloseCode.GOING_AWAY, "bye ñ")
    assert out == [frame(CLOSE, b"\x03\xe9" + "bye ñ".encode(), key=None)]
    assert added == len(out[0])
    assert writer.closed


def test_1005_sends_no_code() -> None:
    out: list[bytes] = []
    MessageEncoder().close(out, 1005)
    assert out == [b"\x88\x00"]


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1006, 1015, 1016, 2999, 5000, 70000])
def test_a_code_that_is_never_sent_is_an_error(code: int) -> None:
    writer = MessageEncoder()
    with pytest.raises(MessageError, match="never sent"):
        writer.close([], code)
    assert not writer.closed
    assert not is_sendable(code)


def test_1005_with_a_reason_is_an_error() -> None:
    with pytest.raises(MessageError, match="never sent"):
        MessageEncoder().close([], 1005, "why")


def test_a_reason_fits_its_frame() -> None:
    out: list[bytes] = []
    MessageEncoder().close(out, 1000, "x" * 123)
    assert len(out[0]) == 127
    for reason in ("x" * 124, "ñ" * 62):
        with pytest.raises(MessageError, match="123"):
            MessageEncoder().close([], 1000, reason)


@pytest.mark.parametrize("deflate", [None, DeflateParameters()])
def test_nothing_follows_a_close_frame(deflate: DeflateParameters | None) -> None:
    writer = encoder(deflate=deflate)
    out: list[bytes] = []
    writer.close(out, 1000)
    with pytest.raises(MessageError, match="nothing may follow"):
        writer.text(out, "a")
    with pytest.raises(MessageError, match="nothing may follow"):
        writer.binary(out, b"a")
    with pytest.raises(MessageError, match="nothing may follow"):
        writer.ping(out)
    with pytest.raises(MessageError, match="nothing may follow"):
        writer.pong(out)
    with pytest.raises(MessageError, match="nothing may follow"):
        writer.close(out, 1000)
    assert out == [b"\x88\x02\x03\xe8"]


def test_large_payloads_are_not_copied() -> None:
    payload = bytes(100_000)
    out: list[bytes] = []
    MessageEncoder().binary(out, payload)
    assert out[1] is payload
    assert read(b"".join(out), role="client").events == (payload,)
