"""What every call over a gateway needs, whatever is done with its audio: its tasks, its limits, its record."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from typing import Any

from agent.call.limits import MediaWatch, MessageBudget
from agent.call.notes import Notes
from agent.call.outbox import Outbox
from agent.call.services import CallServices
from agent.call.session import PROBE_S, RESUMABLE, Admission, Ended
from agent.call.transport import GOING_AWAY, INTERNAL, NORMAL, POLICY, TIMED_OUT, TOO_BIG, Disconnected, Transport
from agent.gateways.base import (
    Answer,
    CallEnded,
    CallStarted,
    Event,
    Fault,
    GatewayProtocol,
    Hangup,
    MediaPaused,
    Opens,
    Probed,
    Refuse,
)
from agent.records.contracts import CallFinished, CallOpened

PART_S = 5.0
"""How long a gateway that ends calls itself may take, once asked to, before its socket is closed on it."""
LEAVE_S = 1.0
"""How long one that said that the call is over may take to close its socket first."""

log = logging.getLogger(__name__)


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
        self.outbox = Outbox(protocol, transport, lambda: self.end("failed", "slow_consumer", POLICY))
        self.notes = self.new_notes()
        self._bound = None if admission is None else admission.bound
        self._limits = services.settings.server
        self._transport = transport
        self._tasks: set[asyncio.Task[Any]] = set()
        self._inward: list[asyncio.Task[Any]] = []
        self._reading: asyncio.Task[None] | None = None
        self._over: asyncio.Future[Ended] | None = None
        self._wake = asyncio.Event()
        self._ended_there, self._gone_there = asyncio.Event(), asyncio.Event()
        self._announced = False
        self._probe: str | None = None
        self.media = MediaWatch(self._limits.first_media_s, self._limits.media_gap_s, self.clock.now_ms())

    def new_notes(self) -> Notes:
        """The call's notebook."""
        return Notes(self.services, self.outbox)

    @property
    @abstractmethod
    def phase(self) -> str:
        """What the call is doing, for operators."""

    @abstractmethod
    async def began(self, started: CallStarted) -> None:
        """The call was announced; its record is open."""

    @abstractmethod
    async def take(self, event: Event) -> None:
        """Something came after the call was announced."""

    @abstractmethod
    async def wind_up(self) -> None:
        """The call is over and nothing more is received: finish what must not be lost, in bounded time."""

    @abstractmethod
    def left(self, reason: str, broken: bool) -> None:
        """The gateway ended the call or closed its socket, or that is `broken`: say how it ended by `end`."""

    def counters(self) -> Mapping[str, int]:
        """More counters for the record."""
        return {}

    async def run(self) -> Ended:
        """Take the call; returns when everything it started has ended and its record is closed."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        self._reading = self.spawn(self._read(), "read")
        self.spawn(self.outbox.run(), "write")
        watch = loop.call_later(self._limits.handshake_s, self._no_start)
        ended = Ended("failed", "server_stopped", GOING_AWAY)
        try:
            ended = await self._over
        finally:
            watch.cancel()
            await self._close(ended)
        return ended

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

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task of the call; should it fail, the call ends."""
        task = asyncio.create_task(work, name=f"{self.call_id}:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._settled)
        return task

    def inward(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Start a task that only deals with what is received: it ends before the call is wound up."""
        self._inward.append(self.spawn(work, name))

    def _settled(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call task %s failed", task.get_name(), exc_info=error)
            self.notes.fault("call_task_failed", repr(error))
            self.end("failed", "internal_error", INTERNAL)

    async def _close(self, ended: Ended) -> None:
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
            await self._part(ended.reason)
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._transport.close(ended.code, ended.reason)
        metrics, gateway = self.services.metrics, self.protocol.name
        metrics.ended.labels(gateway, ended.outcome, ended.reason).inc()
        if self.notes.record is None:
            return
        lost = int(getattr(self.protocol, "sequence_gaps", 0))
        metrics.lost_audio.inc(lost)
        counters = {
            **self.notes.counters,
            "sequence_gaps": lost,
            "lost_ms": int(getattr(self.protocol, "lost_ms", 0)),
            **self.counters(),
        }
        finished = CallFinished(ended.outcome, ended.reason, self.notes.at(now), counters)
        files = await self.notes.record.finish(finished)
        metrics.calls.labels(gateway).dec()
        seconds = finished.duration_ms / 1000.0
        log.info("call ended: %s (%s) after %.1f s", ended.outcome, ended.reason, seconds, extra=dict(files))

    async def _part(self, reason: str) -> None:
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

    def _no_start(self) -> None:
        if not self._announced:
            limit = self._limits.handshake_s
            self.notes.fault("handshake_timeout", f"no call was announced within {limit} s; send the start message")
            self.end("refused", "handshake_timeout", TIMED_OUT)

    async def _read(self) -> None:
        limits = self._limits
        budget = MessageBudget(limits.max_messages_per_s, limits.max_bytes_per_s, self.clock.now_ms())
        try:
            if isinstance(self.protocol, Opens):
                for event in self.protocol.opening():
                    await self._handle(event)
            while True:
                message = await self._transport.receive()
                passed = budget.take(len(message), self.clock.now_ms())
                if passed is not None:
                    self.notes.fault("message_flood", f"over {passed} a second; send audio in real time")
                    self.end("failed", "message_flood", POLICY)
                    return
                for event in self.protocol.receive(message):
                    if not self.done or isinstance(event, Answer | CallEnded):
                        await self._handle(event)
        except Disconnected as gone:
            self._ended_there.set()
            self._gone_there.set()
            if gone.code == TOO_BIG:
                self.notes.fault("message_too_big", "a message was larger than the socket takes; send audio in pieces")
                self._broken("message_too_big", TOO_BIG)
            self._gone(f"socket_closed_{gone.code}", gone.code in RESUMABLE)

    async def _handle(self, event: Event) -> None:
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
                await self._start(event)
            case _ if self.notes.record is None:
                return
            case MediaPaused(on):
                self.media.pause(on, self.clock.now_ms())
                self._wake.set()
                await self.take(event)
            case _:
                await self.take(event)

    async def _probed(self, kind: str) -> None:
        await self.clock.sleep_until(self.clock.now_ms() + PROBE_S * 1000.0)
        self.end("refused", kind, NORMAL)

    def _broken(self, reason: str, code: int) -> None:
        self.end("failed" if self.notes.record is not None else "refused", reason, code)

    def _gone(self, reason: str, broken: bool = False) -> None:
        if self._probe is not None:
            self.end("refused", self._probe, NORMAL)
        elif self.notes.record is None:
            self.end("refused", reason, NORMAL)
        else:
            self.left(reason, broken)

    async def _start(self, started: CallStarted) -> None:
        self._announced = True
        if self._bound is not None and started.gateway_call_id != self._bound:
            self.notes.fault("call_mismatch", "the start names another call than the one this connection is good for")
            self.services.metrics.refused.labels("mismatch").inc()
            self.outbox.put(Refuse("mismatch"))
            self.end("refused", "call_mismatch", POLICY)
            return
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
        await self.began(started)
        self.inward(self._limit(), "limits")

    async def _limit(self) -> None:
        last = self.notes.began_ms + self._limits.max_call_s * 1000.0
        while True:
            now, due = self.clock.now_ms(), self.media.due_ms
            if due is not None and now >= due:
                self.notes.fault("media_timeout", f"no audio for {self.media.silent_s(now):.1f} s")
                self.end("failed", "media_timeout", TIMED_OUT)
                return
            if now >= last:
                self.notes.fault("call_too_long", f"the call passed server.max_call_s, {self._limits.max_call_s} s")
                self.end("failed", "call_too_long", POLICY)
                return
            # Nothing is due twice within a millisecond; a deadline that has just passed must not make this loop spin.
            await self.clock.wait(self._wake, max(now + 1.0, last if due is None else min(due, last)))
