"""What a person's instruction for the next answer permits a model to say, and what of the planned answer stays.

An instruction comes from staff who are signed in and whose words are kept, so a fact that it states may be told as one
of a section may. Not every clause states one: what it says about the caller ("she is angry"), what is not to be said,
and how to speak ("be brief") are for the model only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from agent.dialogue.text import sentences
from agent.dialogue.writing.contracts import Line, Passage
from agent.dialogue.writing.courtesy import after_courtesy, courteous
from agent.dialogue.writing.evidence import Evidence
from agent.dialogue.writing.faithful import Verdict, judge
from agent.dialogue.writing.questions import is_question, may_ask
from agent.dialogue.writing.terms import content_stems, denies, matched
from agent.dialogue.writing.tools import Result
from agent.dialogue.writing.values import values

TOLD = 0.6
"""Least share of a planned sentence's content words that the model's sentences have where they stand for it."""

_CLAUSE = re.compile(r"[.;!?](?=\s|$)|[。；！？，]|,\s+|\s+(?:and|but|so|because|since|then)\s+", re.IGNORECASE)
_REMARK = re.compile(
    r"\b(?:s?he|they|the caller|(?:the |this |our )?(?:customer|client|man|woman|lady|gentleman|guy))\s*"
    r"(?:'s|'re|’s|’re|is|are|was|were|seems?|sounds?|looks?|feels?|has been|have been)\b"
    r"(?!\s+(?:also |now |not )?(?:entitled|eligible|allowed|due|covered|insured|free to|able))"
    r"|(?:他|她|他们|来电者|客户|顾客|对方)(?:很|非常|是|在|似乎|好像|有点|比较|看起来|听起来)",
    re.IGNORECASE,
)
_NOT_THIS = re.compile(
    r"\b(?:do not|don't|don’t|never|avoid|stop|without|leave out|skip|no need to|instead of|rather than)\b"
    r"|不要|别(?!的|人)|勿|省略|不必|不用",
    re.IGNORECASE,
)
_UNSAID = re.compile(
    r"\b(?:do not|don't|don’t|never|avoid|stop|no need to)\s+(?:even |to )?"
    r"(?:tell|say|mention|offer|talk|speak|promise|repeat|name|explain|bring|discuss)"
    r"|\b(?:leave out|skip)\b|(?:不要|别|勿|不必|不用)再?(?:提|说|讲|告诉|承诺)|省略",
    re.IGNORECASE,
)
_STATES = re.compile(
    r"\b(?:tell|say|mention|explain|inform|remind|assure|reassure|point out|add|confirm|note|stress|repeat|know)\b"
    r"|\b(?:is|are|was|were|will|can|cannot|may|has|have|had|does|did|gets?|got|must|should|costs?|takes?|comes?|goes"
    r"|arrives?|leaves?|opens?|closes?|starts?|ends?|ships?|applies|counts?|includes?|covers?|needs?|works?|runs?)\b"
    r"|\w['’](?:s|re|ll|ve)\b|[\u3400-\u9fff]",
    re.IGNORECASE,
)
_FOR = re.compile(r"\b(?:apologi[sz]e|sorry|apology|thank\w*)\b(.*)", re.IGNORECASE)
_DEED = re.compile(
    r"\b(?:we|i|they|he|she|it)\s+(?:just |already |\w+ly )?(\w+ed)\b"
    r"|\b(?:has|have|had|is|are|was|were|been|be|got|get|gets)\s+(?:(?:now|already|just|also|not|never|been)\s+)*(\w+ed)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_TELLING = frozenset(
    content_stems("tell say mention explain inform remind assure reassure point add confirm note stress make clear")
    + content_stems("know nobody none")
)
_SHORTER = re.compile(
    r"\b(?:brief|briefly|short|shorter|in short|concise|less|fewer)\b|简短|简洁|简单|少说", re.IGNORECASE
)


class Permitted:
    """What may be said in an instructed answer: what the sections, the planned answer and the instructions say.

    Also courtesies, and one question about what was spoken of. What is said to be done must be known in the same word.
    names: the business's; caller: lower-case words of the caller's name. Making it takes a millisecond or two: see
    `Asking.look`.
    """

    def __init__(
        self,
        instructions: Sequence[str],
        planned: Sequence[str],
        sections: Sequence[Passage],
        history: Sequence[Line],
        names: Collection[str],
        caller: Collection[str],
    ) -> None:
        facts = [text for text in map(stated, instructions) if text]
        own = [Result("planned", "", " ".join(planned)), *(Result("instruction", "", one) for one in facts)]
        self._evidence = Evidence([*sections, *own], (*names, *caller))
        self._denied = [set(content_stems(one)) - _TELLING for text in facts for one in sentences(text) if denies(one)]
        self._kind = {*caller, *(word for one in instructions for word in regretted(one))}
        self.windows = self._evidence.windows
        """Texts that what is said must be close to in meaning."""
        self.known = [*(f"{one.heading} {one.text}" for one in sections), *planned, *facts]
        """What may be told, as texts."""
        self._said = [*self.known, *instructions, *(line.text for line in history)]

    def judge(self, sentence: str) -> tuple[Verdict, str]:
        """Whether `sentence` may be said, and that of it which rests on something; a courtesy or question does not."""
        if is_question(sentence):
            return Verdict(sentence, reason=may_ask(sentence, self._said)), ""
        if courteous(sentence, self._kind):
            return Verdict(sentence), ""
        body = after_courtesy(sentence, self._kind)
        found = judge(body, self._evidence)
        if found.reason is None and not deeds(body) <= self._evidence.words:
            found = Verdict("", reason="unsupported")
        if found.reason is None and self._affirms(body):
            found = Verdict("", reason="negation")
        return Verdict(sentence.removesuffix(body) + found.text, found.source, found.reason), found.text

    def _affirms(self, sentence: str) -> bool:
        """Whether `sentence` says half of what an instruction denies, and does not deny it."""
        said = content_stems(sentence)
        return not denies(sentence) and any(
            2 * sum(matched(one, said) for one in denied) >= len(denied) for denied in self._denied if denied
        )


def stated(instruction: str) -> str:
    """The clauses of an instruction that state something that may be told to the caller, as sentences."""
    clauses = [clause.strip() for clause in _CLAUSE.split(instruction) if clause and clause.strip()]
    kept = [one for one in clauses if _STATES.search(one) and not (_REMARK.search(one) or _NOT_THIS.search(one))]
    return " ".join(f"{one[:1].upper()}{one[1:]}." for one in kept)


def regretted(instruction: str) -> set[str]:
    """Lower-case words of what an instruction says to be sorry or thankful for; they may be said with a courtesy."""
    found = (_FOR.search(clause) for clause in _CLAUSE.split(instruction) if clause)
    return {word.lower() for match in found if match is not None for word in _WORD.findall(match[1])}


def deeds(sentence: str) -> set[str]:
    """What `sentence` says to be done, as "delivered"; lower-case. An order "out for delivery" is not that yet."""
    return {(match[1] or match[2]).lower() for match in _DEED.finditer(sentence)}


def may_leave_out(instructions: Sequence[str], wording: Sequence[str], planned: Sequence[str]) -> bool:
    """Whether planned sentences may go: an instruction names what is not to be said, or the model says it shorter.

    wording: the model's sentences; those that have nothing of the planned ones do not say them shorter.
    """
    if any(_UNSAID.search(one) for one in instructions):
        return True
    said, meant = ({one for text in texts for one in content_stems(text)} for texts in (wording, planned))
    return bool(said & meant) and any(_SHORTER.search(one) for one in instructions)


def stands_for(wording: Sequence[str], planned: str) -> bool:
    """Whether the model's sentences say what a planned one says: its values, and most of its words."""
    text = " ".join(wording)
    there = values(text)
    if not all(any(value.supported_by(one) for one in there) for value in values(planned)):
        return False
    stems, said = set(content_stems(planned)), set(content_stems(text))
    return sum(matched(one, said) for one in stems) >= TOLD * len(stems)
