"""How a worker shares the listeners' connections with its siblings."""

from __future__ import annotations

from zonda.server.process.board import ACCEPTED, ACCEPTING, CONNECTIONS, WORDS, Board
from zonda.server.reactor.interface import Admission

__all__ = ["Share"]

_SLACK = 1
"""Connections that a worker may have more than the one with the fewest …"""

_SLACK_PART = 8
"""… and one more for each so many of those."""

_BATCH = 64


class Share(Admission):
    """A worker's share of the connections: not many more than the sibling with the fewest has.

    All workers accept from the same sockets. Left alone, whoever wakes first takes most: so a
    worker that is ahead leaves a connection to the others for a moment (`COURTESY`). If those with
    fewer have taken none meanwhile it takes one itself, and one more each time that they leave it
    again: if they are stuck it soon takes all there is.
    """

    def __init__(self, board: Board, number: int) -> None:
        self._words = board.words
        self._own = number * WORDS
        self._cell = board.cell(number)
        self._overdue = 1
        self._taken = 0  # what they had accepted when one was left to them

    def begin(self) -> None:
        """This worker accepts from now on."""
        self._cell.accepting = True

    def end(self) -> None:
        """This worker accepts no more."""
        self._cell.accepting = False

    def accepted(self, connections: int) -> None:
        """One more has been accepted, and so many connections are open."""
        self._words[self._own + ACCEPTED] += 1
        self._words[self._own + CONNECTIONS] = connections

    def lost(self, connections: int) -> None:
        """One has ended, and so many connections are open."""
        self._words[self._own + CONNECTIONS] = connections

    def allowed(self) -> int:
        """How many connections to accept now."""
        room = self._room()
        if room <= 0:
            self._taken = self._taken_behind()
        return room

    def overdue(self) -> int:
        """How many of those to accept that the others have left."""
        room, taken = self._room(), self._taken_behind()
        if taken != self._taken:
            self._overdue = 1  # they are at it
            return max(0, room)
        return max(self._overdue, room)

    def took_overdue(self, count: int) -> None:
        """So many of them were still there."""
        self._overdue = min(self._overdue + 1, _BATCH) if count >= self._overdue else 1

    def is_last(self) -> bool:
        """Whether no sibling accepts."""
        return not self._siblings()

    def _room(self) -> int:
        siblings = self._siblings()
        if not siblings:
            return _BATCH
        least = min(self._words[start + CONNECTIONS] for start in siblings)
        room = least + least // _SLACK_PART + _SLACK - self._words[self._own + CONNECTIONS]
        return min(room, _BATCH)

    def _taken_behind(self) -> int:
        """How many connections those have accepted, ever, who have fewer open than this worker."""
        words = self._words
        mine = words[self._own + CONNECTIONS]
        return sum(
            words[start + ACCEPTED]
            for start in self._siblings()
            if words[start + CONNECTIONS] < mine
        )

    def _siblings(self) -> list[int]:
        """Where the cells are of the siblings that accept."""
        words = self._words
        return [
            start
            for start in range(WORDS, (words[0] + 1) * WORDS, WORDS)
            if words[start + ACCEPTING] and start != self._own
        ]
