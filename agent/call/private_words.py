"""When in a turn private words were said, so that only they leave the recording while the call goes on."""

from __future__ import annotations

from agent.call.secrecy import Secrecy
from agent.call.surroundings import Surroundings
from agent.records.muting import private_ranges, private_spans
from models.contracts import RecognitionHints, Samples
from models.pool import Priority

MOST = 2
"""Turns that are looked at, at a time; of more the whole turn is silenced when the call ends."""
WITHIN_MS = 10_000.0
"""A look that waits so long for a worker is given up; the whole turn is then silenced."""
_PER_MS = 16
"""Samples of a turn in a millisecond."""


class PrivateWords:
    """Looks again at turns that have private words in them. All else that a call waits for goes first."""

    def __init__(self, around: Surroundings, secrecy: Secrecy) -> None:
        self._around = around
        self._secrecy = secrecy
        self._looking = 0

    def look(self, number: int, speaker: str, text: str, samples: Samples, first_ms: float) -> None:
        """Look at turn `number` of `speaker`: float32[n] at 16 kHz, the first of it came at `first_ms` by the clock.

        Nothing where the call is not recorded, or nothing in `text` is private.
        """
        record = self._around.notes.record
        if record is None or record.recording is None or self._looking >= MOST or not private_ranges(text):
            return
        self._looking += 1
        self._around.spawn(self._look(number, speaker, text, samples, first_ms), "private-words")

    async def _look(self, number: int, speaker: str, text: str, samples: Samples, first_ms: float) -> None:
        services, notes = self._around.services, self._around.notes
        languages = services.languages if len(services.languages) > 1 else ()
        language = self._around.language if languages else services.settings.recognizer.language
        hints = RecognitionHints(None, language, languages=languages, words=True)
        first, ended = notes.at(first_ms), notes.at(first_ms + len(samples) / _PER_MS)
        spans = private_spans(text, (), first, ended)
        try:
            heard = await services.pool.run(
                Priority.EMOTION, lambda: services.recognizer.recognize(samples, hints), within_ms=WITHIN_MS
            )
            if _private(heard.text) == _private(text):  # else its words are not those that were said
                spans = private_spans(heard.text, heard.words, first, ended)
        except Exception as error:
            notes.fault("private_words_not_found", type(error).__name__)
        finally:
            self._looking -= 1
        if notes.private(number, speaker, text, spans):
            self._secrecy.private(spans)


def _private(text: str) -> list[str]:
    """What is private in a text, without the marks between."""
    return ["".join(filter(str.isalnum, text[start:stop].lower())) for start, stop, _ in private_ranges(text)]
