"""A call between a caller and a person that is only listened to: both transcribed, the person helped, all recorded.

Nothing is played and nobody is greeted. Words and suggestions go back to the gateway, which shows them to the person.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from functools import partial

from agent.call.ears import Ear, Side
from agent.call.gatewayed import MOST_UNHEARD, MOST_WAITING, RESUMABLE, Admission, Gatewayed
from agent.call.minutes import Minutes
from agent.call.services import CallServices
from agent.call.transcribing import Transcriber
from agent.call.transport import NORMAL, Transport
from agent.gateways.base import AudioIn, CallStarted, Event, GatewayProtocol, MediaPaused
from agent.records.contracts import CallOpened
from models.contracts import Samples
from models.errors import Overloaded
from models.pool import Priority

FINISH_S = 8.0
"""How long the end of a call waits for the words of its last turns."""


class MonitorSession(Gatewayed):
    """A call that is listened to, from the first message to the closed record. `run` owns every task started here."""

    notes: Minutes

    def __init__(
        self,
        services: CallServices,
        protocol: GatewayProtocol,
        transport: Transport,
        call_id: str,
        admission: Admission | None = None,
    ) -> None:
        super().__init__(services, protocol, transport, call_id, admission)
        self._transcriber = Transcriber(services, self.notes, self.outbox, self.spawn)
        self._ears: dict[Side, Ear] = {}
        self._frames: list[tuple[Ear, Samples]] = []
        self._framed = asyncio.Event()
        self._judged = asyncio.Event()
        self._deaf = False
        self._unheard = 0

    def new_notes(self) -> Minutes:
        """See `Gatewayed`."""
        return Minutes(self.services, self.outbox, self.call_id)

    @property
    def phase(self) -> str:
        """`starting`, then `monitoring`."""
        return "starting" if self.notes.record is None else "monitoring"

    async def began(self, started: CallStarted, opened: CallOpened) -> None:
        """See `Gatewayed`."""
        now, services = self.clock.now_ms(), self.services
        encoding = self.protocol.capabilities.encoding
        numbers = itertools.count()
        sides: tuple[Side, ...] = ("caller", "agent")
        self._ears = {
            side: Ear(side, encoding, services.settings, services.new_vad_state(), numbers, now) for side in sides
        }
        self._transcriber.expect(started.parameters.get("language", ""))
        self.notes.state(self.phase)
        self.inward(self._judge(), "judge")
        self.spawn(self._transcriber.run(), "transcribe")

    async def take(self, event: Event) -> None:
        """See `Gatewayed`. Keys and text are not for us."""
        match event:
            case AudioIn(audio, speaker=speaker):
                await self._listen(self._ears[speaker], audio)
            case MediaPaused(on):
                self.notes.event("media", paused=on)
                if on:
                    self._finish_turns()

    def left(self, reason: str, code: int | None) -> None:
        """See `Gatewayed`. That the gateway stops is how such a call ends; of one that broke the rest is missing."""
        self.end("failed" if code in RESUMABLE else "completed", reason, NORMAL)

    async def wind_up(self) -> None:
        """See `Gatewayed`: the last words are waited for."""
        if not self._deaf and self._frames:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FINISH_S):
                    await self._judge_waiting()
        self._judged.set()
        self._finish_turns()
        await self._transcriber.finish(FINISH_S)

    def _finish_turns(self) -> None:
        for ear in self._ears.values():
            turn = ear.finish()
            if turn is not None:
                self._transcriber.over(turn)

    async def _listen(self, ear: Ear, audio: bytes) -> None:
        now = self.clock.now_ms()
        try:
            frames, narrow, at_ms = ear.feed(audio, now)
        except ValueError as error:
            self.notes.fault("bad_audio", str(error))
            return
        self.media.heard(now)
        recording = None if self.notes.record is None else self.notes.record.recording
        if recording is not None:
            side = recording.caller if ear.speaker == "caller" else recording.agent
            side(narrow, self.notes.at(at_ms))
        if not frames or self._deaf:
            return
        self._frames += [(ear, frame) for frame in frames]
        self._framed.set()
        while len(self._frames) >= len(self._ears) * MOST_WAITING and not self.done:
            self._judged.clear()
            await self._judged.wait()

    async def _judge(self) -> None:
        """Find the voices in what was received, everything that waits at a time."""
        while not self._deaf:
            await self._framed.wait()
            self._framed.clear()
            await self._judge_waiting()
            self._judged.set()
            for ear in self._ears.values():
                self._transcriber.early(ear, self.clock.now_ms())

    async def _judge_waiting(self) -> None:
        frames = list(self._frames)
        work = partial(self.services.vad.probabilities, [(ear.vad_state, frame) for ear, frame in frames])
        try:
            chances = await self.services.pool.run(Priority.VOICE_ACTIVITY, work)
            self._unheard = 0
        except Exception as error:
            chances = [0.0] * len(frames)
            self._misheard(error)
        del self._frames[: len(frames)]
        for chance, (ear, _) in zip(chances, frames, strict=True):
            turn = ear.judge(chance)
            if turn is not None:
                self._transcriber.over(turn)

    def _misheard(self, error: Exception) -> None:
        """Audio counts as silence. Where the model fails again and again the call is recorded, but no longer read."""
        self._unheard += 1
        self.notes.fault("vad_overloaded" if isinstance(error, Overloaded) else "vad_failed", str(error))
        if not isinstance(error, Overloaded) and self._unheard > MOST_UNHEARD:
            self._deaf = True
            self.notes.fault(
                "not_transcribed", "voice activity detection failed; from here on the call is recorded only"
            )
