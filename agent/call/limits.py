"""What a connection may not do for long: flood us with messages, or stay silent. Pure; times in ms of the clock."""

from __future__ import annotations


class MessageBudget:
    """How many messages may come: `per_s` on average, as many at once after a second without any."""

    def __init__(self, per_s: float, now_ms: float) -> None:
        self.per_s = per_s
        self._left = per_s
        self._filled_ms = now_ms

    def take(self, now_ms: float) -> bool:
        """Whether one more message is within the budget."""
        self._left = min(self.per_s, self._left + (now_ms - self._filled_ms) / 1000.0 * self.per_s) - 1.0
        self._filled_ms = now_ms
        return self._left >= 0


class MediaWatch:
    """When audio is overdue."""

    def __init__(self, first_s: float, gap_s: float, now_ms: float) -> None:
        """first_s: patience until the first audio, gap_s: between any two pieces."""
        self._first_ms, self._gap_ms = first_s * 1000.0, gap_s * 1000.0
        self._since_ms = now_ms
        self._any = False
        self._paused = False

    def heard(self, now_ms: float) -> None:
        """Audio came."""
        self._since_ms = now_ms
        self._any = True

    def pause(self, on: bool, now_ms: float) -> None:
        """None is sent for a while (`on`), or again; patience then begins anew."""
        self._paused = on
        self._since_ms = now_ms

    @property
    def due_ms(self) -> float | None:
        """When the silence has lasted too long; None while none is expected."""
        return None if self._paused else self._since_ms + (self._gap_ms if self._any else self._first_ms)

    def silent_s(self, now_ms: float) -> float:
        """Seconds since audio came, or could have begun to."""
        return (now_ms - self._since_ms) / 1000.0
