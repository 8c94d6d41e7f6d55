"""One call placed at a measured server, and what came of it at both ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.clock import Clock
from agent.lab.ear import Span
from agent.lab.line import CallerLine
from agent.lab.measuring.server import MeasuredServer
from agent.lab.measuring.word_errors import WordErrors, word_errors
from agent.lab.player import Played, Player
from agent.lab.scenario import Scenario
from agent.lab.spoken import Spoken
from agent.lab.steps import Step
from agent.lab.twilio_caller import TwilioCaller
from agent.lab.watching import Watch

LATE_MS = 600.0
"""A reply that stops this soon after the caller's line was stopped by it: voice is noticed after it began."""


@dataclass(frozen=True)
class PlacedCall:
    """A call as heard by the caller (`played`, `spans`) and as recorded by the server (`record`).

    `pauses`: lines that had a pause put inside, and its length in ms. `wrongs`: breaches of the carrier's protocol.
    """

    played: Played
    spans: Sequence[Span]
    record: Mapping[str, Any]
    pauses: Mapping[str, int] = field(default_factory=dict)
    wrongs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the caller's and its answer. Times in ms, at the caller's ear.

    answered_ms: from the last audible sample of the line to the first of the agent's; None where no answer came.
    cut_off: the agent began to speak before the line was over.
    """

    cue: str
    pause_ms: int
    answered_ms: float | None
    cut_off: bool


async def place_call(
    server: MeasuredServer,
    scenario: Scenario,
    sounds: Mapping[int, Spoken],
    clock: Clock,
    pauses: Mapping[str, int] | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> PlacedCall:
    """Play `scenario` over the Twilio protocol, hang up, and read the record. `sounds`: what each step says.

    Raises:
        LineError: the server refused the call. MeasureFailed: it kept no record.
    """
    script = scenario.script
    caller = TwilioCaller(script.caller, script.called)
    async with CallerLine(server.twilio, caller, clock, life_s=script.life_s) as line:
        played = await Player(scenario, sounds, line, Watch(), on_step).play()
        await line.hang_up()
        wrongs = list(line.wrongs)
        if line.ear.refused:
            wrongs.append(f"{line.ear.refused} samples were sent too far ahead")
        spans = tuple(line.ear.spans)
    return PlacedCall(played, spans, await server.closed_call(caller.call), pauses or {}, wrongs)


def lines_of(call: PlacedCall) -> list[Line]:
    """Every line the caller said, in order, and how it was answered.

    An answer belongs to a line only until the caller speaks again.
    """
    said = sorted(call.played.said.items(), key=lambda item: item[1].start_ms)
    found = []
    for n, (cue, times) in enumerate(said):
        following = said[n + 1][1].start_ms if n + 1 < len(said) else float("inf")
        starts = [span.start_ms for span in call.spans if times.start_ms < span.start_ms < following]
        after = next((start for start in starts if start >= times.end_ms), None)
        found.append(
            Line(
                cue,
                call.pauses.get(cue, 0),
                None if after is None else after - times.end_ms,
                any(start < times.end_ms for start in starts),
            )
        )
    return found


def answers_of(call: PlacedCall) -> Iterator[Mapping[str, float]]:
    """The latency parts of each answer the server timed."""
    for turn in call.record["turns"]:
        parts = turn.get("latency") or {}
        if turn["speaker"] == "agent" and "endpoint_wait" in parts and "total" in parts:
            yield parts


def breaks_of(call: PlacedCall) -> dict[str, int]:
    """How replies were broken, though this caller never meant to interrupt.

    restarts: replies taken back unheard, or begun while the caller only paused and broken off when the line went on.
    false_interruptions: replies broken off otherwise, before the caller spoke again. stalls: replies with a silence so
    long that the caller took them for finished. hiccups: replies that stopped and went on.
    """
    counters = call.record["call"].get("counters") or {}
    found = {
        "restarts": int(counters.get("retract", 0)),
        "false_interruptions": 0,
        "stalls": 0,
        "hiccups": int(counters.get("resume", 0)),
    }
    said = call.played.said.values()
    for turn in call.record["turns"]:
        if turn["speaker"] != "agent" or not turn["interrupted"]:
            continue
        started, ended = float(turn["started_ms"]), float(turn["ended_ms"])
        line = next((one for one in said if one.start_ms < ended < one.end_ms + LATE_MS), None)
        if line is None:
            found["false_interruptions"] += 1
        elif started >= line.start_ms:
            found["restarts"] += 1
        else:
            found["stalls"] += 1
    return found


def errors_as_heard(call: PlacedCall) -> WordErrors:
    """Word errors of the whole call: the lines said against the caller's turns as recorded."""
    turns = [turn for turn in call.record["turns"] if turn["speaker"] == "caller"]
    turns.sort(key=lambda turn: float(turn["started_ms"]))
    return word_errors(
        " ".join(one.text for one in call.played.utterances), " ".join(str(turn["text"]) for turn in turns)
    )
