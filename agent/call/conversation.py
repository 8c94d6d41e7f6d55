"""The conversation of one call: its parts put together, and the floor's commands carried out by them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from agent.call import floor
from agent.call.ending import Ending
from agent.call.entries import Entries
from agent.call.guesses import Guesses
from agent.call.handover import Handover
from agent.call.hearing import Heard, Hearing
from agent.call.human import Bridge, Hooks
from agent.call.listening import RATE, Listening, Timeline
from agent.call.live_floor import LiveFloor
from agent.call.nearness import Nearness
from agent.call.notes import Notes
from agent.call.numbers import TurnNumbers
from agent.call.outbox import Outbox
from agent.call.people import People
from agent.call.private_words import PrivateWords
from agent.call.replies import Replies
from agent.call.replying import Reply
from agent.call.search import Search
from agent.call.secrecy import Secrecy
from agent.call.services import CallServices
from agent.call.sound import Sound
from agent.call.surroundings import End, Spawn, Surroundings
from agent.call.tools import ClientTools
from agent.dialogue.contracts import CallerTurn
from agent.gateways.base import CallStarted, GatewayProtocol, ShowSpeech
from agent.records.contracts import CallOpened
from models.contracts import Samples, Understood


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
        self._clock = services.clock
        self._can = can
        self._outbox = outbox
        self._notes = notes
        self._wake = wake
        self._dialogue = dialogue = services.new_dialogue(call.call_id, call.caller)
        self.secrecy = Secrecy(dialogue, notes, self._clock)
        self.secrecy.enter()
        self.floor = LiveFloor(settings.floor, can.audio_in or can.text_in, self._clock, notes, wake)
        self.floor.obey = self._obey
        self._numbers = TurnNumbers()
        around = Surroundings(services, can, outbox, notes, call, dialogue, self.floor, self._numbers, spawn, wake, end)
        self.timeline = Timeline(self._clock.now_ms())
        """When the caller's audio came."""
        self.listening = Listening(can.encoding, settings.vad.threshold, settings.vad.release)
        self.hearing = Hearing(services, self.listening, lambda: (dialogue.context, self.floor.state.profile))
        self.sound = Sound(can, outbox, notes, self._clock, settings.vad.own_voice)
        self._near = Nearness()
        self._replies = Replies(around, self.sound, self.hearing, lambda: self._guesses.prepare())
        self._private = PrivateWords(around, self.secrecy)
        self._guesses = Guesses(around, self.hearing, self._replies, self._settled)
        self.tools = ClientTools(outbox.put)
        self.handover = Handover(services, protocol, outbox, notes, dialogue, call)
        self.ending = Ending(around, self.handover, self._replies, protocol.name)
        hooks = Hooks(
            number=self._aside_number,
            tap=lambda: self.sound.record(self._clock.now_ms()),
            switch=self._replies.mix,
            told=self._told,
            withheld=self.secrecy.withheld,
            changed=lambda: self.people.changed(),
            left=lambda who: self.people.seat_left(who),
            private=self._private.look,
        )
        self.bridge = Bridge(services, can, outbox, notes, self.listening, self.timeline, self.sound.air, spawn, hooks)
        self.sound.told = self.bridge.played
        self.search = Search(
            around,
            self.handover,
            self.bridge,
            self._replies,
            self.ending,
            taken=lambda who: self.people.taken_by(who),
            stays=lambda: self.people.agent_has_it(),
        )
        self.entries = Entries(around, self.hearing, self._replies, self.bridge, self.search)
        self.people = People(
            around,
            self.handover,
            self.bridge,
            self._replies,
            self._guesses,
            self.search,
            self.entries,
            self.ending,
            self.secrecy,
        )
        notes.standing = self.people.standing
        self.around = around
        self._held_ms: float | None = None

    @property
    def phase(self) -> floor.Phase:
        """Who holds the floor."""
        return self.floor.phase

    @property
    def at_rest(self) -> bool:
        """Whether the caller says nothing, and nothing he said is open."""
        state = self.floor.state
        return not (state.open or state.history or self.bridge.caller_speaks)

    @property
    def parting(self) -> bool:
        """Whether the agent is saying its last goodbye, or has."""
        return self.phase is floor.Phase.CLOSING or self._replies.parting

    def begin(self, started: CallStarted) -> None:
        """Greet the caller."""
        self._notes.state(self.phase)
        self._replies.speak_up(self._dialogue.open(started.caller, started.parameters))

    # What the gateway brings

    def frame(self, probability: float, samples: Samples, arrived_ms: float) -> None:
        """The next frame of the caller's audio, float32[512] at 16 kHz, is voiced with this probability."""
        self.sound.record(self._clock.now_ms())
        voiced = self.listening.would_judge(probability)
        over_agent = self.phase in (floor.Phase.SPEAKING, floor.Phase.YIELDING)
        own = self.sound.is_own(samples, arrived_ms, voiced)
        if own or (over_agent and voiced and self._near.far(samples)):
            probability = 0.0
        if self.bridge.hears_caller:
            self.bridge.caller_frame(probability)
        elif self.listening.judge(probability):
            self._near.voiced(samples)
            self.floor.step(floor.Frame(True))
        else:
            self.floor.step(floor.Frame(False))

    def read_out(self, text: str, stopped: bool) -> None:
        """The gateway speaks itself: what the caller heard of the reply, and whether it was interrupted."""
        if self._replies.audible:
            self.sound.playout.read_out(text, stopped)
        if stopped:
            self.floor.step(floor.Key())
        self._wake()

    def truncated(self, heard_ms: float) -> None:
        """The client plays the audio itself and stopped after `heard_ms` of the reply."""
        if self._replies.audible:
            self.sound.playout.truncated(heard_ms)
        self.floor.step(floor.Key())

    def reached(self, mark: str) -> None:
        """The gateway has played what came before a mark."""
        self.sound.playout.reached(mark, self._clock.now_ms())
        self._wake()

    def media_paused(self, on: bool) -> None:
        """The gateway sends no audio for a while, or sends it again: nobody who cannot be heard is prompted."""
        self.floor.patient(on)
        self.caller_speaks()
        self._wake()

    def caller_speaks(self) -> None:
        """The gateway hears itself, and the caller begins to speak: no time for a prompt."""
        if self.phase is floor.Phase.LISTENING:
            self.floor.step(floor.Key())

    def tools_offered(self, names: Sequence[str]) -> None:
        """The client runs these tools itself, in place of the domain's actions of those names."""
        self._dialogue.use_tools({name: partial(self.tools.run, name) for name in names})

    # What time brings

    def advance(self, now: float) -> float | None:
        """Play what is due, act on what time brings; returns when to come again, in ms of the clock."""
        self.secrecy.keep()
        self._replies.play(now)
        self.sound.fill(now)
        self.floor.tick(now)
        keys = self.entries.tick(now)
        times = (self.floor.due(), self.sound.playout.next_fill(), self._replies.due(now), keys)
        return min((at for at in times if at is not None), default=None)

    def hold(self, now: float) -> None:
        """The line is gone and may come back: stop the sound, and the time."""
        if self._held_ms is None:
            self._held_ms = now
            self.sound.line_lost(now)

    def release(self, now: float) -> None:
        """The line is back: go on at the word where the sound stopped."""
        if self._held_ms is None:
            return
        gone, self._held_ms = now - self._held_ms, None
        self.floor.resume(gone, now)
        self.entries.resume(gone)
        self.sound.line_back(now)
        self._replies.say_again(now)
        self._notes.state(self.phase)
        self._wake()

    def close(self, now: float) -> None:
        """The call is over: fix what was heard of a reply that was still playing."""
        self._replies.close(now)
        self.people.close()

    def cut_if_long(self) -> asyncio.Task[str | Exception] | None:
        """Recognize a turn of the caller that has had no pause for too long; returns the task, which the call owns."""
        return self.hearing.cut_if_long() if self.floor.state.open else None

    def part_failed(self, part: str, error: Exception) -> None:
        """A part of the agent raised: apologise, then a person; never silence."""
        self._replies.part_failed(part, error)

    # What the floor commands

    def _obey(self, command: floor.Command, now: float) -> None:
        match command:
            case floor.OpenTurn():
                self._show_speech(True)
                self.hearing.open(round((now - self.floor.state.onset_ms) / floor.FRAME_MS))
            case floor.DropTurn():
                self._show_speech(False)
                self._near.dropped()
                self.hearing.drop()
                self._guesses.drop()
            case floor.Speculate(revision):
                self._guesses.begin(revision)
            case floor.DropSpeculation(revision):
                self._guesses.outdated(revision)
            case floor.Commit(revision, generation, waited_ms):
                self._commit(revision, generation, waited_ms, now)
            case floor.Retract(generation):
                self._notes.decision("retract", generation=generation)
                self.hearing.merge()
                self._replies.drop(generation, now, retract=True)
            case floor.Pause():
                self._notes.decision("pause")
                self.sound.pause(now)
            case floor.Resume():
                self._notes.decision("resume")
                self.sound.playout.resume(now)
            case floor.Interrupt(generation, continues):
                # Whoever speaks into a farewell wants something else than what was said before it.
                reply = self._replies.current
                continues = continues and reply is not None and reply.then is None
                self._notes.decision("continue" if continues else "interrupt", generation=generation)
                if continues:
                    self._guesses.drop()
                    self.hearing.merge()
                self._replies.drop(generation, now, retract=False, continues=continues)
            case floor.Prompt(level):
                self._notes.decision("prompt", level=level)
                self._replies.prompt(level)
            case floor.Stuck():
                stuck_ms = self.floor.settings.stuck_ms
                self.part_failed("answer", TimeoutError(f"no answer within {stuck_ms:.0f} ms"))
            case floor.StartTransfer():
                self.search.begin()
            case floor.MoveCaller():
                self.search.move()
            case floor.EndCall():
                self.around.spawn(self.ending.hang_up(), "hang-up")

    def _commit(self, revision: int, generation: int, waited_ms: float, now: float) -> None:
        guessing, prepared = self._guesses.take(revision)
        self._near.answered()
        self._show_speech(False)
        self.hearing.commit()
        state, number = self.floor.state, self._numbers.advance()
        reply = Reply(generation, number, now, answers_caller=True, profile=state.profile, guessing=guessing)
        reply.latency["endpoint_wait"] = waited_ms
        entered = self.entries.taken()

        async def turn(reply: Reply) -> CallerTurn:
            return entered or await self._guesses.settle(reply, revision, guessing)

        self._replies.answer(reply, turn, state.onset_ms if entered is None else now, prepared)

    def _settled(self, number: int, heard: Heard) -> None:
        if heard.samples is not None and not self._dialogue.sensitive:
            first_ms = self.timeline.from_ms + heard.begin * 1000.0 / RATE
            self._private.look(number, "caller", heard.text, heard.samples, first_ms)

    def _show_speech(self, on: bool) -> None:
        if self._can.audio_in:
            self._outbox.put(ShowSpeech(on, self.listening.received_ms))

    # What people on the call need to know

    def _aside_number(self) -> int:
        """The number of the next turn that the agent does not answer."""
        return self._numbers.aside(alone=self.phase in (floor.Phase.HUMAN, floor.Phase.TRANSFERRING))

    def _told(self, speaker: str, text: str, understood: Understood | None) -> None:
        if speaker == "caller" and understood is not None:
            self.search.heard(text, understood)
        try:
            self._dialogue.overheard(speaker, text, understood)
        except Exception as error:
            # The person who has the call needs no dialogue.
            self._notes.fault("not_overheard", f"{type(error).__name__}: {error}")
