"""One call: its socket, its tasks, and the floor that commands them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from agent.call import floor
from agent.call.claims import claims_floor
from agent.call.handover import Handover
from agent.call.hearing import Heard, Hearing
from agent.call.listening import RECORD_RATE, Listening
from agent.call.notes import Notes
from agent.call.outbox import Outbox
from agent.call.playout import Playout
from agent.call.replying import Reply, Speaker
from agent.call.services import CallServices
from agent.call.transport import GOING_AWAY, INTERNAL, NORMAL, POLICY, TIMED_OUT, TOO_BIG, Disconnected, Transport
from agent.dialogue.contracts import Acted, CallerTurn, Expect, HandOff, Part, Say
from agent.gateways.base import (
    AudioIn,
    CallEnded,
    CallStarted,
    Dtmf,
    Event,
    Fault,
    GatewayProtocol,
    Hangup,
    MarkReached,
    TextIn,
)
from agent.records.contracts import CallFinished, CallOpened
from audio.resample import StreamResampler, to_float, to_pcm16
from models.contracts import OUT_OF_SCOPE, Understood
from models.pool import Priority

KEYS_MS = 1500.0
"""Keys this close together belong to one number; '#' ends it at once."""
TYPED_REPROMPT_MS = 600_000.0
"""Silence before a typed call is asked again: people read and think."""
GRACE_S = 5.0
"""How long a gateway may take to end the stream of a call that was handed over before we close it."""

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
        self._settings = services.settings
        self._turns = services.settings.floor
        self._protocol = protocol
        self._transport = transport
        self._outbox = Outbox(protocol, transport, lambda: self._end("failed", "slow_consumer", POLICY))
        self._notes = Notes(services, self._outbox)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._over: asyncio.Future[Ended] | None = None
        self._wake = asyncio.Event()
        self._live = False
        self._floor = floor.FloorState()
        self._number = 0
        self._reply: Reply | None = None
        self._leaving: Reply | None = None
        self._answering: asyncio.Task[None] | None = None
        self._guessing: tuple[int, asyncio.Task[None]] | None = None
        self._guess: tuple[int, Heard] | None = None
        self._entered: CallerTurn | None = None
        self._keys = ""
        self._keys_ms = 0.0
        self._faults = 0
        self._deaf = False

    @property
    def phase(self) -> str:
        """The floor's phase, for operators."""
        return str(self._floor.phase)

    async def run(self) -> Ended:
        """Take the call; returns when everything it started has ended and its record is closed."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        self._spawn(self._read(), "read")
        self._spawn(self._outbox.run(), "write")
        watch = loop.call_later(self._settings.server.handshake_s, self._no_start)
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
        return self._own(asyncio.create_task(work, name=f"{self.call_id}:{name}"))

    def _own(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        self._tasks.add(task)
        task.add_done_callback(self._settled)
        return task

    def _settled(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call task %s failed", task.get_name(), exc_info=error)
            self._notes.fault("call_task_failed", repr(error))
            self._end("failed", "internal_error", INTERNAL)

    def _end(self, outcome: str, reason: str, code: int = NORMAL) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(Ended(outcome, reason, code))

    async def _close(self, ended: Ended) -> None:
        now = self._clock.now_ms()
        if self._live:
            self._settle_unfinished(now)
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._transport.close(ended.code, ended.reason)
        metrics, gateway = self._services.metrics, self._protocol.name
        metrics.ended.labels(gateway, ended.outcome, ended.reason).inc()
        if self._notes.record is None:
            return
        await self._handover.caller_left()
        lost = int(getattr(self._protocol, "sequence_gaps", 0))
        metrics.lost_audio.inc(lost)
        counters = {
            **self._notes.counters,
            "sequence_gaps": lost,
            "stale_marks": self._playout.stale_marks,
            "untrue_marks": self._playout.untrue_marks,
            "resyncs": self._playout.resyncs,
        }
        files = await self._notes.record.finish(
            CallFinished(ended.outcome, ended.reason, self._notes.at(now), counters)
        )
        metrics.calls.labels(gateway).dec()
        log.info(
            "call ended: %s (%s) after %.1f s", ended.outcome, ended.reason, self._notes.at(now) / 1e3, extra=files
        )

    def _no_start(self) -> None:
        if not self._live:
            limit = self._settings.server.handshake_s
            self._notes.fault("handshake_timeout", f"no call was announced within {limit} s; send the start message")
            self._end("refused", "handshake_timeout", TIMED_OUT)

    async def _read(self) -> None:
        budget = float(self._settings.server.max_messages_per_s)
        tokens, filled = budget, self._clock.now_ms()
        try:
            while True:
                message = await self._transport.receive()
                now = self._clock.now_ms()
                tokens = min(budget, tokens + (now - filled) / 1000.0 * budget) - 1.0
                filled = now
                if tokens < 0:
                    self._notes.fault(
                        "message_flood", f"more than {budget:.0f} messages a second; send audio in real time"
                    )
                    self._end("failed", "message_flood", POLICY)
                    return
                for event in self._protocol.receive(message):
                    await self._handle(event)
        except Disconnected as gone:
            if gone.code == TOO_BIG:
                self._notes.fault("message_too_big", "a message was larger than the socket takes; send audio in pieces")
            self._left(f"socket_closed_{gone.code}")

    async def _handle(self, event: Event) -> None:
        match event:
            case Fault(code, detail, close):
                self._notes.fault(code, detail)
                if close is not None:
                    self._end("failed" if self._live else "refused", code, close)
            case CallStarted():
                await self._start(event)
            case CallEnded(reason):
                self._left(reason)
            case _ if not self._live:
                return
            case AudioIn(audio):
                await self._listen(audio)
            case Dtmf(digit):
                self._key(digit)
            case MarkReached(name):
                self._playout.reached(name, self._clock.now_ms())
                self._wake.set()
            case TextIn(text):
                self._spawn(self._typed(text), "typed")

    def _left(self, reason: str) -> None:
        phase = self._floor.phase
        if not self._live:
            self._end("refused", reason)
        elif phase is floor.Phase.HUMAN or (phase is floor.Phase.TRANSFERRING and self._handover.stage == "moving"):
            self._end("handed_off", reason)
        elif phase is floor.Phase.CLOSING:
            self._end("completed", reason)
        else:
            self._end("caller_left", reason)

    async def _start(self, started: CallStarted) -> None:
        services, can = self._services, self._protocol.capabilities
        opened = CallOpened(
            self.call_id,
            self._protocol.name,
            started.gateway_call_id,
            self._settings.dialogue.domain,
            started.caller,
            started.called,
            dict(started.parameters),
            services.model_names,
        )
        rate = can.encoding.rate
        self._dialogue = services.new_dialogue(self.call_id, started.caller)
        self._listening = Listening(can.encoding, self._settings.vad.threshold, self._settings.vad.release)
        self._hearing = Hearing(services, self._listening, lambda: self._dialogue.context)
        self._vad_state = services.new_vad_state()
        self._playout = Playout(can)
        self._narrower = StreamResampler(rate, RECORD_RATE)
        self._speaker = Speaker(
            services.voice_at(rate), self._playout, rate, self._clock, self._wake.set, self._on_part, not can.audio_out
        )
        self._handover = Handover(services, self._protocol, self._outbox, self._notes, self._dialogue, opened)
        self._notes.record = await services.records.open_call(opened)
        services.metrics.calls.labels(self._protocol.name).inc()
        if not can.audio_in:
            self._turns = self._turns.model_copy(update={"reprompt_ms": TYPED_REPROMPT_MS})
        self._media_ms = self._audio_from_ms = self._clock.now_ms()
        self._floor = replace(self._floor, idle_ms=self._media_ms)
        self._live = True
        log.info("call started over %s (%s)", self._protocol.name, started.gateway_call_id)
        self._notes.state(self.phase)
        self._spawn(self._pace(), "pace")
        self._speak_up(self._dialogue.open(started.caller, started.parameters))

    async def _listen(self, audio: bytes) -> None:
        now = self._clock.now_ms()
        try:
            frames, narrow = self._listening.feed(audio)
        except ValueError as error:
            self._notes.fault("bad_audio", str(error))
            return
        self._media_ms = now
        rate = self._protocol.capabilities.encoding.rate
        received_ms = self._listening.received / rate * 1000.0 - len(narrow) / RECORD_RATE * 1000.0
        if abs(self._audio_from_ms + received_ms - now) > 500.0:
            self._audio_from_ms = now - received_ms
        if self._notes.record is not None and self._notes.record.recording is not None:
            self._notes.record.recording.caller(narrow, self._notes.at(self._audio_from_ms + received_ms))
        if not frames or self._deaf:
            return
        vad, pairs = self._services.vad, [(self._vad_state, frame) for frame in frames]
        try:
            chances = await self._services.pool.run(Priority.VOICE_ACTIVITY, lambda: vad.probabilities(pairs))
        except Exception as error:
            self._deaf = True
            self._part_failed("vad", error)
            return
        for chance in chances:
            self._step(floor.Frame(self._listening.judge(chance)))
        cutting = self._hearing.cut_if_long()
        if cutting is not None:
            self._own(cutting)

    def _step(self, event: floor.Event) -> None:
        now = self._clock.now_ms()
        before = self._floor
        self._floor, commands = floor.step(self._floor, event, now, self._turns)
        for command in commands:
            self._obey(command, now)
        if self._floor.phase is not before.phase:
            self._notes.state(self.phase)
        if self._floor != before:
            self._wake.set()

    def _obey(self, command: floor.Command, now: float) -> None:
        match command:
            case floor.OpenTurn():
                self._hearing.open(round((now - self._floor.onset_ms) / floor.FRAME_MS))
            case floor.DropTurn():
                self._hearing.drop()
                self._drop_guess()
            case floor.Speculate(revision):
                self._guessing = revision, self._spawn(self._speculate(revision), f"guess-{revision}")
            case floor.DropSpeculation(revision):
                if self._guess is not None and self._guess[0] == revision:
                    self._hearing.freeze(self._guess[1])
                self._drop_guess()
            case floor.Commit(revision, generation, waited_ms):
                self._commit(revision, generation, waited_ms, now)
            case floor.Retract(generation):
                self._notes.decision("retract", generation=generation)
                self._hearing.merge()
                self._drop_reply(generation, now, retract=True)
            case floor.Pause():
                self._notes.decision("pause")
                self._record_played(now)
                for cleared in self._playout.pause(now):
                    self._outbox.put(cleared)
            case floor.Resume():
                self._notes.decision("resume")
                self._playout.resume(now)
            case floor.Interrupt(generation):
                self._notes.decision("interrupt", generation=generation)
                self._drop_reply(generation, now, retract=False)
            case floor.Prompt(level):
                self._notes.decision("prompt", level=level)
                self._silence(level)
            case floor.StartTransfer():
                self._spawn(self._transfer(), "transfer")
            case floor.EndCall():
                self._spawn(self._hang_up(), "hang-up")

    def _drop_guess(self) -> None:
        if self._guessing is not None:
            self._guessing[1].cancel()
        self._guessing = self._guess = None

    async def _speculate(self, revision: int) -> None:
        try:
            heard = await self._hearing.read(Priority.SPECULATION)
        except Exception as error:
            self._notes.fault("guess_failed", f"{type(error).__name__}: {error}")
            return
        self._guess = revision, heard
        said = self._reply.text if self._reply else ""
        claim = claims_floor(heard.text, said, self._dialogue.context.asked_yes_no)
        words = len(heard.text.split())
        if words:
            self._notes.caption("caller", heard.text, self._number + 1, final=False)
        self._step(floor.Guess(revision, heard.understood.complete, words, claim))

    def _commit(self, revision: int, generation: int, waited_ms: float, now: float) -> None:
        guessing = self._guessing[1] if self._guessing and self._guessing[0] == revision else None
        self._guessing = None
        self._number += 1
        reply = Reply(generation, self._number, now, answers_caller=True)
        reply.latency["endpoint_wait"] = waited_ms
        entered, self._entered = self._entered, None
        onset = self._floor.onset_ms if entered is None else now
        self._begin(reply, self._answer(reply, revision, guessing, entered, onset, self._answering))

    def _begin(self, reply: Reply, work: Coroutine[Any, Any, None]) -> None:
        self._reply = reply
        self._playout.begin(reply.generation)
        self._answering = self._spawn(work, f"reply-{reply.generation}")

    async def _answer(
        self,
        reply: Reply,
        revision: int,
        guessing: asyncio.Task[None] | None,
        entered: CallerTurn | None,
        onset_ms: float,
        previous: asyncio.Task[None] | None,
    ) -> None:
        await _ended(previous)
        try:
            turn = entered or await self._settle(reply, revision, guessing)
            reply.snapshot = self._dialogue.snapshot()
            self._notes.caller(turn, onset_ms)
            await self._speaker.speak(reply, self._dialogue.respond(turn))
            self._faults = 0
        except Exception as error:
            self._part_failed("answer", error)

    async def _settle(self, reply: Reply, revision: int, guessing: asyncio.Task[None] | None) -> CallerTurn:
        began = self._clock.now_ms()
        await _ended(guessing)
        if self._guess is not None and self._guess[0] == revision:
            heard = self._guess[1]
        else:
            heard = await self._hearing.read(Priority.FINAL_RECOGNITION)
        self._guess = None
        self._hearing.settle(heard)
        reply.latency["recognition"] = self._clock.now_ms() - began
        reply.reasons["recognition_ms"] = round(heard.recognition_ms, 1)
        reply.reasons["understanding_ms"] = round(heard.understanding_ms, 1)
        return CallerTurn(reply.turn, heard.text, heard.understood, heard.voice, confident=heard.confident)

    def _speak_up(self, parts: AsyncIterator[Part]) -> None:
        self._step(floor.AgentTurn())
        if not floor.may_speak(self._floor, self._floor.generation):
            return
        if self._notes.transcript.rows():
            self._number += 1
        reply = Reply(self._floor.generation, self._number, self._clock.now_ms(), answers_caller=False)
        self._begin(reply, self._say(reply, parts, self._answering))

    async def _say(self, reply: Reply, parts: AsyncIterator[Part], previous: asyncio.Task[None] | None) -> None:
        await _ended(previous)
        try:
            await self._speaker.speak(reply, parts)
        except Exception as error:
            self._part_failed("answer", error)

    def _silence(self, level: int) -> None:
        turn = CallerTurn(self._number + 1, "", Understood(OUT_OF_SCOPE, 0.0), silence=level)
        self._speak_up(self._dialogue.respond(turn))

    def _on_part(self, reply: Reply, part: Part) -> None:
        match part:
            case Say(text):
                self._notes.caption("agent", text, reply.turn, final=False)
            case Expect(profile):
                self._step(floor.Expecting(profile))
            case Acted():
                self._notes.acted(reply, part)
            case _:
                pass

    async def _typed(self, text: str) -> None:
        try:
            understood = await self._hearing.understand(text)
        except Exception as error:
            self._part_failed("understanding", error)
            return
        self._enter(CallerTurn(self._number + 1, text, understood))

    def _key(self, digit: str) -> None:
        self._notes.event("key")
        self._step(floor.Key())
        self._keys_ms = self._clock.now_ms()
        self._keys += digit
        if digit == "#":
            self._enter_keys()

    def _enter_keys(self) -> None:
        keys, self._keys = self._keys, ""
        keys = keys.rstrip("#") or keys
        self._enter(CallerTurn(self._number + 1, "", Understood(OUT_OF_SCOPE, 0.0), dtmf=keys))

    def _enter(self, turn: CallerTurn) -> None:
        self._entered = turn
        self._step(floor.Entered())

    async def _pace(self) -> None:
        while True:
            now = self._clock.now_ms()
            self._play(now)
            self._watch(now)
            times = [floor.deadline(self._floor, self._turns), self._media_limit(), self._call_limit()]
            if self._reply is not None and floor.may_speak(self._floor, self._reply.generation):
                times.append(self._playout.next_due(now))
            if self._keys:
                times.append(self._keys_ms + KEYS_MS)
            # Nothing is due twice within a millisecond; a deadline that has just passed must not make this loop spin.
            await self._clock.wait(self._wake, max(now + 1.0, min(at for at in times if at is not None)))

    def _play(self, now: float) -> None:
        reply = self._reply
        if reply is None or not floor.may_speak(self._floor, reply.generation):
            return
        for command in self._playout.due(now):
            self._outbox.put(command)
        can = self._protocol.capabilities
        if reply.audible_ms is None and (self._playout.started or (reply.said and not can.audio_out)):
            self._audible(reply, now)
        playing = self._playout.utterance_now(now)
        must_hear = playing is not None and playing[1]
        if must_hear is not self._floor.must_hear:
            self._step(floor.MustHear(must_hear))
        self._record_played(now)
        if reply.finished and self._playout.done(now):
            self._finished(reply, now)

    def _audible(self, reply: Reply, now: float) -> None:
        latency = reply.latency
        latency["leading_silence"] = self._playout.leading_silence_ms
        reply.audible_ms = now + latency["leading_silence"]
        if reply.answers_caller:
            after = now - reply.began_ms
            named = sum(latency.get(part, 0.0) for part in ("recognition", "dialogue", "synthesis"))
            latency["pacing"] = max(0.0, after - named)
            latency["total"] = latency["endpoint_wait"] + after + latency["leading_silence"]
            for part, value in latency.items():
                latency[part] = round(value, 1)
                self._services.metrics.latency.labels(part).observe(value / 1000.0)
        self._step(floor.ReplyAudible(reply.generation))
        self._notes.agent(reply)
        self._notes.show_turn(reply)

    def _finished(self, reply: Reply, now: float) -> None:
        fixed = self._notes.heard(reply, self._playout.heard(now), interrupted=False)
        if fixed is not None:
            self._dialogue.heard(fixed.heard or "", True)
        self._reply, self._leaving = None, reply
        self._step(floor.ReplyDone(reply.generation, reply.then))

    def _drop_reply(self, generation: int, now: float, retract: bool) -> None:
        reply, task = self._reply, self._answering
        if reply is None or reply.generation != generation:
            self._answering = self._spawn(self._stopped(None, task, retract), f"stop-{generation}")
            return
        self._reply = None
        self._record_played(now)
        for cleared in self._playout.stop(now):
            self._outbox.put(cleared)
        reply.heard = self._playout.heard(now)
        if retract:
            self._number = reply.turn - 1
        if task is not None:
            task.cancel()
        self._answering = self._spawn(self._stopped(reply, task, retract), f"stop-{generation}")

    async def _stopped(self, reply: Reply | None, task: asyncio.Task[None] | None, retract: bool) -> None:
        await _ended(task)
        if reply is not None and retract:
            if reply.snapshot is not None:
                self._dialogue.restore(reply.snapshot)
            self._notes.take_back(reply.turn)
        elif reply is not None:
            self._settle_stopped(reply)
        if not retract:
            self._step(floor.ReplyStopped())

    def _settle_stopped(self, reply: Reply) -> None:
        fixed = self._notes.heard(reply, reply.heard, interrupted=True)
        self._dialogue.heard(fixed.heard or "" if fixed else "", False)

    def _settle_unfinished(self, now: float) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            self._record_played(now)
            self._playout.stop(now)
            reply.heard = self._playout.heard(now)
            self._settle_stopped(reply)

    def _record_played(self, now: float) -> None:
        if self._notes.record is None or self._notes.record.recording is None:
            return
        played = self._playout.played(now)
        if played is None:
            return
        samples, at_ms = played
        if self._protocol.capabilities.encoding.rate != RECORD_RATE:
            samples = to_pcm16(self._narrower.process(to_float(samples)))
        self._notes.record.recording.agent(samples, self._notes.at(at_ms))

    def _watch(self, now: float) -> None:
        at = floor.deadline(self._floor, self._turns)
        if at is not None and now >= at:
            self._step(floor.Tick())
        if self._keys and now >= self._keys_ms + KEYS_MS:
            self._enter_keys()
        limit = self._media_limit()
        if limit is not None and now >= limit:
            self._notes.fault("media_timeout", f"no audio for {(now - self._media_ms) / 1000.0:.1f} s")
            self._end("failed", "media_timeout", TIMED_OUT)
        if now >= self._call_limit():
            self._notes.fault("call_too_long", f"the call passed {self._settings.server.max_call_s} s")
            self._end("failed", "call_too_long", POLICY)

    def _media_limit(self) -> float | None:
        if not self._protocol.capabilities.audio_in:
            return None
        server = self._settings.server
        patience = server.media_gap_s if self._listening.received else server.first_media_s
        return self._media_ms + patience * 1000.0

    def _call_limit(self) -> float:
        return self._notes.began_ms + self._settings.server.max_call_s * 1000.0

    def _part_failed(self, part: str, error: Exception) -> None:
        log.error("%s failed in this call", part, exc_info=error)
        self._notes.fault(f"{part}_failed", f"{type(error).__name__}: {error}")
        self._faults += 1
        if self._faults == 1:
            self._speak_up(self._dialogue.apology())
        elif self._faults == 2:
            self._step(floor.GiveUp())
        else:
            self._end("failed", f"{part}_failed", INTERNAL)

    async def _transfer(self) -> None:
        leaving, self._leaving = self._leaving, None
        handoff = leaving.handoff if leaving is not None else None
        result = await self._handover.start(handoff or HandOff("a part of the agent failed", "fault", 1))
        if result.outcome == "accepted":
            self._step(floor.TransferEnded(worked=True))
            await self._clock.sleep_until(self._clock.now_ms() + GRACE_S * 1000.0 * (self._protocol_ends_it()))
            self._end("handed_off", "transferred")
            return
        self._step(floor.TransferEnded(worked=False))
        self._speak_up(self._dialogue.handoff_outcome(result.outcome, result.detail))

    def _protocol_ends_it(self) -> bool:
        how = self._protocol.capabilities.transfer
        return how == "message" or (how == "rest" and self._protocol.name in self._services.carriers)

    async def _hang_up(self) -> None:
        reason = self._leaving.ending if self._leaving is not None else "goodbye"
        self._outbox.put(Hangup(reason))
        await self._outbox.drained()
        self._end("completed", reason)


async def _ended(task: asyncio.Task[None] | None) -> None:
    """Wait until a task has ended, however it ends."""
    if task is not None and not task.done():
        await asyncio.wait({task})
