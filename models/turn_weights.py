"""The read-outs of the turn-end model: how its inputs are weighed against each other."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import ModelDamaged, ModelMissing

WEIGHTS = Path(__file__).with_name("weights") / "turn.npz"
Floats = npt.NDArray[np.float32]

WORDS = ("net", "trailing")
"""What `words` reads: the text network's log-odds, and a final comma, dash or dots."""
HEARD = ("words", "closing", "confidence", "unmarked")
"""What `heard` reads: log-odds of the words, `Recognition.closing`, log-probability, and no mark at the end."""
SOUND = (*HEARD, "voice")
"""What `sound` reads: those, and the log-odds of the voice."""
LARGEST = 6.0
"""Larger log-odds are cut to this: no input may decide alone."""


@dataclass(frozen=True, slots=True)
class TurnWeights:
    """Linear read-outs, each float32[inputs + 1] with the bias last, that give log(p / (1 - p)) of "the turn is over".

    words, heard and sound read `WORDS`, `HEARD` and `SOUND`; voice reads `models.turn_voice.VoiceEnd.features`,
    standardisation folded in. p is calibrated for a caller who pauses inside every other turn.
    """

    words: Floats
    heard: Floats
    voice: Floats
    sound: Floats

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> TurnWeights:
        """Read them from an .npz file.

        Raises:
            ModelMissing: there is no such file.
            ModelDamaged: it lacks an array or is no .npz file.
        """
        if not path.is_file():
            raise ModelMissing(f"no turn-end weights at {path}; train them: python -m models.training.turn --data DIR")
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(**{field.name: stored[field.name].astype(np.float32) for field in fields(cls)})
        except (KeyError, ValueError, OSError, EOFError) as error:
            raise ModelDamaged(f"{path} cannot be read as turn-end weights: {error}; train them again") from error

    def save(self, path: Path) -> None:
        """Write them to an .npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, words=self.words, heard=self.heard, voice=self.voice, sound=self.sound)


def read_out(weights: Floats, inputs: npt.NDArray[np.floating] | list[float]) -> float:
    """Log-odds of weights float32[n + 1] for inputs[n]."""
    return float(weights[:-1] @ np.asarray(inputs, dtype=np.float64) + weights[-1])


def bounded(log_odds: float) -> float:
    """`log_odds` within +-`LARGEST`."""
    return min(max(log_odds, -LARGEST), LARGEST)


def chance(log_odds: float) -> float:
    """The probability of `log_odds`."""
    return 1.0 / (1.0 + float(np.exp(-bounded(log_odds))))


def log_odds(probability: float) -> float:
    """log(p / (1 - p)), within +-`LARGEST`."""
    least = chance(-LARGEST)
    sure = min(max(probability, least), 1.0 - least)
    return bounded(float(np.log(sure / (1.0 - sure))))
