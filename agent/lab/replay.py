"""Recorded calls again, on the models and settings in force: real models, virtual time, nothing outside is touched.

The caller's channel goes through the plain protocol at 8 kHz into a `Session` like any call's; keys and typed turns
come at their recorded times. Time passes only while models work (see `agent.lab.virtual`), in the pool that is
configured, so a replay takes about as long as its computing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.call.services import CallServices
from agent.call.session import Session
from agent.clock import RealClock
from agent.config import DialogueSettings, HandoffSettings, RecordSettings, Secrets, Section, Settings
from agent.dialogue.engine import DialogueEngine
from agent.gateways.plain import PlainProtocol
from agent.lab.replaying.changes import Comparison, compare
from agent.lab.replaying.line import RecordedCaller, plan_of
from agent.lab.replaying.source import Record, ReplayError, Source, read_caller
from agent.lab.replaying.stand_ins import HeldRecords, RecordedActions, RecordedDesk, ReplayClock
from agent.lab.virtual import VirtualLoop, done_elsewhere, run_in_virtual_time
from agent.loading import Loaded, load
from agent.metrics import Metrics
from models.encoder import SentenceEncoder
from models.pool import Pool, Priority

CHANGEABLE = ("vad", "floor", "recognizer", "understanding", "emotion", "voice", "pool", "dialogue")
"""Sections of the settings that a replay can be told to change; the others lead out of it or have no effect."""


@dataclass(frozen=True)
class Replayed:
    """What came of one replay. `comparison` is None where the call has no record.

    call_s: length of the recording. took_s: by the wall's clock. before: models of the record, by part, where known.
    """

    source: Source
    record: Record
    comparison: Comparison | None
    call_s: float
    took_s: float
    models: Mapping[str, str]
    before: Mapping[str, str]
    notes: Sequence[str]

    @property
    def changed(self) -> bool:
        """Something other than timing is not as it was."""
        return self.comparison is not None and bool(self.comparison.changes)

    def as_json(self) -> dict[str, Any]:
        """Everything about it, JSON-ready."""
        compared = self.comparison
        return {
            "call": self.source.call_id,
            "recording": str(self.source.recording),
            "seconds": round(self.call_s, 3),
            "took_seconds": round(self.took_s, 3),
            "models": {"old": dict(self.before), "new": dict(self.models)},
            "compared": compared is not None,
            "changed": self.changed,
            "changes": [] if compared is None else [asdict(change) for change in compared.changes],
            "words": None
            if compared is None
            else {**asdict(compared.words), "errors": compared.words.errors, "wer_percent": compared.words.percent},
            "latency_ms": {}
            if compared is None
            else {part: {"old": old, "new": new} for part, (old, new) in compared.latency.items()},
            "turns": []
            if compared is None
            else [
                {"old": pair.old, "old_reply": pair.old_reply, "new": pair.new, "new_reply": pair.new_reply}
                for pair in compared.pairs
            ],
            "moved_replies": [] if compared is None else [{"text": text, "ms": ms} for text, ms in compared.moved],
            "notes": list(self.notes),
            "record": self.record,
        }


def changed_settings(settings: Settings, changes: Sequence[str]) -> Settings:
    """`settings` with values of the form SECTION.KEY=VALUE, later ones winning.

    Raises:
        ReplayError: not of that form, no such setting, or a wrong value.
    """
    for change in changes:
        name, equals, value = change.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not dot or section not in CHANGEABLE:
            known = ", ".join(CHANGEABLE)
            raise ReplayError(f"--set {change}: write SECTION.KEY=VALUE, with SECTION one of {known}")
        old = getattr(settings, section)
        try:
            new = type(old).model_validate({**old.model_dump(), key: value.strip() or None})
        except ValidationError as error:
            item = error.errors()[0]
            known = ", ".join(type(old).model_fields)
            said = f"there is no such setting; {section} has {known}"
            said = said if item["type"] == "extra_forbidden" else str(item["msg"]).removeprefix("Value error, ")
            raise ReplayError(f"--set {change}: {said}") from error
        settings = settings.model_copy(update={section: new})
    return settings


def harmless(settings: Settings, folder: Path) -> Settings:
    """`settings` with databases in `folder`, no webhook, carrier, secret or recording; a line that broke stays so."""
    dialogue = {"database_url": f"sqlite+aiosqlite:///{folder / 'business.db'}"}
    sections: dict[str, Section | dict[str, Any]] = {
        "records": RecordSettings(
            database_url=f"sqlite+aiosqlite:///{folder / 'records.db'}", recordings=folder, record_audio=False
        ),
        "dialogue": DialogueSettings.model_validate({**settings.dialogue.model_dump(), **dialogue}),
        "handoff": HandoffSettings(),
        "server": settings.server.model_copy(update={"return_s": 0.0}),
        "gateways": {},
        "secrets": Secrets(),
    }
    return settings.model_copy(update=sections)


class Replayer:
    """Replays calls one after another on models loaded once."""

    def __init__(self, loaded: Loaded, services: CallServices, actions: RecordedActions, clock: ReplayClock) -> None:
        self._services = services
        self._actions = actions
        self._clock = clock
        self.domain = loaded.domain.name

    async def replay(self, source: Source) -> Replayed:
        """Replay one call and compare it with its record.

        Raises:
            ReplayError: its recording cannot be used, or the agent refused the call.
        """
        wall, notes = RealClock(), list[str]()
        began = wall.now_ms()
        audio = await asyncio.to_thread(read_caller, source)
        plan = plan_of(audio, source.record, notes)
        await self._actions.begin(source.record)
        self._clock.begin(_opened(source.record))
        records, desk = HeldRecords(), RecordedDesk(self._clock, source.record)
        services = replace(self._services, records=records, desk=desk, metrics=Metrics())
        caller = RecordedCaller(plan, self._clock)
        session = Session(services, PlainProtocol(source.call_id), caller, source.call_id[:64])
        speaking = asyncio.create_task(caller.run(), name="recorded-caller")
        speaking.add_done_callback(lambda task: None if _went_well(task) else session.stop("replay_failed"))
        try:
            await session.run()
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
        if not speaking.cancelled() and (error := speaking.exception()) is not None:
            raise error
        if records.last is None:
            raise ReplayError("the agent refused the call before it began; run with another --config")
        new = records.last.as_record(desk.asked)
        compared = None if source.record is None else compare(source.record, new)
        notes += self._notes(source, caller, compared)
        models = services.model_names
        before = {} if source.record is None else dict(source.record["call"]["models"] or {})
        took_s = (wall.now_ms() - began) / 1000.0
        return Replayed(source, new, compared, max(audio.seconds, plan.last_ms / 1000.0), took_s, models, before, notes)

    def _notes(self, source: Source, caller: RecordedCaller, compared: Comparison | None) -> list[str]:
        notes = [f"the agent broke the protocol: {wrong}" for wrong in caller.wrongs[:3]]
        if source.record is None:
            notes.append("the call has no record: neither in the database nor in a .json file beside the recording")
        else:
            if source.record["events"] is None:
                notes.append(
                    "the record has no events: decisions are compared by their counts, floor states not at all"
                )
            if source.record["call"]["domain"] != self._services.settings.dialogue.domain:
                notes.append(
                    f"the call was taken with domain {source.record['call']['domain']}, the replay has "
                    f"{self._services.settings.dialogue.domain}"
                )
        if caller.patience_over:
            notes.append("the agent did not end the call as it did then; the recorded caller hung up")
        if self._actions.on_demo:
            notes.append(f"not in the record, so on a fresh demo shop: {', '.join(sorted(set(self._actions.on_demo)))}")
        if self._actions.unanswered:
            notes.append(
                f"not in the record, so they failed: {', '.join(sorted(set(self._actions.unanswered)))}; "
                "nothing real is done for a replay"
            )
        if compared is not None and compared.moved:
            most = max(compared.moved, key=lambda moved: abs(moved[1]))[1]
            notes.append(
                f"replies that now end at another time: {len(compared.moved)} (by up to {most / 1000.0:+.1f} s); the "
                "recorded caller cannot react to that, and speaks when it did then"
            )
        return notes


def pace_of(compute: str) -> float:
    """Virtual seconds per second of computing: 1 for `measured`, 0 for `instant`, else the number itself.

    Raises:
        ReplayError: neither of these words nor a number above 0.
    """
    known = {"measured": 1.0, "instant": 0.0}
    try:
        pace = known[compute] if compute in known else float(compute)
    except ValueError:
        pace = math.nan
    if not (compute in known or (pace > 0.0 and math.isfinite(pace))):
        raise ReplayError(f"--compute {compute}: give measured, instant, or a factor above 0 such as 0.5")
    return pace


def replay_calls(
    sources: Sequence[Source], settings: Settings, pace: float, folder: Path, watch: Callable[[str, int], None]
) -> tuple[list[Replayed], list[tuple[Source, str]]]:
    """Replay all `sources` in virtual time; returns what came of them, and those that could not be, with why.

    `watch(what, done)` is told what is done next and how many calls are over. Blocks, and needs a thread without a
    running loop.

    Raises:
        FileError, models.errors.ModelError: as `replayer`.
    """

    async def main() -> tuple[list[Replayed], list[tuple[Source, str]]]:
        replayed: list[Replayed] = []
        failed: list[tuple[Source, str]] = []
        watch("loading models", 0)
        async with replayer(settings, folder, pace) as player:
            for done, source in enumerate(sources):
                watch(source.call_id, done)
                try:
                    replayed.append(await player.replay(source))
                except ReplayError as error:
                    failed.append((source, str(error)))
        watch("done", len(sources))
        return replayed, failed

    return run_in_virtual_time(main(), pace)


@asynccontextmanager
async def replayer(settings: Settings, folder: Path, pace: float) -> AsyncIterator[Replayer]:
    """Load everything as configured, on the running `VirtualLoop`. `folder` takes what a replay leaves behind.

    `pace` is that of the loop; recorded actions take their recorded time times `pace`.

    Raises:
        FileError, models.errors.ModelError: as `agent.loading.load`.
    """
    loop, clock = asyncio.get_running_loop(), ReplayClock()
    settings = harmless(settings, folder)
    async with AsyncExitStack() as stack:
        with done_elsewhere():
            loaded = await stack.enter_async_context(load(settings, clock))
            await loaded.warm()
            encoder = await asyncio.to_thread(_encoder)
            actions = RecordedActions(loaded.domain, clock, folder, pace)

            async def run(work: Any) -> Any:
                return await loaded.pool.run(Priority.UNDERSTANDING, work)

            engine = await asyncio.to_thread(DialogueEngine, loaded.domain, encoder, actions.actions(), clock, run)
        if isinstance(loop, VirtualLoop):
            loop.watch(lambda: _busy(loaded.pool))
        services = replace(loaded.services, new_dialogue=engine.new_call, carriers={})
        try:
            yield Replayer(loaded, services, actions, clock)
        finally:
            with done_elsewhere():
                await actions.close()
                await stack.aclose()


def _encoder() -> SentenceEncoder:
    encoder = SentenceEncoder()
    encoder.load()
    return encoder


def _busy(pool: Pool) -> bool:
    gauges = pool.gauges()
    return gauges.waiting > 0 or gauges.running > 0


def _opened(record: Record | None) -> datetime | None:
    return None if record is None else datetime.fromisoformat(str(record["call"]["opened_at"]))


def _went_well(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is None
