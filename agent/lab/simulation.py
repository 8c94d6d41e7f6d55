"""Simulated calls: many scenarios, some at a time, against any server over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from agent.clock import Clock
from agent.lab.answers import check_answer
from agent.lab.ear import Span
from agent.lab.expectations import Checked, check
from agent.lab.gaps import Gaps
from agent.lab.line import CallerLine, Damage, LineError, LineProtocol, Unreachable
from agent.lab.listener import Listener
from agent.lab.outcome import CallOutcome
from agent.lab.plain_client import PlainClient
from agent.lab.player import Played, Player
from agent.lab.record_api import RecordApi
from agent.lab.scenario import LineQuality, Scenario
from agent.lab.speech import CallerSpeech, speech_of
from agent.lab.spoken import RATE, Spoken, spoken
from agent.lab.steps import NOISES
from agent.lab.twilio_caller import TwilioCaller
from agent.lab.watching import Watch
from agent.yamlfile import FileError
from audio import noises
from audio.damage import EchoSpec, LineDamage, LineDamageSpec, NoiseSpec, SecondTalkerSpec

ANSWER_S = 20.0
"""A server that has sent no audio at all for this long does not answer."""
POLL_MS = 300.0
"""How often a running call's record is read where a step waits for what only it tells."""
_FINE = ("closed:1000", "closed:1005")
"""How a server that ends a call regularly closes the socket: RFC 6455, with a code or without."""


class Job(NamedTuple):
    """One call to place. `seed`: of everything drawn by chance, noises and line damage."""

    scenario: Scenario
    seed: int = 0


@dataclass(frozen=True)
class Target:
    """Where calls go. url: the websocket. api: http address of the record API. token: for both."""

    url: str
    api: str | None = None
    token: str | None = None
    protocol: Literal["twilio", "plain"] = "twilio"


@dataclass(frozen=True, slots=True)
class SimulationEvent:
    """Progress: a scenario's sounds are prepared, a call began, does a step, ended. `number` counts from 0."""

    what: Literal["preparing", "began", "step", "ended"]
    number: int
    scenario: str
    detail: str = ""


@dataclass(frozen=True)
class _Run:
    """What the calls of a run share."""

    target: Target
    clock: Clock
    api: RecordApi | None
    listener: Listener
    speech: CallerSpeech
    gaps: Gaps
    keep: Path | None
    on_event: Callable[[SimulationEvent], None]
    began_ms: float


async def simulate(
    jobs: Sequence[Job],
    target: Target,
    clock: Clock,
    *,
    at_a_time: int = 1,
    ramp_s: float = 0.0,
    keep: Path | None = None,
    on_event: Callable[[SimulationEvent], None] = lambda event: None,
    speech: CallerSpeech | None = None,
    listener: Listener | None = None,
    gaps: Gaps | None = None,
) -> AsyncGenerator[CallOutcome, None]:
    """Place the calls of `jobs`, `at_a_time` of them, and give each one's outcome as it ends.

    The first calls begin spread over `ramp_s`. keep: a folder for recordings of both sides. A call that fails gives an
    outcome with an `error` and does not stop the others. Closing the iterator ends the calls that run.

    Raises:
        FileError: a scenario's sounds cannot be had, or it waits for what this server does not let be known.
        Unreachable: nobody answers at `target.url`, and no call got through yet.
    """
    async with contextlib.AsyncExitStack() as stack:
        api, why = None, "no address of a record API is given"
        if target.api is not None:
            api = await stack.enter_async_context(RecordApi(target.api, target.token, clock))
            if (missing := await api.missing()) is not None:
                api, why = None, missing
        _check_sources((job.scenario for job in jobs), target, api is not None, why)
        if keep is not None:
            await asyncio.to_thread(keep.mkdir, parents=True, exist_ok=True)
        scenarios = [job.scenario for job in jobs]
        voices = speech if speech is not None else await asyncio.to_thread(speech_of, scenarios)
        run = _Run(target, clock, api, listener or Listener(), voices, gaps or Gaps(), keep, on_event, 0.0)
        sounds = await _prepare(jobs, run)
        outcomes = _placed(jobs, sounds, replace(run, began_ms=clock.now_ms()), at_a_time, ramp_s)
        await stack.enter_async_context(contextlib.aclosing(outcomes))
        async for outcome in outcomes:
            yield outcome


async def _placed(
    jobs: Sequence[Job], sounds: Mapping[int, Mapping[int, Spoken]], run: _Run, at_a_time: int, ramp_s: float
) -> AsyncGenerator[CallOutcome, None]:
    waiting = iter(enumerate(jobs))
    over: asyncio.Queue[CallOutcome | Exception] = asyncio.Queue(maxsize=max(1, len(jobs)))
    got_through = False

    async def place(first_at_ms: float) -> None:
        nonlocal got_through
        await run.clock.sleep_until(first_at_ms)
        for number, job in waiting:
            try:
                outcome = await _place(number, job, sounds[id(job.scenario)], run)
                got_through = True
            except Unreachable as error:
                if not got_through:
                    await over.put(error)
                    return
                outcome = _failed(number, job, run, str(error))
            except Exception as error:  # handed to whoever iterates
                await over.put(error)
                return
            await over.put(outcome)

    count = min(at_a_time, len(jobs))
    callers = [
        asyncio.create_task(place(run.began_ms + n * ramp_s * 1000.0 / count), name=f"caller-{n}") for n in range(count)
    ]
    try:
        for _ in jobs:
            found = await over.get()
            if isinstance(found, Exception):
                raise found
            yield found
    finally:
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


async def _prepare(jobs: Sequence[Job], run: _Run) -> dict[int, dict[int, Spoken]]:
    """What each step of each scenario says, by the scenario's identity and the step's number."""
    found: dict[int, dict[int, Spoken]] = {}
    for number, job in enumerate(jobs):
        if id(job.scenario) not in found:
            run.on_event(SimulationEvent("preparing", number, job.scenario.name))
            found[id(job.scenario)] = await asyncio.to_thread(sounds_of, job.scenario, run.speech)
            await asyncio.to_thread(run.gaps.find, job.scenario, found[id(job.scenario)])
    return found


def sounds_of(scenario: Scenario, speech: CallerSpeech) -> dict[int, Spoken]:
    """What its steps say and play that is not drawn by chance. Raises FileError."""
    said = ((n, speech.step(scenario, step)) for n, step in enumerate(scenario.script.steps))
    found = {n: sound for n, sound in said if sound is not None}
    bed = scenario.script.line.noise
    try:
        for n, step in enumerate(scenario.script.steps):
            if step.noise is not None and step.noise not in NOISES:
                wav = str(scenario.folder / step.noise)
                found[n] = spoken([noises.event(wav, RATE, level_db=step.level_db)])
        if bed is not None and bed.kind.endswith(".wav"):
            noises.bed(str(scenario.folder / bed.kind), RATE)
    except (OSError, ValueError) as error:
        raise FileError([f"{scenario.name}: {error}"]) from error
    return found


def _noises(scenario: Scenario, seed: int) -> dict[int, Spoken]:
    """What its steps play that is drawn by chance."""
    return {
        n: spoken([noises.event(step.noise, RATE, seed * 1000 + n, step.level_db)])
        for n, step in enumerate(scenario.script.steps)
        if step.noise in NOISES
    }


async def _place(number: int, job: Job, words: Mapping[int, Spoken], run: _Run) -> CallOutcome:
    """Place one call. Raises Unreachable."""
    scenario = job.scenario
    sounds = {**run.gaps.paused(scenario, job.seed, words), **await asyncio.to_thread(_noises, scenario, job.seed)}
    run.on_event(SimulationEvent("began", number, scenario.name))
    protocol, call_id = _protocol(scenario, run.target)
    watch, error = Watch(), None
    began_ms = run.clock.now_ms()
    line = CallerLine(
        run.target.url,
        protocol,
        run.clock,
        life_s=scenario.script.life_s,
        headers={"Authorization": f"Bearer {run.target.token}"} if run.target.token else None,
        on_told=lambda message: watch.told(message, line.now_ms),
        damage=await asyncio.to_thread(_damage, scenario, protocol.rate, job.seed),
    )
    player = Player(
        scenario,
        sounds,
        line,
        watch,
        lambda step: run.on_event(SimulationEvent("step", number, scenario.name, str(step))),
    )
    try:
        async with line:
            await _talk(line, player, watch, run, scenario, call_id)
    except Unreachable:
        raise
    except LineError as refused:
        error = str(refused)
    played = player.played
    played.ended = line.ended or "failed"
    error = error or _fault(line)
    record = await run.api.closed(call_id) if run.api is not None and line.ended is not None else None
    if record is not None and not watch.told_any:
        watch.record(record, line.now_ms)
    spans = tuple(replace(span) for span in line.ear.spans)
    recording = await _kept(line, run.keep, f"{number:04d}-{scenario.name}.wav")
    run.on_event(SimulationEvent("ended", number, scenario.name, error or played.ended))
    return CallOutcome(
        scenario=scenario.name,
        number=number,
        seed=job.seed,
        began_s=(began_ms - run.began_ms) / 1000.0,
        ended=played.ended,
        duration_ms=line.now_ms,
        utterances=tuple(played.utterances),
        agent=spans,
        seen=tuple(sorted(watch.seen, key=lambda note: note.at_ms)),
        checked=tuple(_checks(scenario, played, spans, record, watch)) if error is None else (),
        missed=tuple(played.missed),
        wrongs=tuple(line.wrongs),
        error=error,
        record=record,
        recording=recording,
        tags=scenario.script.tags,
    )


async def _talk(line: CallerLine, player: Player, watch: Watch, run: _Run, scenario: Scenario, call_id: str) -> None:
    """Play the scenario while what watches the call runs beside it; all of it is over on return."""
    beside = [_hang_up_unanswered(line)]
    if _waits(scenario) and isinstance(line.protocol, TwilioCaller) and run.api is not None:
        beside.append(_read_along(line, watch, run.api, call_id, run.clock))
    if run.api is None and isinstance(line.protocol, TwilioCaller) and _needs_words(scenario):
        beside.append(run.listener.follow(line, watch))
    tasks = [asyncio.create_task(each, name=f"call-{call_id[:10]}-{n}") for n, each in enumerate(beside)]
    try:
        await player.play()
        if line.ended is None:
            await line.hang_up()
        if len(tasks) > 1 and run.api is None:
            await tasks[-1]  # the agent's last words are still being written down
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _hang_up_unanswered(line: CallerLine) -> None:
    if not await line.until(lambda: line.ear.received > 0, ANSWER_S * 1000.0):
        await line.hang_up()


async def _read_along(line: CallerLine, watch: Watch, api: RecordApi, call_id: str, clock: Clock) -> None:
    while line.ended is None:
        record = await api.find(call_id)
        if record is not None:
            watch.record(record, line.now_ms)
        await clock.sleep_until(clock.now_ms() + POLL_MS)


def _fault(line: CallerLine) -> str | None:
    """Why the call was no call; None where it was one."""
    ended = line.ended or "failed"
    if line.ear.received == 0 and (ended == "life_over" or line.now_ms >= ANSWER_S * 1000.0):
        return f"the server sent no audio within {min(ANSWER_S, line.now_ms / 1000.0):.0f} s"
    if ended == "failed":
        return "the line failed"
    if ended.startswith("closed:") and ended not in _FINE:
        return f"the server broke the call off after {line.now_ms / 1000.0:.1f} s ({ended}); see its log"
    return None


def _checks(
    scenario: Scenario, played: Played, spans: Sequence[Span], record: Mapping[str, Any] | None, watch: Watch
) -> Iterator[Checked]:
    known = record if record is not None else watch.observed()
    for asked in played.asked:
        yield check_answer(asked, played, spans, known, record is not None)
    times = {name: (one.start_ms, one.end_ms) for name, one in played.said.items()}
    yield from check(scenario.script.expect, times, played.ended, known)


def _protocol(scenario: Scenario, target: Target) -> tuple[LineProtocol, str]:
    """The caller's half of the protocol, and the gateway's id of the call."""
    script = scenario.script
    if target.protocol == "twilio":
        caller = TwilioCaller(script.caller, script.called)
        return caller, caller.call
    call_id = f"sim-{secrets.token_hex(8)}"
    return PlainClient(RATE, caller=script.caller, called=script.called, call=call_id), call_id


def _damage(scenario: Scenario, rate: int, seed: int) -> Damage | None:
    """What the scenario's line does to the voice, None where it does nothing."""
    line = scenario.script.line
    if line == LineQuality():
        return None
    noise, echo, talker = line.noise, line.echo, line.second_talker
    kind = None if noise is None else str(scenario.folder / noise.kind) if noise.kind.endswith(".wav") else noise.kind
    spec = LineDamageSpec(
        codec=line.codec,
        gain_db=line.gain_db,
        loss_percent=line.loss_percent,
        jitter_ms=line.jitter_ms,
        noise=None if noise is None or kind is None else NoiseSpec(kind, noise.snr_db),
        echo=None if echo is None else EchoSpec(echo.level_db, echo.delay_ms),
        speakerphone=line.speakerphone,
        second_talker=None if talker is None else SecondTalkerSpec(talker.level_db),
    )
    return LineDamage(spec, rate, seed).frame


async def _kept(line: CallerLine, keep: Path | None, name: str) -> Path | None:
    if keep is None or not line.now_ms:
        return None
    await asyncio.to_thread(line.save, keep / name)
    return keep / name


def _failed(number: int, job: Job, run: _Run, error: str) -> CallOutcome:
    began_s = (run.clock.now_ms() - run.began_ms) / 1000.0
    run.on_event(SimulationEvent("ended", number, job.scenario.name, error))
    tags = job.scenario.script.tags
    return CallOutcome(job.scenario.name, number, job.seed, began_s, "failed", 0.0, (), (), error=error, tags=tags)


def _check_sources(scenarios: Iterable[Scenario], target: Target, api: bool, why: str) -> None:
    """Raises FileError where a scenario waits for something this server does not let be known."""
    if api or target.protocol == "plain":
        return
    problems = {
        f"{scenario.name}: step {n + 1} waits for {step.wait_for}, which nobody can know here: {why}"
        for scenario in scenarios
        for n, step in enumerate(scenario.script.steps)
        if step.wait_for is not None and (step.wait_for.intent or step.wait_for.state)
    }
    if problems:
        raise FileError(sorted(problems))


def _waits(scenario: Scenario) -> bool:
    waits = [step.wait_for for step in scenario.script.steps if step.wait_for is not None]
    again = any(step.again_if or step.only_if for step in scenario.script.steps)
    return again or any(wait.text or wait.intent or wait.state for wait in waits)


def _needs_words(scenario: Scenario) -> bool:
    expects = [step.expect for step in scenario.script.steps if step.expect is not None]
    spoken_of = any(wanted.text or wanted.lacks for wanted in expects) or bool(scenario.script.expect)
    return _waits(scenario) or spoken_of


def api_of(url: str) -> str:
    """The http address at which a server whose websocket is `url` would have its record API."""
    parts = urlsplit(url)
    return f"{'https' if parts.scheme in ('wss', 'https') else 'http'}://{parts.netloc}"
