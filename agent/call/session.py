"""One call that the agent holds itself, over one connection or several after each other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from agent import logs
from agent.call.control import CallControl, LiveControl
from agent.call.conversation import Conversation
from agent.call.gatewayed import MOST_UNHEARD, MOST_WAITING, RESUMABLE, Admission, Ended, Gatewayed
from agent.call.listening import RECORD_RATE
from agent.call.services import CallServices
from agent.call.stillness import Stillness
from agent.call.transport import GOING_AWAY, NORMAL, Transport
from agent.gateways.base import (
    AudioIn,
    CallStarted,
    Dtmf,
    Event,
    GatewayProtocol,
    MarkReached,
    MediaPaused,
    TextHeard,
    TextIn,
    ToolResult,
    ToolsOffered,
    Truncated,
    TurnBegan,
)
from agent.records.contracts import CallOpened
from models.contracts import Samples
from models.errors import Overloaded
from models.pool import Priority

__all__ = ["Admission", "Earlier", "Ended", "Session"]

log = logging.getLogger(__name__)

Earlier = Callable[[str, str], "Session | None"]
"""Finds the session of a call by its gateway's name and the gateway's id of it."""


class Session(Gatewayed):
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
        super().__init__(services, protocol, transport, call_id, admission)
        self._earlier = earlier
        self._conversation: Conversation | None = None
        self.control: CallControl | None = None
        """What people at consoles may do with the call, once it was announced."""
        self._vad_state = services.new_vad_state()
        self._still = Stillness()
        self._frames: list[tuple[Samples, float | None]] = []  # and when they came; None: taken for silence already
        self._judging = False
        self._framed = asyncio.Event()
        self._judged = asyncio.Event()
        self._deaf = False
        self._unheard = 0
        self._gateway_call_id: str | None = None
        self._away_until_ms: float | None = None
        self._carried_on: Session | None = None
        self._let_go = asyncio.Event()
        self._lost_before: Mapping[str, int] = {}

    @property
    def phase(self) -> str:
        """Who holds the floor, for operators; `starting` before the gateway announced the call."""
        return str(self._conversation.phase) if self._conversation is not None else "starting"

    @property
    def counts(self) -> bool:
        """Whether it takes a place of `server.max_calls`: not while its connection is away or carries on another's."""
        return self._away_until_ms is None and self._carried_on is None

    async def run(self) -> Ended:
        """See `Gatewayed`. Where this connection carries another call on, it returns when that lets go of it."""
        ended = await super().run()
        if self._carried_on is not None:
            await self._carried_on.until_let_go(self._transport)
        return ended

    async def close(self, ended: Ended) -> None:
        """See `Gatewayed`. A connection that carries another call on has nothing to close."""
        try:
            await (self.end_tasks() if self._carried_on is not None else super().close(ended))
        finally:
            self._let_go.set()

    def answers_to(self, gateway: str, gateway_call_id: str) -> bool:
        """Whether this is that call, and a new connection could carry it on."""
        same = self.protocol.name == gateway and self._gateway_call_id == gateway_call_id
        return same and self._over is not None and not self.done and self._carried_on is None

    def carry_on(self, protocol: GatewayProtocol, transport: Transport, admission: Admission) -> bool:
        """Go on over a new connection; False where it is not the same party's or another kind of line."""
        conversation = self._conversation
        same = protocol.capabilities == self.protocol.capabilities
        if conversation is None or self.done or not same or admission.key != self._admission.key:
            return False
        now = self.clock.now_ms()
        conversation.hold(now)
        conversation.secrecy.enter()
        logs.call_id.set(self.call_id)
        for task in (self._reading, self._writing):
            if task is not None:
                task.cancel()
        self._lost_before = self.losses()
        old, self._transport, self.protocol = self._transport, transport, protocol
        self._let_go.set()
        self._let_go = asyncio.Event()
        self.spawn(old.close(GOING_AWAY, "replaced"), "close-old")
        self.outbox.attach(protocol, transport)
        self.media.pause(False, now)
        self._away_until_ms = None
        self.notes.decision("line_back")
        self.read_and_write()
        conversation.release(now)
        self.wake.set()
        return True

    async def until_let_go(self, transport: Transport) -> None:
        """Wait until this call no longer uses `transport`."""
        while self._transport is transport and not (self.done and not self._tasks):
            await self._let_go.wait()

    def reads(self, transport: Transport) -> bool:
        """See `Gatewayed`. What comes over a connection that carries another call on is for that."""
        return self._carried_on is None and super().reads(transport)

    def losses(self) -> dict[str, int]:
        """See `Gatewayed`: of all its connections."""
        return {name: lost + self._lost_before.get(name, 0) for name, lost in super().losses().items()}

    def audio_dropped(self, frames: int) -> None:
        """See `Gatewayed`: it counts as unheard."""
        super().audio_dropped(frames)
        if self._conversation is not None:
            self._conversation.sound.unheard(frames)

    async def start(self, started: CallStarted) -> None:
        """See `Gatewayed`. A call that is going on already goes on over this connection."""
        earlier = self._earlier(self.protocol.name, started.gateway_call_id) if self._earlier is not None else None
        if earlier is not None and earlier is not self:
            await self.outbox.drained()
            if earlier.carry_on(self.protocol, self._transport, self._admission):
                self._carried_on = earlier
                self.end("continued", earlier.call_id, NORMAL)
                return
        self._gateway_call_id = started.gateway_call_id
        await super().start(started)

    async def began(self, started: CallStarted, opened: CallOpened) -> None:
        """See `Gatewayed`."""
        self.media.expected = self.protocol.capabilities.audio_in
        self._conversation = Conversation(
            self.services,
            self.protocol,
            self.outbox,
            self.notes,
            opened,
            self.spawn,
            self.end,
            self.wake.set,
        )
        self.control = LiveControl(self.services, self._conversation, opened, self.clock.wall())
        self._conversation.begin(started)
        self.inward(self._judge(self._conversation), "judge")

    def advance(self, now_ms: float) -> float | None:
        """See `Gatewayed`."""
        if self._away_until_ms is not None:
            if now_ms >= self._away_until_ms:
                self._leave("line_lost")
            return self._away_until_ms
        return None if self._conversation is None else self._conversation.advance(now_ms)

    async def wind_up(self) -> None:
        """See `Gatewayed`."""
        if self._conversation is not None:
            self._conversation.close(self.clock.now_ms())
            await self._conversation.bridge.finish()
            self._conversation.bridge.close("call_over")

    async def part(self, reason: str) -> None:
        """See `Gatewayed`. What has to be said was: a call that fails may go on in the vendor's own script."""
        await self.outbox.flushed()

    async def closed(self) -> Mapping[str, int]:
        """See `Gatewayed`."""
        if self._conversation is None:
            return {}
        await self._conversation.ending.over()
        await self._conversation.handover.stream_ended()
        playout = self._conversation.sound.playout
        return {
            "stale_marks": playout.stale_marks,
            "untrue_marks": playout.untrue_marks,
            "resyncs": playout.resyncs,
        }

    def left(self, reason: str, code: int | None) -> None:
        """See `Gatewayed`. A connection that broke may be back."""
        conversation = self._conversation
        if conversation is None or self.done or code not in RESUMABLE or self._limits.return_s <= 0 or self._parting:
            self._leave(reason)
            return
        if self._writing is not None:
            self._writing.cancel()
        now = self.clock.now_ms()
        self._away_until_ms = now + self._limits.return_s * 1000.0
        self.media.pause(True, now)
        self.notes.decision("line_lost", code=code)
        log.info("the connection broke with %d; the call is kept for %.0f s", code, self._limits.return_s)
        conversation.hold(now)
        self.wake.set()

    def _leave(self, reason: str) -> None:
        if self._moved or self._with_person:
            self.end("handed_off", reason, NORMAL)
        elif self._conversation is not None and self._conversation.parting:
            self.end("completed", reason, NORMAL)
        else:
            self.end("caller_left", reason, NORMAL)

    @property
    def _moved(self) -> bool:
        """Whether the caller was given to a person, or is being."""
        conversation = self._conversation
        return conversation is not None and not self._with_person and conversation.people.moving

    @property
    def _with_person(self) -> bool:
        """Whether a person at a console has the call, on our line."""
        return self._conversation is not None and self._conversation.bridge.human is not None

    @property
    def _parting(self) -> bool:
        """Whether the end of the stream is only what was to come."""
        return self._moved or (self._conversation is not None and self._conversation.parting)

    async def handle(self, event: Event) -> None:
        """See `Gatewayed`. The rest of the message with which a call came back is for that call."""
        await (super().handle(event) if self._carried_on is None else self._carried_on.handle(event))

    async def take(self, event: Event) -> None:
        """See `Gatewayed`."""
        conversation = self._conversation
        if conversation is None:
            return
        match event:
            case AudioIn(audio):
                self.listen(audio, self.clock.now_ms())
                while len(self._frames) >= MOST_WAITING and not self._deaf:
                    self._judged.clear()
                    await self._judged.wait()
            case Dtmf(digit):
                conversation.entries.key(digit)
            case MarkReached(name):
                conversation.reached(name)
            case TextIn(text):
                conversation.entries.typed(text)
            case TextHeard(text, stopped):
                conversation.read_out(text, stopped)
            case TurnBegan():
                conversation.caller_speaks()
            case Truncated(heard_ms):
                conversation.truncated(heard_ms)
            case MediaPaused(on):
                conversation.media_paused(on)
            case ToolsOffered(names):
                conversation.tools_offered(names)
            case ToolResult(call_id, output):
                if not conversation.tools.result(call_id, output):
                    self.notes.fault("unknown_tool_call", f"no tool call {call_id[:40]!r} waits for a result")

    @property
    def listens(self) -> bool:
        """See `Gatewayed`: once the call has begun, and unless too much waits to be judged."""
        return self._conversation is not None and len(self._frames) < MOST_WAITING

    def listen(self, audio: bytes, now_ms: float) -> None:
        """See `Gatewayed`."""
        conversation, now = self._conversation, now_ms
        assert conversation is not None
        try:
            frames, narrow = conversation.listening.feed(audio)
        except ValueError as error:
            self.notes.fault("bad_audio", str(error))
            return
        self.media.heard(now)
        conversation.bridge.caller(audio)
        before_ms = conversation.listening.received_ms - len(narrow) / RECORD_RATE * 1000.0
        at_ms = conversation.timeline.place(before_ms, now)
        if self.notes.record is not None and self.notes.record.recording is not None:
            self.notes.record.recording.caller(narrow, self.notes.at(at_ms))
        if not frames or self._deaf:
            return
        for frame in frames:
            resting = conversation.at_rest and not (self._frames or self._judging or self._unheard)
            if self._still.holds(frame, resting):
                conversation.frame(0.0, frame, now)
            else:
                self._frames += [(held, None) for held in self._still.released()]
                self._frames.append((frame, now))
        if self._frames:
            self._framed.set()

    async def _judge(self, conversation: Conversation) -> None:
        """Find the voice in what was received, everything that waits at a time."""
        vad = self.services.vad
        while not self._deaf:
            await self._framed.wait()
            self._framed.clear()
            frames, self._frames, self._judging = self._frames, [], True
            work = partial(vad.probabilities, [(self._vad_state, frame) for frame, _ in frames])
            try:
                chances = await self.services.pool.run(Priority.VOICE_ACTIVITY, work)
                self._unheard = 0
            except Exception as error:
                self._unheard += 1
                if isinstance(error, Overloaded) and self._unheard <= MOST_UNHEARD:
                    self.notes.fault("vad_overloaded", str(error))
                    chances = [0.0] * len(frames)
                else:
                    self._deaf = True
                    conversation.part_failed("vad", error)
                    chances = []
            for chance, (frame, arrived_ms) in zip(chances, frames, strict=False):
                if arrived_ms is not None:
                    conversation.frame(chance, frame, arrived_ms)
            self._judging = False
            self._judged.set()
            cutting = conversation.cut_if_long() if chances else None
            if cutting is not None:
                self.own(cutting)
