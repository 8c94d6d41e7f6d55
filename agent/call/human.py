"""People at consoles on a live call: their voices, the caller's, what is typed for them, and the words of all of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from agent.call.air import Air
from agent.call.ears import Ear, Turn
from agent.call.listening import Listening, Timeline
from agent.call.notes import Notes
from agent.call.outbox import Outbox
from agent.call.sayings import Saying, Sayings
from agent.call.seats import LiveSeat
from agent.call.services import CallServices
from agent.call.talk import FRAME, FRAME_MS, RATE, Jitter, Music, Stand, mix, together
from agent.call.transcribing import Transcriber
from agent.dialogue.contracts import CallerTurn
from agent.gateways.base import Capabilities, ShowSuggestion, ShowTranscript
from agent.records.pausing import WITHHELD
from audio.codec import Encoding, Pcm16
from audio.resample import StreamResampler, to_float, to_pcm16
from models.contracts import OUT_OF_SCOPE, Samples, Understood, VoiceEmotion
from models.pool import Priority

CALLER_MS = 40.0
"""How much of the caller's voice waits before it is passed on: gateways send evenly, but in pieces."""
LATE_MS = 200.0
"""A server this late goes on from now: what was not said in time is not said faster."""
MOST_WAITING = 64
"""Frames of people's voices waiting to be judged, 2 s; of more the oldest count as silence."""
FINISH_S = 3.0
"""How long words said last are waited for, when a person gives the call back or it ends."""
_BROWSER = Encoding("pcm16", RATE)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the conversation does for the people on its call.

    number: the number of the next turn. tap: have `Bridge.played` told what the agent played since. switch: let the
    sound to the caller be mixed, or no longer. told: what was said to the caller, or by him, while the agent does not
    answer. withheld: whether a text that `caller` or `human` said between two times is neither recorded nor shown.
    changed: who has the call, or what could be said to the caller, is another. left: a seat is gone that was used.
    private: a turn may have private words; see `agent.call.private_words`.
    """

    number: Callable[[], int]
    tap: Callable[[], None]
    switch: Callable[[bool], None]
    told: Callable[[str, str, Understood | None], None]
    withheld: Callable[[str, str, float, float], bool]
    changed: Callable[[], None]
    left: Callable[[str], None]
    private: Callable[[int, str, str, Samples, float], None]


class Bridge:
    """Everybody on one call but the caller and the agent. Costs nothing while there is nobody."""

    def __init__(
        self,
        services: CallServices,
        capabilities: Capabilities,
        outbox: Outbox,
        notes: Notes,
        listening: Listening,
        timeline: Timeline,
        air: Air,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        hooks: Hooks,
    ) -> None:
        self._services = services
        self._clock = services.clock
        self._can = capabilities
        self._notes = notes
        self._listening = listening
        self._timeline = timeline
        self._spawn = spawn
        self._hooks = hooks
        self.air = air
        self.seats: dict[str, LiveSeat] = {}
        self.human: str | None = None
        """Who has the call in place of the agent."""
        self.waiting = False
        """Whether the caller waits for a person, told how long."""
        self.music = False
        """Whether he hears music meanwhile, and on hold."""
        self.suggestion: str | None = None
        """What could be said to the caller."""
        rate = capabilities.encoding.rate
        self._caller, self._agent = Jitter(CALLER_MS), Jitter(FRAME_MS)
        self._caller_up, self._agent_up = StreamResampler(rate, RATE), StreamResampler(rate, RATE)
        self.sayings = Sayings(services, capabilities, outbox, notes, spawn, self._said, self.refresh)
        self._playing = Music()
        self._ticking: asyncio.Task[None] | None = None
        self._needed = asyncio.Event()
        self._transcriber: Transcriber | None = None
        self._caller_ear: Ear | None = None
        self._ears: dict[str, Ear] = {}
        self._who: dict[int, str] = {}
        self._frames: list[tuple[Ear, str, Samples]] = []
        self._framed = asyncio.Event()
        self.over = False

    # Who is there

    def seat(self, who: str, stand: Stand) -> LiveSeat:
        """Give somebody a seat; the one that he has already is closed."""
        old = self.seats.pop(who, None)
        if old is not None:
            old.close("replaced")
        seat = LiveSeat(who, stand, self._changed, self._left)
        self.seats[who] = seat
        self._notes.person(who, "joined", stand.mode)
        self.refresh()
        return seat

    def close_seat(self, who: str, reason: str) -> None:
        """End somebody's seat, where there is one."""
        seat = self.seats.pop(who, None)
        if seat is not None:
            seat.close(reason)
            self._gone(who)

    def close(self, reason: str) -> None:
        """The call is over for everybody."""
        self.over = True
        for who in list(self.seats):
            self.close_seat(who, reason)
        self.sayings.hush()

    def _changed(self, seat: LiveSeat, wanted: Stand) -> None:
        self.check(seat.who, wanted)
        if wanted.mode != seat.mode:
            self._notes.person(seat.who, "joined", wanted.mode)
        # The seat takes its new stand right after this; what follows from it is looked at with the next frame.
        self._needed.set()

    def check(self, who: str, stand: Stand) -> None:
        """Whether somebody may take part so.

        Raises:
            PermissionError: he may not, and why.
        """
        if stand.mode == "talk" and self.human != who:
            raise PermissionError("talk is for who has the call; take it over first, or barge in")
        if stand.held and self.human != who:
            raise PermissionError("only who has the call can put the caller on hold; take it over first")

    def _left(self, seat: LiveSeat) -> None:
        if self.seats.get(seat.who) is seat:
            del self.seats[seat.who]
            self._gone(seat.who)
            if seat.used:
                self._hooks.left(seat.who)

    def _gone(self, who: str) -> None:
        self._notes.person(who, "left")
        self._finish_ear(who)
        self.refresh()

    def refresh(self) -> None:
        """Who is there, or what is said, is another: see what the line needs."""
        barging = any(seat.stand.mode == "barge" for seat in self.seats.values())
        speaking = self.sayings.speaking and self._can.audio_out
        mixing = not self.over and (self.human is not None or self.waiting or barging or speaking)
        if mixing != self.air.mixing:
            self._hooks.switch(mixing)
        if self.busy:
            self._needed.set()
            if self._ticking is None:
                self._ticking = self._spawn(self._tick_on(), "talk")
                self._spawn(self._judge(), "judge-people")

    @property
    def busy(self) -> bool:
        """Whether there is anybody, or anything to say."""
        return not self.over and bool(self.seats or self.sayings.speaking or self.human is not None or self.waiting)

    @property
    def hears_caller(self) -> bool:
        """Whether the caller's words are for people, not for the agent."""
        return self._caller_ear is not None

    @property
    def caller_speaks(self) -> bool:
        """Whether the caller is saying something to people."""
        return self._caller_ear is not None and self._caller_ear.turn is not None

    def listen_to_caller(self, on: bool) -> None:
        """Let the caller's words be for people from now on, or for the agent again."""
        if on and self._caller_ear is None:
            services, now = self._services, self._clock.now_ms()
            self._caller_ear = Ear(
                "caller",
                self._can.encoding,
                services.settings,
                None,
                self._numbers(),
                now,
                self._listening,
                self._timeline,
            )
            self._transcribe()
        elif not on and self._caller_ear is not None:
            turn, self._caller_ear = self._caller_ear.finish(), None
            if turn is not None:
                self._transcribe().over(turn)

    # The line, 20 ms at a time

    def caller(self, audio: bytes) -> None:
        """The caller's audio, as the gateway sent it."""
        if self.seats:
            with contextlib.suppress(ValueError):  # told by who listens
                pcm = self._can.encoding.decode(audio)
                self._caller.put(to_pcm16(self._caller_up.process(to_float(pcm))))

    def played(self, samples: Pcm16) -> None:
        """What the agent played straight to the caller, at the gateway's rate."""
        if self.seats and not self.air.mixing:
            self._agent.put(to_pcm16(self._agent_up.process(to_float(samples))))

    async def _tick_on(self) -> None:
        due = self._clock.now_ms()
        while True:
            if not self.busy:
                self._caller.clear()
                self._agent.clear()
                self._needed.clear()
                await self._needed.wait()
                due = self._clock.now_ms()
            await self._clock.sleep_until(due)
            now = self._clock.now_ms()
            if now - due > LATE_MS:
                self._notes.fault("talk_late", f"sound was {now - due:.0f} ms late; the server is overloaded")
                due = now
            while due <= now:
                self.tick(now)
                due += FRAME_MS

    def tick(self, now: float) -> None:
        """Pass 20 ms on."""
        self.refresh()
        self._hooks.tap()
        agent = self.air.agent() if self.air.mixing else self._agent.take()
        said = {who: (seat.stand, seat.take()) for who, seat in self.seats.items()}
        held = any(stand.held for stand, _ in said.values())
        music = self._playing.take() if self.music and (held or self.waiting) else None
        mixed = mix(self._caller.take(), together([agent, self.sayings.take()]), said, music)
        if self.air.mixing:
            self.air.send(mixed.to_caller, now)
        for who, seat in self.seats.items():
            seat.give(mixed.to_seats[who])
        for who, (stand, frame) in said.items():
            if who in self._ears or (frame is not None and stand.to_caller):
                self._hear(who, frame if stand.to_caller else None, now)

    # Words of people, and of the caller to them

    def _numbers(self) -> Iterator[int]:
        while True:
            yield self._hooks.number()

    def _transcribe(self) -> Transcriber:
        if self._transcriber is None:
            self._transcriber = Transcriber(self._services, self, self, self._spawn)
            self._spawn(self._transcriber.run(), "transcribe")
        return self._transcriber

    def expect(self, language: str) -> None:
        """The language spoken so far."""
        self._transcribe().expect(language)

    def _hear(self, who: str, frame: Pcm16 | None, now: float) -> None:
        ear = self._ears.get(who)
        if ear is None:
            services = self._services
            ear = Ear("human", _BROWSER, services.settings, services.new_vad_state(), self._numbers(), now)
            self._ears[who] = ear
            self._transcribe()
        samples = np.zeros(FRAME, dtype=np.int16) if frame is None else frame
        frames, _, _ = ear.feed(_BROWSER.encode(samples), now)
        self._frames += [(ear, who, one) for one in frames]
        if self._frames:
            self._framed.set()
        while len(self._frames) > MOST_WAITING:
            old, its, _ = self._frames.pop(0)
            self._notes.fault("vad_overloaded", "a person's voice counts as silence: the models are busy")
            self._judged(old, its, 0.0)

    async def _judge(self) -> None:
        vad = self._services.vad
        while True:
            await self._framed.wait()
            self._framed.clear()
            frames, self._frames = self._frames, []
            loud = [n for n, (_, _, samples) in enumerate(frames) if samples.any()]
            chances = [0.0] * len(frames)
            work = partial(vad.probabilities, [(frames[n][0].vad_state, frames[n][2]) for n in loud])
            if loud:
                try:
                    found = await self._services.pool.run(Priority.VOICE_ACTIVITY, work)
                except Exception as error:
                    self._notes.fault("human_not_heard", f"{type(error).__name__}: {error}")
                else:
                    for n, chance in zip(loud, found, strict=True):
                        chances[n] = chance
            for (ear, who, _), chance in zip(frames, chances, strict=True):
                self._judged(ear, who, chance)

    def _judged(self, ear: Ear, who: str, chance: float) -> None:
        over = ear.judge(chance)
        if ear.turn is not None:
            self._who[ear.turn.number] = who
        if over is not None:
            self._transcribe().over(over)
        self._transcribe().early(ear, self._clock.now_ms())

    def _finish_ear(self, who: str) -> None:
        ear = self._ears.pop(who, None)
        turn = ear.finish() if ear is not None else None
        if turn is not None:
            self._transcribe().over(turn)

    def caller_frame(self, chance: float) -> None:
        """The next frame of the caller's audio has a voice with P = `chance`."""
        ear = self._caller_ear
        if ear is None:
            return
        over = ear.judge(chance)
        if over is not None:
            self._transcribe().over(over)
        self._transcribe().early(ear, self._clock.now_ms())

    def typed(self, text: str, understood: Understood) -> None:
        """The caller typed something to people."""
        now = self._clock.now_ms()
        self._of_caller(self._hooks.number(), text, understood, None, now, now)

    def keyed(self) -> None:
        """The caller pressed a key while people have the call; which one is not shown, as it is not recorded."""
        self._notes.publish("caption", speaker="caller", text="[key]", final=True, turn=None)

    async def finish(self, within_s: float = FINISH_S) -> None:
        """Wait for the words of what was said last."""
        for who in list(self._ears):
            self._finish_ear(who)
        self.listen_to_caller(False)
        if self._transcriber is not None:
            await self._transcriber.finish(within_s)

    # What the transcriber tells

    def said(
        self,
        turn: Turn,
        text: str,
        confidence: float | None,
        understood: Understood | None = None,
        voice: VoiceEmotion | None = None,
    ) -> None:
        """See `agent.call.transcribing.Writes`."""
        ended = turn.started_ms + turn.end_ms - turn.begin_ms
        if turn.speaker == "caller":
            meant = understood or Understood(OUT_OF_SCOPE, 0.0)
            self._of_caller(turn.number, text, meant, voice, turn.started_ms, ended)
        else:
            who = self._who.pop(turn.number, "")
            self._of_human(turn.number, who, text, turn.started_ms, ended, heard=confidence)
        if not self._hooks.withheld(turn.speaker, text, turn.started_ms, ended):
            self._hooks.private(turn.number, turn.speaker, text, turn.samples, turn.first_ms)

    def _said(self, saying: Saying, began_ms: float, ended_ms: float) -> None:
        """A text was spoken to the caller by our voice."""
        number = self._hooks.number()
        if saying.who:
            self._of_human(number, saying.who, saying.text, began_ms, ended_ms, typed=True)
        else:
            self._notes.announced(number, saying.text, began_ms, ended_ms)

    def _of_human(
        self, number: int, who: str, text: str, started_ms: float, ended_ms: float, **reasons: float | bool | None
    ) -> None:
        if self._hooks.withheld("human", text, started_ms, ended_ms):
            text = WITHHELD
        self._notes.human(number, who, text, started_ms, ended_ms, **reasons)
        self._hooks.told("human", text, None)

    def _of_caller(
        self,
        number: int,
        text: str,
        understood: Understood,
        voice: VoiceEmotion | None,
        started_ms: float,
        ended_ms: float,
    ) -> None:
        withheld = self._hooks.withheld("caller", text, started_ms, ended_ms)
        self._notes.caller(CallerTurn(number, text, understood, voice), started_ms, withheld)
        if withheld:
            self._hooks.told("caller", WITHHELD, None)
        else:
            self._hooks.told("caller", text, understood)

    def lost(self, turn: Turn, why: str) -> None:
        """See `agent.call.transcribing.Writes`."""
        self._notes.fault("transcript_lost", f"{turn.speaker} turn {turn.number}: {why}")
        self._who.pop(turn.number, None)

    def fault(self, code: str, detail: str) -> None:
        """See `agent.call.transcribing.Writes`."""
        self._notes.fault(code, detail)

    def event(self, kind: str, /, **data: Any) -> None:
        """See `agent.call.transcribing.Writes`."""
        self._notes.event(kind, **data)

    def put(self, command: ShowTranscript | ShowSuggestion, /) -> None:
        """See `agent.call.transcribing.Shows`. Final words are shown as they are noted."""
        if isinstance(command, ShowSuggestion):
            self.suggestion = command.text
            self._hooks.changed()
        elif not (command.final and command.text):
            speaker = "caller" if command.speaker == "caller" else "human"
            now = self._clock.now_ms()
            ears = [ear.turn for ear in (self._caller_ear, *self._ears.values()) if ear is not None]
            began = [turn.started_ms for turn in ears if turn is not None and turn.number == command.turn]
            if not self._hooks.withheld(speaker, command.text, began[0] if began else now, now):
                self._notes.caption(speaker, command.text, command.turn, command.final)
