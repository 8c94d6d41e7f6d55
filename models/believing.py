"""When a recognized text is not believed."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gates:
    """When a text is not believed.

    no_speech / log_probability: text is dropped where the no-speech probability is above the one and the average
    log-probability below the other (0.6 and -1.0 are Whisper's own); below `hopeless` it is dropped whatever the
    no-speech probability says. characters_per_s / characters: speech of s seconds holds at most `characters_per_s * s +
    characters`; quick English talkers reach 20 a second. compression: a text that zlib shrinks by more is a repetition
    loop (Whisper's own 2.4). What these drop is first tried again with full context and a beam of at least 5; so is a
    text with the same word `repeats` times in a row or an average log-probability below `doubtful`, but such a text is
    then taken as it comes, since callers do say "no, no, no, no".

    words_per_s / unheard_s: the decoder at times ends after the first of several sentences. A text of fewer than
    `words_per_s` words per second of loud sound has its words aligned with the sound; where `unheard_s` of loud sound
    follow the last word, they are recognized on their own. Loud is 20 ms within 10 dB of the mean. In 240 recordings of
    5 to 18 s (RAVDESS and LibriSpeech joined, Piper, Kokoro; clean and mu-law) no whole text had fewer than 4.0 words
    or more than 0.1 s after the last one, but for repeated sentences.
    """

    no_speech: float = 0.6
    log_probability: float = -1.0
    hopeless: float = -1.7
    characters_per_s: float = 25.0
    characters: float = 12.0
    compression: float = 2.4
    repeats: int = 4
    doubtful: float = -0.9
    words_per_s: float = 3.5
    unheard_s: float = 0.6


def count_words(text: str) -> int:
    """Least number of words that speak a text; a digit is one, as is a character of a script without spaces."""
    return len(re.findall(r"\d|[\u3040-\u30ff\u3400-\u9fff]|[^\W\d\u3040-\u30ff\u3400-\u9fff]+", text))


def longest_run(text: str) -> int:
    """How often the same word comes in a row, at most; case and punctuation aside."""
    words = re.findall(r"\w+", text.lower())
    return max((len(list(group)) for _, group in itertools.groupby(words)), default=0)
