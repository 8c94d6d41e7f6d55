"""Numbers of the turns of one call."""

from __future__ import annotations


class TurnNumbers:
    """Counts the turns of the caller that the agent answers, and what is said beside them."""

    def __init__(self) -> None:
        self.now = 0
        """The turn that is being answered, or was answered last; 0 is the greeting."""
        self._aside = 0

    def advance(self) -> int:
        """Begin the next turn; returns its number."""
        self.now += 1
        return self.now

    def back_to(self, number: int) -> None:
        """What came after turn `number` was none."""
        self.now = number

    def aside(self, alone: bool) -> int:
        """The number of the next turn that the agent does not answer. alone: it answers none at present."""
        if alone:
            self.now = self._aside = max(self.now, self._aside) + 1
        else:
            self._aside = max(self._aside + 1, self.now)
        return self._aside
