"""Whether words spoken over the agent claim the floor, or only keep it company."""

from __future__ import annotations

import re

from models.languages import CHINESE, ideographs, written_in
from models.slots.chinese.yes_no import only

BACK_CHANNELS = frozenset(
    "uh-huh uhhuh uh huh mm-hmm mmhmm mm hmm mhm hm hmm mm ah oh okay ok yeah yep yes right sure alright "
    "i see got it all good great fine cool thanks thank you".split()
)
"""Words that tell a speaker to go on. Phrases count when each of their words is here."""

ANSWERS = frozenset("yes yeah yep yup right sure okay ok correct no nope".split())
"""Back-channels that are answers once yes or no was asked."""

ECHO_SHARE = 0.7
"""Share of the words that must be the agent's own, in order, for them to be its echo."""
ECHO_WORDS = 3
"""Fewer words than this are never called an echo: callers repeat single words."""


BACK_CHANNELS_CHINESE = re.compile(
    r"(?:嗯+|恩+|哦+|噢+|喔|啊|呃|哈|欸|诶|好|的|对|是|行|吧|呀|啦|了|知道|明白|了解|懂|这样|谢谢|你|您|原来|如此|没错|可以|ok|okay|[\W_]+)+",
    re.IGNORECASE,
)
"""Chinese that tells a speaker to go on; the whole of it must be such."""


def words_of(text: str) -> list[str]:
    """Lower-case words of a text, without punctuation; each Chinese character is one."""
    return re.findall(r"[\u3400-\u9fff]|[a-z0-9']+(?:-[a-z0-9']+)*", text.lower().replace("&", " and "))


def count_of(text: str) -> int:
    """How many words a text has; a Chinese one has none between spaces, and every character counts."""
    return ideographs(text) or len(text.split())


def without_last(text: str) -> str:
    """`text` without its last word or Chinese character, which may only be begun."""
    plain = text.rstrip(" ,.?!，。？！")
    return plain[:-1] if ideographs(plain[-1:]) else text.rpartition(" ")[0]


def claims_floor(text: str, agent_text: str, asked_yes_no: bool) -> bool:
    """Whether `text`, heard while the agent was saying `agent_text`, is meant to be answered."""
    words = words_of(text)
    if not words:
        return False
    if asked_yes_no and any(word in ANSWERS for word in words):
        return True
    if written_in(text) == CHINESE:
        if asked_yes_no and only(text):
            return True
        if BACK_CHANNELS_CHINESE.fullmatch(text):
            return False
    elif all(word in BACK_CHANNELS for word in words):
        return False
    return not is_echo(words, words_of(agent_text))


def is_echo(words: list[str], agent_words: list[str]) -> bool:
    """Whether `words` are, in order, words the agent just said."""
    if len(words) < ECHO_WORDS:
        return False
    width = len(words)
    needed = ECHO_SHARE * width
    for start in range(len(agent_words) - ECHO_WORDS + 1):
        window = agent_words[start : start + width + 2]
        if _common(words, window) >= needed:
            return True
    return False


def _common(left: list[str], right: list[str]) -> int:
    row = [0] * (len(right) + 1)
    for word in left:
        above = 0
        for column, other in enumerate(right, start=1):
            above, row[column] = row[column], above + 1 if word == other else max(row[column], row[column - 1])
    return row[-1]
