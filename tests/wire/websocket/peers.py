"""What websockets and wsproto, servers both, make of a stream of frames."""

from __future__ import annotations

from typing import Literal

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Protocol, Side, State
from wsproto.extensions import Extension
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate
from wsproto.frame_protocol import FrameProtocol, ParseFailed
from wsproto.frame_protocol import Opcode as WsprotoOpcode

from tests.wire.websocket.frames import Event, Transcript
from zonda.wire.websocket import Close, DeflateParameters, Ping, Pong

Peer = Literal["websockets", "wsproto"]


def read_by_websockets(data: bytes, deflate: DeflateParameters | None) -> Transcript:
    """The events; text is decoded when its message is whole, as the library's layer above does."""
    protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=None)
    if deflate:
        protocol.extensions = [
            PerMessageDeflate(
                remote_no_context_takeover=deflate.client_no_context_takeover,
                local_no_context_takeover=deflate.server_no_context_takeover,
                remote_max_window_bits=deflate.client_max_window_bits or 15,
                local_max_window_bits=deflate.server_max_window_bits or 15,
            )
        ]
    protocol.receive_data(data)
    events: list[Event] = []
    parts: list[bytes] = []
    opcode = Opcode.CONT
    for received in protocol.events_received():
        assert isinstance(received, Frame)
        payload = bytes(received.data)
        if received.opcode in DATA_OPCODES:
            if received.opcode is not Opcode.CONT:
                opcode = received.opcode
            parts.append(payload)
            if received.fin:
                whole = b"".join(parts)
                parts = []
                try:
                    events.append(whole.decode() if opcode is Opcode.TEXT else whole)
                except UnicodeDecodeError:
                    return Transcript(tuple(events), 1007)
        elif received.opcode is Opcode.PING:
            events.append(Ping(payload))
        elif received.opcode is Opcode.PONG:
            events.append(Pong(payload))
        else:
            assert protocol.close_rcvd is not None
            events.append(Close(protocol.close_rcvd.code, protocol.close_rcvd.reason))
    if protocol.parser_exc is not None and not isinstance(protocol.parser_exc, EOFError):
        assert protocol.close_sent is not None
        return Transcript(tuple(events), int(protocol.close_sent.code))
    return Transcript(tuple(events))


def read_by_wsproto(data: bytes, deflate: DeflateParameters | None) -> Transcript:
    """The events of the library's frame layer: its connection tells a refusal as a Close."""
    extensions: list[Extension] = []
    if deflate:
        extension = WsprotoDeflate(
            client_no_context_takeover=deflate.client_no_context_takeover,
            server_no_context_takeover=deflate.server_no_context_takeover,
            client_max_window_bits=deflate.client_max_window_bits or 15,
            server_max_window_bits=deflate.server_max_window_bits or 15,
        )
        extension._enabled = True
        extensions.append(extension)
    protocol = FrameProtocol(client=False, extensions=extensions)
    protocol.receive_bytes(data)
    events: list[Event] = []
    text: list[str] = []
    binary: list[bytes] = []
    try:
        for received in protocol.received_frames():
            payload = received.payload
            if isinstance(payload, tuple):
                events.append(Close(int(payload[0]), str(payload[1] or "")))
                break
            if received.opcode is WsprotoOpcode.PING:
                assert isinstance(payload, bytes | bytearray)
                events.append(Ping(bytes(payload)))
            elif received.opcode is WsprotoOpcode.PONG:
                assert isinstance(payload, bytes | bytearray)
                events.append(Pong(bytes(payload)))
            elif isinstance(payload, str):
                text.append(payload)
                if received.message_finished:
                    events.append("".join(text))
                    text = []
            else:
                binary.append(bytes(payload))
                if received.message_finished:
                    events.append(b"".join(binary))
                    binary = []
    except ParseFailed as error:
        return Transcript(tuple(events), int(error.code))
    return Transcript(tuple(events))


PEERS = {"websockets": read_by_websockets, "wsproto": read_by_wsproto}
