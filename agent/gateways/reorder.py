"""Putting pieces that overtook each other back in order."""

from __future__ import annotations

from typing import Generic, TypeVar

Piece = TypeVar("Piece")

RESTART = 50
"""Pieces in a row that are all too late: the other side counts anew, and so do we."""


class Reorder(Generic[Piece]):
    """Gives numbered pieces out in order. A missing one is waited for until `window` later ones have come.

    late: how many came after their turn had passed, and were dropped.
    """

    def __init__(self, window: int) -> None:
        self.late = 0
        self._window = window
        self._next: int | None = None
        self._waiting: dict[int, Piece] = {}
        self._late_run = 0

    def put(self, number: int, piece: Piece) -> list[Piece]:
        """Take one piece; returns those whose turn it is now."""
        if self._next is None:
            self._next = number
        if number < self._next:
            self.late += 1
            self._late_run += 1
            if self._late_run < RESTART:
                return []
            self._next = number
        self._late_run = 0
        self._waiting.setdefault(number, piece)
        given = self._ready()
        while len(self._waiting) > self._window:
            self._next = min(self._waiting)
            given += self._ready()
        return given

    def rest(self) -> list[Piece]:
        """All that still waits, in order; nothing more will come before it."""
        given = [self._waiting[number] for number in sorted(self._waiting)]
        self._waiting.clear()
        return given

    def _ready(self) -> list[Piece]:
        given = []
        while self._next is not None and self._next in self._waiting:
            given.append(self._waiting.pop(self._next))
            self._next += 1
        return given
