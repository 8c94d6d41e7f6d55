"""One call: its socket, its tasks, its limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
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
    Answer,
    AudioIn,
    CallEnded,
    CallStarted,
    Dtmf,
    Event,
    Fault,
    GatewayProtocol,
    MarkReached,
    MediaPaused,
    Opens,
    Probed,
    Refuse,
    TextHeard,
    TextIn,
    ToolResult,
    ToolsOffered,
    Truncated,
    TurnBegan,
)
from agent.records.contracts import CallFinished, CallOpened
from models.contracts import Samples
from models.errors import Overloaded
from models.pool import Priority

RESUMABLE = frozenset({1001, 1006, 1011, 1012, 1013, 1014, 1015})
"""Close codes with which a gateway may be back: it restarts, or the connection broke. RFC 6455 section 7.4.1, IANA."""

DRIFT_MS = 500.0
"""Received audio this far from the clock has lost or gained time; the recording's timeline then follows the clock."""

PROBE_S = 5.0
"""How long a gateway that only tried whether we answer may take to close."""

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


@dataclass(frozen=True, slots=True)
class Admission:
    """How a connection came in. key: whose proof it was. bound: the gateway's id of the call that proof is good for."""

    key: str = ""
    bound: str | None = None


Earlier = Callable[[str, str], "Session | None"]
"""Finds the session of a call by its gateway's name and the gateway's id of it."""


class Session:
    """A call from the first message to the closed record. `run` owns every task started here.

    A connection that breaks may come back: for `server.return_s` the call is kept, and a new connection of the same
    gateway, key and call id carries it on.
    """

    def __init__(
        self,
        services: CallServices,
        protocol: GatewayProtocol,
        transport: Transport,
        call_id: str,
        admission: Admission | None = None,
        earlier: Earlier | None = None,
    ) -> None:
        """`earlier` finds the call that this connection may be the return of."""
        self.call_id = call_id
        self._admission = admission or Admission()
        self._earlier = earlier
        self._services = services
        self._clock = services.clock
        self._limits = services.settings.server
        self._protocol = protocol
        self._transport = transport
        self._outbox = Outbox(
            protocol, transport, lambda: self._end("failed", "slow_consumer", POLICY), self._audio_lost
        )
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
        self._paused = False
        self._gateway_call_id: str | None = None
        self._away_until_ms: float | None = None
        self._reading: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._carried_on: Session | None = None
        self._let_go = asyncio.Event()

    @property
    def phase(self) -> str:
        """Who holds the floor, for operators; `starting` before the gateway announced the call."""
        return str(self._conversation.phase) if self._conversation is not None else "starting"

    async def run(self) -> Ended:
        """Take the call; returns when everything it started has ended and its record is closed."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        self._read_and_write()
        patience_s = self._limits.silent_client_s if isinstance(self._protocol, Opens) else self._limits.handshake_s
        watch = loop.call_later(patience_s, self._no_start, patience_s)
        ended = Ended("failed", "server_stopped", GOING_AWAY)
        try:
            ended = await self._over
        finally:
            watch.cancel()
            if self._carried_on is None:
                await self._close(ended)
            else:
                await self._end_tasks()
        if self._carried_on is not None:
            await self._carried_on.until_let_go(self._transport)
        return ended

    def _read_and_write(self) -> None:
        self._reading = self._spawn(self._read(), "read")
        self._writing = self._spawn(self._outbox.run(), "write")

    @property
    def counts(self) -> bool:
        """Whether it takes a place of `server.max_calls`: not while its connection is away or carries on another's."""
        return self._away_until_ms is None and self._carried_on is None

    def answers_to(self, gateway: str, gateway_call_id: str) -> bool:
        """Whether this is that call, and a new connection could carry it on."""
        same = self._protocol.name == gateway and self._gateway_call_id == gateway_call_id
        return same and self._over is not None and not self._over.done() and self._carried_on is None

    def carry_on(self, protocol: GatewayProtocol, transport: Transport, admission: Admission) -> bool:
        """Go on over a new connection; False where it is not the same party's or another kind of line."""
        conversation = self._conversation
        same = protocol.capabilities.encoding == self._protocol.capabilities.encoding
        if conversation is None or not same or admission.key != self._admission.key:
            return False
        now = self._clock.now_ms()
        conversation.hold(now)
        for task in (self._reading, self._writing):
            if task is not None:
                task.cancel()
        old, self._transport, self._protocol = self._transport, transport, protocol
        self._let_go.set()
        self._let_go = asyncio.Event()
        self._spawn(old.close(GOING_AWAY, "replaced"), "close-old")
        self._outbox.attach(protocol, transport)
        self._media_ms, self._away_until_ms, self._paused = now, None, False
        self._notes.decision("line_back")
        self._read_and_write()
        conversation.release(now)
        self._wake.set()
        return True

    async def until_let_go(self, transport: Transport) -> None:
        """Wait until this call no longer uses `transport`."""
        while self._transport is transport and not (self._over is not None and self._over.done() and not self._tasks):
            await self._let_go.wait()

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
        await self._outbox.flushed()
        await self._end_tasks()
        await self._transport.close(ended.code, ended.reason)
        self._let_go.set()
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
            "audio_dropped": self._outbox.lost,
        }
        finished = CallFinished(ended.outcome, ended.reason, self._notes.at(now), counters)
        files = await self._notes.record.finish(finished)
        metrics.calls.labels(gateway).dec()
        seconds = finished.duration_ms / 1000.0
        log.info("call ended: %s (%s) after %.1f s", ended.outcome, ended.reason, seconds, extra=dict(files))

    async def _end_tasks(self) -> None:
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _no_start(self, limit: float) -> None:
        if not self._announced:
            self._notes.fault("handshake_timeout", f"no call was announced within {limit} s; send the start message")
            self._end("refused", "handshake_timeout", TIMED_OUT)

    async def _read(self) -> None:
        protocol, transport = self._protocol, self._transport
        budget, bytes_budget = float(self._limits.max_messages_per_s), float(self._limits.max_bytes_per_s)
        tokens, room, filled = budget, bytes_budget, self._clock.now_ms()
        try:
            if isinstance(protocol, Opens):
                for event in protocol.opening():
                    await self._handle(event)
            while True:
                message = await transport.receive()
                now = self._clock.now_ms()
                passed_s, filled = (now - filled) / 1000.0, now
                tokens = min(budget, tokens + passed_s * budget) - 1.0
                room = min(bytes_budget, room + passed_s * bytes_budget) - len(message)
                if tokens < 0 or room < 0:
                    limit = f"{budget:.0f} messages" if tokens < 0 else f"{bytes_budget:.0f} bytes"
                    self._notes.fault("message_flood", f"over {limit} a second; send audio in real time")
                    self._end("failed", "message_flood", POLICY)
                    return
                for event in protocol.receive(message):
                    if (self._over is not None and self._over.done()) or self._transport is not transport:
                        return
                    await self._handle(event)
        except Disconnected as gone:
            if self._transport is transport:
                self._disconnected(gone.code)

    def _disconnected(self, code: int) -> None:
        if code == TOO_BIG:
            self._notes.fault("message_too_big", "a message was larger than the socket takes; send audio in pieces")
            self._end("failed" if self._conversation else "refused", "message_too_big", TOO_BIG)
        conversation = self._conversation
        if conversation is None or code not in RESUMABLE or self._limits.return_s <= 0 or self._moving(conversation):
            self._left(f"socket_closed_{code}")
            return
        if self._writing is not None:
            self._writing.cancel()
        now = self._clock.now_ms()
        self._away_until_ms = now + self._limits.return_s * 1000.0
        self._notes.decision("line_lost", code=code)
        log.info("the connection broke with %d; the call is kept for %.0f s", code, self._limits.return_s)
        conversation.hold(now)
        self._wake.set()

    def _moving(self, conversation: Conversation) -> bool:
        """Whether the end of the stream is only what was to come."""
        return conversation.phase is Phase.HUMAN or conversation.handover.stage == "moving" or conversation.parting

    async def _handle(self, event: Event) -> None:
        conversation = self._conversation
        match event:
            case Fault(code, detail, close):
                self._notes.fault(code, detail)
                if close is not None:
                    self._end("failed" if conversation else "refused", code, close)
            case Answer(message):
                self._outbox.answer(message)
            case CallStarted():
                await self._announce(event)
            case CallEnded(reason):
                self._left(reason)
            case Probed(kind):
                self._announced = True
                log.info("a probe was answered: %s", kind)
                asyncio.get_running_loop().call_later(PROBE_S, self._end, "refused", kind, NORMAL)
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
            case TextHeard(text, stopped):
                conversation.read_out(text, stopped)
            case TurnBegan():
                conversation.caller_speaks()
            case Truncated(heard_ms):
                conversation.truncated(heard_ms)
            case MediaPaused(on):
                self._paused, self._media_ms = on, self._clock.now_ms()
                conversation.media_paused(on)
            case ToolsOffered(names):
                conversation.tools_offered(names)
            case ToolResult(call_id, output):
                if not conversation.tools.result(call_id, output):
                    self._notes.fault("unknown_tool_call", f"no tool call {call_id[:40]!r} waits for a result")

    def _audio_lost(self, frames: int) -> None:
        self._notes.fault("audio_dropped", f"{frames} pieces of audio wait; the gateway reads too slowly")
        if self._conversation is not None:
            self._conversation.unheard(frames)

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

    async def _announce(self, started: CallStarted) -> None:
        self._announced = True
        if self._admission.bound is not None and started.gateway_call_id != self._admission.bound:
            self._notes.fault("call_mismatch", "the start names another call than the one this connection is good for")
            self._services.metrics.refused.labels("mismatch").inc()
            self._outbox.put(Refuse("mismatch"))
            await self._outbox.drained()
            self._end("refused", "call_mismatch", POLICY)
            return
        earlier = self._earlier(self._protocol.name, started.gateway_call_id) if self._earlier is not None else None
        if earlier is not None and earlier is not self:
            await self._outbox.drained()
            if earlier.carry_on(self._protocol, self._transport, self._admission):
                self._carried_on = earlier
                self._end("continued", earlier.call_id, NORMAL)
                return
        self._gateway_call_id = started.gateway_call_id
        await self._start(started)

    async def _start(self, started: CallStarted) -> None:
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
            if self._away_until_ms is not None:
                if now >= self._away_until_ms:
                    self._left("line_lost")
                await self._clock.wait(self._wake, max(now + 1.0, self._away_until_ms))
                continue
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
        if self._paused or not self._protocol.capabilities.audio_in:
            return None
        patience = self._limits.media_gap_s if conversation.listening.received else self._limits.first_media_s
        return self._media_ms + patience * 1000.0
