"""What a person at a console may whisper to the agent, in English or Chinese. Pure.

A few plain commands are followed by rules: the words after `say`, `offer` and `ask for` are put into fixed sentences as
they are, before the next answer. Anything else is for the language model, where there is one; see
`agent.dialogue.following`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from models.languages import base

MOST_INSTRUCTIONS = 4
"""Instructions that wait for the next answer; the oldest goes for one more."""
MOST_WORDS = 300
"""Characters of one."""
BACK = {"en": "I am back.", "zh": "我回来了。"}
_SORRY = {"en": "I am sorry about that.", "zh": "非常抱歉。"}

Kind = Literal["say", "offer", "ask", "apologise", "transfer", "model"]
"""`model`: no rule covers it."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One thing to do in the next answer. words: what to say for it. told: the same, for who asked for it."""

    kind: Kind
    words: str
    told: str


_SAY = re.compile(
    r"(?:please\s+)?(?:say|tell (?:him|her|them|the caller)(?: that)?)\s*[:,]?\s+(.+)|说\s*[:：]?\s*(.+)", re.I
)
_OFFER = re.compile(r"(?:please\s+)?offer(?: (?:him|her|them|the caller))?\s*:?\s+(.+)|提供[:：]?(.+)", re.I)
_ASK = re.compile(r"(?:please\s+)?ask(?: (?:him|her|them|the caller))?\s+for\s*:?\s+(.+)|(?:询问|问)[:：]?(.+)", re.I)
_SORRY_FOR = re.compile(r"(?:please\s+)?(?:apologi[sz]e|say sorry|道歉)\W*", re.I)
_TRANSFER = re.compile(
    r"(?:please\s+)?(?:transfer|hand (?:it |the call )?over|connect (?:him|her|them|the caller)|转人工|转接)\W*"
    r"(?:(?:the call|him|her|them|the caller)?\W*(?:to (?:a|an|the) (?:person|human|agent|colleague))?\W*)?",
    re.I,
)
_INCOMPLETE = re.compile(
    r"(?:please\s+)?(?:say|tell(?: \w+)?|offer|ask(?: \w+)?(?: for)?|说|提供|询问|问)\W*|\W*", re.I
)
_GOES_ON = re.compile(r"\b(?:go on|goes on|continue|carry on|finish|proceed)\b|继续|接着", re.I)
_CHINESE = re.compile(r"[\u3400-\u9fff]")


def read_instruction(text: str, model: bool = False) -> Instruction:
    """The instruction that a text is. model: a language model follows what no rule covers.

    Raises:
        ValueError: it is none, or too long.
    """
    text = " ".join(text.split())
    if len(text) > MOST_WORDS:
        raise ValueError(f"the instruction has {len(text)} characters; send {MOST_WORDS} at most")
    if _SORRY_FOR.fullmatch(text):
        return Instruction("apologise", "", "the agent apologises")
    if _TRANSFER.fullmatch(text):
        return Instruction("transfer", "", "the agent hands the call over")
    for kind, pattern in (("say", _SAY), ("offer", _OFFER), ("ask", _ASK)):
        match = pattern.fullmatch(text)
        if match is not None:
            words = next(group for group in match.groups() if group).strip(" \"'“”")
            if words:
                return _instruction(kind, words)
    ways = "write 'say: ...', 'offer ...', 'ask for ...', 'apologise' or 'transfer'"
    if _INCOMPLETE.fullmatch(text):
        raise ValueError(f"instruction {text[:60]!r} is not complete; {ways}")
    if not model:
        raise ValueError(
            f"instruction {text[:60]!r} is not possible here: no rule covers it, and there is no language model to "
            f"follow it; {ways}"
        )
    return Instruction("model", text, f"the language model is asked to follow it in the next answer: {text}")


def _instruction(kind: str, words: str) -> Instruction:
    chinese = _CHINESE.search(words) is not None
    if kind == "say":
        return Instruction("say", _sentence(words, chinese), f"the agent says: {words}")
    bare = words.rstrip(".!?。！？")
    if kind == "offer":
        said = f"我可以为您提供{bare}。" if chinese else f"I can offer you {bare}."
        return Instruction("offer", said, f"the agent offers: {bare}")
    said = f"请问您的{bare}是什么？" if chinese else f"Could you tell me {_theirs(bare)}?"
    return Instruction("ask", said, f"the agent asks for: {bare}")


def _theirs(words: str) -> str:
    """What is asked for, as the caller's: "the order number" and "order number" are "your order number"."""
    return "your " + re.sub(r"^(?:the|a|an|his|her|their|your)\s+", "", words, flags=re.I)


def _sentence(words: str, chinese: bool) -> str:
    return words if words[-1] in ".!?。！？" else words + ("。" if chinese else ".")


def sorry(language: str) -> str:
    """An apology."""
    return _SORRY.get(base(language), _SORRY["en"])


def goes_on(note: str) -> bool:
    """Whether a note with which a call is given back asks to go on with the open task."""
    return _GOES_ON.search(note) is not None
