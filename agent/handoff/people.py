"""The people who take calls: who is on duty, who can take which call, and whose turn it is. Pure.

QueueError
├── UnknownHandoff  no such handoff waits
├── TooLate         somebody else has it, or the caller is gone
└── NoCapacity      he has as many calls as he takes
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST_CAPACITY = 20
"""Calls at a time; written ones at that, nobody speaks with two callers."""
MOST_NAMED = 50
"""Skills and languages of one person."""


class QueueError(Exception):
    """The queue does not allow it; `code` is for programs, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnknownHandoff(QueueError):
    """No such handoff waits, or has waited lately."""

    def __init__(self, handoff_id: str) -> None:
        super().__init__("unknown_handoff", f"there is no handoff {handoff_id!r} in the queue")


class TooLate(QueueError):
    """Somebody was faster. `by` is who; empty where the caller is gone or nobody is needed any more."""

    def __init__(self, handoff_id: str, by: str) -> None:
        why = f"{by} has taken it" if by else "nobody is needed any more"
        super().__init__("too_late", f"handoff {handoff_id!r} is no longer in the queue: {why}")
        self.by = by


class NoCapacity(QueueError):
    """He has as many calls as he takes at a time."""

    def __init__(self, who: str, capacity: int) -> None:
        super().__init__("no_capacity", f"{who} has {capacity} of {capacity} calls; finish or wrap one up first")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at our console.

    skills: none means any call. languages: as `base` gives them. busy: what he has now: handoffs from ringing until
    wrapped up, and calls taken over outside the queue. turn: when he was last asked, as a count; the lowest has waited
    longest. since_ms: on duty since.
    """

    who: str
    skills: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    capacity: int = 1
    on_duty: bool = True
    busy: frozenset[str] = frozenset()
    turn: int = 0
    since_ms: float = 0.0

    @property
    def free(self) -> int:
        """How many calls more he takes."""
        return max(0, self.capacity - len(self.busy)) if self.on_duty else 0

    def fits(self, skill: str | None, language: str) -> bool:
        """Whether he can take such a call at all; `language` as `base` gives it, "" for none in particular."""
        speaks = not self.languages or not language or language in self.languages
        return speaks and (skill is None or not self.skills or skill in self.skills)


def base(language: str) -> str:
    """The language of a tag: "en" of "en-GB"."""
    return language.replace("_", "-").split("-")[0].lower()


def person(
    who: str, skills: Iterable[str], languages: Iterable[str], capacity: int, houses: Iterable[str], now_ms: float
) -> Person:
    """Somebody who comes on duty; who names no language speaks `houses`.

    Raises:
        ValueError: naming the field, the value and what it must be.
    """
    if not who or len(who) > 128:
        raise ValueError(f"who is {who[:40]!r}; it must have 1 to 128 characters")
    if isinstance(capacity, bool) or not isinstance(capacity, int) or not 1 <= capacity <= MOST_CAPACITY:
        raise ValueError(f"capacity is {capacity!r}; it must be a whole number from 1 to {MOST_CAPACITY}")
    able = _names("skills", skills)
    speaks = frozenset(base(one) for one in _names("languages", languages)) or frozenset(map(base, houses))
    return Person(who, able, speaks, capacity, since_ms=now_ms)


def _names(field: str, given: Iterable[str]) -> frozenset[str]:
    listed = [given] if isinstance(given, str) else list(given)
    if len(listed) > MOST_NAMED or not all(isinstance(one, str) and 0 < len(one) <= 64 for one in listed):
        raise ValueError(f"{field} must be at most {MOST_NAMED} names of 1 to 64 characters")
    return frozenset(listed)


def fittest(
    people: Iterable[Person], skill: str | None, language: str, last: frozenset[str] = frozenset()
) -> Person | None:
    """Who is asked next: free, and able to take the call; then the best by, in this order: not in `last` (who let it
    ring already), having the very skill, the least share of his capacity in use, the longest not asked (round robin).
    """
    able = [one for one in people if one.free and one.fits(skill, language)]

    def rank(one: Person) -> tuple[bool, bool, float, int, str]:
        exact = skill is not None and skill in one.skills
        return (one.who in last, not exact, len(one.busy) / one.capacity, one.turn, one.who)

    return min(able, key=rank, default=None)
