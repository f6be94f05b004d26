"""The board: a few counters of each worker, in memory that the supervisor and all workers share.

Every worker has a cell of its own and is the only one to write there. Reading others' cells costs
no system call, so a worker can look at each connection it accepts whether a sibling has fewer; and
the supervisor sees whether a worker's event loop still turns without being sent anything.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from typing import Self

__all__ = ["ACCEPTED", "ACCEPTING", "BOARD_CELLS", "CONNECTIONS", "WORDS", "Board", "Cell"]

BOARD_CELLS = 2048
"""Cells of a board: workers that live at once, those that are leaving included."""

WORDS = 8
"""Words of 8 bytes in a cell: one cache line, so that writers do not disturb each other."""

ACCEPTING, CONNECTIONS, ACCEPTED, _BEAT = range(4)  # the words of a cell that are in use


class Board:
    """Shared cells. The first word of the memory says how many of them may be in use."""

    def __init__(self, descriptor: int) -> None:
        self.fd = descriptor
        self._map = mmap.mmap(descriptor, (BOARD_CELLS + 1) * WORDS * 8)
        self.words = memoryview(self._map).cast("q")
        self._free = list(range(BOARD_CELLS, 0, -1))

    @classmethod
    def make(cls) -> Self:
        """A new board, on a file without a name."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("zonda-board")
        else:
            descriptor, path = tempfile.mkstemp(prefix="zonda-board-")
            os.unlink(path)  # noqa: PTH108 (a name and no path)
        os.truncate(descriptor, (BOARD_CELLS + 1) * WORDS * 8)
        return cls(descriptor)

    def take(self, number: int | None = None) -> int:
        """The number of an unused cell, or `number` itself, which then counts as used."""
        if number is None:
            number = self._free.pop()
        else:
            self._free.remove(number)
        self.words[0] = max(self.words[0], number)
        return number

    def give_back(self, number: int) -> None:
        """The worker of this cell is no more."""
        start = number * WORDS
        for word in range(start, start + WORDS):
            self.words[word] = 0
        self._free.append(number)
        self._free.sort(reverse=True)  # the lowest first, so that few have to be looked at
        used = set(range(1, BOARD_CELLS + 1)).difference(self._free)
        self.words[0] = max(used, default=0)

    def cell(self, number: int) -> Cell:
        """The cell, to read or write."""
        return Cell(self.words, number)

    def close(self) -> None:
        """Let go of the memory."""
        self.words.release()
        self._map.close()
        os.close(self.fd)


class Cell:
    """What one worker tells the others."""

    def __init__(self, words: memoryview[int], number: int) -> None:
        self._words = words
        self.number = number
        self._start = number * WORDS

    @property
    def accepting(self) -> bool:
        """Whether its worker accepts connections."""
        return self._words[self._start + ACCEPTING] != 0

    @accepting.setter
    def accepting(self, yes: bool) -> None:
        self._words[self._start + ACCEPTING] = int(yes)

    @property
    def connections(self) -> int:
        """The open connections of its worker."""
        return self._words[self._start + CONNECTIONS]

    @connections.setter
    def connections(self, count: int) -> None:
        self._words[self._start + CONNECTIONS] = count

    def beat(self) -> None:
        """The worker's event loop has turned, now."""
        self._words[self._start + _BEAT] = time.monotonic_ns()

    def seconds_since_beat(self) -> float | None:
        """How long ago that was; None if it never has."""
        beat = self._words[self._start + _BEAT]
        return (time.monotonic_ns() - beat) / 1e9 if beat else None
