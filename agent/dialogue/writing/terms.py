"""Words that carry meaning, whether a clause denies something, and which names it has; English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from agent.dialogue.text import STOP_WORDS
from agent.dialogue.text import stem as crude_stem
from agent.dialogue.writing.values import REMEMBERED, figures, values


def stem(word: str) -> str:
    """A crude stem in which "take" and "takes" meet."""
    return crude_stem(word).rstrip("e") or word


_SAME = (
    "ship deliver delivery send sent dispatch shipment", "buy purchase order bought", "repair fix mend",
    "call phone telephone ring", "shop store", "cost price charge fee pay payment paid", "require need must necessary",
    "package packaging box parcel", "begin start began begun", "refund reimburse", "stop end", "ask request",
    "large big larger bigger largest biggest", "small smaller smallest little", "cheap cheaper cheapest",
    "long longer longest", "short shorter shortest", "high higher highest", "low lower lowest",
    "quick fast rapid quicker faster", "check verify", "choose pick select chosen", "email mail", "help assist",
    "change alter modify", "website online web internet site", "location branch place",
    "person people someone", "leave left depart", "client customer", "doctor physician", "flight plane",
    "book reserve", "replace swap exchange", "original initial", "work function", "keep hold kept held", "close shut",
    "damage break broken", "show display shown", "lose lost", "steal stolen", "sell sold", "write written", "wear worn",
    "speak spoken", "teach taught",
)  # fmt: skip
"""Words that say the same in a call; one of them in a section supports another in an answer."""
_CANON = {stem(word): stem(group.split()[0]) for group in _SAME for word in group.split()}

COST = stem("cost")
"""The stem of every word for what something costs; said wherever an amount is."""
_NEUTRAL = frozenset(
    stem(word)
    for word in (
        "sure certainly absolutely course happy glad pleased help please thank thanks sorry okay ok yes no great "
        "question understand let know simply also however note well here really very quite able may might should must "
        "make take give go come able means mean case way thing one ones everything anything within during after before "
        "once only until as if or not cannot never none nothing without still then own arrive arrival reach come get "
        "receive made given taken found told beforehand afterwards ahead right away together along just there soon "
        "want like remember"
    ).split()
)
"""Words that neither need nor give support; those that matter are looked at as values or denials."""

_STOPS = STOP_WORDS | frozenset(
    "he she him her his hers we us they be been being am do does did have has having will would shall should can could "
    "may might must not no nor but while though although because since when whenever each either neither more "
    "most other such into over under again up down out off above below between through about against per via "
    "too than much many lot lots bit usually normally typically generally roughly approximately currently simply"
    "".split()
)

_CONTRACTED = (
    (re.compile(r"\bwon't\b", re.I), "will not"),
    (re.compile(r"\bcan't\b|\bcannot\b", re.I), "can not"),
    (re.compile(r"n't\b", re.I), " not"),
    (re.compile(r"'(?:ll|re|ve|m|d|s)\b", re.I), ""),
)
_NOT_DENYING = re.compile(
    r"\bnot only\b|\bno (?:problem|worries|matter|later than|more than|less than|fewer than|doubt|sooner)\b"
    r"|\bno (?:extra |additional )?(?:charge|cost|fee)s?\b|\bcosts? (?:you )?nothing\b|不收费|不另收"
    r"|\b(?:do not|don't) (?:worry|hesitate)\b|不(?:过|仅|但|客气|用担心|好意思)|没问题|没关系",
    re.IGNORECASE,
)
_DENIES = re.compile(
    r"\b(?:not|no|never|none|nothing|nobody|neither|nor|unable|impossible|refuse[sd]?|exclud\w+|except)\b"
    r"|不|没|無|无(?!论)|非(?!常)|未|勿|别(?!的|人)",
    re.IGNORECASE,
)
_WITHOUT = re.compile(r"\bwithout\s+((?:\w+\s?){1,3})", re.IGNORECASE)
_OPPOSITES = {
    stem(left): stem(right)
    for pair in (
        "before after", "more less", "least most", "open closed", "include exclude", "accept refuse", "free paid",
        "earlier later", "first last", "minimum maximum", "inside outside", "increase decrease", "required optional",
        "allowed forbidden", "always never", "above below", "early late", "online person", "arrive depart",
        "enter leave", "start end", "cheaper dearer", "longer shorter", "mandatory voluntary", "same different",
        "full empty", "unless if", "new old", "adult child", "parent child", "buyer seller", "sender receiver",
        "left right",
    )
    for left, right in (pair.split(), pair.split()[::-1])
}  # fmt: skip

_WORD = re.compile(r"[A-Za-zÀ-ÿ]+")
_CHINESE = re.compile(r"[\u4e00-\u9fff]+")
_PARTICLES = re.compile(
    r"[的了是在我您你他她它们吗呢吧啊呀请和与及或就会可以能要也都还很这那个些把被给到从对于为将并且而则等有一下后内前]"
)
_ROLE = re.compile(
    r"\b(we|you)\s"
    r"(?:(?:will|can|may|must|should|shall|would|could|do|did|also|only|never|always|not|have to|need to)\s){0,3}(\w+)",
    re.IGNORECASE,
)
_BY = re.compile(r"由(我们|您|你)")
_NAME = re.compile(r"\b[A-Z][\w&'-]*")
_NOT_NAMES = STOP_WORDS | frozenset(
    "ok okay mr mrs ms dr am pm yes no january february march april may june july august september october november "
    "december monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays "
    "saturdays sundays".split()
)


def expand(text: str) -> str:
    """`text` with contractions written out: "can't" is "can not"."""
    text = text.replace("’", "'")
    for pattern, full in _CONTRACTED:
        text = pattern.sub(full, text)
    return text


@lru_cache(REMEMBERED)
def all_stems(text: str) -> tuple[str, ...]:
    """Stems of all words, and pairs of Chinese characters; words of one group of `_SAME` have one stem."""
    plain = figures(expand(text))
    found = [_CANON.get(one, one) for one in (stem(word.lower()) for word in _WORD.findall(plain))]
    for run in _CHINESE.findall(_PARTICLES.sub(" ", plain)):
        found += [run[n : n + 2] for n in range(len(run) - 1)] or [run]
    return tuple(found)


@lru_cache(REMEMBERED)
def content_stems(text: str) -> tuple[str, ...]:
    """Stems of words that need support: no values, no stop words, nothing that only connects."""
    plain = figures(expand(text))
    for value in reversed(values(plain)):
        plain = f"{plain[: value.start]} {plain[value.end :]}"
    kept = " ".join(word for word in _WORD.findall(plain) if word.lower() not in _STOPS)
    chinese = " ".join(_CHINESE.findall(_DENIES.sub(" ", plain)))
    return tuple(one for one in all_stems(f"{kept} {chinese}") if one not in _NEUTRAL)


def matched(stem_: str, known: Iterable[str]) -> bool:
    """Whether `known` has the stem, or one that differs in its ending only ("deliver", "delivery")."""
    return stem_ in known or (len(stem_) >= 5 and any(len(one) >= 5 and _akin(stem_, one) for one in known))


def _akin(left: str, right: str) -> bool:
    short, long = sorted((left, right), key=len)
    common = next((n for n, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    return common >= 5 and len(short) - common <= 1 and len(long) - common <= 4


def denies(text: str) -> bool:
    """Whether `text` says that something is not so; two denials count as one."""
    return _DENIES.search(_NOT_DENYING.sub(" ", expand(text))) is not None


def lacking(text: str) -> frozenset[str]:
    """Stems of what `text` says is not there, after "without"."""
    found = [all_stems(match[1]) for match in _WITHOUT.finditer(text)]
    return frozenset(one for stems in found for one in stems)


def opposite(stem_: str) -> str | None:
    """The stem that says the reverse, if there is one."""
    return _OPPOSITES.get(stem_)


def roles(text: str) -> frozenset[tuple[str, str]]:
    """Who does what, where a pronoun says it: ("we", stem of the verb)."""
    found = {(match[1].lower(), stem(match[2].lower())) for match in _ROLE.finditer(expand(text))}
    return frozenset(found | {(match[1].replace("你", "您"), "由") for match in _BY.finditer(text)})


def names(sentence: str) -> list[str]:
    """Lower-case words of `sentence` that capitals make names; its first word only where another one follows."""
    found = []
    previous_end = -1
    matches = [match for match in _NAME.finditer(sentence) if match.group().split("'")[0].lower() not in _NOT_NAMES]
    for n, match in enumerate(matches):
        begins = not re.search(r"[\w,;]\s*$", sentence[: match.start()])
        following = n + 1 < len(matches) and sentence[match.end() : matches[n + 1].start()] == " "
        joined = previous_end >= 0 and sentence[previous_end : match.start()] == " "
        previous_end = match.end()
        if begins and not following and not joined and not match.group().isupper():
            continue
        found.append(re.sub(r"'s$", "", match.group()).lower())
    return found
