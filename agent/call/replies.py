"""The agent's replies in one call, one at a time: begun, spoken, heard, interrupted, taken back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from agent.call import floor
from agent.call.hearing import Hearing
from agent.call.preparing import Preparation
from agent.call.replying import Manner, Reply, Speaker
from agent.call.sound import Sound
from agent.call.surroundings import Surroundings, ended
from agent.call.transport import INTERNAL
from agent.dialogue.contracts import Acted, CallerTurn, Expect, Part, Say
from agent.gateways.base import ShowReply, SpeakText
from models.contracts import OUT_OF_SCOPE, Understood
from models.speakable import sentences

log = logging.getLogger(__name__)


class Replies:
    """What the agent says. `free` is told when an interrupted reply has ended and the dialogue can go on."""

    def __init__(self, around: Surroundings, sound: Sound, hearing: Hearing, free: Callable[[], None]) -> None:
        self._around = around
        self._can = around.can
        self._clock = around.clock
        self._dialogue = around.dialogue
        self._floor = around.floor
        self._notes = around.notes
        self._outbox = around.outbox
        self._sound = sound
        self._playout = sound.playout
        self._hearing = hearing
        self._free = free
        can = around.can
        manner: Manner = "text" if can.text_out else "voice" if can.audio_out else "mute"
        self._speaker = Speaker(
            around.services.voice, sound.playout, can.encoding.rate, self._clock, around.wake, self._on_part, manner
        )
        self.current: Reply | None = None
        """The one under way."""
        self.leaving: Reply | None = None
        """The last one, where the caller goes somewhere after it."""
        self._stopping: list[Reply] = []
        self._answering: asyncio.Task[None] | None = None
        self._faults = 0

    # What is under way

    @property
    def audible(self) -> bool:
        """Whether there is a reply of which anything can have been heard: what is said of an older one comes late."""
        return self.current is not None and self.current.audible_ms is not None

    @property
    def parting(self) -> bool:
        """Whether the call ends after what is being said."""
        return self.current is not None and self.current.then == "hangup"

    @property
    def unsettled(self) -> bool:
        """Whether the turn that is being answered may still change."""
        return self.current is not None and self.current.answers_caller and self.current.snapshot is None

    def holds(self, now: float) -> bool:
        """Whether what the caller enters has to wait for what must be heard."""
        reply = self.current
        return reply is not None and self._floor.may_speak(reply.generation) and self._playout.must_hear(now)

    def question_heard(self) -> bool:
        """Whether the caller has heard any of the last sentence of the reply under way, which holds its question."""
        reply = self.current
        if reply is None:
            return True
        heard = self._playout.heard(self._clock.now_ms())
        if not heard or heard[-1].utterance < len(reply.said) - 1:
            return False
        return len(heard[-1].heard) > sentences(reply.said[-1])[-1][0]

    def due(self, now: float) -> float | None:
        """When `play` has something, in ms of the clock; None for never."""
        reply = self.current
        speaks = reply is not None and self._floor.may_speak(reply.generation)
        return self._playout.next_due(now) if speaks else None

    # Beginning

    def answer(
        self,
        reply: Reply,
        turn: Callable[[Reply], Awaitable[CallerTurn]],
        onset_ms: float,
        prepared: Preparation | None,
    ) -> None:
        """Answer the turn that `turn` gives, which began at `onset_ms`; `prepared` may be the first sentence."""
        self._begin(reply, self._answer(reply, turn, onset_ms, prepared, self._answering))

    def speak_up(self, parts: AsyncIterator[Part], farewell: bool = False, prompt: bool = False) -> None:
        """Say something of the agent's own accord, where it may. See `agent.call.moves.AgentTurn`."""
        generation = self._floor.state.generation
        self._floor.step(floor.AgentTurn(farewell, prompt))
        if self._floor.state.generation == generation:
            return
        numbers = self._around.numbers
        if self._notes.transcript.rows():
            numbers.advance()
        reply = Reply(self._floor.state.generation, numbers.now, self._clock.now_ms(), answers_caller=False)
        if farewell:
            reply.then, reply.farewell = "move", True
        self._begin(reply, self._say(reply, parts, self._answering))

    def prompt(self, level: int) -> None:
        """The caller is silent, for the `level`-th time in a row."""
        turn = CallerTurn(self._around.numbers.now + 1, "", Understood(OUT_OF_SCOPE, 0.0), silence=level)
        self.speak_up(self._dialogue.respond(turn), prompt=True)

    def part_failed(self, part: str, error: Exception) -> None:
        """A part of the agent raised: apologise, then a person; never silence."""
        log.error("%s failed in this call", part, exc_info=error)
        self._notes.fault(f"{part}_failed", f"{type(error).__name__}: {error}")
        self._faults += 1
        if self._faults == 1:
            self.speak_up(self._dialogue.apology())
        elif self._faults == 2:
            self._floor.step(floor.GiveUp())
        else:
            self._around.end("failed", f"{part}_failed", INTERNAL)

    def _begin(self, reply: Reply, work: Coroutine[Any, Any, None]) -> None:
        self.current = reply
        self._outbox.put(ShowReply(reply.generation, "began"))
        self._playout.begin(reply.generation)
        self._answering = self._around.spawn(work, f"reply-{reply.generation}")

    async def _answer(
        self,
        reply: Reply,
        turn_of: Callable[[Reply], Awaitable[CallerTurn]],
        onset_ms: float,
        prepared: Preparation | None,
        previous: asyncio.Task[None] | None,
    ) -> None:
        try:
            await ended(previous)
            turn = await turn_of(reply)
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

    async def _say(self, reply: Reply, parts: AsyncIterator[Part], previous: asyncio.Task[None] | None) -> None:
        await ended(previous)
        try:
            await self._speaker.speak(reply, parts)
            self._said(reply)
        except Exception as error:
            if not reply.farewell:
                self.part_failed("answer", error)
                return
            self._notes.fault("farewell_failed", f"{type(error).__name__}: {error}")
            self._floor.step(floor.ReplyDone(reply.generation, "move"))

    def _said(self, reply: Reply) -> None:
        if self._can.text_out and self.current is reply and not self._sound.away:
            self._outbox.put(SpeakText("", last=True))

    def _on_part(self, reply: Reply, part: Part) -> None:
        match part:
            case Say(text):
                self._notes.caption("agent", text, reply.turn, final=False)
                if self._can.text_out and len(reply.spoken) < len(reply.said):
                    firm = part.must_hear or reply.farewell
                    said = SpeakText(text, language=part.language or None, interruptible=not firm)
                    reply.spoken.append(said)
                    if not self._sound.away:
                        self._outbox.put(said)
            case Expect(profile):
                self._floor.step(floor.Expecting(profile))
            case Acted():
                self._notes.acted(reply.turn, part)
            case _:
                pass

    # Going on

    def play(self, now: float) -> None:
        """Send what is due of the reply that has the floor."""
        reply = self.current
        if reply is None or not self._floor.may_speak(reply.generation):
            return
        self._sound.play(now)
        if reply.audible_ms is None and (self._playout.started or (reply.said and not self._can.audio_out)):
            self._audible(reply, now)
        must_hear = self._playout.must_hear(now)
        if must_hear is not self._floor.state.must_hear:
            self._floor.step(floor.MustHear(must_hear))
        self._sound.record(now)
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
                self._around.services.metrics.latency.labels(part).observe(value / 1000.0)
        self._floor.step(floor.ReplyAudible(reply.generation))
        self._outbox.put(ShowReply(reply.generation, "audible"))
        self._notes.agent(reply)
        self._notes.show_turn(reply)

    def _finished(self, reply: Reply, now: float) -> None:
        fixed = self._notes.heard(reply, self._playout.heard(now), interrupted=False)
        if fixed is not None:
            self._dialogue.heard(fixed.heard or "", True)
        self.current, self.leaving = None, reply if reply.then is not None else None
        self._outbox.put(ShowReply(reply.generation, "done", self._playout.heard_ms(now)))
        self._floor.step(floor.ReplyDone(reply.generation, reply.then))

    def mix(self, on: bool) -> None:
        """Mix the sound to the caller from now on, or no longer."""
        self._sound.mix(on, playing=self.current is not None)
        self._around.wake()

    def say_again(self, now: float) -> None:
        """A gateway that reads out has forgotten what it was given: it begins the sentence again."""
        reply = self.current
        if not self._can.text_out or reply is None:
            return
        for said in reply.spoken[self._playout.rewind(now) :]:
            self._outbox.put(said)
        if reply.finished:
            self._said(reply)

    # Ending

    def drop(self, generation: int, now: float, retract: bool, continues: bool = False) -> None:
        """Stop reply `generation`. retract: nothing of it was heard, and its turn goes on. continues: so does it, but
        some was heard."""
        reply, task = self.current, self._answering
        if reply is None or reply.generation != generation:
            self._answering = self._around.spawn(self._stopped(None, task, retract), f"stop-{generation}")
            return
        self.current = None
        if reply.guessing is not None:
            reply.guessing.cancel()
        self._sound.stop(now)
        reply.heard = self._playout.heard(now)
        self._outbox.put(ShowReply(reply.generation, "interrupted", self._playout.heard_ms(now)))
        if retract:
            self._around.numbers.back_to(reply.turn - 1)
            if reply.snapshot is not None:
                self._hearing.unsettle()
        else:
            reply.continued = continues
            self._stopping.append(reply)
        if task is not None:
            task.cancel()
        self._answering = self._around.spawn(self._stopped(reply, task, retract), f"stop-{generation}")

    def close(self, now: float) -> None:
        """The call is over: fix what was heard of a reply that was still playing."""
        reply, self.current = self.current, None
        for stopping in list(self._stopping):
            self._settle(stopping)
        if reply is not None:
            self._sound.record(now)
            self._playout.stop(now)
            reply.heard = self._playout.heard(now)
            self._settle(reply)

    async def _stopped(self, reply: Reply | None, task: asyncio.Task[None] | None, retract: bool) -> None:
        await ended(task)
        if reply is not None and retract:
            if reply.snapshot is not None:
                self._take_back(reply)
            self._notes.take_back(reply.turn)
        elif reply is not None and reply in self._stopping:
            self._settle(reply)
        if not retract:
            self._floor.step(floor.ReplyStopped())
            self._free()

    def _settle(self, reply: Reply) -> None:
        self._stopping = [other for other in self._stopping if other is not reply]
        fixed = self._notes.heard(reply, reply.heard, interrupted=True)
        if reply.continued and reply.snapshot is not None:
            self._notes.supersede(reply.turn)
            self._hearing.unsettle()
            self._take_back(reply)
        else:
            self._dialogue.heard(fixed.heard or "" if fixed else "", False)

    def _take_back(self, reply: Reply) -> None:
        """The turn was not over: nothing was asked in answer to it."""
        self._dialogue.restore(reply.snapshot)
        self._floor.step(floor.Expecting(reply.profile))
