"""Chinese words that stand around values: fillers, corrections, refusals of a value."""

from __future__ import annotations

import re
from collections.abc import Sequence

FILLER = r"(?:嗯+|呃+|额|啊+|哦+|噢|唔|那个|这个|就是说?|然后|再|喂|来着|呢|嘛|吧|好像|大概|好吧|我想想|我看看|等一下)"
"""A word that carries nothing and may stand inside any value."""
_CORRECTION = re.compile(
    r"不对|不是|错了|说错|讲错|更正|纠正|我是说|我的意思是|应该是|改成|换成|哦不|噢不|啊不|等等|等一下|抱歉|对不起|不好意思"
)
_NEGATION = re.compile(r"(?:不是|不叫|并非|不在|没有)(?:那个|这个|订单号?|号码?|的|我的|一个)*\W*$")


def rejected(text: str, spans: Sequence[tuple[int, int]]) -> list[bool]:
    """For values of one slot in order of appearance: which of them the caller took back."""
    flags = []
    for index, (start, end) in enumerate(spans):
        between = text[end : spans[index + 1][0]] if index + 1 < len(spans) else ""
        taken_back = len(between) <= 16 and _CORRECTION.search(between) is not None
        flags.append(taken_back or _NEGATION.search(text[max(0, start - 16) : start]) is not None)
    return flags
