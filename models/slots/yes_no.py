"""Yes or no, as a bool."""

from __future__ import annotations

import re

from models.contracts import Slot
from models.slots.spec import SlotContext, SlotSpec

_END = r"(?=\W*$)"
_YES = (
    r"no (?:problem|worries)",
    r"why not|not a problem|i do(?:n't| not) mind|i think so|i guess(?: so)?",
    r"(?:that(?:'s| is| was)|you(?:'re| are)|all) (?:right|correct|it|fine|good|okay|ok|perfect|the one|exactly right)",
    r"(?:that )?(?:sounds|looks|seems) (?:good|right|great|fine|okay|correct)",
    r"that works|go (?:ahead|for it)|please do|do (?:it|that|so)|you got it|of course",
    r"(?:yes|yeah|yep) i (?:do|am|would|did)|i (?:do|am|did|would|have)" + _END + "|it is" + _END,
    r"mm[\s-]?hmm?|uh[\s-]?huh|mhm|yes|yeah|yea|yep|yup|yah|aye|ya|sure|correct",
    r"right(?=\W*$|,)|exactly|absolutely|definitely|certainly|indeed|totally|affirmative",
    r"okay|ok|alright|fine|perfect|please" + _END,
)
_NO = (
    r"(?:that(?:'s| is| was) )?(?:not |in)(?:right|correct|it|the one|true)",
    r"that(?:'s| is) (?:wrong|not it|incorrect|not what i \w+)",
    r"(?:i )?do(?:n't| not) think so|i (?:do|did|am|would|have)(?:n't| not)" + _END,
    r"(?:it|that) (?:is|does)(?:n't| not)" + _END + r"|(?:please )?do(?:n't| not)(?: do (?:it|that))?",
    r"not (?:really|now|yet|today|at all|exactly|quite)|(?:of course|absolutely|definitely|certainly|probably) not",
    r"never\s?mind|forget (?:about )?it|(?:i'd )?rather not|leave it|no way",
    r"uh[\s-]uh|nuh[\s-]uh|wrong|negative|never|nope|nah|naw|no",
)
_CUES = re.compile(
    rf"\b(?:(?P<no>{'|'.join(_NO[:-1])})|(?P<yes>{'|'.join(_YES)})|(?P<refusal>{_NO[-1]}))\b", re.IGNORECASE
)
_SOFT = re.compile(r"okay|ok\b|fine|alright|good|please|right|that(?:'s| is| was) it", re.IGNORECASE)
_ALSO = re.compile(
    r"\b(?:i mean|i meant|wait|thanks?|thank you|please|uh|um|er|well|oh|i|it|is|that|do|so|much|very|just|actually"
    r"|sorry|then|and|a lot|for now|the|one|ma'am|sir|i'm|it's|that's|good|great)\b|[\W_]+",
    re.IGNORECASE,
)


def cue(text: str) -> tuple[bool, tuple[int, int]] | None:
    """The last word of agreement or refusal in `text` and its span; "yeah, no" is a no."""
    last: tuple[bool, tuple[int, int]] | None = None
    for match in _CUES.finditer(text.replace("’", "'")):
        # "fine", "okay" and the like after a no are politeness: "no, that's okay", "no, that's it".
        soft = match.lastgroup == "yes" and _SOFT.search(match.group())
        if soft and last is not None and not last[0]:
            continue
        last = match.lastgroup == "yes", match.span()
    return last


def only(text: str) -> bool:
    """Whether `text` is nothing but agreement or refusal, politeness aside."""
    plain = text.replace("’", "'")
    return _CUES.search(plain) is not None and not _ALSO.sub("", _CUES.sub(" ", plain))


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """One value: the answer at the beginning or end of `text` where yes or no was asked, else only a bare answer."""
    found = cue(text)
    if found is None:
        return []
    asked = context.asked_yes_no or spec.name in context.expected
    bare = only(text)
    if not bare and not (asked and _answers(text)):
        return []
    value, (start, end) = found if bare else _first_answer(text) or found
    return [Slot(spec.name, value, text[start:end], (start, end), 1.0 if bare else 0.8)]


def _answers(text: str) -> bool:
    """Whether the first clause is an answer ("yes, but ...", "no I meant ...")."""
    match = _CUES.search(text.replace("’", "'"))
    return match is not None and not _ALSO.sub("", text[: match.start()].replace("’", "'"))


def _first_answer(text: str) -> tuple[bool, tuple[int, int]] | None:
    """The answer in the leading run of cues: of "yeah no, I want ..." the no."""
    plain, at = text.replace("’", "'"), 0
    answer: tuple[bool, tuple[int, int]] | None = None
    while match := _CUES.search(plain, at):
        if _ALSO.sub("", plain[at : match.start()]):
            break
        answer = match.lastgroup == "yes", match.span()
        at = match.end()
    return answer
