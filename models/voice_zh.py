"""Text to speech in Chinese with Kokoro, and a voice that speaks each text in its language."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping

import numpy as np

from models import phonemes_zh
from models.contracts import Samples, Speech, Tone, Voice, bounded_pace
from models.errors import ModelError
from models.kokoro import LONGEST, RATE, Kokoro
from models.languages import CHINESE, ENGLISH, NAMES, written_in
from models.phrase_cache import KeyedVoice
from models.speakable import speakable
from models.voice import Run, by_sentences, trim

SPEEDS: Mapping[Tone, float] = {"neutral": 0.9, "warm": 0.93, "sorry": 0.82, "calm": 0.79}
"""Speed of each tone: five syllables a second for a plain one, and the others as the English voice's lengths.

Kokoro has no other means of expression."""
LEVEL_DBFS = -25.0
"""RMS of a piece: that of the English voice, so that a change of language is no change of loudness."""
PEAK = 0.97
"""Largest sample after levelling; louder pieces are turned down as a whole."""

_log = logging.getLogger(__name__)


class ChineseVoice:
    """Kokoro reading Chinese; `speak` may run for many calls at a time.

    `id` names the weights, style and speeds: audio of equal id, text, tone and pace may stand in for each other.
    """

    rate = RATE

    def __init__(self, style: str = "zm_yunxi", *, run: Run = asyncio.to_thread, threads: int = 1) -> None:
        """Load the network (about 0.5 s) and the dictionaries (1 to 2 s).

        Raises:
            ModelMissing: the extra `zh` is not installed, or there is no such style.
            ModelDamaged: the weights are not the expected ones.
        """
        self._network = Kokoro(style, threads=threads)
        self._run = run
        self.id = chinese_voice_id(style)
        phonemes_zh.phonemes("您好。")

    def speak(
        self, text: str, tone: Tone = "neutral", *, pace: float = 1.0, language: str | None = None
    ) -> AsyncIterator[Speech]:
        """Speak `text` sentence by sentence, the first at most a short clause; spans index `text` as written.

        language: whatever it is, the text is read as Chinese, Latin words in it as English ones.

        Raises:
            ModelError: synthesis failed.
        """
        return by_sentences(
            text, CHINESE, self.rate, self._run, functools.partial(self.synthesize, tone=tone, pace=pace)
        )

    def synthesize(self, text: str, tone: Tone = "neutral", pace: float = 1.0) -> Samples:
        """Speak one piece; blocks. float32[n] in [-1, 1] at `rate`, without silence before; empty if nothing is said.

        Raises:
            ModelError: synthesis failed, or the piece is too long.
        """
        tokens = self._network.tokens(phonemes_zh.phonemes(speakable(text, CHINESE).text))
        if not tokens:
            return np.zeros(0, dtype=np.float32)
        if len(tokens) > LONGEST:
            raise ModelError(
                f"a piece of {len(tokens)} symbols is too long to speak at one go; end sentences with full stops"
            )
        speed = SPEEDS[tone] * bounded_pace(pace)
        return levelled(trim(self._network.say(tokens, speed), self.rate))


def chinese_voice_id(style: str) -> str:
    """`ChineseVoice.id`, known before the voice is loaded."""
    settings = f"kokoro-82m:{style}:{sorted(SPEEDS.items())}:{LEVEL_DBFS}"
    return hashlib.sha256(settings.encode()).hexdigest()[:16]


def levelled(samples: Samples) -> Samples:
    """samples[n] at `LEVEL_DBFS`, or as near to it as `PEAK` allows."""
    if not len(samples) or not samples.any():
        return samples
    gain = 10 ** (LEVEL_DBFS / 20) / float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    gain = min(gain, PEAK / float(np.abs(samples).max()))
    return (samples * np.float32(gain)).astype(np.float32)


class LaterVoice:
    """A voice that is loaded when it is first needed, once; what loads English speech does not pay for it."""

    def __init__(self, load: Callable[[], Voice], name: str) -> None:
        """`load` may block for seconds; `id` is `name`, which must change with the sound."""
        self.id = name
        self._load = load
        self._voice: Voice | None = None
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        """Whether it can speak at once."""
        return self._voice is not None

    def prepare(self) -> Voice:
        """Load the voice unless it is there; blocks.

        Raises:
            models.errors.ModelError: it cannot be loaded; the next call tries again.
        """
        with self._lock:
            if self._voice is None:
                self._voice = self._load()
                _log.info("loaded the voice %s", self.id)
            return self._voice

    async def speak(
        self, text: str, tone: Tone = "neutral", *, pace: float = 1.0, language: str | None = None
    ) -> AsyncIterator[Speech]:
        """Speak `text` by the voice, which is loaded first where it has not been.

        Raises:
            models.errors.ModelError: it cannot be loaded, or synthesis failed.
        """
        voice: Voice = self._voice if self._voice is not None else await asyncio.to_thread(self.prepare)
        async for speech in voice.speak(text, tone, pace=pace, language=language):
            yield speech


class MultilingualVoice:
    """Speaks each text by the voice of its language. `id` names them all."""

    def __init__(self, voices: Mapping[str, KeyedVoice], default: str = ENGLISH) -> None:
        """voices: language code -> voice; `default` is for texts whose script says nothing.

        Raises:
            ValueError: there is no voice for `default`.
        """
        if default not in voices:
            raise ValueError(f"there is no voice for {NAMES.get(default, default)}, the default; give one")
        self._voices = dict(voices)
        self._default = default
        self.id = "+".join(f"{language}:{voice.id}" for language, voice in sorted(self._voices.items()))

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages it speaks."""
        return tuple(self._voices)

    def prepare(self) -> None:
        """Load every voice that waits for its first word; blocks.

        Raises:
            models.errors.ModelError: one cannot be loaded.
        """
        for voice in self._voices.values():
            if isinstance(voice, LaterVoice):
                voice.prepare()

    def speak(
        self, text: str, tone: Tone = "neutral", *, pace: float = 1.0, language: str | None = None
    ) -> AsyncIterator[Speech]:
        """Speak `text` in `language`, by its script where none is given.

        A text in a Chinese script is never read by the English voice where a Chinese one is here, whatever `language`.

        Raises:
            models.errors.ModelError: the voice cannot be loaded, or synthesis failed.
        """
        chosen = written_in(text, language or self._default)
        return self._voices.get(chosen, self._voices[self._default]).speak(text, tone, pace=pace, language=chosen)
