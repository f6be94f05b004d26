"""The two files of a WSGI request: its body, to be read, and a wrapper for files to be sent."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from zonda.server.reactor.interface import FileSegment

if TYPE_CHECKING:
    from zonda.server.wsgi import WSGIExchange

__all__ = ["FileWrapper", "Input"]

_BLOCK_SIZE = 65_536
_BUFFERED = (io.BufferedReader, io.BufferedRandom)


class Input:
    """``wsgi.input``: the request's body, read as it arrives. It ends where the body does.

    What reads waits for the client where it has to, and raises an ``OSError`` when the client
    leaves before its body is complete: a truncated upload never passes for a whole one. Beyond
    what PEP 3333 asks for it has what ``io.BufferedReader`` and ``io.TextIOWrapper`` want.
    """

    closed = False

    def __init__(self, exchange: WSGIExchange) -> None:
        self._exchange = exchange
        self._buffer = b""
        self._at = 0
        self._ended = False

    def read(self, size: int | None = -1) -> bytes:
        """``size`` bytes, or fewer at the end of the body; without a size all that is left."""
        at = self._at
        if size is not None and 0 <= size <= len(self._buffer) - at:
            self._at = at + size
            return self._buffer[at : self._at]
        parts: list[bytes] = []
        left = -1 if size is None or size < 0 else size
        while left and (self._at < len(self._buffer) or self._fill()):
            part = self._buffered(left)
            parts.append(part)
            if left > 0:
                left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read1(self, size: int | None = -1) -> bytes:
        """What there is, waiting only if there is nothing; ``size`` bytes at most."""
        if size == 0 or (self._at >= len(self._buffer) and not self._fill()):
            return b""
        return self._buffered(-1 if size is None else size)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """As ``read1``, into ``buffer``."""
        view = memoryview(buffer).cast("B")
        data = self.read1(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1) -> bytes:
        """Up to the next line feed, the end of the body, or ``size`` bytes."""
        parts: list[bytes] = []
        left = -1 if size is None or size < 0 else size
        while left and (self._at < len(self._buffer) or self._fill()):
            end = self._buffer.find(b"\n", self._at) + 1
            length = (end or len(self._buffer)) - self._at
            part = self._buffered(length if left < 0 else min(left, length))
            parts.append(part)
            if left > 0:
                left -= len(part)
            if part.endswith(b"\n"):
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """The lines that are left, or those that make up ``hint`` bytes."""
        lines: list[bytes] = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def readable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """No."""
        return False

    def seekable(self) -> bool:
        """No."""
        return False

    def flush(self) -> None:
        """Do nothing, as for any file that is only read."""

    def close(self) -> None:
        """Do nothing: the body is the server's to end (PEP 3333)."""

    def _buffered(self, size: int) -> bytes:
        """``size`` bytes of what is in the buffer, or all of it."""
        at = self._at
        if size < 0 or at + size >= len(self._buffer):
            part = self._buffer[at:] if at else self._buffer
            self._buffer = b""
            self._at = 0
            return part
        self._at = at + size
        return self._buffer[at : self._at]

    def _fill(self) -> bool:
        """Wait for more, the buffer being used up. False at the end of the body."""
        if not self._ended:
            self._buffer = self._exchange.take_body()
            self._at = 0
            self._ended = not self._buffer
        return not self._ended


class FileWrapper:
    """``wsgi.file_wrapper``: what an application returns to have a file sent (PEP 3333).

    A regular file that was opened for bytes is sent from where it stands, without being read here;
    anything else that has ``read`` is read in blocks.
    """

    close: Callable[[], object]

    def __init__(self, filelike: Any, block_size: int = _BLOCK_SIZE) -> None:  # noqa: ANN401
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.block_size)
        if not data:
            raise StopIteration
        return data

    def segment(self) -> FileSegment | None:
        """The rest of the file, for the reactor to send; None if it has to be read."""
        file: Any = self.filelike
        if not isinstance(self.filelike, io.IOBase):
            file = getattr(self.filelike, "file", None)  # as tempfile's wrappers have it
        # By type, since others have a descriptor as well, and other bytes than those in it: gzip's.
        raw: object = file.raw if type(file) in _BUFFERED else file
        if not isinstance(raw, io.FileIO):
            return None
        try:
            at = file.tell()
            number = os.dup(raw.fileno())
        except (OSError, ValueError):
            return None
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode) or status.st_size <= at:
            os.close(number)
            return None
        return FileSegment(number, at, status.st_size - at)
