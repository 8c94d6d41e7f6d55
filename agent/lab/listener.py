"""Writes down what an agent says on a line, for servers that let nothing else be known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import numpy as np

from agent.lab.ear import Ear
from agent.lab.line import CallerLine
from agent.lab.steps import SETTLED_MS
from agent.lab.watching import Watch
from audio.codec import Pcm16
from audio.resample import resample, to_float
from models.contracts import Recognizer
from models.recognizer import WhisperRecognizer

_BEAM = 5
"""With less, and without silence around the words, Whisper at times stops half-way."""
_QUIET_S = 0.5
_EDGE_MS = 100.0


class Listener:
    """Recognizes the agent's words on a thread, one utterance at a time; shared by the calls of a run."""

    def __init__(self, make: Callable[[], Recognizer] = lambda: WhisperRecognizer(beam_size=_BEAM)) -> None:
        """`make` loads the recognizer when it is first needed; it takes 16 kHz."""
        self._make = make
        self._recognizer: Recognizer | None = None
        self._one = asyncio.Lock()

    async def follow(self, line: CallerLine, watch: Watch) -> None:
        """Tell `watch` each of the agent's utterances once the agent has been silent after it; ends with the line."""
        ear, done = line.ear, 0
        while True:
            over = await line.until(partial(_finished, ear, done), float("inf"))
            spans = ear.spans[done:]
            done += len(spans)
            if spans:
                start, end = spans[0].start_ms, spans[-1].end_ms
                samples = line.heard(start - _EDGE_MS, end + _EDGE_MS)
                async with self._one:
                    watch.heard(await asyncio.to_thread(self._hear, samples, line.protocol.rate), start)
            if not over:
                return

    def _hear(self, samples: Pcm16, rate: int) -> str:
        if self._recognizer is None:
            self._recognizer = self._make()
        quiet = np.zeros(int(rate * _QUIET_S), dtype=np.int16)
        whole = np.concatenate([quiet, samples, quiet])
        return self._recognizer.recognize(resample(to_float(whole), rate, 16_000)).text.strip()


def _finished(ear: Ear, done: int) -> bool:
    """The agent spoke after its first `done` stretches, and has been silent since."""
    return len(ear.spans) > done and ear.silent_ms() >= SETTLED_MS
