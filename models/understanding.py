"""Text to meaning: intent heads over sentence vectors, slot parsers, text emotion, completeness."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date

from models.completeness import Completeness
from models.contracts import OUT_OF_SCOPE, Encoder, Slot, UnderstandingContext, Understood
from models.heads import IntentHead, features
from models.slots import SlotContext, SlotSpec, find_slots
from models.slots.tokens import FILLERS, tokenize
from models.slots.yes_no import only
from models.text_emotion import TextEmotionModel

GIVE_INFORMATION = "give_information"
AFFIRM = "affirm"
DENY = "deny"
HUMAN = "human"

SOCIAL = frozenset({"greeting", "thanks", "goodbye", AFFIRM, DENY, "wait", "repeat", "small_talk"})
"""Dialogue acts that only count where a turn has nothing of more weight: "Hi. I want to return the boots. Thanks"."""

_BESIDE_ANSWER = frozenset({"goodbye", "wait", "repeat"})
"""Acts that outweigh the yes or no they come with: "no, that's all, bye"."""

_CLEAR = 0.6
"""Probability from which another intent counts although the text holds what was asked for."""

_MIN_CLAUSE = 2
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

Ranking = tuple[tuple[str, float], ...]


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


class HeadsUnderstanding:
    """Understands one caller turn at a time; implements `models.contracts.Understanding`.

    Holds nothing of a call, so one serves all; safe to call from several threads.
    """

    def __init__(
        self,
        encoder: Encoder,
        intent_head: IntentHead,
        slot_specs: Sequence[SlotSpec],
        text_emotion: TextEmotionModel,
        today: Callable[[], date],
    ) -> None:
        """`today` gives the caller's date, against which "last Tuesday" is read.

        Raises:
            ModelMissing: the turn-end weights are not there.
            SlotError: a slot has a wrong option.
        """
        self._encoder = encoder
        self._head = intent_head
        self._specs = tuple(slot_specs)
        self._emotion = text_emotion
        self._today = today
        self._completeness = Completeness(slot_specs)
        find_slots("one", self._specs, SlotContext(today()))

    def understand(self, text: str, context: UnderstandingContext = UnderstandingContext()) -> Understood:  # noqa: B008
        """Intent with ranking, slots with spans into `text`, emotion, and whether the sentence is finished.

        An empty text is out of scope with confidence 0. A text that is little more than the value asked for is
        `give_information`, a bare answer to a yes-no question `affirm` or `deny`, unless another intent is clear.
        """
        at = SlotContext(self._today(), context.expected_slots, context.asked_yes_no)
        completion = self._completeness.read(text, context, at)
        if not text.strip():
            return Understood(OUT_OF_SCOPE, 0.0, complete=completion.probability, ruled=completion.ruled)
        slots = find_slots(text, self._specs, at)
        ranking, intent, confidence = self._classify(text)
        intent, confidence = self._in_context(text, context, slots, intent, confidence)
        rest = tuple(row for row in ranking if row[0] != intent)
        ranking = tuple(sorted(((intent, confidence), *rest), key=lambda row: row[0] != intent))
        emotion = self._emotion.read(text)
        return Understood(intent, confidence, ranking, slots, emotion, completion.probability, completion.ruled)

    def _classify(self, text: str) -> tuple[Ranking, str, float]:
        """The whole turn, or that sentence of it which asks most clearly for something; later ones win ties."""
        clauses = _clauses(text)
        texts = [text, *clauses] if len(clauses) > 1 else [text]
        rankings = self._head.rank(features(texts, self._encoder))
        best = rankings[0]
        intent, confidence = self._head.decide(best)
        weight = _weight(intent, confidence)
        for ranking in rankings[1:]:
            named, sure = self._head.decide(ranking)
            if _weight(named, sure) >= weight:
                best, intent, confidence, weight = ranking, named, sure, _weight(named, sure)
        return best, intent, confidence

    def _in_context(
        self, text: str, context: UnderstandingContext, slots: Sequence[Slot], intent: str, confidence: float
    ) -> tuple[str, float]:
        labels = self._head.labels
        clear = intent not in SOCIAL | {OUT_OF_SCOPE, GIVE_INFORMATION} and confidence >= _CLEAR
        values = [slot for slot in slots if not isinstance(slot.value, bool)]
        asked = [slot for slot in values if slot.name in context.expected_slots and slot.confidence > 0]
        words = _residue(text, values)
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
            if only(text) or not (clear or (intent in _BESIDE_ANSWER and confidence >= _CLEAR)):
                return said, max(answer.confidence * 0.95, confidence if intent == said else 0.0)
        elif only(text) and intent in {OUT_OF_SCOPE, GIVE_INFORMATION, AFFIRM, DENY}:
            return said, max(0.8, confidence if intent == said else 0.0)
        return intent, confidence


def _weight(intent: str, confidence: float) -> float:
    """How much a sentence's reading counts beside the others of its turn."""
    if intent == OUT_OF_SCOPE:
        return 0.0
    if intent in SOCIAL:
        return 0.1 * confidence
    return confidence * (0.5 if intent == GIVE_INFORMATION else 1.1 if intent == HUMAN else 1.0)
