"""What models give and take, whichever model it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""Mono audio in [-1, 1]."""

Tone = Literal["neutral", "warm", "sorry", "calm"]


@dataclass(frozen=True, slots=True)
class Word:
    """A recognized word; times in seconds from the first sample given."""

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a recognizer heard.

    average_log_probability is per token; no_speech_probability is the model's own. encoder_frames, where the model can
    give them, is float32[frames, width]. closing, where the model can give it, is how sure it is that a sentence ends
    with the last word: log(p / (1 - p)) with p the probability, given the audio and the words, that what is written
    after the last word, if anything, is a full stop, a question mark or an exclamation mark. More words, a comma and
    dots that trail off count against it. doubtful: a second look was due, which `RecognitionHints.quick` ruled out.
    language_probability: P(language) among those it could be; 1 where there was no choice.
    """

    text: str
    words: tuple[Word, ...] = ()
    average_log_probability: float = 0.0
    no_speech_probability: float = 0.0
    language: str = "en"
    encoder_frames: npt.NDArray[np.float32] | None = None
    closing: float | None = None
    doubtful: bool = False
    language_probability: float = 1.0


@dataclass(frozen=True, slots=True)
class RecognitionHints:
    """What is likely to be said: `prompt` biases the words, `language` skips detection.

    quick: this is a guess at speech that may go on; a doubtful text is returned as it is, marked so, not heard again.
    languages: those the caller may change to; `language` is then the one spoken so far, and only what is likely.
    words: also find when each word was said, which takes one more pass of the decoder.
    """

    prompt: str | None = None
    language: str | None = None
    quick: bool = False
    languages: tuple[str, ...] = ()
    words: bool = False


class Recognizer(Protocol):
    """Speech to text; blocking, called from the pool."""

    def recognize(self, samples: Samples, hints: RecognitionHints = ...) -> Recognition:
        """Recognize samples[n] at 16 kHz."""
        ...


@runtime_checkable
class Hypothesizing(Protocol):
    """A recognizer that can also tell what else it may have heard; blocking, called from the pool."""

    def hypotheses(self, samples: Samples, hints: RecognitionHints = ..., most: int = ...) -> tuple[str, ...]:
        """Texts of samples[n] at 16 kHz, the likeliest first."""
        ...


@dataclass(frozen=True, slots=True)
class Slot:
    """A value found in a text; `span` is [start, end) in characters, `raw` the words there.

    `value` is normalised (digits, ISO dates, minor units of money) and JSON-ready.
    """

    name: str
    value: Any
    raw: str
    span: tuple[int, int]
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class TextEmotion:
    """What the words alone say: `label` is one of neutral, happy, sad, angry; scores sum to 1."""

    label: str = "neutral"
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VoiceEmotion:
    """What the voice alone says.

    label: neutral, happy, sad or angry (indicative); scores: probability of each; anger: P(angry) in [0, 1];
    activation: P(high activation) in [0, 1], the most reliable of the three.
    """

    label: str
    scores: Mapping[str, float]
    anger: float
    activation: float


@dataclass(frozen=True, slots=True)
class UnderstandingContext:
    """What the dialogue is waiting for: slot names asked for, and whether yes or no was asked."""

    expected_slots: tuple[str, ...] = ()
    asked_yes_no: bool = False
    language: str = "en"


OUT_OF_SCOPE = "out_of_scope"
GIVE_INFORMATION = "give_information"
AFFIRM = "affirm"
DENY = "deny"


@dataclass(frozen=True, slots=True)
class Said:
    """One of several things asked for in a turn: its intent, and its words, which begin at `start` in the turn's."""

    intent: str
    confidence: float
    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Understood:
    """What a text means.

    intent is `OUT_OF_SCOPE` where no intent of the domain fits. ranking lists (intent, probability), best first.
    complete: P(the sentence is finished) in [0, 1], from the words alone; ruled: what was asked settled that, whatever
    else was heard. model: the version that understood it, empty where none is known. nearest: (text, intent, cosine
    similarity) of the training examples most like it, nearest first, where they are kept. wishes: where a turn asks for
    two or more things, each of them in their order, the one of `intent` among them; else empty.
    """

    intent: str
    confidence: float
    ranking: tuple[tuple[str, float], ...] = ()
    slots: tuple[Slot, ...] = ()
    emotion: TextEmotion = TextEmotion()
    complete: float = 1.0
    ruled: bool = False
    model: str = ""
    nearest: tuple[tuple[str, str, float], ...] = ()
    wishes: tuple[Said, ...] = ()

    def slot(self, name: str) -> Slot | None:
        """The last slot of that name, which is the one a caller who corrects himself means."""
        return next((slot for slot in reversed(self.slots) if slot.name == name), None)


class Understanding(Protocol):
    """Text to meaning; blocking, called from the pool."""

    def understand(self, text: str, context: UnderstandingContext = ...) -> Understood:
        """Understand one caller turn."""
        ...


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of synthesized speech: samples[n] at `rate` Hz that says text[span[0]:span[1]]."""

    samples: Samples
    rate: int
    span: tuple[int, int]


SLOWEST, FASTEST = 0.7, 1.3
"""Bounds of `pace`; beyond them speech is no longer natural."""


def bounded_pace(pace: float) -> float:
    """`pace` within its bounds, in steps of 0.05, so that a cached phrase is found again."""
    return round(min(FASTEST, max(SLOWEST, pace)) * 20) / 20


class Voice(Protocol):
    """Text to speech, as a stream of pieces with at least sentence-level spans."""

    def speak(
        self, text: str, tone: Tone = "neutral", *, pace: float = 1.0, language: str | None = None
    ) -> AsyncIterator[Speech]:
        """Speak `text`. Spans index `text` as given, whatever was normalised to say it.

        pace: 1.0 is the voice's own, larger is faster; `bounded_pace` says how far. language: that of the text, by its
        script where none is given; a voice of one language reads all texts in it.

        Raises:
            models.errors.ModelError: the synthesizer failed.
        """
        ...


class VoiceEmotionModel(Protocol):
    """Voice to emotion; blocking, called from the pool."""

    def new_history(self) -> Any:
        """An empty caller history, to be passed to every `read` of the same call."""
        ...

    def read(self, samples: Samples, history: Any) -> VoiceEmotion | None:
        """Read samples[n] at 16 kHz and update `history`; None where there is too little speech."""
        ...


class Encoder(Protocol):
    """Sentences to vectors; blocking, called from the pool."""

    width: int

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit-length float32[len(texts), width]."""
        ...
