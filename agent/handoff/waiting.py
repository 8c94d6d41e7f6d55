"""The queue: `step(state, event, now_ms, settings)` gives the next state and what is to be done. Pure.

Callers are served in the order of `agent.handoff.line.in_order`, each by the fittest person who is free
(`agent.handoff.people.fittest`); one person is asked at a time, and anybody may take a waiting call unasked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from agent.handoff.contracts import HandoffRequest
from agent.handoff.happening import (
    Accept,
    Announce,
    Bridged,
    CallerLeft,
    ChoseCallback,
    Command,
    Decline,
    Doors,
    Ending,
    Engaged,
    Enter,
    Event,
    HumanLost,
    Hush,
    Moved,
    OffDuty,
    OnDuty,
    Over,
    Ring,
    Settled,
    Taken,
    Tick,
    WrappedUp,
)
from agent.handoff.line import Case, QueueSettings, QueueState, able, in_order, new_case, places
from agent.handoff.machine import HandoffState
from agent.handoff.people import NoCapacity, Person, TooLate, UnknownHandoff, fittest, person

MOST_OVER = 500
"""Handoffs remembered that are over, so that who is late is told by whom; oldest go first."""

_S = HandoffState


def step(
    state: QueueState, event: Event, now_ms: float, settings: QueueSettings
) -> tuple[QueueState, tuple[Command, ...]]:
    """What `event` leads to.

    Raises:
        QueueError: the event is refused, and nothing changes: `UnknownHandoff`, `TooLate`, `NoCapacity`.
        ValueError: somebody comes on duty with values that cannot be.
    """
    queue = _Queue(state, now_ms, settings)
    queue.take(event)
    queue.advance()
    return queue.result()


def next_at(state: QueueState, settings: QueueSettings) -> float | None:
    """When the next `Tick` is due at the latest, in ms; None where nothing will happen by itself."""
    times: list[float] = []
    for case in state.cases.values():
        if case.waits:
            times.append(case.entered_ms + settings.most_wait_s * 1000.0)
            times.append(_words_at(case, settings))
            if case.state is _S.RINGING:
                times.append(case.ring_ends_ms)
            elif not able(state, case):
                times.append(case.patience_ms)
        elif case.state in (_S.ENDED, _S.HANDED_BACK):
            times.append(case.until_ms)
    return min(times, default=None)


def _words_at(case: Case, settings: QueueSettings) -> float:
    if case.said_ms is None:
        return case.entered_ms + settings.first_words_s * 1000.0
    return case.said_ms + settings.words_every_s * 1000.0


class _Queue:
    """One step: copies of what changes, and the commands so far."""

    def __init__(self, state: QueueState, now_ms: float, settings: QueueSettings) -> None:
        self._now = now_ms
        self._settings = settings
        self._state = state
        self._cases = dict(state.cases)
        self._people = dict(state.people)
        self._over = dict(state.over)
        self._commands: list[Command] = []

    def result(self) -> tuple[QueueState, tuple[Command, ...]]:
        """The next state and the commands."""
        return self._now_state(), tuple(self._commands)

    def take(self, event: Event) -> None:
        """The change that the event is."""
        match event:
            case Enter(request):
                self._enter(request)
            case OnDuty(who, skills, languages, capacity):
                self._on_duty(person(who, skills, languages, capacity, self._settings.languages, self._now))
            case OffDuty(who):
                self._off_duty(who)
            case Accept(who, handoff_id):
                self._accept(who, handoff_id)
            case Decline(who, handoff_id):
                self._decline(who, handoff_id)
            case CallerLeft(handoff_id):
                self._caller_left(handoff_id)
            case ChoseCallback(handoff_id):
                if (case := self._cases.get(handoff_id)) is not None and case.waits:
                    self._settle(case, "callback")
            case Bridged(handoff_id):
                if (case := self._cases.get(handoff_id)) is not None and case.state is _S.BRIEFING:
                    self._put(case, state=_S.BRIDGED)
            case Over(handoff_id, how):
                self._end(handoff_id, how)
            case HumanLost(who, handoff_id):
                self._human_lost(who, handoff_id)
            case WrappedUp(who, handoff_id):
                self._wrapped_up(who, handoff_id)
            case Engaged(who, call_id, on):
                self._engaged(who, call_id, on)
            case Doors(open_, opens_at):
                self._state = replace(self._state, open=open_, opens_at=opens_at)
            case Tick():
                pass

    def advance(self) -> None:
        """What the time and free people lead to: rings end, callers are served in order, told, and sent on."""
        for case in list(self._cases.values()):
            if case.state is _S.RINGING and self._now >= case.ring_ends_ms:
                self._rung_out(case)
            elif case.state in (_S.ENDED, _S.HANDED_BACK) and (case.wrapped or self._now >= case.until_ms):
                self._forget(case)
        served: dict[Any, bool] = {}
        for case in in_order(self._now_state(), self._settings):
            kind = (case.skill, case.language, case.declined)
            if kind not in served:
                served[kind] = bool(able(self._now_state(), case))
            if self._now >= case.entered_ms + self._settings.most_wait_s * 1000.0:
                self._settle(case, "timed_out")
            elif not served[kind] and self._now >= case.patience_ms:
                self._settle(case, self._why_nobody(case))
            elif case.state is _S.QUEUED and any(one.free for one in self._people.values()):
                self._ring(case)
        self._speak()

    def _why_nobody(self, case: Case) -> Ending:
        if any(who in self._people and self._people[who].on_duty for who in case.declined):
            return "declined"
        return "nobody" if self._state.open else "closed"

    def _enter(self, request: HandoffRequest) -> None:
        if request.handoff_id in self._cases:
            return
        case = new_case(request, self._now, self._settings)
        self._cases[case.handoff_id] = case
        if not self._state.open:
            self._settle(case, "closed")
        elif sum(one.waits for one in self._cases.values()) > self._settings.most_waiting:
            self._settle(case, "full")

    def _on_duty(self, new: Person) -> None:
        known = self._people.get(new.who)
        if known is not None:
            since = known.since_ms if known.on_duty else self._now
            new = replace(new, busy=known.busy, turn=known.turn, since_ms=since)
        self._people[new.who] = new

    def _off_duty(self, who: str) -> None:
        known = self._people.get(who)
        if known is None:
            return
        for case in list(self._cases.values()):
            if case.state is _S.RINGING and case.rung == who:
                self._back(case, "went off duty")
        known = self._people[who]
        self._people[who] = replace(known, on_duty=False)
        self._drop_idle(who)

    def _accept(self, who: str, handoff_id: str) -> None:
        case = self._known(handoff_id)
        if not case.waits:
            if case.human == who:
                return
            raise TooLate(handoff_id, case.human or "")
        if who not in self._people:
            self._people[who] = replace(person(who, (), (), 1, self._settings.languages, self._now), on_duty=False)
        taker = self._people[who]
        if handoff_id not in taker.busy and len(taker.busy) >= taker.capacity:
            ringing = next((one for one in self._cases.values() if one.state is _S.RINGING and one.rung == who), None)
            if ringing is None:
                raise NoCapacity(who, taker.capacity)
            self._back(ringing, f"{who} took another call")
        if case.rung is not None and case.rung != who:
            self._free(case.rung, handoff_id)
            self._commands.append(Hush(handoff_id, case.rung))
        self._people[who] = replace(self._people[who], busy=self._people[who].busy | {handoff_id})
        self._put(case, state=_S.BRIEFING, human=who, rung=None, taken_ms=self._now, head=False)
        self._commands += [
            Moved(handoff_id, (_S.RINGING, _S.BRIEFING), who),
            Taken(handoff_id, who),
            Announce(handoff_id, "coming", {"human": who}),
        ]

    def _decline(self, who: str, handoff_id: str) -> None:
        case = self._known(handoff_id)
        if not case.waits:
            raise TooLate(handoff_id, case.human or "")
        case = self._put(case, declined=case.declined | {who})
        if case.rung != who:
            return
        if able(self._now_state(), case):
            self._back(case, f"{who} declined")
        else:
            self._free(who, handoff_id)
            self._settle(case, "declined")

    def _caller_left(self, handoff_id: str) -> None:
        case = self._cases.get(handoff_id)
        if case is None:
            return
        if case.waits:
            self._settle(case, "caller_left")
        elif case.state is _S.BRIEFING:
            self._moved(case, _S.CALLER_LEFT)
            self._forget(case)
        elif case.state is _S.BRIDGED:
            self._end(handoff_id, "ended")

    def _end(self, handoff_id: str, how: Literal["ended", "handed_back", "failed"]) -> None:
        case = self._cases.get(handoff_id)
        if case is None or case.state not in (_S.BRIEFING, _S.BRIDGED):
            return
        if how == "failed" or case.state is _S.BRIEFING:
            self._forget(case)
            return
        to = _S.HANDED_BACK if how == "handed_back" else _S.ENDED
        self._put(case, state=to, until_ms=self._now + self._settings.wrap_up_s * 1000.0)

    def _human_lost(self, who: str, handoff_id: str) -> None:
        case = self._known(handoff_id)
        if case.state not in (_S.BRIEFING, _S.BRIDGED) or case.human != who:
            return
        self._free(who, handoff_id)
        self._commands.append(Moved(handoff_id, (_S.HUMAN_DROPPED, _S.QUEUED), f"{who} was lost"))
        self._put(
            case,
            state=_S.QUEUED,
            human=None,
            head=True,
            missed=case.missed | {who},
            entered_ms=self._now,
            said_ms=None,
            patience_ms=self._now + self._settings.lost_s * 1000.0,
        )

    def _wrapped_up(self, who: str, handoff_id: str) -> None:
        case = self._cases.get(handoff_id)
        if case is not None and case.human == who:
            self._put(case, wrapped=True)

    def _engaged(self, who: str, call_id: str, on: bool) -> None:
        if not on:
            self._free(who, call_id)
            return
        if who not in self._people:
            self._people[who] = replace(person(who, (), (), 1, self._settings.languages, self._now), on_duty=False)
        self._people[who] = replace(self._people[who], busy=self._people[who].busy | {call_id})

    def _ring(self, case: Case) -> None:
        found = fittest(able(self._now_state(), case), case.skill, case.language, case.missed)
        if found is None:
            return
        turns = self._state.turns + 1
        self._state = replace(self._state, turns=turns)
        self._people[found.who] = replace(found, turn=turns, busy=found.busy | {case.handoff_id})
        ends = self._now + self._settings.ring_s * 1000.0
        self._put(case, state=_S.RINGING, rung=found.who, ring_ends_ms=ends)
        self._moved(case, _S.RINGING, found.who)
        self._commands.append(Ring(case.handoff_id, found.who))

    def _rung_out(self, case: Case) -> None:
        """Nobody answered; who did not comes last when somebody is asked again."""
        who = case.rung or ""
        self._back(self._put(case, missed=case.missed | {who}), f"{who} did not answer")

    def _back(self, case: Case, why: str) -> None:
        """From ringing back into the line."""
        if case.rung is not None:
            self._free(case.rung, case.handoff_id)
            self._commands.append(Hush(case.handoff_id, case.rung))
        self._put(case, state=_S.QUEUED, rung=None)
        self._moved(case, _S.QUEUED, why)

    def _settle(self, case: Case, why: Ending) -> None:
        """The caller waits no more."""
        if case.rung is not None:
            self._free(case.rung, case.handoff_id)
            self._commands.append(Hush(case.handoff_id, case.rung))
        if why not in ("callback", "caller_left"):
            values = {"reason": why, "opens_at": None if self._state.open else self._state.opens_at}
            self._commands.append(Announce(case.handoff_id, "nobody", values))
        self._commands.append(Settled(case.handoff_id, why))
        self._forget(case, counted=False)

    def _speak(self) -> None:
        """Position and wait at intervals, and a call-back where it takes long."""
        state, settings = self._now_state(), self._settings
        due = [case for case in state.cases.values() if case.waits and self._now >= _words_at(case, settings)]
        where = places(state, settings) if due else {}
        for case in due:
            place = where[case.handoff_id]
            values: dict[str, Any] = {"position": place.position, "wait_s": place.wait_s}
            long_s = max(place.wait_s or 0.0, (self._now - case.entered_ms) / 1000.0)
            asked = case.offered_ms is not None and self._now < case.offered_ms + settings.callback_every_s * 1000.0
            self._put(case, said_ms=self._now)
            if case.reachable and not asked and long_s >= settings.callback_wait_s:
                self._put(self._cases[case.handoff_id], offered_ms=self._now)
                values["key"] = settings.callback_key
                self._commands.append(Announce(case.handoff_id, "callback_offer", values))
            else:
                self._commands.append(Announce(case.handoff_id, "position", values))

    def _known(self, handoff_id: str) -> Case:
        case = self._cases.get(handoff_id)
        if case is None:
            if handoff_id in self._over:
                raise TooLate(handoff_id, self._over[handoff_id])
            raise UnknownHandoff(handoff_id)
        return case

    def _put(self, case: Case, **changes: Any) -> Case:
        changed = replace(case, **changes)
        self._cases[case.handoff_id] = changed
        return changed

    def _moved(self, case: Case, to: HandoffState, detail: str = "") -> None:
        self._commands.append(Moved(case.handoff_id, (to,), detail))

    def _forget(self, case: Case, counted: bool = True) -> None:
        """The case is over; a call that took place counts among the lengths."""
        self._cases.pop(case.handoff_id, None)
        self._over[case.handoff_id] = case.human or ""
        while len(self._over) > MOST_OVER:
            del self._over[next(iter(self._over))]
        if case.human is not None:
            self._free(case.human, case.handoff_id)
            if counted and case.state in (_S.ENDED, _S.HANDED_BACK):
                lengths = (*self._state.lengths_ms, self._now - case.taken_ms)[-self._settings.recent :]
                self._state = replace(self._state, lengths_ms=lengths)

    def _free(self, who: str, what: str) -> None:
        known = self._people.get(who)
        if known is not None:
            self._people[who] = replace(known, busy=known.busy - {what})
            self._drop_idle(who)

    def _drop_idle(self, who: str) -> None:
        """Who is off duty and has no call is no longer of interest."""
        known = self._people[who]
        if not known.on_duty and not known.busy:
            del self._people[who]

    def _now_state(self) -> QueueState:
        return replace(self._state, cases=self._cases, people=self._people, over=self._over)


__all__ = ["Announce", "QueueSettings", "QueueState", "TooLate", "next_at", "step"]
