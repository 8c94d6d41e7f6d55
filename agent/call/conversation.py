"""The conversation of one call: the floor's commands carried out, turns heard, replies spoken."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from agent.call import floor
from agent.call.air import Air
from agent.call.announcing import announcement, wants_callback, words
from agent.call.claims import claims_floor, count_of, without_last
from agent.call.handover import Announced, Handover
from agent.call.hearing import Heard, Hearing
from agent.call.human import Bridge, Hooks
from agent.call.listening import RECORD_RATE, Listening
from agent.call.nearness import Nearness
from agent.call.notes import Notes
from agent.call.outbox import Outbox
from agent.call.own_voice import OwnVoice
from agent.call.playout import Playout
from agent.call.preparing import Preparation
from agent.call.replying import Manner, Reply, Speaker
from agent.call.services import CallServices
from agent.call.tools import ClientTools
from agent.call.transport import INTERNAL, NORMAL
from agent.dialogue.contracts import Acted, Acts, CallerTurn, Expect, HandOff, HangUp, Part, Say
from agent.gateways.base import CallStarted, Clear, GatewayProtocol, Hangup, SendDtmf, ShowReply, ShowSpeech, SpeakText
from agent.handoff.contracts import HandoffResult
from agent.records.contracts import CallOpened
from agent.records.history import VERDICT
from agent.records.pausing import Pausing, paused_call
from audio.codec import Pcm16
from audio.resample import StreamResampler, to_float, to_pcm16
from models.contracts import AFFIRM, OUT_OF_SCOPE, Samples, Understood
from models.pool import Priority, job_tag
from models.speakable import sentences

KEYS_MS = 1500.0
"""Keys this close together belong to one number; '#' ends it at once."""
MOST_KEYS = 40
"""Keys of one number; a caller who never stops pressing is answered all the same."""
MOST_TYPED = 4
"""Typed turns waiting to be understood, one at a time: a caller who floods must not take the models from others."""
TYPED_REPROMPT_MS = 600_000.0
"""Silence before a typed call is asked again: people read and think."""
POLL_MS = 20.0
"""How often a typed turn that has to wait looks again."""
GRACE_S = 5.0
"""How long a gateway may take to end the stream of a call that was handed over before we close it."""
SEAT_S, RELOAD_S = 10.0, 3.0
"""How long the console of a person who got the call may take to bring his voice; and to come back, after it left."""
WORDS_S = 10.0
"""How long words to a caller who waits are waited for before others follow."""

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
End = Callable[[str, str, int], None]

log = logging.getLogger(__name__)


class Conversation:
    """What is said in one call. The session feeds it and owns its tasks (`spawn`); `end` ends the call."""

    def __init__(
        self,
        services: CallServices,
        protocol: GatewayProtocol,
        outbox: Outbox,
        notes: Notes,
        call: CallOpened,
        spawn: Spawn,
        end: End,
        wake: Callable[[], None],
    ) -> None:
        can, settings = protocol.capabilities, services.settings
        rate = can.encoding.rate
        self._clock = services.clock
        self._metrics = services.metrics
        self._alerts = services.alerts
        self._voice = services.voice
        self._pool = services.pool
        self._can = can
        self._carrier = services.carriers.get(protocol.name)
        self._outbox = outbox
        self._notes = notes
        self._spawn = spawn
        self._end = end
        self._wake = wake
        self._turns = settings.floor
        self._patient = settings.floor.model_copy(update={"reprompt_ms": TYPED_REPROMPT_MS})
        if not can.audio_in and not can.text_in:
            self._turns = self._patient
        self._usual = self._turns
        self._floor = floor.FloorState(idle_ms=self._clock.now_ms())
        self._dialogue = services.new_dialogue(call.call_id, call.caller)
        self.listening = Listening(can.encoding, settings.vad.threshold, settings.vad.release)
        self.hearing = Hearing(services, self.listening, lambda: (self._dialogue.context, self._floor.profile))
        self.playout = Playout(can)
        self._narrower = StreamResampler(rate, RECORD_RATE)
        self._near = Nearness()
        self._own_voice = OwnVoice() if settings.vad.own_voice and can.audio_in and can.audio_out else None
        manner: Manner = "text" if can.text_out else "voice" if can.audio_out else "mute"
        self._speaker = Speaker(services.voice, self.playout, rate, self._clock, wake, self._on_part, manner)
        self.handover = Handover(services, protocol, outbox, notes, self._dialogue, call)
        self.tools = ClientTools(outbox.put)
        recording = notes.record.recording if notes.record is not None else None
        self._pausing = Pausing(recording, lambda kind, data: notes.event(kind, **data))
        paused_call.set(self._pausing)
        self.air = Air(can, outbox, self._mixed)
        hooks = Hooks(
            self._aside_number, self._tap, self._switch, self._told, self._withheld, self._changed, self._seat_left
        )
        self.bridge = Bridge(services, can, outbox, notes, self.listening, self.air, spawn, hooks)
        notes.standing = self.standing
        self.waiting_since_ms: float | None = None
        """Since when the caller waits for a person."""
        self._seeking: asyncio.Task[None] | None = None
        self._callback_key: str | None = None
        self._aside = 0
        self._returning = False
        self._first_language = settings.recognizer.language
        self._number = 0
        self._reply: Reply | None = None
        self._stopping: list[Reply] = []
        self._leaving: Reply | None = None
        self._answering: asyncio.Task[None] | None = None
        self._guessing: tuple[int, asyncio.Task[None]] | None = None
        self._guess: tuple[int, Heard] | None = None
        self._prepared: tuple[int, Preparation] | None = None
        self._entered: CallerTurn | None = None
        self._typed: deque[str] = deque()
        self._keys = ""
        self._keys_ms = 0.0
        self._faults = 0
        self._result = HandoffResult("unavailable")
        self._call = call
        self._held_ms: float | None = None
        self._held_playing = False

    @property
    def phase(self) -> floor.Phase:
        """Who holds the floor."""
        return self._floor.phase

    @property
    def at_rest(self) -> bool:
        """Whether the caller says nothing, and nothing he said is open."""
        return not (self._floor.open or self._floor.history or self.bridge.caller_speaks)

    def begin(self, started: CallStarted) -> None:
        """Greet the caller."""
        self._notes.state(self.phase)
        self._speak_up(self._dialogue.open(started.caller, started.parameters))

    def frame(self, probability: float, samples: Samples, arrived_ms: float) -> None:
        """The next frame of the caller's audio, float32[512] at 16 kHz, is voiced with this probability."""
        now = self._clock.now_ms()
        self._record_played(now)
        voiced = self.listening.would_judge(probability)
        own, over_agent = self._own_voice, self.phase in (floor.Phase.SPEAKING, floor.Phase.YIELDING)
        if (own is not None and own.in_frame(samples, arrived_ms, voiced)) or (
            over_agent and voiced and self._near.far(samples)
        ):
            probability = 0.0
        if self.bridge.hears_caller:
            self.bridge.caller_frame(probability)
        elif self.listening.judge(probability):
            self._near.voiced(samples)
            self._step(floor.Frame(True))
        else:
            self._step(floor.Frame(False))

    def advance(self, now: float) -> float | None:
        """Play what is due, act on what time brings; returns when to come again, in ms of the clock."""
        self._keep_secrets()
        self._play(now)
        for silence in self.playout.fill(now):
            if not self.air.mixing:
                self._outbox.put(silence)
        at = floor.deadline(self._floor, self._turns)
        if at is not None and now >= at:
            self._step(floor.Tick())
        keys_wait = self._holds(now)
        if self._keys and not keys_wait and (self._keys_whole or now >= self._keys_ms + KEYS_MS):
            self._enter_keys()
        times = [floor.deadline(self._floor, self._turns), self.playout.next_fill()]
        if self._reply is not None and floor.may_speak(self._floor, self._reply.generation):
            times.append(self.playout.next_due(now))
        if self._keys and not keys_wait:
            times.append(self._keys_ms + KEYS_MS)
        return min((at for at in times if at is not None), default=None)

    def _keep_secrets(self) -> None:
        """Record nothing while the caller is asked for what nobody may keep."""
        if self._dialogue.sensitive:
            self._pausing.hold("secret")
        else:
            self._pausing.release("secret")
        if self._dialogue.may_record:
            self._pausing.release("consent")
        else:
            self._pausing.hold("consent")

    def hold(self, now: float) -> None:
        """The line is gone and may come back: stop the sound, and the time."""
        if self._held_ms is not None:
            return
        self._held_ms = now
        self._record_played(now)
        self._held_playing = not self.playout.paused
        if self._held_playing:
            self.playout.pause(now)
        if self.air.mixing:
            self.air.put(Clear())
        self.air.away = True

    def release(self, now: float) -> None:
        """The line is back: go on at the word where the sound stopped.

        A gateway that reads out has forgotten what it was given: it begins the sentence again.
        """
        if self._held_ms is None:
            return
        gone, self._held_ms = now - self._held_ms, None
        self.air.away = False
        self._turns = self._usual
        self._floor = floor.later(self._floor, gone, now)
        self._keys_ms += gone
        if self._held_playing:
            self.playout.resume(now)
        reply = self._reply
        if self._can.text_out and reply is not None:
            for said in reply.spoken[self.playout.rewind(now) :]:
                self._outbox.put(said)
            if reply.finished:
                self._said(reply)
        self._notes.state(self.phase)
        self._wake()

    def read_out(self, text: str, stopped: bool) -> None:
        """The gateway speaks itself: what the caller heard of the reply, and whether it was interrupted."""
        if self._audible_reply:
            self.playout.read_out(text, stopped)
        if stopped:
            self._step(floor.Key())
        self._wake()

    def truncated(self, heard_ms: float) -> None:
        """The client plays the audio itself and stopped after `heard_ms` of the reply."""
        if self._audible_reply:
            self.playout.truncated(heard_ms)
        self._step(floor.Key())

    @property
    def _audible_reply(self) -> bool:
        """Whether there is a reply of which anything can have been heard: what is said of an older one comes late."""
        return self._reply is not None and self._reply.audible_ms is not None

    def media_paused(self, on: bool) -> None:
        """The gateway sends no audio for a while, or sends it again: nobody who cannot be heard is prompted."""
        self._turns = self._patient if on else self._usual
        if self.phase is floor.Phase.LISTENING:
            self._step(floor.Key())
        self._wake()

    def tools_offered(self, names: Sequence[str]) -> None:
        """The client runs these tools itself, in place of the domain's actions of those names."""
        self._dialogue.use_tools({name: partial(self.tools.run, name) for name in names})

    def caller_speaks(self) -> None:
        """The gateway hears itself, and the caller begins to speak: no time for a prompt."""
        if self.phase is floor.Phase.LISTENING:
            self._step(floor.Key())

    def unheard(self, frames: int) -> None:
        """`frames` pieces of audio did not leave: the gateway reads too slowly."""
        ahead = math.ceil(self._can.lead_ms / self._can.frame_ms)
        self.playout.lost(frames + ahead)

    def close(self, now: float) -> None:
        """The call is over: fix what was heard of a reply that was still playing."""
        reply, self._reply = self._reply, None
        for stopping in list(self._stopping):
            self._settle_stopped(stopping)
        if reply is not None:
            self._record_played(now)
            self.playout.stop(now)
            reply.heard = self.playout.heard(now)
            self._settle_stopped(reply)

    def cut_if_long(self) -> asyncio.Task[str | Exception] | None:
        """Recognize a turn of the caller that has had no pause for too long; returns the task, which the call owns."""
        return self.hearing.cut_if_long() if self._floor.open else None

    @property
    def parting(self) -> bool:
        """Whether the agent is saying its last goodbye, or has."""
        return self.phase is floor.Phase.CLOSING or (self._reply is not None and self._reply.then == "hangup")

    def _holds(self, now: float) -> bool:
        """Whether what the caller enters has to wait for what must be heard."""
        reply = self._reply
        return reply is not None and floor.may_speak(self._floor, reply.generation) and self.playout.must_hear(now)

    def part_failed(self, part: str, error: Exception) -> None:
        """A part of the agent raised: apologise, then a person; never silence."""
        log.error("%s failed in this call", part, exc_info=error)
        self._notes.fault(f"{part}_failed", f"{type(error).__name__}: {error}")
        self._faults += 1
        if self._faults == 1:
            self._speak_up(self._dialogue.apology())
        elif self._faults == 2:
            self._step(floor.GiveUp())
        else:
            self._end("failed", f"{part}_failed", INTERNAL)

    def _step(self, event: floor.Event) -> None:
        now = self._clock.now_ms()
        before = self._floor
        self._floor, commands = floor.step(self._floor, event, now, self._turns)
        for command in commands:
            self._obey(command, now)
        if self._floor.phase is not before.phase:
            self._notes.state(self._floor.phase)
        if self._floor is not before and self._floor != before:
            self._wake()

    def _obey(self, command: floor.Command, now: float) -> None:
        match command:
            case floor.OpenTurn():
                self._show_speech(True)
                self.hearing.open(round((now - self._floor.onset_ms) / floor.FRAME_MS))
            case floor.DropTurn():
                self._show_speech(False)
                self._near.dropped()
                self.hearing.drop()
                self._drop_guess()
            case floor.Speculate(revision):
                self._guessing = revision, self._spawn(self._speculate(revision), f"guess-{revision}")
            case floor.DropSpeculation(revision):
                if self._guess is not None and self._guess[0] == revision:
                    self.hearing.freeze(self._guess[1])
                self._drop_guess()
            case floor.Commit(revision, generation, waited_ms):
                self._commit(revision, generation, waited_ms, now)
            case floor.Retract(generation):
                self._notes.decision("retract", generation=generation)
                self.hearing.merge()
                self._drop_reply(generation, now, retract=True)
            case floor.Pause():
                self._notes.decision("pause")
                self._record_played(now)
                for cleared in self.playout.pause(now):
                    self.air.put(cleared)
            case floor.Resume():
                self._notes.decision("resume")
                self.playout.resume(now)
            case floor.Interrupt(generation, continues):
                # Whoever speaks into a farewell wants something else than what was said before it.
                continues = continues and self._reply is not None and self._reply.then is None
                self._notes.decision("continue" if continues else "interrupt", generation=generation)
                if continues:
                    self._drop_guess()
                    self.hearing.merge()
                self._drop_reply(generation, now, retract=False, continues=continues)
            case floor.Prompt(level):
                self._notes.decision("prompt", level=level)
                self._silence(level)
            case floor.Stuck():
                self.part_failed("answer", TimeoutError(f"no answer within {self._turns.stuck_ms:.0f} ms"))
            case floor.StartTransfer():
                self._seeking = self._spawn(self._transfer(), "transfer")
            case floor.MoveCaller():
                self._spawn(self._move(), "move")
            case floor.EndCall():
                self._spawn(self._hang_up(), "hang-up")

    def _show_speech(self, on: bool) -> None:
        if self._can.audio_in:
            self._outbox.put(ShowSpeech(on, self.listening.received_ms))

    def _drop_guess(self) -> None:
        if self._guessing is not None:
            self._guessing[1].cancel()
        self._guessing = self._guess = None
        self._drop_prepared()

    def _drop_prepared(self) -> None:
        if self._prepared is not None:
            self._prepared[1].drop()
        self._prepared = None

    async def _speculate(self, revision: int) -> None:
        job_tag.set((id(self), revision))
        try:
            heard = await self.hearing.read(Priority.SPECULATION, lambda words: self._guessed(revision, words))
        except Exception as error:
            self._notes.fault("guess_failed", f"{type(error).__name__}: {error}")
            self._step(floor.GuessFailed(revision))
            return
        self._guess = revision, heard
        self._prepare()

    def _guessed(self, revision: int, heard: Heard) -> None:
        said = self._reply.text if self._reply else ""
        asked = self._dialogue.context
        # While the caller goes on the last word is only begun.
        text = without_last(heard.text) if self._floor.overheard else heard.text
        claim = heard.confident and claims_floor(text, said, asked.asked_yes_no and self._question_heard())
        words = count_of(heard.text)
        if words and not self._dialogue.sensitive:
            self._notes.caption("caller", heard.text, self._number + 1, final=False)
        answer = asked.asked_yes_no and heard.understood.slot("yes_no") is not None
        self._step(floor.Guess(revision, heard.over.probability, words, claim, answer))

    def _question_heard(self) -> bool:
        """Whether the caller has heard any of the last sentence of the reply under way, which holds its question."""
        reply = self._reply
        if reply is None:
            return True
        heard = self.playout.heard(self._clock.now_ms())
        if not heard or heard[-1].utterance < len(reply.said) - 1:
            return False
        return len(heard[-1].heard) > sentences(reply.said[-1])[-1][0]

    def _prepare(self) -> None:
        """Make the first sentence of the answer, should the turn be over; nothing else may need it undone."""
        state = self._floor
        if self._turns.speculate != "reply" or self._guess is None:
            return
        revision, heard = self._guess
        if self._prepared is not None and self._prepared[0] == revision:
            return
        self._drop_prepared()
        if revision != state.revision or not (state.open and state.phase is floor.Phase.LISTENING):
            return
        if heard.over.probability < self._turns.low or not heard.text or not self._can.audio_out:
            return
        turn = _turn_of(self._number + 1, heard)
        prepared = Preparation(self._voice, self._dialogue.preview(turn))
        prepared.begin(self._spawn(prepared.run(), f"prepare-{revision}"))
        self._prepared = revision, prepared

    def _commit(self, revision: int, generation: int, waited_ms: float, now: float) -> None:
        guessing = self._guessing[1] if self._guessing and self._guessing[0] == revision else None
        if guessing is None:
            self._drop_guess()
        self._guessing = None
        self._near.answered()
        self._show_speech(False)
        prepared = self._prepared[1] if self._prepared is not None and self._prepared[0] == revision else None
        if prepared is None:
            self._drop_prepared()
        self._prepared = None
        self.hearing.commit()
        self._number += 1
        reply = Reply(generation, self._number, now, answers_caller=True, profile=self._floor.profile)
        reply.guessing = guessing
        if guessing is not None:
            self._pool.promote((id(self), revision), Priority.FINAL_RECOGNITION)
        reply.latency["endpoint_wait"] = waited_ms
        entered, self._entered = self._entered, None
        onset = self._floor.onset_ms if entered is None else now
        self._begin(reply, self._answer(reply, revision, guessing, entered, onset, prepared, self._answering))

    def _begin(self, reply: Reply, work: Coroutine[Any, Any, None]) -> None:
        self._reply = reply
        self._outbox.put(ShowReply(reply.generation, "began"))
        self.playout.begin(reply.generation)
        self._answering = self._spawn(work, f"reply-{reply.generation}")

    async def _answer(
        self,
        reply: Reply,
        revision: int,
        guessing: asyncio.Task[None] | None,
        entered: CallerTurn | None,
        onset_ms: float,
        prepared: Preparation | None,
        previous: asyncio.Task[None] | None,
    ) -> None:
        try:
            await _ended(previous)
            turn = entered or await self._settle(reply, revision, guessing)
            reply.snapshot = self._dialogue.snapshot()
            withheld = self._dialogue.sensitive
            self._notes.caller(turn, onset_ms, withheld)
            if not withheld:
                self._notes.compare(turn, self._dialogue.context)
            await self._speaker.speak(reply, self._dialogue.respond(turn), prepared)
            self._said(reply)
            self._faults = 0
        except Exception as error:
            self.part_failed("answer", error)
        finally:
            if prepared is not None:
                prepared.drop()

    async def _settle(self, reply: Reply, revision: int, guessing: asyncio.Task[None] | None) -> CallerTurn:
        began = self._clock.now_ms()
        await _ended(guessing)
        if self._guess is not None and self._guess[0] == revision:
            heard = self._guess[1]
        else:
            heard = await self.hearing.read(Priority.FINAL_RECOGNITION)
        self._guess = None
        self.hearing.settle(heard)
        reply.latency["recognition"] = self._clock.now_ms() - began
        reply.reasons["recognition_ms"] = round(heard.recognition_ms, 1)
        reply.reasons["understanding_ms"] = round(heard.understanding_ms, 1)
        reply.reasons["turn_over"] = round(heard.over.probability, 3)
        reply.reasons["turn_over_parts"] = {part: round(odds, 2) for part, odds in heard.over.parts.items()}
        return replace(_turn_of(reply.turn, heard), hear_again=partial(self.hearing.others, heard))

    def _speak_up(self, parts: AsyncIterator[Part], farewell: bool = False, prompt: bool = False) -> None:
        generation = self._floor.generation
        self._step(floor.AgentTurn(farewell, prompt))
        if self._floor.generation == generation:
            return
        if self._notes.transcript.rows():
            self._number += 1
        reply = Reply(self._floor.generation, self._number, self._clock.now_ms(), answers_caller=False)
        if farewell:
            reply.then, reply.farewell = "move", True
        self._begin(reply, self._say(reply, parts, self._answering))

    async def _say(self, reply: Reply, parts: AsyncIterator[Part], previous: asyncio.Task[None] | None) -> None:
        await _ended(previous)
        try:
            await self._speaker.speak(reply, parts)
            self._said(reply)
        except Exception as error:
            if not reply.farewell:
                self.part_failed("answer", error)
                return
            self._notes.fault("farewell_failed", f"{type(error).__name__}: {error}")
            self._step(floor.ReplyDone(reply.generation, "move"))

    def _said(self, reply: Reply) -> None:
        if self._can.text_out and self._reply is reply and self._held_ms is None:
            self._outbox.put(SpeakText("", last=True))

    def _silence(self, level: int) -> None:
        turn = CallerTurn(self._number + 1, "", Understood(OUT_OF_SCOPE, 0.0), silence=level)
        self._speak_up(self._dialogue.respond(turn), prompt=True)

    def _on_part(self, reply: Reply, part: Part) -> None:
        match part:
            case Say(text):
                self._notes.caption("agent", text, reply.turn, final=False)
                if self._can.text_out and len(reply.spoken) < len(reply.said):
                    firm = part.must_hear or reply.farewell
                    said = SpeakText(text, language=part.language or None, interruptible=not firm)
                    reply.spoken.append(said)
                    if self._held_ms is None:
                        self._outbox.put(said)
            case Expect(profile):
                self._step(floor.Expecting(profile))
            case Acted():
                self._notes.acted(reply.turn, part)
            case _:
                pass

    def typed(self, text: str) -> None:
        """A turn of the caller came as text; with `MOST_TYPED` waiting it is dropped."""
        if len(self._typed) >= MOST_TYPED:
            self._notes.fault("typed_too_fast", f"{MOST_TYPED} typed turns wait already; send one after the other")
            return
        self._typed.append(text)
        if len(self._typed) == 1:
            self._spawn(self._take_typed(), "typed")

    async def _take_typed(self) -> None:
        while self._typed:
            text = self._typed[0]
            try:
                understood = await self.hearing.understand(text)
                if self.bridge.hears_caller:
                    self.bridge.typed(text, understood)
                    self._typed.popleft()
                    continue
                while self._holds(self._clock.now_ms()):
                    await self._poll()
                language = self.hearing.language_of(text)
                self._enter(CallerTurn(self._number + 1, text, understood, language=language))
                while self._reply is not None and self._reply.answers_caller and self._reply.snapshot is None:
                    await self._poll()
            except Exception as error:
                self.part_failed("understanding", error)
            self._typed.popleft()

    async def _poll(self) -> None:
        await self._clock.sleep_until(self._clock.now_ms() + POLL_MS)

    def key(self, digit: str) -> None:
        """The caller pressed a key."""
        self._notes.event("key")
        if self.bridge.hears_caller:
            self.bridge.keyed()
            if digit == self._callback_key:
                self._call_back()
            return
        self._step(floor.Key())
        self._keys_ms = self._clock.now_ms()
        self._keys = (self._keys + digit)[:MOST_KEYS]
        if self._keys_whole and not self._holds(self._keys_ms):
            self._enter_keys()

    @property
    def _keys_whole(self) -> bool:
        return self._keys.endswith("#") or len(self._keys) >= MOST_KEYS

    def _enter_keys(self) -> None:
        keys, self._keys = self._keys, ""
        keys = keys.rstrip("#") or keys
        self._enter(CallerTurn(self._number + 1, "", Understood(OUT_OF_SCOPE, 0.0), dtmf=keys))

    def _enter(self, turn: CallerTurn) -> None:
        self._entered = turn
        self._step(floor.Entered())
        self._entered = None

    def _play(self, now: float) -> None:
        reply = self._reply
        if reply is None or not floor.may_speak(self._floor, reply.generation):
            return
        for command in self.playout.due(now):
            self.air.put(command)
        if reply.audible_ms is None and (self.playout.started or (reply.said and not self._can.audio_out)):
            self._audible(reply, now)
        must_hear = self.playout.must_hear(now)
        if must_hear is not self._floor.must_hear:
            self._step(floor.MustHear(must_hear))
        self._record_played(now)
        if reply.finished and self.playout.done(now):
            self._finished(reply, now)

    def _audible(self, reply: Reply, now: float) -> None:
        latency = reply.latency
        latency["leading_silence"] = self.playout.leading_silence_ms
        reply.audible_ms = now + latency["leading_silence"]
        if reply.answers_caller:
            after = now - reply.began_ms
            named = sum(latency.get(part, 0.0) for part in ("recognition", "dialogue", "synthesis"))
            latency["pacing"] = max(0.0, after - named)
            latency["total"] = latency["endpoint_wait"] + after + latency["leading_silence"]
            for part, value in latency.items():
                latency[part] = round(value, 1)
                self._metrics.latency.labels(part).observe(value / 1000.0)
        self._step(floor.ReplyAudible(reply.generation))
        self._outbox.put(ShowReply(reply.generation, "audible"))
        self._notes.agent(reply)
        self._notes.show_turn(reply)

    def _finished(self, reply: Reply, now: float) -> None:
        fixed = self._notes.heard(reply, self.playout.heard(now), interrupted=False)
        if fixed is not None:
            self._dialogue.heard(fixed.heard or "", True)
        self._reply, self._leaving = None, reply if reply.then is not None else None
        self._outbox.put(ShowReply(reply.generation, "done", self.playout.heard_ms(now)))
        self._step(floor.ReplyDone(reply.generation, reply.then))

    def _drop_reply(self, generation: int, now: float, retract: bool, continues: bool = False) -> None:
        reply, task = self._reply, self._answering
        if reply is None or reply.generation != generation:
            self._answering = self._spawn(self._stopped(None, task, retract), f"stop-{generation}")
            return
        self._reply = None
        if reply.guessing is not None:
            reply.guessing.cancel()
        self._record_played(now)
        for cleared in self.playout.stop(now):
            self.air.put(cleared)
        reply.heard = self.playout.heard(now)
        self._outbox.put(ShowReply(reply.generation, "interrupted", self.playout.heard_ms(now)))
        if retract:
            self._number = reply.turn - 1
            if reply.snapshot is not None:
                self.hearing.unsettle()
        else:
            reply.continued = continues
            self._stopping.append(reply)
        if task is not None:
            task.cancel()
        self._answering = self._spawn(self._stopped(reply, task, retract), f"stop-{generation}")

    async def _stopped(self, reply: Reply | None, task: asyncio.Task[None] | None, retract: bool) -> None:
        await _ended(task)
        if reply is not None and retract:
            if reply.snapshot is not None:
                self._take_back(reply)
            self._notes.take_back(reply.turn)
        elif reply is not None and reply in self._stopping:
            self._settle_stopped(reply)
        if not retract:
            self._step(floor.ReplyStopped())
            self._prepare()

    def _settle_stopped(self, reply: Reply) -> None:
        self._stopping = [other for other in self._stopping if other is not reply]
        fixed = self._notes.heard(reply, reply.heard, interrupted=True)
        if reply.continued and reply.snapshot is not None:
            self._notes.supersede(reply.turn)
            self.hearing.unsettle()
            self._take_back(reply)
        else:
            self._dialogue.heard(fixed.heard or "" if fixed else "", False)

    def _record_played(self, now: float) -> None:
        played = self.playout.played(now)
        if played is None:
            return
        if self.air.mixing:
            return
        samples, at_ms = played
        self.bridge.played(samples)
        if self._can.encoding.rate != RECORD_RATE:
            samples = to_pcm16(self._narrower.process(to_float(samples)))
        self._sounded(samples, at_ms)

    def _mixed(self, samples: Pcm16, now_ms: float) -> None:
        """Samples[n] at 8 kHz, of everybody, go to the caller now."""
        self._sounded(samples, now_ms)

    def _sounded(self, samples: Pcm16, at_ms: float) -> None:
        if self._own_voice is not None:
            self._own_voice.played(samples, at_ms)
        if self._notes.record is not None and self._notes.record.recording is not None:
            self._notes.record.recording.agent(samples, self._notes.at(at_ms))

    def _take_back(self, reply: Reply) -> None:
        """The turn was not over: nothing was asked in answer to it."""
        self._dialogue.restore(reply.snapshot)
        self._step(floor.Expecting(reply.profile))

    async def _transfer(self) -> None:
        leaving, self._leaving = self._leaving, None
        handoff = leaving.handoff if leaving is not None else None
        handoff = handoff or HandOff("a part of the agent failed", "fault", 1)
        await self._seek(self.handover.ask(handoff, self._announce), farewell=leaving is not None)

    async def _seek(self, found: Coroutine[Any, Any, HandoffResult], farewell: bool, words_first: bool = False) -> None:
        """Find a person while the caller waits. words_first: what he is being told is told to its end."""
        self._wait_in_queue(True)
        try:
            self._result = await found
            if words_first:
                await self.bridge.quiet(WORDS_S)
        finally:
            self._wait_in_queue(False)
        if self._result.outcome != "accepted":
            self._stays(self._result)
        elif not farewell:
            await self._move()
        else:
            self._speak_up(self._dialogue.handoff_outcome("accepted"), farewell=True)

    def _wait_in_queue(self, on: bool) -> None:
        self.waiting_since_ms = self._clock.now_ms() if on else None
        self._callback_key = None
        queue: Any = self.handover.queue
        if queue is None:
            return
        self.bridge.waiting = on
        self.bridge.music = getattr(getattr(queue, "settings", None), "hold", "silence") == "music"
        if not on:
            self.bridge.hush()
        self.bridge.listen_to_caller(on)
        self.bridge.refresh()

    def _announce(self, announced: Announced) -> None:
        text = announcement(announced.kind, announced.values, self.language)
        if announced.kind == "callback_offer":
            self._callback_key = str(announced.values.get("key", "1"))
        if text is not None and self.waiting_since_ms is not None:
            try:
                self.bridge.say(text, self.language)
            except ValueError as error:
                self._notes.fault("announcement_dropped", str(error))

    def _call_back(self) -> None:
        self._callback_key = None
        if self.handover.queue is not None:
            self._notes.event("callback_chosen")
            self.handover.queue.choose_callback(self.handover.handoff_id)

    async def _move(self) -> None:
        if self._result.human is not None:
            who = self._result.human
            self._result = await self.handover.move(self._result)
            self.taken_by(who)
            return
        while self._held_ms is not None and self._can.transfer != "rest":
            await self._poll()  # nobody takes a message now, and a script at the end of a broken stream is not ours
        self._result = await self.handover.move(self._result)
        if self._result.outcome != "accepted":
            self._stays(self._result)
            return
        self._step(floor.TransferEnded(worked=True))
        await self._moved()

    async def _moved(self) -> None:
        """The gateway has the caller: it ends the stream, or we do."""
        if self._can.transfer == "message" or (self._can.transfer == "rest" and self._carrier is not None):
            await self._clock.sleep_until(self._clock.now_ms() + GRACE_S * 1000.0)
        self._end("handed_off", "transferred", NORMAL)

    def _stays(self, result: HandoffResult) -> None:
        self._step(floor.TransferEnded(worked=False))
        if result.outcome == "unavailable" and result.detail == "callback":
            self._speak_up(_given(Say(words("callback", self.language), "warm"), HangUp("callback")))
            return
        self._speak_up(self._dialogue.handoff_outcome(result.outcome, result.detail))

    # People at consoles

    @property
    def asking(self) -> bool:
        """Whether a person is being looked for."""
        return self.handover.stage == "asking" and self.waiting_since_ms is not None

    @property
    def bridging(self) -> bool:
        """Whether a person at a console was found who does not have the call yet."""
        return self._result.human is not None and self.phase in (floor.Phase.TRANSFERRING, *_FAREWELL)

    @property
    def moving(self) -> bool:
        """Whether the caller is being sent elsewhere, or was."""
        there = self.phase is floor.Phase.HUMAN and self.bridge.human is None
        return self.handover.stage == "moving" or (there and not self._returning)

    def standing(self) -> dict[str, Any]:
        """Who has the call, for consoles."""
        human = self.bridge.human
        queued = self.phase is floor.Phase.TRANSFERRING
        having = "human" if human is not None else "queue" if queued else "agent"
        return {"with": having, "human": human, "reply": self.bridge.suggestion if human is not None else None}

    def summary(self) -> dict[str, Any]:
        """What the dialogue knows of the call."""
        try:
            return dict(self._dialogue.summary())
        except Exception as error:
            self._notes.fault("summary_failed", f"{type(error).__name__}: {error}")
            return {}

    @property
    def language(self) -> str:
        """What is spoken with the caller."""
        return str(self.summary().get("language") or self._first_language)

    def taken_by(self, who: str) -> None:
        """`who` has the call from now on; the agent is silent."""
        self._leaving, self._keys = None, ""
        self.bridge.human = who
        self.bridge.suggestion = None
        self.bridge.listen_to_caller(True)
        self.bridge.expect(self.language)
        self._result = HandoffResult("unavailable")
        self._step(floor.TakenOver())
        self._notes.person(who, "took_over")
        self._changed()
        self.bridge.refresh()
        if who not in self.bridge.seats:
            self._spawn(self._seat_comes(who, SEAT_S), "seat")

    async def claim(self, who: str, within_s: float) -> str | None:
        """Wait until a call that waits for a person is somebody's, best `who`'s; returns who has, or had, the claim."""
        if self.asking:
            try:
                if self.handover.queue is None:
                    raise LookupError("the desk has no people of ours")
                self.handover.queue.accept(who, self.handover.handoff_id)
            except Exception as error:
                by = getattr(error, "by", None)
                if not by:
                    log.info("the call is taken out of the queue: %s", error)
                    await self._withdraw()
                    return None
                if by != who:
                    return str(by)
        until = self._clock.now_ms() + within_s * 1000.0
        while (self.asking or self.bridging) and self._clock.now_ms() < until and not self.bridge.over:
            await self._poll()
        return self.bridge.human

    async def _withdraw(self) -> None:
        if self._seeking is not None:
            self._seeking.cancel()
            await _ended(self._seeking)
        await self.handover.withdrawn()

    async def given_back(self, who: str, note: str) -> None:
        """`who` gives the call back to the agent."""
        self._notes.person(who, "handed_back")
        if note:
            self.note(who, note)
        self.bridge.human = None
        self.bridge.close_seat(who, "handed_back")
        self._returning = True
        try:
            await self.bridge.finish()
        finally:
            self._returning = False
        if self.bridge.human is not None or self.phase is not floor.Phase.HUMAN or self.bridge.over:
            return
        self.bridge.hush()
        await self.handover.handed_back()
        self._step(floor.GivenBack())
        self._speak_up(self._dialogue.handed_back(who, note))
        self.bridge.refresh()

    def person_lost(self, who: str) -> None:
        """The console of `who` is gone; where he has the call, another person is looked for."""
        has = self.bridge.human == who
        if has:
            self._notes.person(who, "lost")
            self.bridge.human = None
        self.bridge.close_seat(who, "lost")
        if not has or self.phase is not floor.Phase.HUMAN:
            return
        self.bridge.hush()
        self.bridge.listen_to_caller(False)
        self._step(floor.PersonLost())
        handoff = HandOff("the person who had the call was cut off", "human_lost", 2)
        found = self.handover.lost(who, handoff, self._announce)
        self._seeking = self._spawn(self._seek(found, farewell=True, words_first=True), "transfer")
        self.bridge.say(words("lost", self.language), self.language)

    def instruct(self, who: str, text: str) -> None:
        """Have the agent follow an instruction in its next answer."""
        told = self._dialogue.instruct(text)
        self._drop_prepared()
        self._notes.event("instruction", who=who, text=text, told=told)
        self._notes.publish("note", who=who, text=text, told=told)

    def runnable(self) -> list[dict[str, Any]]:
        """Actions that a person who has the call may run."""
        return self._dialogue.runnable() if isinstance(self._dialogue, Acts) else []

    async def act(self, who: str, name: str, arguments: Mapping[str, Any]) -> Acted:
        """Run an action for `who`."""
        if not isinstance(self._dialogue, Acts):
            raise ValueError(f"action {name[:60]!r} is none that can be run here")
        acted = await self._dialogue.act(name, arguments)
        self._notes.event("action_by", who=who, name=name, ok=acted.ok)
        self._notes.acted(self._number, acted)
        return acted

    def press(self, keys: str) -> None:
        """Press keys towards the caller."""
        if not self._can.dtmf_out:
            raise ValueError(f"gateway {self._call.gateway} sends no keys")
        self._outbox.put(SendDtmf(keys))
        self._notes.event("keys_pressed", count=len(keys))

    async def send_on(self, who: str, target: str) -> None:
        """Send the caller to `target`; where that fails, `who` keeps the call."""
        if self.handover.stage == "moving":
            raise ValueError("the caller is being transferred already")
        result = await self.handover.send_on(target, f"{who} transferred the call")
        if result.outcome != "accepted":
            raise ValueError(f"the transfer to {target} failed: {result.detail}")
        self._notes.person(who, "transferred")
        self.bridge.human = None
        self.bridge.close("call_over")
        self.bridge.refresh()
        self._spawn(self._moved(), "moved")

    def end_by(self, who: str) -> None:
        """`who` ends the call."""
        self._notes.person(who, "hung_up")
        self.bridge.hush()
        self._spawn(self._hang_up("human_hung_up"), "hang-up")

    async def _seat_comes(self, who: str, within_s: float) -> None:
        await self._clock.sleep_until(self._clock.now_ms() + within_s * 1000.0)
        if self.bridge.human == who and who not in self.bridge.seats:
            self.person_lost(who)

    def _seat_left(self, who: str) -> None:
        if self.bridge.human == who:
            self._spawn(self._seat_comes(who, RELOAD_S), "seat")

    def note(self, who: str, text: str) -> None:
        """Somebody at a console notes something."""
        self._notes.event("note", who=who, text=text)
        self._notes.publish("note", who=who, text=text)

    def _aside_number(self) -> int:
        """The number of the next turn that the agent does not answer."""
        if self.phase in (floor.Phase.HUMAN, floor.Phase.TRANSFERRING):
            self._number = self._aside = max(self._number, self._aside) + 1
        else:
            self._aside = max(self._aside + 1, self._number)
        return self._aside

    def _tap(self) -> None:
        self._record_played(self._clock.now_ms())

    def _switch(self, mixing: bool) -> None:
        """Mix the sound to the caller from now on, or no longer; a reply goes on at the word that is cut."""
        now = self._clock.now_ms()
        self._record_played(now)
        cut = self._can.audio_out and self._reply is not None and not self.playout.paused
        if cut:
            for cleared in self.playout.pause(now):
                self.air.put(cleared)
        self.air.mix(mixing)
        if cut:
            self.playout.resume(now)
        self._wake()

    def _told(self, speaker: str, text: str, understood: Understood | None) -> None:
        if speaker == "caller" and understood is not None and self._callback_key is not None:
            said = understood.slot("yes_no")
            if wants_callback(text, understood.intent == AFFIRM or (said is not None and said.value is True)):
                self._call_back()
        self._dialogue.overheard(speaker, text, understood)

    def _withheld(self, text: str) -> bool:
        """Whether what the caller tells a person is what the agent had asked for and must not keep, such as a PIN."""
        return self._dialogue.sensitive and any(character.isdigit() for character in text)

    def _changed(self) -> None:
        self._notes.publish("state", phase=str(self.phase), **self.standing())

    async def _hang_up(self, why: str | None = None) -> None:
        reason = why or (self._leaving.ending if self._leaving is not None else "goodbye")
        self._outbox.put(Hangup(reason, self.handover.context(reason)))
        await self._outbox.drained()
        if self._can.hangup == "message":
            # The gateway ends the call and closes: were we faster, some would take it for a fault.
            await self._clock.sleep_until(self._clock.now_ms() + GRACE_S * 1000.0)
        if self._can.hangup == "rest" and self._carrier is not None:
            try:
                await self._carrier.hang_up(self._call.gateway_call_id)
            except Exception as error:
                self._notes.fault("hangup_failed", f"{type(error).__name__}: {error}")
        self._end("completed" if why is None else "handed_off", reason, NORMAL)

    async def over(self) -> None:
        """Tell the dialogue that the call is over, and note how it went."""
        try:
            await self._dialogue.over()
        except Exception as error:
            self._notes.fault("dialogue_not_kept", f"{type(error).__name__}: {error}")
        try:
            verdict = self._dialogue.summary().get("verdict")
            if verdict is not None:
                self._notes.event(VERDICT, **verdict)
                if self._alerts is not None:
                    self._alerts.call_over(verdict["topic"], verdict["negative"])
        except Exception as error:
            self._notes.fault("call_not_judged", f"{type(error).__name__}: {error}")


def _turn_of(number: int, heard: Heard) -> CallerTurn:
    return CallerTurn(
        number, heard.text, heard.understood, heard.voice, confident=heard.confident, language=heard.language
    )


_FAREWELL = (floor.Phase.THINKING, floor.Phase.SPEAKING, floor.Phase.YIELDING)
"""Phases of the agent's last words before a person has the call."""


async def _given(*parts: Part) -> AsyncIterator[Part]:
    for part in parts:
        yield part


async def _ended(task: asyncio.Task[None] | None) -> None:
    """Wait until a task has ended, however it ends."""
    if task is not None and not task.done():
        await asyncio.wait({task})
