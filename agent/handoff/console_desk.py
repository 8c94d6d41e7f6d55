"""The desk with people of our own: runs the queue of `agent.handoff.waiting`, else does what `Desk` does."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError

from agent.clock import Clock
from agent.dialogue.writing.contracts import Writer
from agent.handoff.briefing import Briefing, better, brief_request
from agent.handoff.callbacks import count_callbacks
from agent.handoff.contracts import HandoffRequest, HandoffResult
from agent.handoff.happening import (
    Accept,
    Announce,
    Bridged,
    CallerLeft,
    ChoseCallback,
    Command,
    Decline,
    Doors,
    Ending,
    Engaged,
    Enter,
    Event,
    HumanLost,
    Hush,
    Moved,
    OffDuty,
    OnDuty,
    Over,
    Ring,
    Settled,
    Taken,
    Tick,
    WrappedUp,
)
from agent.handoff.line import Case, Place, QueueSettings, QueueState, places
from agent.handoff.machine import WAITING, HandoffState
from agent.handoff.people import TooLate
from agent.handoff.queue import FINISHED, Desk
from agent.handoff.showing import shown, shown_last, shown_people
from agent.handoff.waiting import next_at, step
from agent.handoff.webhook import Webhook
from agent.records.database import Database
from agent.records.redaction import redact

log = logging.getLogger(__name__)

MOST_WRITES = 2000
"""Moves that wait for a slow database; beyond that the oldest is lost, and counted in failed_writes."""
REMEMBERED = 1000
"""Handoffs whose caller left, and listeners, kept for those who come late; oldest go first."""
CALLBACK = "callback"
"""`HandoffResult.detail` where the caller chose to be called back."""

_S = HandoffState
_DETAILS: Mapping[str, str] = {
    "closed": "outside working hours",
    "nobody": "nobody is on duty",
    "full": "too many callers are waiting",
    "timed_out": "nobody answered in time",
    "declined": "everybody declined",
    "callback": CALLBACK,
    "caller_left": "the caller left",
}


_DONE = frozenset({_S.ENDED, _S.HANDED_BACK})
_FINISHED: Mapping[str, Callable[[str], Event]] = {
    "bridged": Bridged,
    "transfer_failed": lambda handoff_id: Over(handoff_id, "failed"),
    "ended": lambda handoff_id: Over(handoff_id, "ended"),
    "handed_back": lambda handoff_id: Over(handoff_id, "handed_back"),
}


class FeedLike(Protocol):
    """Who is told of everything; `agent.console.feed.Feed` is one. Never blocks."""

    def publish(self, kind: str, call_id: str | None, data: Mapping[str, Any]) -> None:
        """Tell."""
        ...


class _Waiting:
    """What goes with a case and is not the queue's business."""

    def __init__(self, request: HandoffRequest) -> None:
        self.request = replace(request, reason=redact(request.reason), summary=redact(request.summary))
        self.briefing: Briefing = brief_request(request)
        self.result: asyncio.Future[HandoffResult] = asyncio.get_running_loop().create_future()
        self.told: Mapping[str, Any] | None = None


class ConsoleDesk(Desk):
    """Our own people first; where none of them takes a caller, the webhook or `default_transfer`, else a call-back.

    Its one task, which keeps the time and writes to the database, begins with the first caller or person (`start`) and
    ends with `aclose`. Everything else here happens at once, on the loop: of two who accept, the first has the call
    before the second is heard.
    """

    def __init__(
        self,
        database: Database,
        webhook: Webhook | None,
        default_transfer: str | None,
        clock: Clock,
        settings: QueueSettings | None = None,
        feed: FeedLike | None = None,
        writer: Writer | None = None,
    ) -> None:
        """`writer` words briefings, where it does summaries."""
        super().__init__(database, webhook, default_transfer, clock)
        self.settings = settings or QueueSettings()
        self._feed = feed
        self._writer = writer
        self._state = QueueState()
        self._waiting: dict[str, _Waiting] = {}
        self._listeners: OrderedDict[str, Callable[[Announce], None]] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._why: OrderedDict[str, Ending] = OrderedDict()
        self._writes: deque[tuple[str, Sequence[HandoffState], str, frozenset[HandoffState] | None]] = deque()
        self._writing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._to_write = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._wording: set[asyncio.Task[None]] = set()
        self._people_told: list[dict[str, Any]] = []
        self._doors_ms = -math.inf
        self._noted: OrderedDict[str, str] = OrderedDict()
        self._closing = False

    def start(self) -> None:
        """Begin, where that has not happened."""
        if self._task is None and not self._closing:
            self._task = asyncio.create_task(self._run(), name="handoff-queue")

    async def aclose(self) -> None:
        """Send waiting callers back to the agent, write what is to be written, and end."""
        self._closing = True
        for waiting in self._waiting.values():
            if not waiting.result.done():
                waiting.result.set_result(HandoffResult("unavailable", detail="the server stops"))
        await super().aclose()
        for task in (*self._wording, *([self._task] if self._task else [])):
            task.cancel()
        await asyncio.gather(*self._wording, *([self._task] if self._task else []), return_exceptions=True)
        self._task = None
        await self._flush()

    # What the call says.

    def listen(self, handoff_id: str, tell: Callable[[Announce], None]) -> None:
        """Tell `tell` what to say to this caller while he waits; it must return at once."""
        self._listeners[handoff_id] = tell
        while len(self._listeners) > REMEMBERED:
            self._listeners.popitem(last=False)

    def choose_callback(self, handoff_id: str) -> None:
        """The caller would rather be called back: `request` returns `unavailable` with the detail `CALLBACK`."""
        self._happen(ChoseCallback(handoff_id))

    async def caller_left(self, handoff_id: str) -> None:
        """The caller hung up while waiting."""
        self._gone[handoff_id] = None
        while len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)
        self._happen(CallerLeft(handoff_id))
        await super().caller_left(handoff_id)

    async def finished(self, handoff_id: str, outcome: str) -> None:
        """What became of an accepted handoff: `bridged`, `transfer_failed`, later `ended` or `handed_back`."""
        event = _FINISHED.get(outcome)
        if event is None or handoff_id not in self._state.cases:
            await super().finished(handoff_id, outcome)
            return
        # Put down before anything is awaited: what the person notes meanwhile comes after it.
        self._write(handoff_id, FINISHED[outcome], "the transfer failed" if outcome == "transfer_failed" else "")
        noted = self._noted.pop(handoff_id, None) if outcome in ("ended", "handed_back") else None
        if noted is not None:
            self._write(handoff_id, [_S.WRAPPED_UP], noted)
        self._happen(event(handoff_id))
        await self._flush()

    async def human_lost(self, who: str, handoff_id: str) -> HandoffResult:
        """The person's line broke: the caller goes to the head of the queue, and others are asked at once.

        Returns what became of it, as `request` does; a handoff that `who` does not have is `failed`. Never raises but
        for cancellation.
        """
        case, waiting = self._state.cases.get(handoff_id), self._waiting.get(handoff_id)
        if case is None or waiting is None or case.human != who or case.state not in (_S.BRIEFING, _S.BRIDGED):
            return HandoffResult("failed", detail=f"{who} does not have this handoff")
        waiting.result = asyncio.get_running_loop().create_future()
        if self.teller is not None:
            self.teller.queued(waiting.request)
        self._happen(HumanLost(who, handoff_id))
        try:
            result = await self._awaited(waiting)
            if handoff_id not in self._gone:
                await self._conclude(handoff_id, result)
        except Exception as error:  # the contract: a broken desk must not break the call
            log.exception("handoff %s failed", handoff_id)
            result = HandoffResult("failed", detail=type(error).__name__)
        if self.teller is not None:
            self.teller.result(handoff_id, result)
        return result

    def briefing(self, handoff_id: str) -> Briefing | None:
        """What the person who takes the call is told of it."""
        waiting = self._waiting.get(handoff_id)
        return None if waiting is None else waiting.briefing

    # What people say.

    def on_duty(self, who: str, skills: Iterable[str], languages: Iterable[str], capacity: int = 1) -> None:
        """`who` takes calls from now on. No skills: any call; no languages: those of the house.

        Raises:
            ValueError: naming the field, the value and what it must be.
        """
        self.start()
        self._happen(OnDuty(who, tuple(skills), tuple(languages), capacity))

    def off_duty(self, who: str) -> None:
        """`who` is asked no more; the calls he has he keeps."""
        self._happen(OffDuty(who))

    def accept(self, who: str, handoff_id: str) -> None:
        """`who` takes a waiting call; again by the same person, nothing happens.

        Raises:
            TooLate: somebody was faster (`by`), or nobody is needed any more.
            NoCapacity, UnknownHandoff
        """
        self._happen(Accept(who, handoff_id))

    def decline(self, who: str, handoff_id: str) -> None:
        """`who` does not take the call and is not asked again for it.

        Raises:
            TooLate, UnknownHandoff
        """
        self._happen(Decline(who, handoff_id))

    def wrapped_up(self, who: str, handoff_id: str, disposition: str, note: str = "") -> None:
        """`who` has noted how the call went, and is free for the next once it is over.

        Raises:
            ValueError: the disposition is empty.
            TooLate: somebody else has the call.
        """
        if not disposition.strip():
            raise ValueError("disposition is empty; say how the call ended, as 'resolved'")
        case = self._state.cases.get(handoff_id)
        if case is not None and case.human != who:
            raise TooLate(handoff_id, case.human or "")
        told = f"{who}: {disposition}" + (f". {note}" if note else "")
        if case is not None and case.state in (_S.BRIEFING, _S.BRIDGED):
            self._noted[handoff_id] = told  # written once the call is over
            while len(self._noted) > REMEMBERED:
                self._noted.popitem(last=False)
        else:
            self._write(handoff_id, [_S.WRAPPED_UP], told, _DONE)
        self._happen(WrappedUp(who, handoff_id))

    def engaged(self, who: str, call_id: str) -> None:
        """`who` took over a call outside the queue."""
        self._happen(Engaged(who, call_id))

    def released(self, who: str, call_id: str) -> None:
        """That call is no longer his."""
        self._happen(Engaged(who, call_id, on=False))

    def snapshot(self) -> dict[str, list[dict[str, Any]]]:
        """JSON-ready: `queue`, first one first, then the calls that people have; `people` on duty or with a call.

        Fields as `agent.handoff.showing`.
        """
        where = places(self._state, self.settings)
        order = {handoff_id: n for n, handoff_id in enumerate(where)}
        cases = sorted(self._state.cases.values(), key=lambda one: order.get(one.handoff_id, len(order)))
        queue = [self._shown(case, where) for case in cases if case.handoff_id in self._waiting]
        return {"queue": queue, "people": shown_people(self._state)}

    # Inside.

    async def _decide(self, request: HandoffRequest) -> HandoffResult:
        """One of our people; else as without them."""
        if self._closing:
            return HandoffResult("unavailable", detail="the server stops")
        self.start()
        handoff_id = request.handoff_id
        waiting = self._waiting[handoff_id] = _Waiting(request)
        if handoff_id in self._gone:
            self._drop(handoff_id)
            return HandoffResult("unavailable", detail=_DETAILS["caller_left"])
        self._open_doors()
        self._happen(Enter(request))
        if not waiting.result.done() and self._writer is not None:
            task = asyncio.create_task(self._word(waiting), name=f"briefing-{handoff_id}")
            self._wording.add(task)
            task.add_done_callback(self._wording.discard)
        return await self._awaited(waiting)

    async def _awaited(self, waiting: _Waiting) -> HandoffResult:
        """The result of one wait: one of our people, else as without them."""
        handoff_id = waiting.request.handoff_id
        try:
            result = await asyncio.shield(waiting.result)
        finally:
            if handoff_id not in self._state.cases:
                self._drop(handoff_id)
        if self._closing or result.outcome == "accepted" or not self._elsewhere():
            return result
        if self._why.get(handoff_id) in ("callback", "caller_left"):
            return result
        self._why.pop(handoff_id, None)
        return await super()._decide(waiting.request)

    def _elsewhere(self) -> bool:
        """Whether callers can go anywhere but to our people."""
        return self._webhook is not None or self._default_transfer is not None

    async def _conclude(self, handoff_id: str, result: HandoffResult) -> bool:
        """As `Desk`, with what the queue knows: who left has left, who timed out has timed out."""
        why = self._why.pop(handoff_id, None)
        if handoff_id in self._gone:
            return await self._advance(handoff_id, [_S.CALLER_LEFT], only_from=WAITING)
        steps: dict[str, Sequence[HandoffState]] = {
            "timed_out": [_S.TIMED_OUT, _S.CALLBACK],
            "declined": [_S.RINGING, _S.DECLINED, _S.CALLBACK],
            "callback": [_S.CALLBACK],
        }
        if result.human is None and (why is None or why not in steps):
            return await super()._conclude(handoff_id, result)
        states = [_S.RINGING, _S.BRIEFING] if result.human is not None else steps[why or ""]
        detail = f"taken by {result.human}" if result.human is not None else result.detail
        values = {"outcome": result.outcome, "transfer_to": result.transfer_to, "detail": redact(detail)}
        written = await self._advance(handoff_id, states, result.detail, values, only_from=WAITING)
        # Whoever asks again must hear who took it, which the row does not say: the result stays in memory.
        return written and result.human is None

    async def _advance(
        self,
        handoff_id: str,
        states: Sequence[HandoffState],
        detail: str = "",
        values: dict[str, Any] | None = None,
        only_from: frozenset[HandoffState] | None = None,
    ) -> bool:
        """As `Desk`, after the moves that are still to be written."""
        await self._flush()
        return await self._write_down(handoff_id, states, detail, values, only_from)

    async def _write_down(
        self,
        handoff_id: str,
        states: Sequence[HandoffState],
        detail: str,
        values: dict[str, Any] | None,
        only_from: frozenset[HandoffState] | None,
    ) -> bool:
        """As `Desk._advance`; pages hear of a new call-back."""
        written = await super()._advance(handoff_id, states, detail, values, only_from)
        if written and _S.CALLBACK in states and self._feed is not None:
            try:
                self._feed.publish("callbacks", None, {"waiting": await count_callbacks(self._database)})
            except (SQLAlchemyError, OSError) as error:
                log.error("pages were not told of call-backs: %s", type(error).__name__)
        return written

    def _happen(self, event: Event) -> None:
        """One step of the queue, and what follows from it, at once."""
        before = self._state
        self._state, commands = step(self._state, event, self._clock.now_ms(), self.settings)
        for command in commands:
            self._do(command)
        if self._state != before:
            self._wake.set()
            self._tell()

    def _do(self, command: Command) -> None:
        match command:
            case Announce(handoff_id):
                tell = self._listeners.get(handoff_id)
                if tell is not None and not (command.kind == "nobody" and self._elsewhere()):
                    self._try(tell, command)
            case Moved(handoff_id, states, detail):
                self._write(handoff_id, states, detail)
            case Taken(handoff_id, human):
                self._give(handoff_id, HandoffResult("accepted", detail=human, human=human))
            case Settled(handoff_id, why):
                self._why[handoff_id] = why
                while len(self._why) > REMEMBERED:
                    self._why.popitem(last=False)
                outcome = HandoffResult("declined" if why == "declined" else "unavailable", detail=_DETAILS[why])
                self._give(handoff_id, outcome)
            case Ring(handoff_id, who) | Hush(handoff_id, who):
                log.debug("handoff %s: %s %s", handoff_id, type(command).__name__.lower(), who)

    def _give(self, handoff_id: str, result: HandoffResult) -> None:
        waiting = self._waiting.get(handoff_id)
        if waiting is not None and not waiting.result.done():
            waiting.result.set_result(result)

    def _drop(self, handoff_id: str) -> None:
        self._waiting.pop(handoff_id, None)
        self._listeners.pop(handoff_id, None)

    def _try(self, tell: Callable[[Announce], None], announce: Announce) -> None:
        try:
            tell(announce)
        except Exception:
            log.exception("handoff %s: %s could not be announced", announce.handoff_id, announce.kind)

    def _write(
        self,
        handoff_id: str,
        states: Sequence[HandoffState],
        detail: str,
        only_from: frozenset[HandoffState] | None = None,
    ) -> None:
        self._writes.append((handoff_id, states, detail, only_from))
        self._to_write.set()
        while len(self._writes) > MOST_WRITES:
            lost = self._writes.popleft()
            self._write_failed(lost[0], OSError(f"{MOST_WRITES} moves wait for the database"))

    async def _flush(self) -> None:
        """Write the moves so far, in order. One that is cut off is written again, which changes nothing."""
        async with self._writing:
            while self._writes:
                write = self._writes[0]
                try:
                    handoff_id, states, detail, only_from = write
                    await self._write_down(handoff_id, states, detail, None, only_from)
                except Exception as error:
                    self._write_failed(write[0], error)
                if self._writes and self._writes[0] is write:
                    self._writes.popleft()

    async def _run(self) -> None:
        """Keep the time, and the database."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_time())
            tasks.create_task(self._keep_writing())

    async def _keep_time(self) -> None:
        while True:
            due = [at for at in (next_at(self._state, self.settings), self._open_doors()) if at is not None]
            await self._clock.wait(self._wake, min(due, default=None))
            try:
                self._happen(Tick())
            except Exception:
                log.exception("the queue could not go on; it tries again in a second")
                await self._clock.sleep_until(self._clock.now_ms() + 1000.0)

    async def _keep_writing(self) -> None:
        while True:
            await self._to_write.wait()
            self._to_write.clear()
            await self._flush()

    def _open_doors(self) -> float | None:
        """Set whether the working hours are on; gives when that changes, in ms, where it does."""
        hours = self.settings.hours
        if hours is None:
            return None
        if self._clock.now_ms() < self._doors_ms:
            return None if math.isinf(self._doors_ms) else self._doors_ms
        now = self._clock.wall()
        change = hours.next_change(now)
        open_ = hours.open_at(now)
        opens_at = None if open_ or change is None else change.isoformat()
        if (open_, opens_at) != (self._state.open, self._state.opens_at):
            self._happen(Doors(open_, opens_at))
        seconds = math.inf if change is None else min(3600.0, max(0.0, (change - now).total_seconds()) + 0.001)
        self._doors_ms = self._clock.now_ms() + seconds * 1000.0
        return None if math.isinf(self._doors_ms) else self._doors_ms

    async def _word(self, waiting: _Waiting) -> None:
        """Let a model word the briefing while the telephone rings."""
        try:
            waiting.briefing = await better(waiting.briefing, waiting.request, self._writer)
        except Exception as error:
            log.error("handoff %s: no better briefing: %s", waiting.request.handoff_id, error)
            return
        if waiting.request.handoff_id in self._waiting:
            self._tell()

    def _tell(self) -> None:
        """The feed hears of what has changed."""
        if self._feed is None:
            self._forget_over()
            return
        where = places(self._state, self.settings)
        for handoff_id, waiting in list(self._waiting.items()):
            case = self._state.cases.get(handoff_id)
            if case is None:
                now = shown_last(waiting.request, waiting.told, self._why.get(handoff_id))
            else:
                now = self._shown(case, where)
            known = {name: value for name, value in now.items() if name != "wait_s"}
            if known != waiting.told:
                waiting.told = known
                self._feed.publish("handoff", waiting.request.call_id, now)
        people = shown_people(self._state)
        if people != self._people_told:
            self._people_told = people
            self._feed.publish("agents", None, {"agents": people})
        self._forget_over()

    def _forget_over(self) -> None:
        for handoff_id, waiting in list(self._waiting.items()):
            if handoff_id not in self._state.cases and waiting.result.done():
                self._drop(handoff_id)

    def _shown(self, case: Case, where: Mapping[str, Place]) -> dict[str, Any]:
        waiting = self._waiting[case.handoff_id]
        place = where.get(case.handoff_id)
        return shown(case, waiting.request, waiting.briefing, place, self._clock.now_ms())
