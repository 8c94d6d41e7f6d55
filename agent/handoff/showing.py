"""The queue as pages see it: JSON-ready. Pure; the texts come in redacted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from agent.handoff.briefing import Briefing
from agent.handoff.contracts import HandoffRequest
from agent.handoff.happening import Ending
from agent.handoff.line import Case, Place, QueueState
from agent.handoff.machine import HandoffState
from agent.handoff.people import Person

WAIT_STEP_S = 5.0
"""Estimated waits are told in such steps, so that pages are not told of every second."""

_S = HandoffState
_LEFT: Mapping[str, HandoffState] = {
    "timed_out": _S.TIMED_OUT,
    "declined": _S.DECLINED,
    "callback": _S.CALLBACK,
    "caller_left": _S.CALLER_LEFT,
}


def shown(
    case: Case, request: HandoffRequest, briefing: Briefing, place: Place | None, now_ms: float
) -> dict[str, Any]:
    """A handoff in the queue, or with a person.

    wait_s: how long the caller has waited; expected_s: how long he still may, where somebody is there. summary: the
    briefing, {text, turns} a sentence; paragraph: the summary of the call. rings, human: who is asked, who has it.
    caller is whole, since somebody may have to call back.
    """
    expected = None if place is None or place.wait_s is None else math.ceil(place.wait_s / WAIT_STEP_S) * WAIT_STEP_S
    return {
        "id": case.handoff_id,
        "call": case.call_id,
        "state": case.state.value,
        "position": None if place is None else place.position,
        "wait_s": round((now_ms - case.entered_ms) / 1000.0, 1),
        "expected_s": expected,
        "reason": request.reason,
        "rule": request.rule,
        "priority": round(case.points, 1),
        "skill": case.skill,
        "language": case.language,
        "intent": request.intent,
        "summary": briefing.rows() or request.summary,
        "paragraph": request.summary,
        "caller": request.caller,
        "rings": case.rung,
        "human": case.human,
    }


def shown_last(request: HandoffRequest, told: Mapping[str, Any] | None, why: Ending | None) -> dict[str, Any]:
    """A handoff that has left the queue, as it was `told` of before. why: None after a person had it."""
    fresh = {"id": request.handoff_id, "call": request.call_id, "reason": request.reason, "caller": request.caller}
    before = dict(told or fresh)
    state = _S.ENDED if why is None else _LEFT.get(why, _S.UNAVAILABLE)
    return before | {"state": state.value, "position": None, "expected_s": None, "rings": None}


def _doing(one: Person, state: QueueState) -> str:
    """What keeps somebody from the next call, if anything does."""
    if not one.busy:
        return "free" if one.on_duty else "off"
    cases = [state.cases.get(what) for what in one.busy]
    if any(case is not None and case.state is _S.RINGING for case in cases):
        return "ringing"
    over = [case is not None and case.state in (_S.ENDED, _S.HANDED_BACK) for case in cases]
    return "wrap_up" if all(over) else "busy"


def shown_people(state: QueueState) -> list[dict[str, Any]]:
    """People on duty or with a call, by name; state: off, free, ringing, wrap_up, busy."""
    return [
        {
            "who": one.who,
            "on": one.on_duty,
            "state": _doing(one, state),
            "skills": sorted(one.skills),
            "languages": sorted(one.languages),
            "capacity": one.capacity,
            "busy": sorted(one.busy),
        }
        for one in sorted(state.people.values(), key=lambda one: one.who)
    ]
