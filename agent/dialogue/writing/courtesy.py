"""Sentences that are kind and say nothing else: they need no section to rest on. Pure.

A closed list of words, since a sentence of connecting words alone may promise something ("you will have it").
"""

from __future__ import annotations

import re
from collections.abc import Collection

LONGEST = 160
"""Characters of one."""

_KIND = frozenset(
    "sorry apologise apologize apologies understand appreciate thank thanks patience patient frustrating frustrated "
    "frustration upset upsetting annoying annoyed worry worried worrying inconvenience trouble stressful disappointing "
    "disappointed difficult hard glad happy pleased help welcome course certainly absolutely kind".split()
)
_AROUND = frozenset(
    "i i'm we we're me us my our you you're your yours it it's this that these for the a an am is are be been have has "
    "must can may to and so very really truly how with of about here feel feels hear hearing listen listening let know "
    "know see right now do don't not no problem all at any please moment take time wait waiting long much sincerely "
    "completely fully situation must've i've we've what such".split()
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_YES_NO = re.compile(r"(?:yes|yeah|yep|no|nope|not|是的?|不是|没有)(?!\s+(?:problem|worr))(?:\W|$)", re.IGNORECASE)
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_KIND_ZH = re.compile(
    r"非常抱歉|很抱歉|十分抱歉|抱歉|对不起|不好意思|感谢|谢谢|多谢|理解|明白|体谅|耐心|请放心|别担心|不用担心|别着急"
    r"|不客气|给您添麻烦|带来不便|带来的不便"
)
_AROUND_ZH = re.compile(r"[我们您你的了很非常十分也都完全能会给让久等待心情感受着急失望为此对于这件事请和并再次先]")
_LEAD = re.compile(r",?\s+(?:and|but)\s+|[,;，；—–]\s*|[.!。！]\s+", re.IGNORECASE)


def courteous(text: str, names: Collection[str] = ()) -> bool:
    """Whether `text` is kind and says nothing else. names: lower-case words of the caller's name, which may be said."""
    if len(text) > LONGEST or text.rstrip().endswith(("?", "？")) or _YES_NO.match(text):
        return False
    if _CHINESE.search(text):
        kind = _KIND_ZH.search(text) is not None
        return kind and not re.sub(r"[\W_]+", "", _AROUND_ZH.sub("", _KIND_ZH.sub("", text)))
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    kind = any(word in _KIND for word in words)
    return kind and all(word in _KIND or word in _AROUND or word in names for word in words)


def after_courtesy(text: str, names: Collection[str] = ()) -> str:
    """What `text` says after a courteous beginning ("I am sorry, Ann, but your order ..."); all of it without one."""
    for match in reversed(list(_LEAD.finditer(text))):
        if courteous(text[: match.start()], names) and text[match.end() :].strip():
            return text[match.end() :]
    return text
