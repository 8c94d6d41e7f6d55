"""How soon answers come, and how often a reply is broken: scripted calls over the Twilio protocol."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.pauses import PAUSE_MS
from agent.lab.measuring.placed import (
    Line,
    PlacedCall,
    answers_of,
    breaks_of,
    errors_as_heard,
    lines_of,
    place_call,
)
from agent.lab.measuring.report import Progress, Report, Table, figure, spread
from agent.lab.measuring.server import measured_server
from agent.lab.measuring.word_errors import WordErrors
from agent.lab.people import gap_of, parted
from agent.lab.scenario import Scenario, read_scenario
from agent.lab.speech import CallerSpeech
from agent.lab.spoken import Spoken
from agent.lab.steps import Step
from models.recognizer import WhisperRecognizer

PAUSED_SHARE = 0.5
"""Share of the lines with a gap between words that get a pause there."""
APART_MS = 1500.0
"""Calls at a time begin this far apart, so that their lines do not stay in step."""
PARTS = ("endpoint_wait", "recognition", "dialogue", "synthesis", "leading_silence", "pacing", "total")
_BREAKS = {
    "restarts": "replies broken off or taken back and begun again though the caller only paused",
    "cut_off": "lines the agent spoke into before they were over",
    "false_interruptions": "replies broken off though the caller was silent",
    "hiccups": "replies that stopped and went on though nobody interrupted",
    "stalls": "replies with a silence that the caller took for their end",
    "missed": "lines without an answer",
}


async def measure_latency(
    folder: Path,
    clock: Clock,
    config: Path | None,
    scenario: Path,
    turns: int,
    calls: int,
    seed: int,
    command: str,
    progress: Progress,
) -> Report:
    """Place calls, `calls` at a time, until `turns` lines were answered.

    Every call says all lines of `scenario` in order; `PAUSED_SHARE` of them, drawn by `seed`, with a pause of 250 to
    700 ms between two words. The caller's end runs on the same machine and takes its share of it.

    Raises:
        FileError: the scenario or the configuration is wrong.
        ServerFailed, LineError, MeasureFailed: the server did not start or refused a call, or lines go unanswered.
    """
    read = read_scenario(scenario)
    asked = sum(step.say is not None for step in read.script.steps)
    if not asked:
        raise MeasureFailed(f"{scenario} has no step 'say'; nothing would be answered")
    progress(0, turns, "finding the gaps between words")
    sounds, gaps = await asyncio.to_thread(_prepared, read)
    chance = random.Random(seed)
    done: list[PlacedCall] = []
    answered = 0
    rounds = 2 * -(-turns // (asked * calls)) + 1
    async with measured_server(folder, clock, config, calls=calls) as server:

        def on_step(step: Step) -> None:
            nonlocal answered
            if step.say is not None:
                answered += 1
                progress(min(answered, turns), turns, f"line {answered}, {len(done)} calls done")

        async def one(n: int) -> PlacedCall:
            changed, paused = _paused(sounds, gaps, random.Random(chance.random()))
            pauses = {read.script.steps[step].say or "": ms for step, ms in paused.items()}
            await clock.sleep_until(clock.now_ms() + n * APART_MS)
            return await place_call(server, read, changed, clock, pauses, on_step)

        while sum(line.answered_ms is not None for call in done for line in lines_of(call)) < turns:
            if rounds == 0:
                raise MeasureFailed(
                    f"{len(done)} calls brought fewer than {turns} answers; see {folder / 'server.log'}"
                )
            rounds -= 1
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(n), name=f"measured-call-{n}") for n in range(calls)]
            done += [task.result() for task in tasks]
            answered = sum(len(call.played.said) for call in done)
    return digest(done, calls, seed, command)


def _prepared(scenario: Scenario) -> tuple[dict[int, Spoken], dict[int, int | None]]:
    """What each step says, and where it can be parted."""
    speech, recognizer = CallerSpeech(), WhisperRecognizer(words=True)
    said = ((n, speech.step(scenario, step)) for n, step in enumerate(scenario.script.steps))
    sounds = {n: sound for n, sound in said if sound is not None}
    return sounds, {n: gap_of(sound, recognizer) for n, sound in sounds.items()}


def _paused(
    sounds: Mapping[int, Spoken], gaps: Mapping[int, int | None], chance: random.Random
) -> tuple[dict[int, Spoken], dict[int, int]]:
    """The sounds, `PAUSED_SHARE` of them parted, and the pauses of those in ms; everything is drawn from `chance`."""
    changed, pauses = dict(sounds), {}
    for n, sound in sounds.items():
        wanted, ms = chance.random() < PAUSED_SHARE, chance.randint(*PAUSE_MS)
        if wanted and gaps[n] is not None:
            changed[n], pauses[n] = parted(sound, gaps[n], ms), ms
    return changed, pauses


def digest(placed: Sequence[PlacedCall], calls: int, seed: int, command: str) -> Report:
    """The report on calls that are over."""
    lines = [line for call in placed for line in lines_of(call)]
    parts = _parts(placed)
    ear = {
        "all": _answered(lines, lambda line: True),
        "flowing": _answered(lines, lambda line: not line.pause_ms),
        "with a pause": _answered(lines, lambda line: bool(line.pause_ms)),
    }
    broken = Counter(dict.fromkeys(_BREAKS, 0))
    for call in placed:
        broken.update(breaks_of(call))
    broken["cut_off"] = sum(line.cut_off for line in lines)
    broken["missed"] = sum(line.answered_ms is None for line in lines)
    errors = sum((errors_as_heard(call) for call in placed), WordErrors())
    wrongs = [wrong for call in placed for wrong in call.wrongs]
    steps_missed = [missed for call in placed for missed in call.played.missed]
    tables = (
        Table(
            f"Answers, {calls} call{'s' * (calls > 1)} at a time, {len(placed)} calls, {len(lines)} lines, seed {seed}",
            ("from the caller's last sound to the agent's first", "count", "p50", "p95", "most"),
            tuple(_spread_row(name, found) for name, found in _named(parts, ear).items()),
        ),
        Table(
            "What went wrong",
            ("", "count", "of"),
            (
                *((text, str(broken[name]), str(len(lines))) for name, text in _BREAKS.items()),
                ("words heard wrongly on the line", str(errors.errors), str(errors.words)),
            ),
        ),
    )
    figures: dict[str, Any] = {
        "seed": seed,
        "calls_at_a_time": calls,
        "calls": len(placed),
        "lines": len(lines),
        "lines_with_a_pause": sum(bool(line.pause_ms) for line in lines),
        "parts_ms": parts,
        "at_the_ear_ms": ear,
        "broken": dict(broken),
        "wer_percent": round(errors.percent, 2),
        "words": errors.words,
        "protocol_breaches": wrongs,
        "steps_missed": steps_missed,
        "each": [_each(n, line) for n, call in enumerate(placed) for line in lines_of(call)],
    }
    notes = (f"{len(wrongs)} breaches of the carrier's protocol", *(f"breach: {wrong}" for wrong in wrongs[:5]))
    if steps_missed:
        notes += tuple(f"missed: {missed}" for missed in steps_missed[:5])
    return Report("latency", command, tables, figures, notes)


def _parts(placed: Sequence[PlacedCall]) -> dict[str, dict[str, float]]:
    answers = [answer for call in placed for answer in answers_of(call)]
    return {part: spread([float(answer[part]) for answer in answers if part in answer]) for part in PARTS}


def _answered(lines: Sequence[Line], chosen: Callable[[Line], bool]) -> dict[str, float]:
    return spread([line.answered_ms for line in lines if line.answered_ms is not None and chosen(line)])


def _named(
    parts: Mapping[str, Mapping[str, float]], ear: Mapping[str, Mapping[str, float]]
) -> dict[str, Mapping[str, float]]:
    named = {f"server: {name.replace('_', ' ')}": found for name, found in parts.items()}
    return named | {f"at the caller's ear: {name}": found for name, found in ear.items()}


def _spread_row(name: str, found: Mapping[str, float]) -> tuple[str, ...]:
    return (name, str(found["count"]), *(figure(found, part, " ms") for part in ("p50", "p95", "most")))


def _each(call: int, line: Line) -> dict[str, Any]:
    answered = None if line.answered_ms is None else round(line.answered_ms, 1)
    return {"call": call, "line": line.cue, "pause_ms": line.pause_ms, "answered_ms": answered, "cut_off": line.cut_off}
