"""What the server's process keeps in memory: at rest, with calls, and after them. Linux only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.lab.line import CallerLine
from agent.lab.measuring.machine import MeasureFailed, Memory, memory_of
from agent.lab.measuring.report import Progress, Report, Table
from agent.lab.measuring.server import MeasuredServer, measured_server
from agent.lab.scenario import Scenario, read_scenario
from agent.lab.speech import speech_of
from agent.lab.spoken import Spoken
from agent.lab.steps import SETTLED_MS
from agent.lab.twilio_caller import TwilioCaller

SETTLE_S = 3.0
"""The process is read this long after calls have ended, and the server started."""
APART_MS = 1000.0
"""Calls begin this far apart."""
ANSWER_S = 30.0
"""How long a call may wait for an answer: all of them speak at once on few cores."""


async def measure_memory(
    folder: Path,
    clock: Clock,
    config: Path | None,
    scenario: Path,
    calls: int,
    waves: int,
    command: str,
    progress: Progress,
) -> Report:
    """Read the server's resident memory around `calls` live calls, each with an answered turn, `waves` times over.

    The first wave also pays for what models take up when first used; memory that grows with every wave is a leak.

    Raises:
        FileError: the scenario or the configuration is wrong.
        ServerFailed, LineError, MeasureFailed: the server did not start, refused a call or did not answer one; or the
            memory of a process cannot be read here.
    """
    read = read_scenario(scenario)
    asked = await asyncio.to_thread(_first_line, read)
    steps = 1 + 2 * waves
    progress(0, steps, "starting the server")
    async with measured_server(folder, clock, config, calls=calls) as server:
        await _settle(clock)
        found: dict[str, Memory] = {"at rest": memory_of(server.pid)}
        for wave in range(1, waves + 1):
            progress(2 * wave - 1, steps, f"wave {wave}: {calls} calls")
            found[f"live {wave}"] = await _live(server, clock, read, asked, calls)
            progress(2 * wave, steps, f"wave {wave}: ended")
            await _settle(clock)
            found[f"after {wave}"] = memory_of(server.pid)
    progress(steps, steps, "done")
    return digest(found, calls, waves, command)


def digest(found: Mapping[str, Memory], calls: int, waves: int, command: str) -> Report:
    """The report on `found`: `at rest`, then `live N` and `after N` for each wave."""
    rows = [("at rest, models loaded", _mb(found["at rest"]), "")]
    each: dict[str, float] = {}
    before = found["at rest"]
    for wave in range(1, waves + 1):
        live, after = found[f"live {wave}"], found[f"after {wave}"]
        each[f"wave_{wave}"] = round((live.now_mb - before.now_mb) / calls, 2)
        rows.append((f"wave {wave}: {calls} live calls", _mb(live), f"{each[f'wave_{wave}']:.1f} MB"))
        rows.append((f"wave {wave}: after they ended", _mb(after), ""))
        before = after
    most = max(memory.peak_mb for memory in found.values())
    rows.append(("most at any moment", f"{most:.0f} MB", ""))
    table = Table("Resident memory of the server's process", ("", "resident", "more, per call"), tuple(rows))
    figures: dict[str, Any] = {
        "calls": calls,
        "resident_mb": {name: round(memory.now_mb, 1) for name, memory in found.items()},
        "mb_per_call": each,
        "peak_mb": round(most, 1),
    }
    note = "the first wave also pays for the working memory of the models; later ones show what a call takes"
    return Report("memory", command, (table,), figures, (note,))


def _mb(memory: Memory) -> str:
    return f"{memory.now_mb:.0f} MB"


async def _settle(clock: Clock) -> None:
    await clock.sleep_until(clock.now_ms() + SETTLE_S * 1000.0)


async def _live(server: MeasuredServer, clock: Clock, scenario: Scenario, asked: Spoken, calls: int) -> Memory:
    """Memory while `calls` calls are up and each was answered; all of them have ended on return."""
    answered = asyncio.Barrier(calls + 1)
    read = asyncio.Event()

    async def one(n: int) -> None:
        await clock.sleep_until(clock.now_ms() + n * APART_MS)
        script = scenario.script
        caller = TwilioCaller(script.caller, script.called)
        async with CallerLine(server.twilio, caller, clock, life_s=script.life_s) as line:
            await _ask(line, asked)
            await answered.wait()
            await read.wait()
        await server.closed_call(caller.call)

    async with asyncio.TaskGroup() as group:
        for n in range(calls):
            group.create_task(one(n), name=f"measured-call-{n}")
        await answered.wait()
        memory = memory_of(server.pid)
        read.set()
    return memory


def _first_line(scenario: Scenario) -> Spoken:
    """What the first step `say` says. Raises MeasureFailed where there is none, FileError where it cannot be had."""
    first = next((step for step in scenario.script.steps if step.say is not None), None)
    sound = None if first is None else speech_of([scenario]).step(scenario, first)
    if sound is None:
        raise MeasureFailed("the scenario has no step 'say'; a call with an answered turn needs one")
    return sound


async def _ask(line: CallerLine, asked: Spoken) -> None:
    """Hear the greeting, say `asked`, and hear the answer begin.

    Raises:
        MeasureFailed: the agent did not greet or answer.
    """
    ear, patience = line.ear, ANSWER_S * 1000.0
    greeted = await line.until(lambda: bool(ear.spans) and ear.silent_ms() >= SETTLED_MS, patience)
    end = line.say(asked.samples) + asked.end * 1000.0 / line.protocol.rate
    if not greeted or not await line.until(lambda: ear.heard_since(end), end - line.now_ms + patience):
        what = "answer" if greeted else "greet"
        raise MeasureFailed(f"the agent did not {what} within {ANSWER_S:.0f} s ({line.ended or 'the line is up'})")
