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
from models.onnx_part import nodes, part

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


@dataclass(frozen=True, slots=True)
class Silence:
    """The half of the model that remembers, and what it is given of a frame of digital silence.

    The other half sees one frame at a time, to which silence is always the same: nine tenths of the work.
    """

    session: onnxruntime.InferenceSession
    name: str
    features: npt.NDArray[np.float32]

    def probabilities(self, state: VadState, count: int) -> list[float]:
        """P(speech) of `count` frames of silence after silence, the very same that the whole model gives."""
        given = {self.name: np.repeat(self.features, count, axis=0), "h": state.h, "c": state.c}
        probabilities, state.h, state.c = self.session.run(None, given)
        return [float(probability) for probability in probabilities]


class SileroVad:
    """Silero v6 through onnxruntime, one thread; one instance serves any number of calls and threads.

    Of digital silence only the half of the model is run that remembers: see `Silence`.
    """

    def __init__(self, weights: str = "silero-v6") -> None:
        path = store.resolve(weights, "vad")
        model = path.read_bytes()
        self._session = _session(model)
        self._silence = _silence(model)

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
        different = {id(samples): samples for samples in frames}.values()  # silence is mostly one and the same array
        for samples in different:
            if samples.shape != (FRAME,):
                raise ValueError(f"a VAD frame must be float32[{FRAME}], got {samples.shape}; cut the audio so")
        silent = not state.context.any() and not any(samples.any() for samples in different)
        if silent and self._silence is not None:
            return self._silence.probabilities(state, len(frames))
        batch = np.empty((len(frames), CONTEXT + FRAME), dtype=np.float32)
        for row, samples in zip(batch, frames, strict=True):
            row[CONTEXT:] = samples
        batch[0, :CONTEXT] = state.context
        batch[1:, :CONTEXT] = batch[:-1, -CONTEXT:]
        probabilities, state.h, state.c = self._session.run(None, {"input": batch, "h": state.h, "c": state.c})
        state.context = batch[-1, -CONTEXT:].copy()
        return [float(probability) for probability in probabilities]


def _silence(model: bytes) -> Silence | None:
    """None of a model that remembers in another way."""
    try:
        name = next(node for node in nodes(model) if node.kind == "LSTM").inputs[0]
        first, second = part(model, ("input",), (name,)), part(model, (name, "h", "c"), ("speech_probs", "hn", "cn"))
    except (ValueError, StopIteration):
        return None
    (features,) = _session(first).run(None, {"input": np.zeros((1, CONTEXT + FRAME), dtype=np.float32)})
    return Silence(_session(second), name, features)


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
