"""What a replayed call has in place of the outside: records in memory, a desk and actions that answer as recorded.

Nothing here reaches a carrier, a webhook or a database of the business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from agent.clock import Clock, LoopClock
from agent.dialogue.actions import ActionContext, Actions, Runnable, open_actions
from agent.dialogue.contracts import HandoffOutcome
from agent.dialogue.domain import Domain
from agent.dialogue.reasons import WITHHELD
from agent.handoff.contracts import HandoffRequest, HandoffResult
from agent.lab.replaying.source import Record
from agent.lab.virtual import done_elsewhere
from agent.records.contracts import ActionRecord, CallFinished, CallOpened, Recording, TurnRecord
from agent.records.redaction import redact_json

DEMO_DATABASE = "agent.domains.shop.store:open_shop"
"""Entry point of the only database that is ours to make anew."""
NO_ANSWER_MS = 3_600_000.0
"""How long a desk keeps a caller waiting whose recorded request was never answered."""
_ANSWERED = ("briefing", "declined", "unavailable", "timed_out", "caller_left")


class NotInRecord(Exception):
    """The recorded call has no answer to this; nothing is done for a replay that was not done then."""


class ReplayClock(LoopClock):
    """The time of the loop it was made on, in any thread; the time of day is that of the recorded call."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened: datetime | None = None
        self._began_ms = 0.0

    def begin(self, opened: datetime | None) -> None:
        """A call begins that was recorded at `opened`; today where that is not known."""
        self._opened, self._began_ms = opened, self.now_ms()

    def now_ms(self) -> float:
        return self._loop.time() * 1000.0

    def wall(self) -> datetime:
        opened = self._opened or datetime.now(UTC)
        return datetime.fromtimestamp(opened.timestamp() + (self.now_ms() - self._began_ms) / 1000.0, UTC)


class HeldRecord:
    """The record of one replayed call, redacted as records are."""

    def __init__(self, call: CallOpened) -> None:
        self.recording: Recording | None = None
        self.events: list[dict[str, Any]] = []
        self.turns: dict[tuple[int, str], dict[str, Any]] = {}
        self.actions: list[dict[str, Any]] = []
        self.call: dict[str, Any] = redact_json(asdict(call))

    def event(self, kind: str, at_ms: float, data: Mapping[str, Any] | None = None) -> None:
        self.events.append({"kind": kind, "at_ms": at_ms, "data": redact_json(data or {})})

    def turn(self, turn: TurnRecord) -> None:
        self.turns[turn.number, turn.speaker] = redact_json(asdict(turn))

    def action(self, action: ActionRecord) -> None:
        self.actions.append(redact_json(asdict(action)))

    async def flush(self) -> None:
        return None

    async def finish(self, end: CallFinished) -> Mapping[str, str]:
        self.call |= asdict(end)
        return {}

    def as_record(self, handoffs: Sequence[Mapping[str, Any]]) -> Record:
        """The call as `agent.records.queries.load_call` would give it."""
        turns = sorted(self.turns.values(), key=lambda turn: (turn["number"], turn["started_ms"]))
        return {
            "call": self.call,
            "turns": turns,
            "actions": self.actions,
            "events": self.events,
            "handoffs": list(handoffs),
        }


class HeldRecords:
    """Records in memory, for one call at a time."""

    def __init__(self) -> None:
        self.last: HeldRecord | None = None

    async def open_call(self, call: CallOpened) -> HeldRecord:
        self.last = HeldRecord(call)
        return self.last


class RecordedDesk:
    """Answers the n-th handoff of a call as the desk did then, after as long; more than were recorded find nobody."""

    def __init__(self, clock: Clock, record: Record | None) -> None:
        handoffs = record["handoffs"] if record is not None else ()
        self._clock = clock
        self._left = sorted(handoffs, key=lambda handoff: str(handoff["created_at"]))
        self.asked: list[dict[str, Any]] = []
        """The handoffs of the replay: rule and outcome."""

    async def request(self, request: HandoffRequest) -> HandoffResult:
        asked: dict[str, Any] = {"rule": request.rule, "outcome": None, "reason": request.reason}
        self.asked.append(asked)
        result, after_ms = HandoffResult("unavailable", detail="the recorded call has no such handoff"), 0.0
        if self._left:
            then = self._left.pop(0)
            after_ms = _answered_after(then)
            if then["outcome"] is None:
                after_ms = NO_ANSWER_MS
            else:
                outcome = cast(HandoffOutcome, then["outcome"])
                result = HandoffResult(outcome, then["transfer_to"], str(then["detail"]))
        await self._clock.sleep_until(self._clock.now_ms() + after_ms)
        asked["outcome"] = result.outcome
        return result

    async def caller_left(self, handoff_id: str) -> None:
        return None

    async def finished(self, handoff_id: str, outcome: str) -> None:
        return None


class RecordedActions:
    """Answers actions from the record of the call, else from a demo shop made for the call, else not at all.

    An action with the recorded name and arguments gets the recorded result after the recorded time, times `pace`.
    Where it was recorded more than once, the result counts that came after as many side effects as the replay has had.
    In the demo domain, whose database is ours, any other runs on a fresh shop of the recorded day. In other domains it
    fails with `NotInRecord`, and the agent says that it failed.
    """

    def __init__(self, domain: Domain, clock: Clock, folder: Path, pace: float) -> None:
        self._domain = domain
        self._clock = clock
        self._folder = folder
        self._pace = pace
        self._record: Record | None = None
        self._effects = 0
        self._shop: Actions | None = None
        self._shops = 0
        self._opening = asyncio.Lock()
        self.unanswered: list[str] = []
        """Actions of the call that nothing could answer."""
        self.on_demo: list[str] = []
        """Actions of the call that ran on the fresh demo shop."""

    def actions(self) -> Actions:
        """The domain's actions, answered here."""
        names = self._domain.manner.actions
        return Actions(names, {name: self._runnable(name) for name in names}, self._clock, None)

    async def begin(self, record: Record | None) -> None:
        """The next call begins."""
        await self.close()
        self._record, self._effects = record, 0
        self.unanswered, self.on_demo = [], []

    async def close(self) -> None:
        """Close the demo shop of the last call."""
        shop, self._shop = self._shop, None
        if shop is not None:
            with done_elsewhere():
                await shop.close()

    def _runnable(self, name: str) -> Runnable:
        async def run(arguments: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
            known = self._recorded(name, arguments)
            if known is not None:
                await self._clock.sleep_until(self._clock.now_ms() + float(known["took_ms"]) * self._pace)
                self._note(name)
                if not known["ok"]:
                    raise NotInRecord(f"{name} failed in the recorded call: {known['result'].get('error')}")
                return dict(known["result"])
            if self._domain.manner.database != DEMO_DATABASE or self._domain.manner.actions[name].python is None:
                self.unanswered.append(name)
                raise NotInRecord(f"the recorded call has no answer to {name} with these arguments")
            self.on_demo.append(name)
            with done_elsewhere():
                task = (await self._demo()).start(name, arguments, context)
                acted = await task
            self._note(name)
            if not acted.ok:
                raise NotInRecord(f"{name} failed: {acted.result.get('error')}")
            return acted.result

        return run

    def _note(self, name: str) -> None:
        self._effects += self._domain.manner.actions[name].side_effects

    def _recorded(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
        wanted, found, effects = redact_json(dict(arguments)), None, 0
        for action in self._record["actions"] if self._record is not None else ():
            same = action["name"] == name and _alike(action["arguments"], wanted)
            if same and (found is None or effects <= self._effects):
                found = action
            spec = self._domain.manner.actions.get(action["name"])
            effects += spec is not None and spec.side_effects
        return found

    async def _demo(self) -> Actions:
        async with self._opening:
            if self._shop is None:
                self._shops += 1
                url = f"sqlite+aiosqlite:///{self._folder / f'shop-{self._shops}.db'}"
                self._shop = await open_actions(self._domain, self._clock, url)
            return self._shop


def _alike(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether arguments are those of the record; a value that was hidden there may be any."""
    return recorded.keys() == wanted.keys() and all(
        value in (WITHHELD, wanted[name]) for name, value in recorded.items()
    )


def _answered_after(handoff: Mapping[str, Any]) -> float:
    """Milliseconds between a recorded request and its answer."""
    times = {step["state"]: datetime.fromisoformat(str(step["at"])) for step in handoff["steps"]}
    ends = [times[state] for state in _ANSWERED if state in times]
    if "offered" not in times or not ends:
        return 0.0
    return max(0.0, (min(ends) - times["offered"]).total_seconds() * 1000.0)
