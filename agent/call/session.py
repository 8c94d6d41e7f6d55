"""One call: its socket, its tasks, its limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from agent.call.conversation import Conversation
from agent.call.floor import Phase
from agent.call.listening import RECORD_RATE
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
    Disconnected,
    Transport,
)
from agent.gateways.base import (
    AudioIn,
    CallEnded,
    CallStarted,
    Dtmf,
    Event,
    Fault,
    GatewayProtocol,
    MarkReached,
    TextIn,
)
from agent.records.contracts import CallFinished, CallOpened
from models.contracts import Samples
from models.errors import Overloaded
from models.pool import Priority

DRIFT_MS = 500.0
"""Received audio this far from the clock has lost or gained time; the recording's timeline then follows the clock."""

MOST_UNHEARD = 25
"""Jobs of voice activity in a row, half a second and more of telephone, that an overloaded pool may leave undone: their
audio counts as silence. More is no moment's overload, and the caller gets an apology and a person."""
MOST_WAITING = 64
"""Frames waiting to be judged, 2 s of audio; beyond that the socket is not read until they are."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended: outcome and reason as in the record, and the websocket close code."""

    outcome: str
    reason: str
    code: int


class Session:
    """A call from the first message to the closed record. `run` owns every task started here."""

    def __init__(self, services: CallServices, protocol: GatewayProtocol, transport: Transport, call_id: str) -> None:
        self.call_id = call_id
        self._services = services
        self._clock = services.clock
        self._limits = services.settings.server
        self._protocol = protocol
        self._transport = transport
        self._outbox = Outbox(protocol, transport, lambda: self._end("failed", "slow_consumer", POLICY))
        self._notes = Notes(services, self._outbox)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._over: asyncio.Future[Ended] | None = None
        self._wake = asyncio.Event()
        self._conversation: Conversation | None = None
        self._vad_state = services.new_vad_state()
        self._frames: list[tuple[Samples, float]] = []
        self._framed = asyncio.Event()
        self._judged = asyncio.Event()
        self._deaf = False
        self._unheard = 0
        self._announced = False
        self._media_ms = 0.0
        self._audio_from_ms = 0.0

    @property
    def phase(self) -> str:
        """Who holds the floor, for operators; `starting` before the gateway announced the call."""
        return str(self._conversation.phase) if self._conversation is not None else "starting"

    async def run(self) -> Ended:
        """Take the call; returns when everything it started has ended and its record is closed."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        self._spawn(self._read(), "read")
        self._spawn(self._outbox.run(), "write")
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
        self._end("failed", reason, GOING_AWAY)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"{self.call_id}:{name}")
        self._own(task)
        return task

    def _own(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call task %s failed", task.get_name(), exc_info=error)
            self._notes.fault("call_task_failed", repr(error))
            self._end("failed", "internal_error", INTERNAL)

    def _end(self, outcome: str, reason: str, code: int) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(Ended(outcome, reason, code))

    async def _close(self, ended: Ended) -> None:
        now = self._clock.now_ms()
        if self._conversation is not None:
            self._conversation.close(now)
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._transport.close(ended.code, ended.reason)
        metrics, gateway = self._services.metrics, self._protocol.name
        metrics.ended.labels(gateway, ended.outcome, ended.reason).inc()
        if self._conversation is None or self._notes.record is None:
            return
        await self._conversation.over()
        try:
            await self._conversation.handover.stream_ended()
        except Exception as error:
            log.exception("the desk was not told that the call ended")
            self._notes.fault("desk_not_told", f"{type(error).__name__}: {error}")
        lost, playout = int(getattr(self._protocol, "sequence_gaps", 0)), self._conversation.playout
        metrics.lost_audio.inc(lost)
        counters = {
            **self._notes.counters,
            "sequence_gaps": lost,
            "lost_ms": int(getattr(self._protocol, "lost_ms", 0)),
            "stale_marks": playout.stale_marks,
            "untrue_marks": playout.untrue_marks,
            "resyncs": playout.resyncs,
        }
        finished = CallFinished(ended.outcome, ended.reason, self._notes.at(now), counters)
        files = await self._notes.record.finish(finished)
        metrics.calls.labels(gateway).dec()
        seconds = finished.duration_ms / 1000.0
        log.info("call ended: %s (%s) after %.1f s", ended.outcome, ended.reason, seconds, extra=dict(files))

    def _no_start(self) -> None:
        if not self._announced:
            limit = self._limits.handshake_s
            self._notes.fault("handshake_timeout", f"no call was announced within {limit} s; send the start message")
            self._end("refused", "handshake_timeout", TIMED_OUT)

    async def _read(self) -> None:
        budget = float(self._limits.max_messages_per_s)
        tokens, filled = budget, self._clock.now_ms()
        try:
            while True:
                message = await self._transport.receive()
                now = self._clock.now_ms()
                tokens = min(budget, tokens + (now - filled) / 1000.0 * budget) - 1.0
                filled = now
                if tokens < 0:
                    self._notes.fault("message_flood", f"over {budget:.0f} messages a second; send audio in real time")
                    self._end("failed", "message_flood", POLICY)
                    return
                for event in self._protocol.receive(message):
                    if self._over is not None and self._over.done():
                        return
                    await self._handle(event)
        except Disconnected as gone:
            if gone.code == TOO_BIG:
                self._notes.fault("message_too_big", "a message was larger than the socket takes; send audio in pieces")
                self._end("failed" if self._conversation else "refused", "message_too_big", TOO_BIG)
            self._left(f"socket_closed_{gone.code}")

    async def _handle(self, event: Event) -> None:
        conversation = self._conversation
        match event:
            case Fault(code, detail, close):
                self._notes.fault(code, detail)
                if close is not None:
                    self._end("failed" if conversation else "refused", code, close)
            case CallStarted():
                await self._start(event)
            case CallEnded(reason):
                self._left(reason)
            case _ if conversation is None:
                return
            case AudioIn(audio):
                await self._listen(conversation, audio)
            case Dtmf(digit):
                conversation.key(digit)
            case MarkReached(name):
                conversation.playout.reached(name, self._clock.now_ms())
                self._wake.set()
            case TextIn(text):
                conversation.typed(text)

    def _left(self, reason: str) -> None:
        conversation = self._conversation
        if conversation is None:
            self._end("refused", reason, NORMAL)
        elif conversation.phase is Phase.HUMAN or conversation.handover.stage == "moving":
            self._end("handed_off", reason, NORMAL)
        elif conversation.parting:
            self._end("completed", reason, NORMAL)
        else:
            self._end("caller_left", reason, NORMAL)

    async def _start(self, started: CallStarted) -> None:
        self._announced = True
        services, gateway = self._services, self._protocol.name
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
        self._notes.record = await services.records.open_call(opened)
        services.metrics.calls.labels(gateway).inc()
        self._media_ms = self._audio_from_ms = self._clock.now_ms()
        self._conversation = Conversation(
            services,
            self._protocol,
            self._outbox,
            self._notes,
            opened,
            self._spawn,
            self._end,
            self._wake.set,
        )
        log.info("call started over %s (%s)", gateway, started.gateway_call_id)
        self._conversation.begin(started)
        self._spawn(self._pace(self._conversation), "pace")
        self._spawn(self._judge(self._conversation), "judge")

    async def _listen(self, conversation: Conversation, audio: bytes) -> None:
        now = self._clock.now_ms()
        try:
            frames, narrow = conversation.listening.feed(audio)
        except ValueError as error:
            self._notes.fault("bad_audio", str(error))
            return
        self._media_ms = now
        rate = self._protocol.capabilities.encoding.rate
        received_ms = conversation.listening.received / rate * 1000.0 - len(narrow) / RECORD_RATE * 1000.0
        if abs(self._audio_from_ms + received_ms - now) > DRIFT_MS:
            self._audio_from_ms = now - received_ms
        if self._notes.record is not None and self._notes.record.recording is not None:
            self._notes.record.recording.caller(narrow, self._notes.at(self._audio_from_ms + received_ms))
        if not frames or self._deaf:
            return
        self._frames += [(frame, now) for frame in frames]
        self._framed.set()
        while len(self._frames) >= MOST_WAITING:
            self._judged.clear()
            await self._judged.wait()

    async def _judge(self, conversation: Conversation) -> None:
        """Find the voice in what was received, everything that waits at a time."""
        vad = self._services.vad
        while not self._deaf:
            await self._framed.wait()
            self._framed.clear()
            frames, self._frames = self._frames, []
            work = partial(vad.probabilities, [(self._vad_state, frame) for frame, _ in frames])
            try:
                chances = await self._services.pool.run(Priority.VOICE_ACTIVITY, work)
                self._unheard = 0
            except Exception as error:
                self._unheard += 1
                if isinstance(error, Overloaded) and self._unheard <= MOST_UNHEARD:
                    self._notes.fault("vad_overloaded", str(error))
                    chances = [0.0] * len(frames)
                else:
                    self._deaf = True
                    conversation.part_failed("vad", error)
                    chances = []
            for chance, (frame, arrived_ms) in zip(chances, frames, strict=False):
                conversation.frame(chance, frame, arrived_ms)
            self._judged.set()
            cutting = conversation.cut_if_long() if chances else None
            if cutting is not None:
                self._own(cutting)

    async def _pace(self, conversation: Conversation) -> None:
        while True:
            now = self._clock.now_ms()
            due = conversation.advance(now)
            limits = [self._media_limit(conversation), self._notes.began_ms + self._limits.max_call_s * 1000.0]
            self._enforce(conversation, now)
            times = [at for at in (due, *limits) if at is not None]
            # Nothing is due twice within a millisecond; a deadline that has just passed must not make this loop spin.
            await self._clock.wait(self._wake, max(now + 1.0, min(times)))

    def _enforce(self, conversation: Conversation, now: float) -> None:
        limit = self._media_limit(conversation)
        if limit is not None and now >= limit:
            self._notes.fault("media_timeout", f"no audio for {(now - self._media_ms) / 1000.0:.1f} s")
            self._end("failed", "media_timeout", TIMED_OUT)
        elif now >= self._notes.began_ms + self._limits.max_call_s * 1000.0:
            self._notes.fault("call_too_long", f"the call passed server.max_call_s, {self._limits.max_call_s} s")
            self._end("failed", "call_too_long", POLICY)

    def _media_limit(self, conversation: Conversation) -> float | None:
        if not self._protocol.capabilities.audio_in:
            return None
        patience = self._limits.media_gap_s if conversation.listening.received else self._limits.first_media_s
        return self._media_ms + patience * 1000.0
