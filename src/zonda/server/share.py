"""How a worker shares the listeners' connections with its siblings."""

from __future__ import annotations

from zonda.server.board import ACCEPTING, CONNECTIONS, WORDS, Board
from zonda.server.reactor.interface import Admission

__all__ = ["Share"]

_SLACK = 4
"""Connections that a worker may have more than the one with the fewest …"""

_SLACK_PART = 8
"""… and one more for each so many of those."""

_BATCH = 64


class Share(Admission):
    """A worker's share of the connections: not many more than the sibling with the fewest has.

    All workers accept from the same sockets. Left alone, whoever wakes first takes most: so a
    worker that is ahead leaves a connection to the others for a moment (`COURTESY`). What is still
    there then it takes, at first one, twice as many each time that they leave it again: if the
    others are stuck it soon takes all there is.
    """

    def __init__(self, board: Board, number: int) -> None:
        self._words = board.words
        self._own = number * WORDS
        self._cell = board.cell(number)
        self._overdue = 1

    def begin(self) -> None:
        """This worker accepts from now on."""
        self._cell.accepting = True

    def end(self) -> None:
        """This worker accepts no more."""
        self._cell.accepting = False

    def count(self, connections: int) -> None:
        """So many connections are open."""
        self._words[self._own + CONNECTIONS] = connections

    def allowed(self) -> int:
        """How many connections to accept now."""
        least = self._fewest()
        if least is None:
            return _BATCH
        room = least + least // _SLACK_PART + _SLACK - self._words[self._own + CONNECTIONS]
        return min(room, _BATCH)

    def overdue(self) -> int:
        """How many of those to accept that the others have left."""
        return max(self.allowed(), self._overdue)

    def took_overdue(self, count: int) -> None:
        """So many of them were still there."""
        self._overdue = min(2 * self._overdue, _BATCH) if count >= self._overdue else 1

    def is_last(self) -> bool:
        """Whether no sibling accepts."""
        return self._fewest() is None

    def _fewest(self) -> int | None:
        """The fewest connections that a sibling has; None if none accepts."""
        words = self._words
        least = None
        for start in range(WORDS, (words[0] + 1) * WORDS, WORDS):
            if words[start + ACCEPTING] and start != self._own:
                count = words[start + CONNECTIONS]
                if least is None or count < least:
                    least = count
        return least
