"""Streams of frames: mostly right, now and then wrong in one of the ways there are."""

from __future__ import annotations

import zlib
from itertools import pairwise
from random import Random

from tests.wire.websocket.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

TEXTS = ["", "a", "Hello", "ñ€😀", "κόσμε" * 9, "x" * 126, "\U0010ffff\ud7ff\ue000"]
BAD_TEXTS = [b"\xff", b"a\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe1\xbd", b"\x80"]
CODES = [1000, 1001, 1003, 1007, 1011, 3000, 4999]
BAD_CODES = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000]


class Generator:
    """Makes streams that a seed decides, masked as a client's are."""

    def __init__(self, random: Random, *, compresses: bool) -> None:
        self.random = random
        self.compresses = compresses

    def stream(self) -> bytes:
        """Some messages and control frames; in one of two streams something is wrong."""
        parts = [self._message() for _ in range(self.random.randrange(1, 5))]
        if self.random.random() < 0.3:
            parts.append(self._close(self.random.choice(CODES)))
        if self.random.random() < 0.5:
            parts.insert(self.random.randrange(len(parts) + 1), self._fault())
        return b"".join(parts)

    def _frame(self, opcode: int, payload: bytes = b"", **options: int | None) -> bytes:
        return frame(opcode, payload, key=self.random.randbytes(4), **options)  # type: ignore[arg-type]

    def _message(self) -> bytes:
        if self.random.random() < 0.5:
            return self._fragments(TEXT, self.random.choice(TEXTS).encode())
        size = self.random.choice([0, 1, 7, 125, 126, 200, 3000])
        return self._fragments(BINARY, self.random.randbytes(size))

    def _fragments(self, opcode: int, payload: bytes) -> bytes:
        compressed = self.compresses and self.random.random() < 0.5
        if compressed:
            state = zlib.compressobj(wbits=-9)
            payload = (state.compress(payload) + state.flush(zlib.Z_SYNC_FLUSH))[:-4] or b"\0"
        places = sorted(self.random.randrange(len(payload) + 1) for _ in range(self._few()))
        ends = [0, *places, len(payload)]
        wire = b""
        for i, (start, end) in enumerate(pairwise(ends)):
            if i and self.random.random() < 0.3:
                wire += self._control()
            wire += self._frame(
                CONTINUATION if i else opcode,
                payload[start:end],
                fin=end == len(payload) and i == len(ends) - 2,
                rsv=4 if compressed and not i else 0,
            )
        return wire

    def _few(self) -> int:
        return self.random.choice([0, 0, 0, 1, 2, 3])

    def _control(self) -> bytes:
        return self._frame(self.random.choice([PING, PONG]), self.random.randbytes(5))

    def _close(self, code: int) -> bytes:
        return self._frame(CLOSE, code.to_bytes(2, "big") + self.random.choice(TEXTS[:4]).encode())

    def _fault(self) -> bytes:
        faults = [
            lambda: self._fragments(TEXT, self.random.choice(BAD_TEXTS)),
            lambda: self._close(self.random.choice(BAD_CODES)),
            lambda: self._frame(CLOSE, b"\x03"),
            lambda: self._frame(CLOSE, b"\x03\xe8\xff"),
            lambda: self._frame(self.random.choice([3, 7, 11, 15])),
            lambda: self._frame(TEXT, b"a", rsv=self.random.choice([1, 2, 3, 5, 6, 7])),
            lambda: self._frame(PING, rsv=4),
            lambda: self._frame(CONTINUATION, b"a"),
            lambda: self._frame(TEXT, b"a", fin=False) + self._frame(TEXT, b"b"),
            lambda: self._frame(PING, bytes(126)),
            lambda: self._frame(PONG, fin=False),
            lambda: self._frame(BINARY, b"a", width=self.random.choice([2, 8])),
            lambda: self._frame(BINARY, length=2**63),
            lambda: frame(BINARY, b"a", key=None),
        ]
        return self.random.choice(faults)()
