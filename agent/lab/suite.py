"""Which scenarios a run is made of, and placing their calls, round by round."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from agent.clock import Clock
from agent.config import CONFIGS
from agent.lab.outcome import CallOutcome
from agent.lab.people import dictation_scenarios, speech_scenarios
from agent.lab.scenario import Scenario, read_scenario
from agent.lab.simulation import Job, SimulationEvent, Target, api_of, simulate
from agent.yamlfile import FileError

SCENARIOS = CONFIGS / "scenarios"
GIVE_UP = 3
"""So many calls in a row that could not be carried through, and none that could: the server does not work."""
PATHS = {"twilio": "/gateways/twilio", "plain": "/gateways/plain"}
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}

Protocol = Literal["twilio", "plain"]


class SuiteFailed(Exception):
    """A run could not be carried through; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Calls placed to one server over one protocol. round: counted from 0; each has a server and a shop of its own."""

    round: int
    protocol: Protocol
    jobs: tuple[Job, ...]


def scenario_files(words: Sequence[str]) -> list[Path]:
    """The files that `words` name, each once, in order: a file, a folder's *.yaml, or a suite by its name.

    A suite NAME is the list NAME.txt of the shipped scenarios, a file name a line. No words are all of those.

    Raises:
        FileError: there is no such file, folder or suite, or a suite lists what is not there.
    """
    found: dict[Path, None] = {}
    problems: list[str] = []
    for word in words or (str(SCENARIOS),):
        path, suite = Path(word), SCENARIOS / f"{word}.txt"
        if path.is_dir():
            inside = sorted(path.glob("*.yaml"))
            problems += [] if inside else [f"{path}: the folder has no *.yaml; give one that has scenarios"]
            found.update(dict.fromkeys(inside))
        elif path.is_file():
            found[path] = None
        elif "/" not in word and suite.is_file():
            found.update(dict.fromkeys(_listed(suite, problems)))
        else:
            suites = ", ".join(sorted(each.stem for each in SCENARIOS.glob("*.txt")))
            problems.append(f"{word}: there is no such file or folder; the suites are {suites}")
    if problems:
        raise FileError(problems)
    return list(found)


def read_scenarios(files: Sequence[Path]) -> list[Scenario]:
    """Read all of them.

    Raises:
        FileError: lists the problems of every file that is wrong.
    """
    found, problems = [], []
    for path in files:
        try:
            found.append(read_scenario(path))
        except FileError as error:
            problems += error.problems
    if problems:
        raise FileError(problems)
    return found


def batches(
    scenarios: Sequence[Scenario], people: Sequence[Job], protocol: Protocol | None, repeat: int, seed: int
) -> list[Batch]:
    """Every call of the run. The seed of a scenario's call follows from `seed`, its name and its round alone.

    people: calls made of recorded speech, all in the first round. protocol: instead of what the scenarios say.
    """
    found = []
    for turn in range(repeat):
        jobs = [Job(one, random.Random(f"{seed}/{turn}/{one.name}").randrange(1 << 30)) for one in scenarios]
        jobs += people if turn == 0 else ()
        for spoken in PATHS:
            chosen = tuple(job for job in jobs if (protocol or job.scenario.script.protocol) == spoken)
            if chosen:
                found.append(Batch(turn, "twilio" if spoken == "twilio" else "plain", chosen))
    return found


def people_calls(
    speech: Sequence[Path], digits: Sequence[Path], calls: int, seed: int, on_progress: Callable[[int, int], None]
) -> list[Job]:
    """`calls` calls of each folder of recorded speech, and of each of recorded digits; blocks.

    Raises:
        MeasureFailed: a folder holds nothing that can be used.
    """
    jobs = []
    for folder in speech:
        jobs += speech_scenarios(folder, calls, seed=seed, on_progress=on_progress)
    for folder in digits:
        jobs += dictation_scenarios(folder, calls, seed=seed)
    return jobs


def target_of(url: str, protocol: Protocol, token: str | None = None) -> Target:
    """Where calls over `protocol` go at the server `url`; an address with a path of its own is kept.

    Raises:
        ValueError: `url` is no ws, wss, http or https address.
    """
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ValueError(f"--url is {url!r}; give an address such as ws://127.0.0.1:8080")
    path = parts.path if parts.path.strip("/") else PATHS[protocol]
    address = urlunsplit((scheme, parts.netloc, path, parts.query, ""))
    return Target(address, api_of(address), token, protocol)


async def place(
    planned: Sequence[Batch],
    server: Callable[[Batch], AbstractAsyncContextManager[Target]],
    clock: Clock,
    *,
    at_a_time: int,
    ramp_s: float,
    keep: Path | None,
    on_event: Callable[[SimulationEvent], None],
) -> AsyncGenerator[CallOutcome]:
    """Place all calls, batch after batch, and give each one's outcome as it ends, numbered through the run.

    Raises:
        SuiteFailed: the first `GIVE_UP` calls could not be carried through.
        FileError, LineError, ServerFailed, MeasureFailed: as `simulate` and `server` do.
    """
    before = 0
    failed: int | None = 0
    began_ms = clock.now_ms()
    for batch in planned:
        async with server(batch) as target:
            ahead_s, first = (clock.now_ms() - began_ms) / 1000.0, before

            def told(event: SimulationEvent, first: int = first) -> None:
                on_event(replace(event, number=first + event.number))

            calls = simulate(
                batch.jobs, target, clock, at_a_time=at_a_time, ramp_s=ramp_s, keep=_folder(keep, batch), on_event=told
            )
            async with aclosing(calls):
                async for outcome in calls:
                    yield replace(outcome, number=first + outcome.number, began_s=ahead_s + outcome.began_s)
                    failed = None if failed is None or outcome.error is None else failed + 1
                    if failed == GIVE_UP:
                        raise SuiteFailed(f"{GIVE_UP} calls in a row could not be carried through: {outcome.error}")
        before += len(batch.jobs)


def _folder(keep: Path | None, batch: Batch) -> Path | None:
    return None if keep is None else keep / f"round-{batch.round}-{batch.protocol}"


def _listed(suite: Path, problems: list[str]) -> Iterator[Path]:
    for number, line in enumerate(suite.read_text(encoding="utf-8").splitlines(), 1):
        name = line.partition("#")[0].strip()
        if name and not (suite.parent / name).is_file():
            problems.append(f"{suite}:{number}: there is no scenario {name} beside it; correct the name")
        elif name:
            yield suite.parent / name
