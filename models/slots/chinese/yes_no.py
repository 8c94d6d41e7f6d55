"""Yes or no in Chinese, as a bool."""

from __future__ import annotations

import re

from models.contracts import Slot
from models.slots.spec import SlotContext, SlotSpec

_REFUSED = r"别(?=[转还停开寄办发取改退订约付换弄动再])|不(?=[转还停开寄办发取改退订约付换弄])"
"""What is not to be done: 别转了, 不停用."""
_NO = (
    rf"{_REFUSED}|不是|不对|不用了?|不要了?|不必了?|不行|不可以|不能|不好(?!意思)|不需要|不想|不愿意|不同意|不确定|不正确"
    r"|不成|不了|没有了?|没了|算了|错了|错的|别了?(?=\W|$)|免了|拒绝|否|(?:先|暂时|还是)不(?:需要|[用要想了行])?|还没|no\b|nope\b|不(?=\W|$)"
)
_FIRST = (
    r"(?:^|(?<=[\W嗯]))(?:对(?![\W于方不账面象我你您他她这那此外比照应话手付待了吗么])"
    r"|[好行](?![\W像多几久不了友处吗么吧难贵慢烦奇长看吃用心人李动业为程]))"
)
"""Agreement with what is to be done right behind it: 对取消吧, 好转吧."""
_YES = (
    rf"没错|不错|没问题|没关系|是的|是啊|是呀|是吧|是(?=\W|$)|对的|对啊|对呀|对对+|对(?=\W|$)|{_FIRST}|好的|好啊|好呀|好嘞|好吧|(?<![你您])好(?=\W|$)"
    r"|行啊|行吧|行(?=\W|$)|可以的?|嗯+|恩+|要的|要(?=\W|$)|需要|想要|想(?=\W|$)|当然|确定|确认|正确|同意|愿意|有的|有(?=\W|$)"
    r"|就这样|就这个|没毛病|必须的|麻烦你?了?|yes\b|yeah\b|ok\b|okay\b"
)
_CUES = re.compile(rf"(?P<yes>没错|不错|没问题|没关系|没毛病)|(?P<no>{_NO})|(?P<agree>{_YES})", re.IGNORECASE)
_QUESTION = re.compile(
    r"是不是|对不对|好不好|行不行|可不可以|要不要|有没有|能不能|想不想|需不需要"
    r"|(?:不是|不行|不用|不要|是|对|好|行|可以|要|有|能|需要)(?:的|了)?[吗么]"
)
"""What asks instead of answering."""
_ALSO = re.compile(
    r"谢谢(?:你|您)?|多谢|感谢|不好意思|麻烦(?:你|您)?了?|请(?:您|你)?|的|了|啊|呀|吧|呢|哦|噢|嘛|哈|啦|呗|喔|诶|哎|呃|额|那|就|我|你|您|这|个|样"
    r"|先生|女士|小姐|都|很|也|说|现在|今天|今儿|这次|目前|暂时|先|再|一下|帮我|thanks?|please|[\W_]+",
    re.IGNORECASE,
)
_SOFT = re.compile(r"好|行|可以|嗯|恩|没关系|没问题|麻烦|ok", re.IGNORECASE)
"""Politeness after a no: 不用了，好的."""


def _cues(text: str) -> list[tuple[bool, tuple[int, int]]]:
    asked = _QUESTION.sub(lambda found: "问" * len(found.group()), text)
    return [(match.lastgroup != "no", match.span()) for match in _CUES.finditer(asked)]


def cue(text: str) -> tuple[bool, tuple[int, int]] | None:
    """The last word of agreement or refusal in `text` and its span; 好的不用了 is a no."""
    last: tuple[bool, tuple[int, int]] | None = None
    for answer, span in _cues(text):
        soft = answer and _SOFT.match(text[slice(*span)])
        if soft and last is not None and not last[0]:
            continue
        last = answer, span
    return last


def only(text: str) -> bool:
    """Whether `text` is nothing but agreement or refusal, politeness aside."""
    found = _cues(text)
    if not found:
        return False
    rest, last = "", 0
    for _, (start, end) in found:
        rest += text[last:start]
        last = end
    return not _ALSO.sub("", rest + text[last:])


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """One value: the answer at the beginning of `text` where yes or no was asked, else only a bare answer."""
    found = cue(text)
    if found is None:
        return []
    asked = context.asked_yes_no or spec.name in context.expected
    bare = only(text)
    first = _cues(text)[0]
    leads = not _ALSO.sub("", text[: first[1][0]])
    if not bare and not (asked and leads):
        return []
    value, (start, end) = found if bare else _leading(text)
    return [Slot(spec.name, value, text[start:end], (start, end), 1.0 if bare else 0.8)]


def _leading(text: str) -> tuple[bool, tuple[int, int]]:
    """The answer in the leading run of cues: of 好的，不用了，我想… the no."""
    cues = _cues(text)
    answer = cues[0]
    for one in cues[1:]:
        if _ALSO.sub("", text[answer[1][1] : one[1][0]]):
            break
        soft = one[0] and _SOFT.match(text[slice(*one[1])])
        if not (soft and not answer[0]):
            answer = one
    return answer
