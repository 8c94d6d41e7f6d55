"""Is the caller's sentence finished? Judged from the words alone and from what was asked."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.contracts import UnderstandingContext
from models.encoder import normalise
from models.errors import ModelMissing
from models.heads import LinearHead, Vectors, load_head
from models.slots.digits import digit_runs
from models.slots.find import find_slots
from models.slots.spec import SlotContext, SlotSpec
from models.slots.tokens import FILLERS
from models.slots.yes_no import cue, only

WEIGHTS = Path(__file__).with_name("weights") / "completeness.npz"
WIDTH = 4096

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
"""A recognizer writes a dash, comma or dots where the voice stayed up; odds are multiplied by this."""

_ASKING_FACTOR = 3.0
_PAUSE_FACTOR = 3.0
"""The head learned from as many cut texts as whole ones; it is asked at a pause, where most are whole."""

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


def word_features(text: str) -> Vectors:
    """How `text` begins, ends and how long it is, hashed: float32[4096]."""
    words = ["^", *normalise(text).split()]
    count = len(words) - 1
    keys = [f"n{min(count, 12)}", f"a{' '.join(words[1:2])}", f"b{' '.join(words[1:3])}", f"x{words[1:2]}{words[-1:]}"]
    keys += [f"z{size}{' '.join(words[-size:])}" for size in (1, 2, 3, 4) if len(words) >= size]
    keys += [f"s{words[-1][-3:]}", f"l{words[-1]}{min(count, 4)}"]
    keys += [f"w{word}" for word in set(words)]
    vector = np.zeros(WIDTH, dtype=np.float32)
    for key in keys:
        code = zlib.crc32(key.encode())
        vector[code % WIDTH] += 1.0 if (code >> 16) & 1 else -1.0
    return vector


class Completeness:
    """P(the sentence is finished): rules where the words or the question settle it, else a small logistic head.

    See weights/completeness.md for the head.
    """

    def __init__(self, slot_specs: Sequence[SlotSpec], path: Path = WEIGHTS) -> None:
        """Read the head's weights at `path`.

        Raises:
            ModelMissing: there is no such file.
            ModelDamaged: the file is not a head.
        """
        self._specs = {spec.name: spec for spec in slot_specs}
        try:
            self._head, _ = load_head(path)
        except FileNotFoundError:
            remedy = "train them: python -m models.training.completeness --data DIR"
            raise ModelMissing(f"no completeness weights at {path}; {remedy}") from None

    @property
    def head(self) -> LinearHead:
        """The weights; labels are cut and whole."""
        return self._head

    def probability(self, text: str, context: UnderstandingContext, at: SlotContext) -> float:
        """P(finished) in [0, 1]; 0.5 where nothing was said. `at` is what slot parsing knows (today, expected)."""
        plain = normalise(text)
        if not plain:
            return UNDECIDED
        sure = self._of_value(text, context, at)
        if sure is None:
            sure = self._of_words(text, plain, context)
        odds = sure / (1.0 - sure)
        if _TRAILING.search(text):
            odds *= _TRAILING_FACTOR
        if _ASKING.search(text):
            odds *= _ASKING_FACTOR
        return odds / (1.0 + odds)

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
        return len(runs[-1].digits) < min(lengths) and _NUMBERED.search(text[: runs[-1].start]) is not None

    def _of_words(self, text: str, plain: str, context: UnderstandingContext) -> float:
        words = plain.split()
        if _REPAIR.search(plain):
            return _REPAIRING
        if only(text) or _SOCIAL.match(plain):
            # "no" and "okay" often open a longer sentence where nothing was asked.
            return FINISHED if context.asked_yes_no or _SOCIAL.match(plain) else 0.85
        if words[-1] in FILLERS:
            return UNFINISHED
        if words[-1] in _HANGING and not _MAY_END.search(plain):
            return UNFINISHED
        if _NUMBER_COMES.search(plain):
            return UNFINISHED
        if _ANNOUNCES.search(plain) and not _GIVEN.search(plain):
            return UNFINISHED
        sure = float(self._head.probabilities(word_features(text)[None, :])[0][self._head.labels.index("whole")])
        if _ENDS_A_QUESTION.search(plain) or (context.asked_yes_no and cue(text) is not None):
            sure = max(sure, 0.8)
        odds = _PAUSE_FACTOR * sure / max(1.0 - sure, 1e-6)
        return min(max(odds / (1.0 + odds), UNFINISHED), FINISHED)
