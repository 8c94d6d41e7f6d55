"""Which language a text is in, and whether it asks for another one."""

from __future__ import annotations

import re

ENGLISH, CHINESE = "en", "zh"
KNOWN = (ENGLISH, CHINESE)
"""Languages that the agent's own parts speak and understand, the default first."""
NAMES = {ENGLISH: "English", CHINESE: "Chinese"}

_IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_ASKS_ENGLISH = re.compile(
    r"\b(?:(?:in|speak|talk|use|switch to|change to)\s+english|english,? please|do you speak english)\b"
    r"|(?:说|讲|用|换|切换到|转|改)(?:成|到|一下)?(?:英文|英语)|英(?:文|语)(?:服务|可以吗|好吗|行吗)",
    re.IGNORECASE,
)
_ASKS_CHINESE = re.compile(
    r"\b(?:(?:in|speak|talk|use|switch to|change to)\s+(?:chinese|mandarin)|(?:chinese|mandarin),? please"
    r"|do you speak (?:chinese|mandarin))\b"
    r"|(?:说|讲|用|换|切换到|转|改)(?:成|到|一下)?(?:中文|汉语|普通话|国语|华语)|(?:中文|普通话)(?:服务|可以吗|好吗|行吗)",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"(?:\b(?:don't|do not|can't|cannot|not|no|isn't|without)\b[^.?!,]{0,24}"
    r"|(?:不会|不要|不想|别|没法|不能|听不懂)[^。？！，]{0,6})$",
    re.IGNORECASE,
)


def base(language: str) -> str:
    """The code without region or script: `zh` of `zh-CN` and `zh_Hans`."""
    return language.lower().replace("_", "-").partition("-")[0]


def ideographs(text: str) -> int:
    """How many Chinese characters `text` has."""
    return len(_IDEOGRAPH.findall(text))


def written_in(text: str, default: str = ENGLISH) -> str:
    """The language of a written text by its script: Chinese where it has a Chinese character, else `default`.

    Latin words inside a Chinese sentence leave it Chinese; figures alone say nothing and get `default`.
    """
    return CHINESE if _IDEOGRAPH.search(text) else default


def asked_for(text: str) -> str | None:
    """The language that `text` asks to go on in ("speak Chinese, please", "请说英语"); None where it asks for none.

    "I don't speak English" asks for nothing by itself: what the caller speaks shows soon enough.
    """
    last: tuple[int, str] | None = None
    for language, pattern in ((ENGLISH, _ASKS_ENGLISH), (CHINESE, _ASKS_CHINESE)):
        for found in pattern.finditer(text):
            refused = _REFUSED.search(text[: found.start()])
            if not refused and (last is None or found.start() > last[0]):
                last = found.start(), language
    return None if last is None else last[1]
