"""Ears for callers of several languages: a fast recognizer of the usual one, and one that knows them all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from models.contracts import Hypothesizing, Recognition, RecognitionHints, Recognizer, Samples
from models.errors import ModelError
from models.languages import ENGLISH, base

SURE = -0.6
"""Average log-probability from which the usual recognizer's text is believed to be in its language.

On telephone lines tiny.en gave 95 % of 52 English utterances (demo callers, LibriSpeech, RAVDESS) more than -0.45 and
95 % of 80 Chinese ones less than -0.78; base called all of the Chinese ones Chinese, and none of the English.
"""
NOTHING_SAID = 0.6
"""No-speech probability from which a text that was dropped is left dropped; Whisper's own."""
DECIDED = 0.7
"""Probability from which a doubtful text is taken to be in another language."""

NO_HINTS = RecognitionHints()

_log = logging.getLogger(__name__)


class Multilingual(Recognizer, Protocol):
    """A recognizer that can also tell languages apart."""

    def languages(self, samples: Samples, among: Sequence[str]) -> Mapping[str, float]:
        """P(language) of samples[n] at 16 kHz, over the codes `among`."""
        ...


class Ears:
    """Hears each utterance in the language it is spoken in; implements `models.contracts.Recognizer`.

    Callers of the usual language pay nothing: the recognizer of all languages is loaded by the first utterance that
    the usual one makes little of, or that is expected in another language. Nothing carries over from one utterance to
    the next: `RecognitionHints.language` is the language of the call so far, and `Recognition.language` that of the
    utterance.
    """

    def __init__(
        self,
        usual: Recognizer,
        load: Callable[[], Multilingual],
        languages: Sequence[str] = (ENGLISH,),
        *,
        usual_language: str = ENGLISH,
        sure: float = SURE,
        decided: float = DECIDED,
    ) -> None:
        """`load` makes the recognizer of all `languages` and may block for seconds; `usual` hears `usual_language`."""
        self._usual = usual
        self._usual_language = usual_language
        self._load = load
        self._languages = tuple(dict.fromkeys(base(language) for language in languages)) or (usual_language,)
        self._sure = sure
        self._decided = decided
        self.on_load: Callable[[], None] | None = None
        """Told once, as the recognizer of all languages begins to load: other parts will be needed, too."""
        self._all: Multilingual | None = None
        self._loading: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that callers may speak."""
        return self._languages

    @property
    def loaded(self) -> bool:
        """Whether the recognizer of all languages is in memory."""
        return self._all is not None

    def prepare(self) -> Multilingual:
        """Load the recognizer of all languages unless it is there; blocks.

        Raises:
            ModelError: it cannot be loaded; the next call tries again.
        """
        with self._lock:
            if self._all is None:
                if self.on_load is not None:
                    tell, self.on_load = self.on_load, None
                    tell()
                self._all = self._load()
                _log.info("loaded the recognizer of %s", ", ".join(self._languages))
            return self._all

    def recognize(self, samples: Samples, hints: RecognitionHints = NO_HINTS) -> Recognition:
        """Recognize samples[n] at 16 kHz in whichever of the hints' languages they are.

        `hints.languages` are those this caller may speak, all of these ears' where none are given. A guess
        (`hints.quick`) does not wait for a model to load: it is heard in the usual language and marked doubtful.

        Raises:
            ModelError: a recognizer failed, or cannot be loaded for speech that is in another language.
        """
        expected = base(hints.language or self._usual_language)
        among = tuple(dict.fromkeys(base(one) for one in hints.languages)) or self._languages
        among = tuple(one for one in among if one in self._languages)
        if expected not in among:
            among = (expected, *among)
        if expected != self._usual_language:
            return self._others(samples, hints, expected, among)
        alone = replace(hints, language=expected, languages=())
        heard = self._usual.recognize(samples, alone)
        if len(among) == 1 or self._believed(heard):
            return heard
        return self._doubted(samples, hints, heard, among)

    def hypotheses(self, samples: Samples, hints: RecognitionHints = NO_HINTS, most: int = 4) -> tuple[str, ...]:
        """What samples[n] at 16 kHz may say in the hints' language, the likeliest first; blocks.

        Raises:
            ModelError: the recognizer failed.
        """
        usual = base(hints.language or self._usual_language) == self._usual_language
        recognizer = self._usual if usual else self.prepare()
        return recognizer.hypotheses(samples, hints, most) if isinstance(recognizer, Hypothesizing) else ()

    def _believed(self, heard: Recognition) -> bool:
        """Whether a text needs no second look; nothing heard where nothing was said needs none either."""
        if not heard.text:
            return heard.no_speech_probability >= NOTHING_SAID
        return heard.average_log_probability >= self._sure and not heard.doubtful

    def _others(self, samples: Samples, hints: RecognitionHints, expected: str, among: tuple[str, ...]) -> Recognition:
        """Hear what is expected in a language that is not the usual one; the same pass tells if it is in another."""
        return self.prepare().recognize(samples, replace(hints, language=expected, languages=among))

    def _doubted(
        self, samples: Samples, hints: RecognitionHints, heard: Recognition, among: tuple[str, ...]
    ) -> Recognition:
        """What the usual recognizer made little of: heard by the other where it is in another language."""
        if self._all is None and hints.quick:
            self.load_beside()
            return replace(heard, doubtful=True)
        try:
            recognizer = self.prepare()
        except ModelError as error:
            _log.warning("a doubtful text is taken as %s: %s", self._usual_language, error)
            return heard
        likely = recognizer.languages(samples, among)
        language = max(likely, key=lambda one: likely[one])
        if language == self._usual_language or likely[language] < self._decided:
            return replace(heard, language_probability=likely[self._usual_language])
        there = recognizer.recognize(samples, replace(hints, language=language, languages=(), prompt=None))
        return replace(there, language_probability=likely[language])

    def load_beside(self) -> None:
        """Load on a thread of its own, once at a time; a failure is logged, and told whoever needs the recognizer."""
        if self._loading is not None and self._loading.is_alive():
            return
        self._loading = threading.Thread(target=self._prepare_quietly, name="load-ears", daemon=True)
        self._loading.start()

    def _prepare_quietly(self) -> None:
        try:
            self.prepare()
        except ModelError as error:
            _log.warning("the recognizer of %s cannot be loaded: %s", ", ".join(self._languages), error)
