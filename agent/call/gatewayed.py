"""What every call over a gateway needs, whatever is done with its audio: its tasks, its limits, its record."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from agent.call.limits import MediaWatch, MessageBudget
from agent.call.notes import Notes
from agent.call.outbox import Outbox
from agent.call.services import CallServices
from agent.call.transport import (
    GOING_AWAY,
    INTERNAL,
    NORMAL,
    POLICY,
    TIMED_OUT,
    TOO_BIG,
    Direct,
    Disconnected,
    Transport,
)
from agent.gateways.base import (
    Answer,
    CallEnded,
    CallStarted,
    Event,
    Fault,
    GatewayProtocol,
    Hangup,
    Hears,
    MediaPaused,
    Opens,
    Probed,
    Refuse,
)
from agent.records.contracts import CallFinished, CallOpened

RESUMABLE = frozenset({1001, 1006, 1011, 1012, 1013, 1014, 1015})
"""Close codes with which a gateway may be back: it restarts, or the connection broke. RFC 6455 section 7.4.1, IANA."""
PROBE_S = 5.0
"""How long a gateway that only tried whether we answer may take to close."""
PART_S = 5.0
"""How long a gateway that ends calls itself may take, once asked to, before its socket is closed on it."""
LEAVE_S = 1.0
"""How long one that said that the call is over may take to close its socket first."""

MOST_UNHEARD = 25
"""Jobs of voice activity in a row, half a second and more of telephone, that an overloaded pool may leave undone: their
audio counts as silence. More is no moment's overload."""
MOST_WAITING = 64
"""Frames of a speaker waiting to be judged, 2 s of audio; beyond that the socket is not read until they are."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended: outcome and reason as in the record, and the websocket close code."""

    outcome: str
    reason: str
    code: int


@dataclass(frozen=True, slots=True)
class Admission:
    """How a connection came in. key: whose proof it was. bound: the gateway's id of the call that proof is good for."""

    key: str = ""
    bound: str | None = None


class Gatewayed(ABC):
    """A call from the first message to the closed record. `run` owns every task started here.

    A subclass is told of the call's beginning, of its events and of its end; `notes` and `outbox` are its to use.
    """

    def __init__(
        self,
        services: CallServices,
        protocol: GatewayProtocol,
        transport: Transport,
        call_id: str,
        admission: Admission | None = None,
    ) -> None:
        self.call_id = call_id
        self.services = services
        self.clock = services.clock
        self.protocol = protocol
        self.outbox = Outbox(
            protocol, transport, lambda: self.end("failed", "slow_consumer", POLICY), self.audio_dropped
        )
        self.notes = self.new_notes()
        self._admission = admission or Admission()
        self._limits = services.settings.server
        self._transport = transport
        self._tasks: set[asyncio.Task[Any]] = set()
        self._inward: list[asyncio.Task[Any]] = []
        self._reading: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._over: asyncio.Future[Ended] | None = None
        self.wake = asyncio.Event()
        self._ended_there, self._gone_there = asyncio.Event(), asyncio.Event()
        self._announced = False
        self._probe: str | None = None
        self.media = MediaWatch(self._limits.first_media_s, self._limits.media_gap_s, self.clock.now_ms())

    def new_notes(self) -> Notes:
        """The call's notebook."""
        return Notes(self.services, self.outbox, self.call_id)

    @property
    @abstractmethod
    def phase(self) -> str:
        """What the call is doing, for operators."""

    @abstractmethod
    async def began(self, started: CallStarted, opened: CallOpened) -> None:
        """The call was announced; its record is open."""

    @abstractmethod
    async def take(self, event: Event) -> None:
        """Something came after the call was announced."""

    @abstractmethod
    async def wind_up(self) -> None:
        """The call is over and nothing more is received: finish what must not be lost, in bounded time."""

    @abstractmethod
    def left(self, reason: str, code: int | None) -> None:
        """The gateway ended the call, or closed its socket with `code`: say how it ended by `end`."""

    @property
    def listens(self) -> bool:
        """Whether `listen` may be called now."""
        return False

    def listen(self, audio: bytes, now_ms: float) -> None:
        """Take audio of the caller that came at `now_ms`, as `take` would, but without waiting for anything."""
        raise NotImplementedError

    def advance(self, now_ms: float) -> float | None:
        """Do what time brings; returns when to come again, in ms of the clock. `self.wake` asks for it earlier."""
        return None

    async def closed(self) -> Mapping[str, int]:
        """The socket is closed and every task has ended; returns more counters for the record, which is closed next."""
        return {}

    def audio_dropped(self, frames: int) -> None:
        """See `Outbox`."""
        self.notes.fault("audio_dropped", f"{frames} pieces of audio wait; the gateway reads too slowly")

    def losses(self) -> dict[str, int]:
        """What the gateway did not deliver, as its protocol counts."""
        return {name: int(getattr(self.protocol, name, 0)) for name in ("sequence_gaps", "lost_ms")}

    async def run(self) -> Ended:
        """Take the call; returns when everything it started has ended and its record is closed."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        self.read_and_write()
        patience_s = self._limits.silent_client_s if isinstance(self.protocol, Opens) else self._limits.handshake_s
        watch = loop.call_later(patience_s, self._no_start, patience_s)
        ended = Ended("failed", "server_stopped", GOING_AWAY)
        try:
            ended = await self._over
        finally:
            watch.cancel()
            await self.close(ended)
        return ended

    def read_and_write(self) -> None:
        """Use the socket."""
        context = contextvars.copy_context()
        self._reading = self.spawn(self._read(self._transport, self.protocol, context), "read", context)
        self._writing = self.spawn(self.outbox.run(), "write")

    def reads(self, transport: Transport) -> bool:
        """Whether what comes over `transport` is still for this call."""
        return self._transport is transport

    def stop(self, reason: str) -> None:
        """End the call from outside, for example because the server stops."""
        self.end("failed", reason, GOING_AWAY)

    @property
    def done(self) -> bool:
        """Whether the call is over; what it started may still be ending."""
        return self._over is not None and self._over.done()

    def end(self, outcome: str, reason: str, code: int) -> None:
        """End the call; the first to say so decides how it ended."""
        if self._over is not None and not self._over.done():
            self._over.set_result(Ended(outcome, reason, code))

    def spawn(
        self, work: Coroutine[Any, Any, None], name: str, context: contextvars.Context | None = None
    ) -> asyncio.Task[None]:
        """Start a task of the call, in a copy of this context or the one given; should it fail, the call ends."""
        task = asyncio.create_task(work, name=f"{self.call_id}:{name}", context=context)
        self.own(task)
        return task

    def own(self, task: asyncio.Task[Any]) -> None:
        """Make a task one of the call's: see `spawn`."""
        self._tasks.add(task)
        task.add_done_callback(self._settled)

    def inward(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Start a task that only deals with what is received: it ends before the call is wound up."""
        self._inward.append(self.spawn(work, name))

    def _settled(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(task.get_name(), error)

    def _failed(self, name: str, error: BaseException) -> None:
        log.error("call task %s failed", name, exc_info=error)
        self.notes.fault("call_task_failed", repr(error))
        self.end("failed", "internal_error", INTERNAL)

    async def close(self, ended: Ended) -> None:
        """Wind up, part, end every task, close the socket and the record."""
        now = self.clock.now_ms()
        for task in self._inward:
            task.cancel()
        await asyncio.gather(*self._inward, return_exceptions=True)
        if self.notes.record is not None:
            try:
                await self.wind_up()
            except Exception as error:
                log.exception("the end of the call was not wound up")
                self.notes.fault("call_task_failed", repr(error))
        if ended.reason != "slow_consumer":
            await self.part(ended.reason)
        await self.end_tasks()
        await self._transport.close(ended.code, ended.reason)
        metrics, gateway = self.services.metrics, self.protocol.name
        metrics.ended.labels(gateway, ended.outcome, ended.reason).inc()
        if self.notes.record is None:
            return
        more = await self.closed()
        losses = self.losses()
        metrics.lost_audio.inc(losses["sequence_gaps"])
        counters = {
            **self.notes.counters,
            **losses,
            "audio_dropped": self.outbox.lost,
            **more,
        }
        finished = CallFinished(ended.outcome, ended.reason, self.notes.at(now), counters)
        files = await self.notes.record.finish(finished)
        metrics.calls.labels(gateway).dec()
        self.notes.publish("call_ended", outcome=ended.outcome, reason=ended.reason)
        seconds = finished.duration_ms / 1000.0
        log.info("call ended: %s (%s) after %.1f s", ended.outcome, ended.reason, seconds, extra=dict(files))

    async def end_tasks(self) -> None:
        """Cancel what still runs and wait for it."""
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def part(self, reason: str) -> None:
        """Let everything out; a gateway that wants to be the one who ends and closes is asked to, and waited for."""
        waits: list[tuple[asyncio.Event, float]] = []
        if self.protocol.capabilities.hangup == "message" and not self._gone_there.is_set():
            if self.notes.record is not None and not self._ended_there.is_set():
                self.outbox.put(Hangup(reason))
                waits.append((self._ended_there, PART_S))
            waits.append((self._gone_there, LEAVE_S))
        await self.outbox.drained()
        for there, wait_s in waits:
            if self._reading is None or self._reading.done():
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await there.wait()
            await self.outbox.drained()

    def _no_start(self, limit: float) -> None:
        if not self._announced:
            self.notes.fault("handshake_timeout", f"no call was announced within {limit} s; send the start message")
            self.end("refused", "handshake_timeout", TIMED_OUT)

    async def _read(self, transport: Transport, protocol: GatewayProtocol, context: contextvars.Context) -> None:
        """Take what comes over `transport`; `context` is that of this task."""
        limits = self._limits
        budget = MessageBudget(limits.max_messages_per_s, limits.max_bytes_per_s, self.clock.now_ms())
        try:
            if isinstance(protocol, Opens):
                for event in protocol.opening():
                    await self.handle(event)
            if isinstance(transport, Direct) and isinstance(protocol, Hears):
                hear = partial(self._hear, transport, protocol, budget)
                transport.directly(lambda message: context.run(hear, message))
            while self.reads(transport):
                message = await transport.receive()
                if self._floods(budget, message, self.clock.now_ms()):
                    return
                for event in protocol.receive(message):
                    if self._transport is not transport:
                        return
                    await self.handle(event)
        except Disconnected as gone:
            if not self.reads(transport):
                return
            self._ended_there.set()
            self._gone_there.set()
            if gone.code == TOO_BIG:
                self.notes.fault("message_too_big", "a message was larger than the socket takes; send audio in pieces")
                self._broken("message_too_big", TOO_BIG)
            self._gone(f"socket_closed_{gone.code}", gone.code)

    def _hear(self, transport: Transport, protocol: Hears, budget: MessageBudget, message: str | bytes) -> bool:
        """Take a message as it comes; False where it has to be read by `_read`."""
        if self.done or not (self.listens and self.reads(transport)):
            return False
        heard = protocol.hear(message)
        if heard is None:
            return False
        try:
            now = self.clock.now_ms()
            if not self._floods(budget, message, now):
                for piece in heard:
                    self.listen(piece.audio, now)
        except Exception as error:
            self._failed(f"{self.call_id}:hear", error)
        return True

    def _floods(self, budget: MessageBudget, message: str | bytes, now_ms: float) -> bool:
        passed = budget.take(len(message), now_ms)
        if passed is None:
            return False
        if not self.done:
            self.notes.fault("message_flood", f"over {passed} a second; send audio in real time")
            self.end("failed", "message_flood", POLICY)
        return True

    async def handle(self, event: Event) -> None:
        """Do what an event of the gateway asks for; of a call that is over, only what ends it in order."""
        if self.done and not isinstance(event, Answer | CallEnded):
            return
        match event:
            case Answer(message):
                self.outbox.answer(message)
            case Fault(code, detail, close):
                self.notes.fault(code, detail)
                if close is not None:
                    self._broken(code, close)
            case Probed(kind):
                self._announced, self._probe = True, kind
                log.info("a probe was answered: %s", kind)
                self.inward(self._probed(kind), "probe")
            case CallEnded(reason):
                self._ended_there.set()
                self._gone(reason)
            case CallStarted():
                await self._announce(event)
            case _ if self.notes.record is None:
                return
            case MediaPaused(on):
                self.media.pause(on, self.clock.now_ms())
                self.wake.set()
                await self.take(event)
            case _:
                await self.take(event)

    async def _probed(self, kind: str) -> None:
        await self.clock.sleep_until(self.clock.now_ms() + PROBE_S * 1000.0)
        if self._probe is not None:
            self.end("refused", kind, NORMAL)

    def _broken(self, reason: str, code: int) -> None:
        self.end("failed" if self.notes.record is not None else "refused", reason, code)

    def _gone(self, reason: str, code: int | None = None) -> None:
        if self._probe is not None:
            self.end("refused", self._probe, NORMAL)
        elif self.notes.record is None:
            self.end("refused", reason, NORMAL)
        else:
            self.left(reason, code)

    async def _announce(self, started: CallStarted) -> None:
        self._announced, self._probe = True, None
        bound = self._admission.bound
        if bound is not None and started.gateway_call_id != bound:
            self.notes.fault("call_mismatch", "the start names another call than the one this connection is good for")
            self.services.metrics.refused.labels("mismatch").inc()
            self.outbox.put(Refuse("mismatch"))
            self.end("refused", "call_mismatch", POLICY)
            return
        await self.start(started)

    async def start(self, started: CallStarted) -> None:
        """The call that was let in was announced: open its record and begin."""
        services, gateway = self.services, self.protocol.name
        opened = CallOpened(
            self.call_id,
            gateway,
            started.gateway_call_id,
            services.settings.dialogue.domain,
            started.caller,
            started.called,
            dict(started.parameters),
            services.model_names,
        )
        self.notes.record = await services.records.open_call(opened)
        services.metrics.calls.labels(gateway).inc()
        self.media = MediaWatch(self._limits.first_media_s, self._limits.media_gap_s, self.clock.now_ms())
        log.info("call started over %s (%s)", gateway, started.gateway_call_id)
        if services.feed is not None:  # the numbers whole, as in the call's state
            numbers = {"caller": started.caller, "called": started.called}
            services.feed.publish("call_started", self.call_id, {"gateway": gateway, **numbers})
        await self.began(started, opened)
        self.inward(self._pace(), "pace")

    async def _pace(self) -> None:
        last = self.notes.began_ms + self._limits.max_call_s * 1000.0
        while True:
            now = self.clock.now_ms()
            at = self.advance(now)
            due = self.media.due_ms
            if due is not None and now >= due:
                self.notes.fault("media_timeout", f"no audio for {self.media.silent_s(now):.1f} s")
                self.end("failed", "media_timeout", TIMED_OUT)
                return
            if now >= last:
                self.notes.fault("call_too_long", f"the call passed server.max_call_s, {self._limits.max_call_s} s")
                self.end("failed", "call_too_long", POLICY)
                return
            times = [time for time in (at, due, last) if time is not None]
            # Nothing is due twice within a millisecond; a deadline that has just passed must not make this loop spin.
            await self.clock.wait(self.wake, max(now + 1.0, min(times)))
