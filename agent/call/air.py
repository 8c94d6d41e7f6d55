"""The way of sound to the caller: the agent's straight to the gateway, or mixed with people's, 20 ms at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from agent.call.listening import RECORD_RATE
from agent.call.outbox import Outbox
from agent.call.talk import FRAME, RATE
from agent.gateways.base import Capabilities, Clear, Mark, Play
from audio.codec import Pcm16
from audio.resample import StreamResampler, to_float, to_pcm16

MOST_AGENT = 4 * RATE
"""Samples of the agent that wait to be mixed, 4 s; playout is ahead by far less. The oldest goes."""
_ZEROS = np.zeros(FRAME, dtype=np.float32)


class Air:
    """Where the sound for one call's caller goes.

    Mixed, frames go out as they are made, on the clock of whoever calls `send`; one frame of silence goes before a
    sound that begins, as a cushion for the gateway. Silence is only sent to gateways that must be sent it.
    """

    def __init__(self, capabilities: Capabilities, outbox: Outbox, sent: Callable[[Pcm16, float], None]) -> None:
        """`sent` is told what the caller is sent mixed, int16[n] at 8 kHz, and when."""
        self._can = capabilities
        self._encoding = capabilities.encoding
        self._outbox = outbox
        self._sent = sent
        self._piece = self._encoding.rate * capabilities.frame_ms // 1000
        self.mixing = False
        self.away = False
        """Whether the line is gone and may come back: what is said to the caller meanwhile is lost, not kept."""
        self._begin()

    def _begin(self) -> None:
        self._waiting: deque[Pcm16 | Mark] = deque()
        self._samples = 0
        self._up = StreamResampler(self._encoding.rate, RATE)
        self._down = StreamResampler(RATE, self._encoding.rate)
        self._narrow = StreamResampler(RATE, RECORD_RATE)
        self._rest = np.zeros(0, dtype=np.int16)
        self._sounding = False

    def put(self, command: Play | Mark | Clear) -> None:
        """Something of the agent's for the caller."""
        if not self.mixing:
            self._outbox.put(command)
        elif isinstance(command, Clear):
            self._waiting.clear()
            self._samples = 0
        elif isinstance(command, Mark):
            self._waiting.append(command)
        else:
            pcm = self._encoding.decode(command.audio)
            wide = to_pcm16(self._up.process(to_float(pcm)))
            self._waiting.append(wide)
            self._samples += len(wide)
            while self._samples > MOST_AGENT:
                first = self._waiting.popleft()
                self._samples -= 0 if isinstance(first, Mark) else len(first)

    def mix(self, on: bool) -> None:
        """Mix from now on, or no longer. What waits of the agent's is dropped: see `Playout.pause`."""
        if on != self.mixing:
            self._begin()
            self.mixing = on

    def agent(self) -> Pcm16 | None:
        """The next 320 samples of the agent; marks that they pass go out. None where it says nothing."""
        taken: list[Pcm16] = []
        missing = FRAME
        while self._waiting and (missing or isinstance(self._waiting[0], Mark)):
            first = self._waiting.popleft()
            if isinstance(first, Mark):
                self._outbox.put(first)
                continue
            if len(first) > missing:
                self._waiting.appendleft(first[missing:])
                first = first[:missing]
            self._samples -= len(first)
            missing -= len(first)
            taken.append(first)
        if missing == FRAME:
            return None
        return np.concatenate([*taken, np.zeros(missing, dtype=np.int16)])

    def send(self, frame: Pcm16 | None, now_ms: float) -> None:
        """Send 20 ms to the caller, mixed."""
        if not self._can.audio_out or self.away:
            return
        if frame is None and not self._sounding and not self._can.silence:
            return
        samples = _ZEROS if frame is None else to_float(frame)
        if frame is not None and not self._sounding and not self._can.silence:
            self._outbox.put(Play(self._encoding.silence(self._piece)))
        pieces = [self._rest, to_pcm16(self._down.process(samples))]
        self._sent(to_pcm16(self._narrow.process(samples)), now_ms)
        self._sounding = frame is not None
        line = np.concatenate(pieces)
        count = len(line) // self._piece
        for n in range(count):
            self._outbox.put(Play(self._encoding.encode(line[n * self._piece : (n + 1) * self._piece])))
        self._rest = line[count * self._piece :]
        if not self._sounding and not self._can.silence:
            if len(self._rest):
                padded = np.concatenate([self._rest, np.zeros(self._piece - len(self._rest), dtype=np.int16)])
                self._outbox.put(Play(self._encoding.encode(padded)))
            self._rest = np.zeros(0, dtype=np.int16)
