"""One call drawn over time as SVG text: what the caller uttered, when the agent was heard, who held the floor."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import pairwise

from agent.lab.recorded import Reply
from agent.lab.scores import CallScore, TurnScore

_LEFT, _RIGHT = 52.0, 12.0
_PER_S = 14.0
"""Pixels of a second; a long call is scrolled."""
_LEAST_WIDTH = 560.0
_CALLER, _AGENT, _STATE, _AXIS, _HEIGHT = 16.0, 48.0, 80.0, 104.0, 124.0
_TALL, _STRIP = 24.0, 12.0
_TICK_S = 5
_NEAR_MS = 400.0
"""A reply is heard this soon after the record says that it sounds."""


def timeline(call: CallScore) -> str:
    """The call as an SVG element; hovering over a part tells its words and times."""
    seconds = max(
        1.0,
        call.outcome.duration_ms / 1000.0,
        *(turn.end_ms / 1000.0 for turn in call.turns),
        *(span.end_ms / 1000.0 for span in call.outcome.agent),
    )
    width = max(_LEAST_WIDTH, _LEFT + seconds * _PER_S + _RIGHT)
    scale = (width - _LEFT - _RIGHT) / (seconds * 1000.0)
    drawing = _Drawing(call, scale, seconds)
    body = "".join((*drawing.axis(), *drawing.states(), *drawing.agent(), *drawing.caller()))
    name = escape(f"Timeline of {call.outcome.scenario}", quote=True)
    return (
        f'<svg class="timeline" width="{width:.0f}" height="{_HEIGHT:.0f}" viewBox="0 0 {width:.0f} {_HEIGHT:.0f}" '
        f'role="img" aria-label="{name}">{body}</svg>'
    )


class _Drawing:
    def __init__(self, call: CallScore, scale: float, seconds: float) -> None:
        self._call = call
        self._scale = scale
        self._seconds = seconds

    def axis(self) -> Iterator[str]:
        for label, y in (("caller", _CALLER), ("agent", _AGENT), ("state", _STATE - 6)):
            yield f'<text class="label" x="{_LEFT - 6}" y="{y + 16}" text-anchor="end">{label}</text>'
        for second in range(0, int(self._seconds) + 1, _TICK_S):
            x = self._x(second * 1000.0)
            yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_CALLER - 8}" y2="{_AXIS}"/>'
            yield f'<text x="{x:.1f}" y="{_AXIS + 14}" text-anchor="middle">{second} s</text>'

    def states(self) -> Iterator[str]:
        phases = self._call.recorded.phases
        for (at, phase), (end, _) in pairwise((*phases, (self._seconds * 1000.0, ""))):
            kind = "".join(letter for letter in phase if letter.isalpha())
            yield self._box(f"state {kind}", at, end, _STATE, _STRIP, f"{phase}, {_span(at, end)}")

    def agent(self) -> Iterator[str]:
        replies = self._call.recorded.replies
        for span in self._call.outcome.agent:
            reply = next((r for r in reversed(replies) if r.started_ms - _NEAR_MS <= span.start_ms), None)
            words = _spoken(reply) if reply is not None else "the agent"
            title = f"{words}, {_span(span.start_ms, span.end_ms)}"
            yield self._box("agent", span.start_ms, span.end_ms, _AGENT, _TALL, title)
        for stop in self._call.recorded.stops:
            what = {"broken": "broken off", "resumed": "paused, then went on", "over": "paused"}[stop.outcome]
            yield self._mark(f"stop {stop.outcome}", stop.at_ms, _AGENT, f"agent {what}")

    def caller(self) -> Iterator[str]:
        for turn in self._call.turns:
            words = f"“{turn.text}”" if turn.text else turn.step
            title = f"{turn.kind.replace('_', '-')}: {words}, {_span(turn.start_ms, turn.end_ms)}{_detail(turn)}"
            yield self._box(f"caller {turn.kind}", turn.start_ms, turn.end_ms, _CALLER, _TALL, title)
            for start, end in turn.pauses:
                pause = f"pause of {end - start:.0f} ms inside {words}"
                yield self._box("pause", start, end, _CALLER + 3, _TALL - 6, pause)
            if turn.kind == "interruption":
                yield self._mark("interrupts", turn.start_ms, _CALLER, f"interrupts the agent: {words}")
            if fault := _fault(turn):
                x = self._x(turn.end_ms)
                yield f'<text class="fault" x="{x:.1f}" y="{_CALLER - 3}" text-anchor="end">{fault}</text>'

    def _box(self, kind: str, start: float, end: float, y: float, height: float, title: str) -> str:
        width = max(1.5, (end - start) * self._scale)
        return (
            f'<rect class="{kind}" x="{self._x(start):.1f}" y="{y}" width="{width:.1f}" height="{height}" rx="2">'
            f"<title>{escape(title)}</title></rect>"
        )

    def _mark(self, kind: str, at: float, y: float, title: str) -> str:
        x = self._x(at)
        return (
            f'<path class="mark {kind}" d="M{x:.1f},{y - 3}v{_TALL + 6}">'
            f"<title>{escape(title)}, {at / 1000:.2f} s</title></path>"
        )

    def _x(self, at_ms: float) -> float:
        return _LEFT + at_ms * self._scale


def _spoken(reply: Reply) -> str:
    return f"“{reply.heard}”" + (" -- broken off" if reply.interrupted else "")


def _span(start: float, end: float) -> str:
    return f"{start / 1000:.2f} to {end / 1000:.2f} s"


def _detail(turn: TurnScore) -> str:
    found = (
        ("first answer after {:.0f} ms", turn.first_ms),
        ("settled after {:.0f} ms", turn.settled_ms),
        ("agent silent after {:.0f} ms", turn.stop_ms),
    )
    details = [text.format(value) for text, value in found if value is not None]
    return "".join(f"; {detail}" for detail in [*details, *([f"understood “{turn.heard}”"] if turn.heard else [])])


def _fault(turn: TurnScore) -> str:
    """The worst that happened to the turn, in a word or two; empty where nothing did."""
    found = (
        ("cut off", turn.cut_off),
        ("unanswered", turn.answered == "no"),
        ("missed", turn.missed),
        ("broke off", turn.broke_off),
        ("restart", turn.restarted == "heard"),
        ("dead air", turn.dead_air_ms > 0),
    )
    return next((text for text, present in found if present), "")
