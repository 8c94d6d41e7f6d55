"""Text to meaning: what a text model reads, what slot parsers find, and rules of what was asked."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import date

from models.completeness import Completeness
from models.contracts import (
    AFFIRM,
    DENY,
    GIVE_INFORMATION,
    OUT_OF_SCOPE,
    Slot,
    TextEmotion,
    Understanding,
    UnderstandingContext,
    Understood,
)
from models.explain import BRIEF, ExamplesIndex
from models.languages import CHINESE, ENGLISH, base, ideographs
from models.slots import SlotContext, SlotSpec, find_slots
from models.slots.chinese import yes_no as chinese_yes_no
from models.slots.tokens import FILLERS, tokenize
from models.slots.yes_no import only
from models.text_emotion import LABELS, TextEmotionModel
from models.text_model import FoundSpan, Ranking, Reading, TextModel
from models.wishes import wishes
from models.wording_zh import clauses as chinese_clauses
from models.wording_zh import residue as chinese_residue

HUMAN = "human"

SOCIAL = frozenset({"greeting", "thanks", "goodbye", AFFIRM, DENY, "wait", "repeat", "small_talk"})
"""Dialogue acts that only count where a turn has nothing of more weight: "Hi. I want to return the boots. Thanks"."""

_BESIDE_ANSWER = frozenset({"goodbye", "wait", "repeat"})
"""Acts that outweigh the yes or no they come with: "no, that's all, bye"."""

_HARD = frozenset({"angry", "sad"})

_CLEAR = 0.6
"""Probability from which another intent counts although the text holds what was asked for."""

_MIN_CLAUSE = 2
_WORD = re.compile(r"[A-Za-z']{2,}")
_SENTENCE = re.compile(r"[.?!;]+(?:\s+|$)")

_LEAD_IN = FILLERS | frozenset(
    {
        "it's", "its", "it", "is", "that's", "that", "the", "my", "a", "an", "and", "yes", "yeah", "yep", "no", "nope",
        "sorry", "okay", "ok", "sure", "so", "oh", "please", "thanks", "i", "mean", "meant", "said", "i'm", "wait",
        "actually", "not", "order", "number", "was", "on", "for", "to", "just", "one", "address", "email", "phone",
        "think", "believe", "be", "would", "should", "right", "here", "code", "zip", "of", "at", "in", "because",
        "they", "they're", "were", "are", "them", "correction", "make", "name", "hi", "hello", "well", "from", "ends",
        "about", "around", "let", "me", "see", "also", "only", "came", "it'll", "both", "but", "there's", "with",
    }
)  # fmt: skip
"""Words that may stand around a bare value without making it a request."""

_SURE_SPAN = 0.7
"""Probability from which words that only the model takes for a value are one."""


def _clauses(text: str) -> list[str]:
    """The sentences of `text` with at least two words, as recognizers punctuate them."""
    parts = [part.strip() for part in _SENTENCE.split(text)]
    return [part for part in parts if len(part.split()) >= _MIN_CLAUSE]


def _residue(text: str, slots: Sequence[Slot]) -> list[str]:
    """The words of `text` that are in no value and no lead-in."""
    spans = [slot.span for slot in slots]
    return [
        token.text
        for token in tokenize(text)
        if token.text not in _LEAD_IN and not any(low <= token.start < high for low, high in spans)
    ]


class TurnUnderstanding:
    """Understands one caller turn at a time; implements `models.contracts.Understanding`.

    Holds nothing of a call, so one serves all; safe to call from several threads.
    """

    def __init__(
        self,
        model: TextModel,
        slot_specs: Sequence[SlotSpec],
        text_emotion: TextEmotionModel,
        today: Callable[[], date],
        examples: ExamplesIndex | None = None,
        language: str = ENGLISH,
    ) -> None:
        """`today` gives the caller's date, against which "last Tuesday" is read; `language` is that of the texts.

        text_emotion: read where the model has no head for its labels. examples: those the model was trained on; the
        nearest come with each turn.

        Raises:
            ModelMissing: the turn-end weights are not there.
            SlotError: a slot has a wrong option.
        """
        self._model = model
        self._labels = frozenset(model.info.intents)
        self._specs = tuple(slot_specs)
        self._emotion = text_emotion
        self._feels = set(model.info.emotions) == set(LABELS) and not model.info.several_emotions
        self._today = today
        self._examples = examples
        self._completeness = Completeness(slot_specs)
        self._language = base(language)
        chinese = self._language == CHINESE
        self._clauses = chinese_clauses if chinese else _clauses
        self._residue = chinese_residue if chinese else _residue
        self._only = chinese_yes_no.only if chinese else only
        find_slots("one", self._specs, SlotContext(today(), language=self._language))

    def understand(self, text: str, context: UnderstandingContext = UnderstandingContext()) -> Understood:  # noqa: B008
        """Intent with ranking, slots with spans into `text`, emotion, and whether the sentence is finished.

        An empty text is out of scope with confidence 0. A text that is little more than the value asked for is
        `give_information`, a bare answer to a yes-no question `affirm` or `deny`, unless another intent is clear.
        """
        at = SlotContext(self._today(), context.expected_slots, context.asked_yes_no, self._language)
        completion = self._completeness.read(text, context, at)
        if not text.strip():
            return Understood(OUT_OF_SCOPE, 0.0, complete=completion.probability, ruled=completion.ruled)
        whole, best = self._classify(text)
        wanted = wishes(text, self._model.read, SOCIAL | {OUT_OF_SCOPE, GIVE_INFORMATION})
        if whole.intent != OUT_OF_SCOPE and all(said.intent != whole.intent for said in wanted):
            wanted = ()
        slots = self._with_seen(text, find_slots(text, self._specs, at), whole.spans)
        intent, confidence = self._in_context(text, context, slots, best.intent, best.confidence)
        if wanted and (intent == OUT_OF_SCOPE or any(said.intent == intent for said in wanted)):
            intent, confidence = wanted[0].intent, wanted[0].confidence
        else:
            wanted = ()
        rest = tuple(row for row in best.ranking if row[0] != intent)
        ranking: Ranking = tuple(sorted(((intent, confidence), *rest), key=lambda row: row[0] != intent))
        emotion = _emotion_of(whole) if self._feels else self._emotion.read(text)
        if emotion.label in _HARD and "!" not in text and self._only(text):
            # Such words hold a feeling only by how they are said, which the voice tells: a model reads anger in any no.
            emotion = TextEmotion("neutral", {**dict.fromkeys(emotion.scores, 0.0), "neutral": 1.0})
        nearest = self._examples.nearest(best.vector, BRIEF) if self._examples is not None else ()
        return Understood(
            intent,
            confidence,
            ranking,
            slots,
            emotion,
            completion.probability,
            completion.ruled,
            nearest=tuple((near.text, near.label, round(near.similarity, 3)) for near in nearest),
            wishes=wanted,
        )

    def _classify(self, text: str) -> tuple[Reading, Reading]:
        """Readings of the whole turn, and of what of it asks most clearly for something; later sentences win ties."""
        clauses = self._clauses(text)
        readings = self._model.read([text, *clauses] if len(clauses) > 1 else [text])
        best = readings[0]
        weight = _weight(best.intent, best.confidence)
        for reading in readings[1:]:
            if _weight(reading.intent, reading.confidence) >= weight:
                best, weight = reading, _weight(reading.intent, reading.confidence)
        return readings[0], best

    def _with_seen(self, text: str, slots: tuple[Slot, ...], spans: Sequence[FoundSpan]) -> tuple[Slot, ...]:
        """What the parsers found, and what the model takes for values of `text` slots, which have no parser."""
        free = {spec.name for spec in self._specs if spec.type == "text"}
        seen = []
        for span in spans:
            if span.name in free and span.probability >= _SURE_SPAN:
                raw = text[span.start : span.end]
                seen.append(Slot(span.name, raw, raw, (span.start, span.end), span.probability))
        return tuple(sorted((*slots, *seen), key=lambda slot: slot.span)) if seen else slots

    def _in_context(
        self, text: str, context: UnderstandingContext, slots: Sequence[Slot], intent: str, confidence: float
    ) -> tuple[str, float]:
        labels = self._labels
        clear = intent not in SOCIAL | {OUT_OF_SCOPE, GIVE_INFORMATION} and confidence >= _CLEAR
        values = [slot for slot in slots if not isinstance(slot.value, bool)]
        asked = [slot for slot in values if slot.name in context.expected_slots and slot.confidence > 0]
        words = self._residue(text, values)
        # Choices are everyday words ("the tent"), so unasked ones do not make a turn an answer.
        kinds = {spec.name: spec.type for spec in self._specs}
        bare = [slot for slot in values if kinds[slot.name] != "choice" and slot.confidence > 0]
        if GIVE_INFORMATION in labels and asked and (not words or not clear):
            return GIVE_INFORMATION, max(0.95 if len(words) <= 1 else 0.8, confidence if not clear else 0.0)
        if GIVE_INFORMATION in labels and bare and not words and intent != HUMAN:
            return GIVE_INFORMATION, 0.9
        answer = next((slot for slot in slots if isinstance(slot.value, bool)), None)
        if answer is None:
            return intent, confidence
        said = AFFIRM if answer.value else DENY
        if said not in labels:
            return intent, confidence
        if context.asked_yes_no or any(kinds.get(name) == "yes_no" for name in context.expected_slots):
            if self._only(text) or not (clear or (intent in _BESIDE_ANSWER and confidence >= _CLEAR)):
                return said, max(answer.confidence * 0.95, confidence if intent == said else 0.0)
        elif self._only(text) and intent in {OUT_OF_SCOPE, GIVE_INFORMATION, AFFIRM, DENY}:
            return said, max(0.8, confidence if intent == said else 0.0)
        return intent, confidence


class MultilingualUnderstanding:
    """Understands each turn in its language; implements `models.contracts.Understanding`.

    An understanding of another language is made when a turn first needs it.
    """

    def __init__(
        self, usual: Understanding, others: Mapping[str, Callable[[], Understanding]], usual_language: str = ENGLISH
    ) -> None:
        """others: language code -> what makes its understanding; it may block for seconds."""
        self._usual = usual
        self._usual_language = usual_language
        self._makers = dict(others)
        self._made: dict[str, Understanding] = {}
        self._lock = threading.Lock()

    def understand(self, text: str, context: UnderstandingContext = UnderstandingContext()) -> Understood:  # noqa: B008
        """Understand one caller turn, in the context's language unless the script is another's.

        Raises:
            models.errors.ModelError: the understanding of that language cannot be made.
        """
        return self._of(self.language_of(text, context)).understand(text, context)

    def prepare(self) -> None:
        """Make what was not needed yet; blocks.

        Raises:
            models.errors.ModelError: an understanding cannot be made.
        """
        for language in self._makers:
            self._of(language)

    def language_of(self, text: str, context: UnderstandingContext) -> str:
        """The language that `text` is understood in."""
        known = {self._usual_language, *self._makers}
        if ideographs(text) and CHINESE in known:
            return CHINESE
        language = base(context.language)
        if language == CHINESE and ENGLISH in known and len(_WORD.findall(text)) >= _MIN_CLAUSE:
            return ENGLISH
        return language if language in known else self._usual_language

    def _of(self, language: str) -> Understanding:
        if language == self._usual_language:
            return self._usual
        with self._lock:
            if language not in self._made:
                self._made[language] = self._makers[language]()
            return self._made[language]


def _weight(intent: str, confidence: float) -> float:
    """How much a sentence's reading counts beside the others of its turn."""
    if intent == OUT_OF_SCOPE:
        return 0.0
    if intent in SOCIAL:
        return 0.1 * confidence
    return confidence * (0.5 if intent == GIVE_INFORMATION else 1.1 if intent == HUMAN else 1.0)


def _emotion_of(reading: Reading) -> TextEmotion:
    label = max(reading.emotions, key=lambda name: reading.emotions[name])
    return TextEmotion(label, dict(reading.emotions))
