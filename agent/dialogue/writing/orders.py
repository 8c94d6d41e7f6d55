"""Sentences in the knowledge that are orders to a model, not facts for a caller: they are left out before it is asked.

What is left out of a section is neither told to the model nor evidence for what it says. That keeps a poisoned page
from speaking; what a model may do is decided elsewhere, whatever it reads (`agent.dialogue.writing.acting`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.dialogue.writing.contracts import Passage
from agent.dialogue.writing.evidence import Evidence
from agent.dialogue.writing.tools import Result

_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}"
    r"\b(?:instructions?|rules?|above|previous|prior|prompts?|guidelines)\b"
    r"|\bsystem (?:prompt|message)\b|\b(?:new|updated|secret|hidden) instructions?\b"
    r"|\byou are now\b|\bfrom now on,? you\b"
    r"|\b(?:reveal|print|repeat|show|output|leak)\b.{0,30}\b(?:prompts?|instructions?)\b"
    r"|\b(?:jailbreak|developer mode)\b"
    r"|\b(?:as|act as|pretend to be) an? (?:ai|assistant|language model|administrator|developer)\b"
    r"|\b(?:call|use|invoke|run) (?:the )?(?:tool|function|action)\b|\b(?:call|invoke|run) \w+_\w+"
    r"|\b(?:tell|say to|inform) the (?:caller|user|customer) (?:that )?(?:they|he|she|it)\b"
    r"|忽略.{0,12}(?:指令|提示|规则|以上|之前)|系统提示|你现在是|从现在起你",
    re.IGNORECASE,
)


def without_orders(sections: Sequence[Passage]) -> tuple[list[Passage], int]:
    """`sections` without sentences that give orders, and how many sentences those were; empty ones go."""
    kept: list[Passage] = []
    left_out = 0
    for section in sections:
        if not _ORDERS.search(f"{section.heading} {section.text}"):
            kept.append(section)
            continue
        sentences = Evidence.sentences(section.text)
        sober = [sentence for sentence in sentences if not _ORDERS.search(sentence)]
        left_out += len(sentences) - len(sober)
        heading = "" if _ORDERS.search(section.heading) else section.heading
        if sober:
            kept.append(Result(section.source, heading, " ".join(sober)))
    return kept, left_out
