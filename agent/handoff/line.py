"""The line of waiting callers: what is known of each, in which order they are served, and how long it takes. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.handoff.contracts import HandoffRequest
from agent.handoff.hours import WorkingHours
from agent.handoff.machine import HandoffState
from agent.handoff.people import Person, base

LATEST_ANGER = 3
"""Caller turns whose anger counts; what was long ago does not."""


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """How our own people are asked. Times in seconds, points are of priority: 10 come before 9.

    Raises:
        ValueError: a value is out of range.
    """

    ring_s: float = 20.0
    """One person is asked this long before the next is."""
    most_wait_s: float = 600.0
    """After this, callers are told that nobody can come; the webhook or `transfer_to` is tried, else the call-back."""
    most_waiting: int = 100
    """Callers in the queue; the next one is told at once that nobody can come."""
    first_words_s: float = 8.0
    """Silence before the first announcement; who is put through within this hears none."""
    words_every_s: float = 45.0
    """Between announcements of position and wait."""
    callback_wait_s: float = 120.0
    """An estimated wait, or a wait so far, from which a call-back is offered."""
    callback_every_s: float = 180.0
    """Between offers of a call-back to one caller."""
    callback_key: str = "1"
    """The key that takes the offer."""
    hold: Literal["music", "silence"] = "music"
    """What waiting callers hear between the words."""
    wrap_up_s: float = 60.0
    """After a call a person gets no other until wrapped up, or for this long."""
    lost_s: float = 20.0
    """A caller whose person was lost waits this long for one to come on duty, though nobody is there."""
    handling_s: float = 240.0
    """Length of a call, of which nothing is known yet."""
    recent: int = 50
    """Calls of which the mean length is taken."""
    anger_points: float = 3.0
    """For a caller whose latest turns were as angry as can be; in proportion for less."""
    age_points: float = 1.0
    """For each minute waited, so that nobody waits for ever."""
    value_points: Mapping[str, float] = field(default_factory=dict)
    """More, by intent: fraud: 5."""
    skills: Mapping[str, str] = field(default_factory=dict)
    """The skill that an intent needs: dispute_charge: cards. Others need none."""
    languages: tuple[str, ...] = ("en",)
    """What people speak who name no language."""
    hours: WorkingHours | None = None
    """When people are there; None: whenever somebody is on duty."""

    def __post_init__(self) -> None:
        """Refuse values that would stall the queue."""
        for name, least in (("ring_s", 1.0), ("words_every_s", 5.0), ("handling_s", 1.0), ("callback_every_s", 10.0)):
            self._least(name, least)
        for name in ("most_wait_s", "first_words_s", "callback_wait_s", "wrap_up_s", "lost_s", "age_points"):
            self._least(name, 0.0)
        for name in ("most_waiting", "recent"):
            self._least(name, 1)
        if self.callback_key not in tuple("0123456789*#"):
            raise ValueError(f"callback_key is {self.callback_key!r}; it must be one key of a telephone")

    def _least(self, name: str, least: float) -> None:
        value = getattr(self, name)
        if not math.isfinite(value) or value < least:
            raise ValueError(f"{name} is {value}; it must be at least {least:g}")


@dataclass(frozen=True, slots=True)
class Case:
    """One caller who is to speak to a person.

    points: priority without the time waited. head: he had a person and lost him, and goes first. rung, ring_ends_ms:
    who is asked now, and until when. declined, missed: who said no, and who did not answer. human: who has it.
    patience_ms: until then he waits though nobody is there who could take it. said_ms, offered_ms: last announcement,
    last offer of a call-back. wrapped: noted how it went, perhaps before the end. until_ms: end of the wrap-up.
    """

    handoff_id: str
    call_id: str
    state: HandoffState
    skill: str | None
    language: str
    points: float
    entered_ms: float
    reachable: bool = False
    head: bool = False
    rung: str | None = None
    ring_ends_ms: float = 0.0
    declined: frozenset[str] = frozenset()
    missed: frozenset[str] = frozenset()
    human: str | None = None
    taken_ms: float = 0.0
    patience_ms: float = -math.inf
    said_ms: float | None = None
    offered_ms: float | None = None
    wrapped: bool = False
    until_ms: float = math.inf

    @property
    def waits(self) -> bool:
        """Whether nobody has it yet."""
        return self.state in (HandoffState.QUEUED, HandoffState.RINGING)


@dataclass(frozen=True, slots=True)
class QueueState:
    """Everything the queue knows. over: who had the latest handoffs that are no longer in it, "" for nobody."""

    cases: Mapping[str, Case] = field(default_factory=dict)
    people: Mapping[str, Person] = field(default_factory=dict)
    lengths_ms: tuple[float, ...] = ()
    open: bool = True
    opens_at: str | None = None
    turns: int = 0
    over: Mapping[str, str] = field(default_factory=dict)


def new_case(request: HandoffRequest, now_ms: float, settings: QueueSettings) -> Case:
    """A request as it joins the line."""
    intent = request.intent or ""
    return Case(
        request.handoff_id,
        request.call_id,
        HandoffState.QUEUED,
        settings.skills.get(intent),
        base(request.language),
        request.priority + settings.anger_points * anger(request.emotion) + settings.value_points.get(intent, 0.0),
        now_ms,
        reachable=bool(request.caller),
    )


def anger(emotion: Sequence[Mapping[str, Any]]) -> float:
    """How angry the caller was of late, in [0, 1]: the mean of the latest turns of which it is known."""
    known = [float(one["anger"]) for one in emotion if isinstance(one.get("anger"), int | float)]
    latest = [min(1.0, max(0.0, one)) for one in known[-LATEST_ANGER:]]
    return sum(latest) / len(latest) if latest else 0.0


def in_order(state: QueueState, settings: QueueSettings) -> list[Case]:
    """Who waits, first one first: who lost his person, then by points and minutes waited, then by arrival.

    All gain the same points a minute, so that two never swap: age counts as if it were points given at the start.
    """

    def rank(case: Case) -> tuple[bool, float, float]:
        aged = case.points - settings.age_points * case.entered_ms / 60_000.0
        return (not case.head, -aged, case.entered_ms)

    return sorted((case for case in state.cases.values() if case.waits), key=rank)


def able(state: QueueState, case: Case) -> list[Person]:
    """People on duty who could take the call, busy or not, and have not declined it."""
    return [
        one
        for one in state.people.values()
        if one.on_duty and one.who not in case.declined and one.fits(case.skill, case.language)
    ]


def handling_ms(state: QueueState, settings: QueueSettings) -> float:
    """The mean length of recent calls, wrap-up included, with `handling_s` counting as five calls."""
    prior = 5
    return (prior * settings.handling_s * 1000.0 + sum(state.lengths_ms)) / (prior + len(state.lengths_ms))


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody stands: `position` from 1 among those whom the same people serve; no `wait_s`: nobody is there."""

    position: int
    wait_s: float | None


def places(state: QueueState, settings: QueueSettings) -> dict[str, Place]:
    """Every waiting caller's position p and estimated wait, in the order of the line:

        wait = max(0, p - f) * h / n

    for n calls that the people can have at once who could take this one, f of them free or ringing, and h the mean
    length of recent calls: with n busy lines, one comes free every h / n.
    """
    found: dict[str, Place] = {}
    ahead: Counter[frozenset[str]] = Counter()
    length_s = handling_ms(state, settings) / 1000.0
    ringing = {case.handoff_id for case in state.cases.values() if case.state is HandoffState.RINGING}
    known: dict[tuple[str | None, str, frozenset[str]], tuple[frozenset[str], int, int]] = {}
    for case in in_order(state, settings):
        kind = (case.skill, case.language, case.declined)
        if kind not in known:
            people = able(state, case)
            free = sum(one.free + len(one.busy & ringing) for one in people)
            known[kind] = (frozenset(one.who for one in people), sum(one.capacity for one in people), free)
        names, lines, free = known[kind]
        position = 1 + sum(count for others, count in ahead.items() if not names or others & names)
        wait = max(0, position - free) * length_s / lines if lines else None
        found[case.handoff_id] = Place(position, wait)
        ahead[names] += 1
    return found
