"""Voice activity: how likely each 32 ms of a call is speech."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnxruntime

from models import store
from models.contracts import Samples

RATE = 16_000
FRAME = 512
"""Samples in a frame: 32 ms at 16 kHz, the only length that Silero v6 takes at this rate."""
CONTEXT = 64
"""Samples of the frame before that the model wants in front of each frame."""


def _zeros() -> npt.NDArray[np.float32]:
    return np.zeros((1, 1, 128), dtype=np.float32)


@dataclass(slots=True)
class VadState:
    """What the model remembers of one call; owned by the call, changed by `SileroVad.probabilities`."""

    h: npt.NDArray[np.float32] = field(default_factory=_zeros)
    c: npt.NDArray[np.float32] = field(default_factory=_zeros)
    context: Samples = field(default_factory=lambda: np.zeros(CONTEXT, dtype=np.float32))


class SileroVad:
    """Silero v6 through onnxruntime, one thread; one instance serves any number of calls and threads."""

    def __init__(self, weights: str = "silero-v6") -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        path = store.resolve(weights, "vad")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def probabilities(self, frames: Sequence[tuple[VadState, Samples]]) -> list[float]:
        """P(speech) of each frame, in the order given.

        Frames are float32[512] at 16 kHz. Frames of the same call that follow each other are run as one sequence, which
        is how a backlog is caught up with cheaply; the model's state belongs to one call, so calls run one after
        another. A state must not be used by two threads at a time.

        Raises:
            ValueError: a frame does not have 512 samples.
        """
        result: list[float] = []
        for _, run in itertools.groupby(frames, key=lambda frame: id(frame[0])):
            pieces = list(run)
            result += self._sequence(pieces[0][0], [samples for _, samples in pieces])
        return result

    def _sequence(self, state: VadState, frames: list[Samples]) -> list[float]:
        batch = np.empty((len(frames), CONTEXT + FRAME), dtype=np.float32)
        for row, samples in zip(batch, frames, strict=True):
            if samples.shape != (FRAME,):
                raise ValueError(f"a VAD frame must be float32[{FRAME}], got {samples.shape}; cut the audio so")
            row[CONTEXT:] = samples
        batch[0, :CONTEXT] = state.context
        batch[1:, :CONTEXT] = batch[:-1, -CONTEXT:]
        probabilities, state.h, state.c = self._session.run(None, {"input": batch, "h": state.h, "c": state.c})
        state.context = batch[-1, -CONTEXT:].copy()
        return [float(probability) for probability in probabilities]
