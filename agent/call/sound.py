"""The sound of one call on its way to the caller: played, mixed, paused, cut, recorded."""

from __future__ import annotations

import math
from collections.abc import Callable

from agent.call.air import Air
from agent.call.listening import RECORD_RATE
from agent.call.notes import Notes
from agent.call.outbox import Outbox
from agent.call.own_voice import OwnVoice
from agent.call.playout import Playout
from agent.clock import Clock
from agent.gateways.base import Capabilities, Clear
from audio.codec import Pcm16
from audio.resample import StreamResampler, to_float, to_pcm16
from models.contracts import Samples


class Sound:
    """What the caller is to hear. Times are ms of the clock."""

    def __init__(self, can: Capabilities, outbox: Outbox, notes: Notes, clock: Clock, own_voice: bool) -> None:
        """own_voice: know the agent's own voice where it comes back from the caller's line."""
        self._can = can
        self._outbox = outbox
        self._notes = notes
        self._clock = clock
        self.playout = Playout(can)
        self.air = Air(can, outbox, self._sounded)
        self.told: Callable[[Pcm16], None] = _nobody
        """Who else hears what the agent played straight to the caller, int16[n] at the gateway's rate."""
        self._narrower = StreamResampler(can.encoding.rate, RECORD_RATE)
        self._own_voice = OwnVoice() if own_voice and can.audio_in and can.audio_out else None
        self._stopped_by_line = False

    def is_own(self, samples: Samples, arrived_ms: float, voiced: bool) -> bool:
        """Whether a frame of the caller's line, float32[512] at 16 kHz, is the agent's own voice come back."""
        return self._own_voice is not None and self._own_voice.in_frame(samples, arrived_ms, voiced)

    def play(self, now: float) -> None:
        """Send what is due."""
        for command in self.playout.due(now):
            self.air.put(command)

    def fill(self, now: float) -> None:
        """Send the silence that the gateway must be sent."""
        for silence in self.playout.fill(now):
            if not self.air.mixing:
                self._outbox.put(silence)

    def pause(self, now: float) -> None:
        """Stop the sound, keep the reply."""
        self.record(now)
        for cleared in self.playout.pause(now):
            self.air.put(cleared)

    def stop(self, now: float) -> None:
        """Stop the sound for good."""
        self.record(now)
        for cleared in self.playout.stop(now):
            self.air.put(cleared)

    def mix(self, on: bool, playing: bool) -> None:
        """Mix with people's voices from now on, or no longer; a reply goes on at the word that is cut."""
        now = self._clock.now_ms()
        cut = self._can.audio_out and playing and not self.playout.paused
        if cut:
            self.pause(now)
        else:
            self.record(now)
        self.air.mix(on)
        if cut:
            self.playout.resume(now)

    def line_lost(self, now: float) -> None:
        """The line is gone and may come back."""
        self.record(now)
        self._stopped_by_line = not self.playout.paused
        if self._stopped_by_line:
            self.playout.pause(now)
        if self.air.mixing:
            self.air.put(Clear())
        self.air.away = True

    def line_back(self, now: float) -> None:
        """Go on at the word where the sound stopped."""
        self.air.away = False
        if self._stopped_by_line:
            self.playout.resume(now)

    @property
    def away(self) -> bool:
        """Whether the line is gone."""
        return self.air.away

    def unheard(self, frames: int) -> None:
        """`frames` pieces of audio did not leave: the gateway reads too slowly."""
        ahead = math.ceil(self._can.lead_ms / self._can.frame_ms)
        self.playout.lost(frames + ahead)

    def record(self, now: float) -> None:
        """Keep what the agent played straight to the caller up to now."""
        played = self.playout.played(now)
        if played is None or self.air.mixing:
            return
        samples, at_ms = played
        self.told(samples)
        if self._can.encoding.rate != RECORD_RATE:
            samples = to_pcm16(self._narrower.process(to_float(samples)))
        self._sounded(samples, at_ms)

    def _sounded(self, samples: Pcm16, at_ms: float) -> None:
        """The caller hears samples[n] at 8 kHz from `at_ms` on."""
        if self._own_voice is not None:
            self._own_voice.played(samples, at_ms)
        if self._notes.record is not None and self._notes.record.recording is not None:
            self._notes.record.recording.agent(samples, self._notes.at(at_ms))


def _nobody(samples: Pcm16) -> None:
    """Nobody else hears it."""
