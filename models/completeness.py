"""Is the caller's sentence finished? Judged from the words alone and from what was asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.completeness_zh import ChineseRules
from models.contracts import UnderstandingContext
from models.encoder import normalise
from models.languages import CHINESE, written_in
from models.slots.digits import digit_runs
from models.slots.find import find_slots
from models.slots.spec import SlotContext, SlotSpec
from models.slots.tokens import FILLERS
from models.slots.yes_no import cue, only
from models.turn_text import WEIGHTS, TextEnd
from models.turn_weights import TurnWeights, bounded, chance, read_out

FINISHED = 0.95
UNDECIDED = 0.5
UNFINISHED = 0.05
_PARTIAL_VALUE = 0.08
"""Some digits of a number that was asked for: the caller is still reading it out."""

_VALUE_SAID = 0.9
_ENOUGH_OF_MANY = 0.6
"""A number of variable length could end here."""

_TRAILING = re.compile(r"(?:\.{2,}|…|[-–—,:;])\s*$")
_TRAILING_FACTOR = 0.35
"""A recognizer writes a dash, comma or dots where the voice stayed up; odds of a rule are multiplied by this."""

_ASKING_FACTOR = 3.0
_BARE = 0.85
"""A yes or no that nobody asked for often opens a longer sentence."""
_ANSWERED = 0.8
"""Least where the words form a short question, or hold the yes or no that was asked for."""

_ASKING = re.compile(r"\?\s*$")

_HANGING = frozenset(
    {
        "a", "an", "the", "my", "your", "his", "her", "our", "their", "to", "of", "for", "with", "from", "at", "by",
        "into", "about", "and", "or", "but", "because", "if", "that's", "than", "so", "is", "are", "was", "were", "am",
        "i'm", "it's", "i'd", "i've", "i'll", "we're", "you're", "there's", "which", "whether", "until", "since",
    }
)  # fmt: skip
"""Words that no sentence of a caller ends with."""

_MAY_END = re.compile(
    r"(?:\b(?:what|who|how|where|when|why)\b.*\b(?:is|are|was|am|at|for|from|about|to|of|with|by)"
    r"|\b(?:yes|no|yeah|sure)\W+(?:it|i|that|they|we)\W+(?:is|am|was|are|were)|^\W*(?:it|that|they) (?:is|was|are)"
    r"|\b(?:think|hope|guess|say|said|told you) so|asked (?:for|about)|waiting for|talking (?:to|about|with)"
    r"|looking for)$"
)
_ENDS_A_QUESTION = re.compile(r"\b(?:is|was|are|were) (?:it|that|this|they|these|those)$")
_ANNOUNCES = re.compile(
    r"\b(?:(?:order|phone|telephone|account|tracking|zip)?\s*(?:number|code)|(?:e-?mail|delivery|new|my)\s?address|name)"
    r"(?:\s+(?:is|was|it's|would be|should be))?$"
)
_GIVEN = re.compile(
    r"\b(?:what|where|which|change|have|find|know|forgot|need|lost|remember|wrong|get|update|give|your)\b"
)
_ONLY_IF = re.compile(
    r"^\W*(?:(?:and|but|so|well|um|uh|okay|yes|no|hi|hello|because)\W+)*"
    r"(?:if|unless|although|whenever|as soon as|even (?:if|though)"
    r"|(?:once|when|while) (?=(?:i|you|he|she|we|they|it|the|my|your|this|that|somebody|someone)\b)"
    r"|(?:before|after|until|since) (?=(?:i|you|he|she|we|they)\b))\W*(?:\w+\W+)?"
    r"(?:(?!(?:i|you|he|she|we|they|it|that|do|does|did|will|can|could|is|are|was|were|there|what|how|where)\b\W+\w)"
    r"[\w']+[^\w,;:?]*){0,7}$",
    re.IGNORECASE,
)
"""A sentence that has only begun to say under what condition: its main clause is to come."""

_CONDITION = 0.15
_NO_ANSWER = frozenset(
    "so to too two for four fore won one ate tree free sex life born oh well it's it is the my number".split()
)
"""What a recognizer makes of a single digit, and what comes before one."""

_REPAIR = re.compile(
    r"^(?:(?:no|oh|uh|um|but|yes|wait|sorry|actually)\s+)*(?:wait|actually|i meant?)$|\b(?:no|wait|oh) (?:wait )?sorry$"
)
"""The caller takes something back; what it should be comes next."""
_REPAIRING = 0.45
_NUMBERED = re.compile(r"\b(?:order|number|account|code)\W*$", re.IGNORECASE)
"""What comes before a number that names something."""
_NUMBER_COMES = re.compile(r"\b(?:is|was|about|cancel|return|for|of|meant|mean|with|on) order$")
"""An order without "my" or "the" is named by the number that follows."""

_SOCIAL = re.compile(
    r"^(?:(?:okay|ok|great|oh|no|alright|perfect|well|and)\s+)*(?:thanks?(?: you)?(?: (?:so|very) much| a lot)?|hello"
    r"|hi(?: there)?|hey|bye(?: bye)?|goodbye|good (?:morning|afternoon|evening|night)|that's (?:all|it)|pardon|sorry"
    r"|(?:thanks|thank you) (?:bye|goodbye))$"
)


@dataclass(frozen=True, slots=True)
class Completion:
    """P(finished) in [0, 1], and whether what was asked settled it, whatever else was heard."""

    probability: float
    ruled: bool


class Rules:
    """What is known of how turns end without learning it: values asked for, hanging words, repairs, bare answers."""

    def __init__(self, slot_specs: Sequence[SlotSpec]) -> None:
        """`slot_specs` are the values the domain may ask for."""
        self._specs = {spec.name: spec for spec in slot_specs}

    def answer(self, text: str, context: UnderstandingContext, at: SlotContext) -> float | None:
        """P(finished) in [0, 1] of a text with words, from what was asked for; None where that says nothing.

        A number that was begun and is too short for any that the domain knows counts too.
        """
        sure = self._of_value(text, context, at)
        if sure is None and context.asked_yes_no and only(text) and not _REPAIR.search(normalise(text)):
            sure = FINISHED
        return None if sure is None else _marked(sure, text)

    def wording(self, text: str) -> float | None:
        """P(finished) in [0, 1] of a text with words, from what it ends with; None where that says nothing.

        A recognizer makes such words of half a one too ("Thank you."), so what was heard counts beside it.
        """
        sure = self._of_words(text, normalise(text))
        return None if sure is None else _marked(sure, text)

    def _of_value(self, text: str, context: UnderstandingContext, at: SlotContext) -> float | None:
        """What the value asked for says; None where it says nothing."""
        ends_hanging = normalise(text).split()[-1] in _HANGING | FILLERS
        if self._number_begun(text, context):
            return _PARTIAL_VALUE
        for spec in (self._specs[name] for name in context.expected_slots if name in self._specs):
            if spec.type in {"digits", "phone"}:
                low, high = (
                    (10, 10) if spec.type == "phone" else (spec.option("min_length", 1), spec.option("max_length", 20))
                )
                found = find_slots(text, [spec], at)
                runs = digit_runs(text)
                if found and len(str(found[-1].value)) >= low and not ends_hanging:
                    return FINISHED if spec.type == "phone" or len(str(found[-1].value)) >= high else _ENOUGH_OF_MANY
                if runs and not found and len(runs[-1].digits) < low and not normalise(text[runs[-1].end :]).strip():
                    return _PARTIAL_VALUE
                if not runs and set(normalise(text).split()) <= _NO_ANSWER:
                    return _PARTIAL_VALUE
            elif spec.type == "email":
                if any(slot.confidence >= 0.9 for slot in find_slots(text, [spec], at)):
                    return _VALUE_SAID
                words = normalise(text).split()
                spelling = {"at", "dot", "underscore", "dash"} & set(words) or sum(
                    len(word) == 1 for word in words
                ) >= 2
                if spelling:
                    return _PARTIAL_VALUE
            elif spec.type == "address" and not ends_hanging:
                found = find_slots(text, [spec], at)
                if not found and digit_runs(text):
                    return _PARTIAL_VALUE
                if found:
                    runs = digit_runs(text)
                    zip_code = len(runs[-1].digits) == 5 and not normalise(text[runs[-1].end :]) if runs else False
                    return FINISHED if zip_code else _ENOUGH_OF_MANY
            elif spec.type in {"date", "amount", "choice"} and not ends_hanging:
                found = find_slots(text, [spec], at)
                if found and not normalise(text[found[-1].span[1] :]):
                    return _VALUE_SAID
        return None

    def _number_begun(self, text: str, context: UnderstandingContext) -> bool:
        """Whether a number that nobody asked for stops before it is long enough for any slot of the domain."""
        lengths = [spec.option("min_length", 1) for spec in self._specs.values() if spec.type == "digits"]
        runs = digit_runs(text)
        if context.expected_slots or not lengths or not runs or normalise(text[runs[-1].end :]).strip():
            return False
        first = runs[-1].leads[0][1] if runs[-1].leads else runs[-1].start
        digits = len(runs[-1].digits) + (first < runs[-1].start)
        return digits < min(lengths) and any(_NUMBERED.search(text[:at]) for at in (first, runs[-1].start))

    def _of_words(self, text: str, plain: str) -> float | None:
        words = plain.split()
        if _REPAIR.search(plain):
            return _REPAIRING
        if only(text) or _SOCIAL.match(plain):
            return FINISHED if _SOCIAL.match(plain) else _BARE
        if words[-1] in FILLERS:
            return UNFINISHED
        if words[-1] in _HANGING and not _MAY_END.search(plain):
            return UNFINISHED
        if _NUMBER_COMES.search(plain):
            return UNFINISHED
        if _ONLY_IF.search(last_sentence(text)):
            return _CONDITION
        if _ANNOUNCES.search(plain) and not _GIVEN.search(plain):
            return UNFINISHED
        return None


class Completeness:
    """P(the sentence is finished): rules where the words or the question settle it, else a small network.

    Chinese has rules only (`models.completeness_zh`). See weights/turn.md for the network.
    """

    def __init__(self, slot_specs: Sequence[SlotSpec], folder: Path = WEIGHTS) -> None:
        """Load the network and its calibration from `folder`.

        Raises:
            ModelMissing: a file is not there.
            ModelDamaged: a file cannot be loaded.
        """
        self._rules = Rules(slot_specs)
        self._chinese = ChineseRules(slot_specs)
        self._net = TextEnd(folder)
        self._weights = TurnWeights.load(folder / "turn.npz").words

    def read(self, text: str, context: UnderstandingContext, at: SlotContext) -> Completion:
        """How `text` ends; 0.5 where nothing was said. `at` is what slot parsing knows (today, expected, language)."""
        plain = normalise(text)
        if not plain:
            return Completion(UNDECIDED, ruled=True)
        if at.language == CHINESE or written_in(text) == CHINESE:
            answered = self._chinese.answer(text, context, at)
            if answered is not None:
                return Completion(answered, ruled=True)
            return Completion(self._chinese.wording(text, context), ruled=False)
        sure = self._rules.answer(text, context, at)
        if sure is not None:
            return Completion(sure, ruled=True)
        sure = self._rules.wording(text)
        if sure is None:
            sure = chance(read_out(self._weights, word_inputs(text, self._net.log_odds(text))))
            if _ENDS_A_QUESTION.search(plain) or (context.asked_yes_no and cue(text) is not None):
                sure = max(sure, _ANSWERED)
        return Completion(sure, ruled=False)

    def probability(self, text: str, context: UnderstandingContext, at: SlotContext) -> float:
        """P(finished) in [0, 1] alone; see `read`."""
        return self.read(text, context, at).probability


def _marked(sure: float, text: str) -> float:
    odds = sure / (1.0 - sure)
    if _TRAILING.search(text):
        odds *= _TRAILING_FACTOR
    if _ASKING.search(text):
        odds *= _ASKING_FACTOR
    return odds / (1.0 + odds)


def last_sentence(text: str) -> str:
    """What follows the last full stop, question mark or exclamation mark inside `text`, without one at the end."""
    return re.split(r"[.?!]\s+", text.strip().rstrip(".!… "))[-1]


def word_inputs(text: str, net: float) -> list[float]:
    """`models.turn_weights.WORDS` of a text with words for which the network gave the log-odds `net`."""
    return [bounded(net), float(_TRAILING.search(text) is not None)]
