"""What a connection may not do for long: flood us with messages, or stay silent. Pure; times in ms of the clock."""

from __future__ import annotations


class MessageBudget:
    """How much may come: so many messages and bytes a second on average, as much at once after a second without any."""

    def __init__(self, messages_per_s: float, bytes_per_s: float, now_ms: float) -> None:
        self._messages_per_s, self._bytes_per_s = messages_per_s, bytes_per_s
        self._messages, self._bytes = messages_per_s, bytes_per_s
        self._filled_ms = now_ms

    def take(self, size: int, now_ms: float) -> str | None:
        """Take one more message of `size` bytes; None where it is within the budget, else which limit it passed."""
        passed_s, self._filled_ms = (now_ms - self._filled_ms) / 1000.0, now_ms
        self._messages = min(self._messages_per_s, self._messages + passed_s * self._messages_per_s) - 1.0
        self._bytes = min(self._bytes_per_s, self._bytes + passed_s * self._bytes_per_s) - size
        if self._messages < 0:
            return f"{self._messages_per_s:.0f} messages"
        return f"{self._bytes_per_s:.0f} bytes" if self._bytes < 0 else None


class MediaWatch:
    """When audio is overdue."""

    def __init__(self, first_s: float, gap_s: float, now_ms: float) -> None:
        """first_s: patience until the first audio, gap_s: between any two pieces."""
        self._first_ms, self._gap_ms = first_s * 1000.0, gap_s * 1000.0
        self._since_ms = now_ms
        self._any = False
        self._paused = False
        self.expected = True
        """Whether audio is to come at all."""

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
        if self._paused or not self.expected:
            return None
        return self._since_ms + (self._gap_ms if self._any else self._first_ms)

    def silent_s(self, now_ms: float) -> float:
        """Seconds since audio came, or could have begun to."""
        return (now_ms - self._since_ms) / 1000.0
