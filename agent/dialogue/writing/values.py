"""What in a sentence can be right or wrong to the digit: numbers, amounts, dates, times, codes, addresses.

English and Chinese, in figures or words: "thirty days", "30 days" and "三十天" are the same value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from models.slots.numbers import DIGITS, TEENS, TENS, cardinal, ordinal
from models.slots.tokens import tokenize

Kind = Literal["number", "money", "percent", "date", "weekday", "time", "code", "address", "word"]


@dataclass(frozen=True, slots=True)
class Value:
    """A value at text[start:end] of the text it was found in; `text` is normalised, `unit` singular and may be empty.

    dates: `MM-DD` or `YYYY-MM-DD`; times `HH:MM`, with `?` where it is not known which half of the day; money: the
    amount, with the currency as unit. rate: the unit that it is for each of, as the year of "$96 a year".
    bound: `most`, `least`, `more` or `less`, as in "up to 30 days"; for times and dates `until` or `after`.
    """

    kind: Kind
    text: str
    unit: str = ""
    start: int = 0
    end: int = 0
    rate: str = ""
    bound: str = ""

    def supported_by(self, other: Value) -> bool:
        """Whether `other`, which is known, says this too; a number without a unit may be any number."""
        if self.rate and other.rate and self.rate != other.rate:
            return False
        if self.bound != other.bound and (self.kind not in _WHENS or (self.bound and other.bound)):
            return False
        if self.kind == "number" and not self.unit and other.kind == "time":
            return self.text.isdecimal() and f"{int(self.text):02d}:00" in _halves(other.text)
        if self.kind == "number" and not self.unit:
            return other.kind in ("number", "money", "percent") and self.text == other.text
        if self.kind != other.kind:
            return False
        if self.kind == "date":
            return self.text == other.text or self.text == other.text[-5:]
        if self.kind == "time" and self.text.endswith("?"):
            return other.text.rstrip("?") in _halves(self.text)
        if self.kind == "time" and other.text.endswith("?"):
            return self.text in _halves(other.text)
        return self.text == other.text and self.unit == other.unit

    @property
    def rival(self) -> str:
        """Values with the same key answer the same kind of question: `30 days` and `2 weeks`, not `30 dollars`."""
        if self.kind == "money" or (self.kind == "word" and self.text in _AMOUNTS):
            return "amount"
        if self.kind == "number":
            return "duration" if self.unit in _DURATIONS else f"number of {self.unit}"
        if self.kind == "word":
            return "frequency" if self.text in ("once", "twice") else f"word {self.text}"
        return self.kind


_WHENS = frozenset({"time", "date", "weekday"})
_AMOUNTS = frozenset({"free", "half", "quarter", "third", "double", "triple"})
_DURATIONS = frozenset({"second", "minute", "hour", "day", "business day", "night", "week", "month", "year"})
REMEMBERED = 2048
"""Texts whose reading is kept: the same sections are looked at for every answer. A few hundred bytes each."""

_CURRENCIES = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "CNY"} | {
    name: code
    for code, names in {
        "USD": "dollar dollars buck bucks usd 美元 美金",
        "EUR": "euro euros eur 欧元",
        "GBP": "pound pounds quid gbp 英镑",
        "CNY": "yuan rmb cny 元 块 块钱 人民币",
    }.items()
    for name in names.split()
}
_UNITS = {
    name: unit
    for unit, names in {
        "day": "day days 天 日",
        "business day": "businessday businessdays workingday workingdays weekday 个工作日 工作日",
        "hour": "hour hours hr hrs 小时 个小时 个钟头",
        "minute": "minute minutes min mins 分钟",
        "second": "second seconds 秒",
        "week": "week weeks 周 个星期 星期 个礼拜",
        "month": "month months 个月",
        "year": "year years 年",
        "night": "night nights 晚",
        "mile": "mile miles 英里",
        "km": "km kilometer kilometers kilometre kilometres 公里",
        "kg": "kg kilo kilos kilogram kilograms 公斤 千克",
        "lb": "lb lbs",
        "point": "point points 积分",
        "time": "times 次",
        "item": "item items 件",
        "person": "person people persons 位 人",
    }.items()
    for name in names.split()
}
_MONTHS = (
    "january february march april may june july august september october november december".split()
)  # fmt: skip
_MONTH = "|".join([*_MONTHS, *(name[:3] for name in _MONTHS if name != "may"), "sept"])
_WEEKDAYS = {name: name for name in "monday tuesday wednesday thursday friday saturday sunday".split()} | {
    f"{prefix}{character}": name
    for prefix in ("星期", "周", "礼拜")
    for character, name in zip(
        "一二三四五六日", "monday tuesday wednesday thursday friday saturday sunday".split(), strict=True
    )
} | {"星期天": "sunday", "周天": "sunday"}  # fmt: skip
_WORDS = {
    "half": r"\bhalf\b|一半|半价",
    "quarter": r"\b(?:a|one) quarter\b(?! of an hour| past| to)|四分之一",
    "third": r"\b(?:a|one) third\b|三分之一",
    "double": r"\bdouble\b|两倍|双倍",
    "once": r"\bonce (?:a|an|per|every|each)\b|\bonly once\b|\bonce only\b",
    "twice": r"\btwice\b",
    "triple": r"\btripl\w+\b|三倍",
    "dozen": r"\bdozens?\b",
    "free": r"(?<!feel )\bfree\b(?! to (?!use\b))|\bcomplimentary\b|\bno (?:extra |additional )?(?:charge|cost|fee)s?\b"
    r"|\bcosts? (?:you )?nothing\b|\bwaive[ds]?\b|免费|不收费|不另收",
    "everyone": r"\b(?:everyone|everybody|all (?:people|customers|callers|guests|patients|students))\b|人人|所有人",
    "all": r"\b(?:all|every|everything|everywhere)\b|所有|全部|一律|每个",
    "always": r"\b(?:always|every time|at any time|anytime)\b|总是|随时",
    "tomorrow": r"\btomorrow\b|明天",
    "today": r"\b(?:today|tonight|same[- ]day)\b|今天|今晚|当天",
    "yesterday": r"\byesterday\b|昨天",
}
"""Words that change an answer as a number would; `all` may rest on "any" and "each" as well."""
_SUPPORT = {
    "everyone": r"\b(?:anyone|anybody|no matter who)\b|任何人",
    "all": r"\b(?:any|anything|anyone|each|whole|entire)\b|任何|每",
}

_ZH_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_ZH_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
_ZH_NUMBER = re.compile(
    r"(?<!星期)(?<!礼拜)(?<!周)(?:百分之)?[零〇一二两三四五六七八九十百千万]+(?=" + "|".join(
        sorted((name for name in (*_UNITS, *_CURRENCIES) if not name.isascii()), key=len, reverse=True)
    ) + r"|点|号|月|折|到|至|$|[，。、])|百分之[零〇一二两三四五六七八九十百千万]+"
)  # fmt: skip

_PART_HOUR = re.compile(r"\b(half|a quarter of) an hour\b", re.IGNORECASE)
_ONE = re.compile(
    r"\b(within|in|for|after|takes?|lasts?|about|around|of|up to|than|least|most|by) an? "
    r"(?=(?:minute|hour|day|week|month|year|night)\b)",
    re.IGNORECASE,
)
"""Where "an hour" is a duration; in "two dollars an hour" it is a rate."""
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(
    r"\bhttps?://\S+|\bwww\.\S+|\b(?:[a-z0-9-]+\.)+(?:com|net|org|io|co|info|biz|gov|edu|shop|example|test|uk|de|eu|cn|us)"
    r"\b(?:/\S*)?",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\b(?P<hour>[01]?\d|2[0-4])(?::(?P<minute>[0-5]\d))?\s?(?P<half>[ap])\.?\s?m\b\.?"
    r"|\b(?P<hour2>[01]?\d|2[0-4]):(?P<minute2>[0-5]\d)\b|\b(?P<hour3>\d{1,2}) o'?clock\b|\b(?P<word>noon|midnight)\b"
    r"|\b(?P<part5>half|quarter) (?P<way>past|to) (?P<hour5>\d{1,2})\b"
    r"|\b(?P<hour6>\d{1,2})(?::(?P<minute6>[0-5]\d))? "
    r"(?:in the (?P<of>morning|afternoon|evening)|at (?P<night>night))\b"
    r"|(?P<part>上午|早上|下午|晚上|中午)?(?P<hour4>\d{1,2})点(?:(?P<minute4>\d{1,2})分?|(?P<zhhalf>半))?",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\b(?P<iso>\d{4}-\d\d-\d\d)\b"
    rf"|\b(?P<month>{_MONTH})\.?\s(?:the\s)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,?\s(?P<year>(?:19|20)\d\d))?"
    rf"|\b(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?(?P<month2>{_MONTH})\b(?:,?\s(?P<year2>(?:19|20)\d\d))?"
    r"|(?:(?P<year3>(?:19|20)\d\d)年)?(?P<month3>\d{1,2})月(?P<day3>\d{1,2})[日号]",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"\b(?!\d+-?(?:year|month|week|day|hour|minute|night|mile|point|star|item|person|percent)s?\b)"
    r"(?!\d+(?:st|nd|rd|th|am|pm|kg|km|lb|lbs|min|hrs?)\b)(?=[A-Za-z-]*\d)(?=[\d-]*[A-Za-z])"
    r"[A-Za-z\d]+(?:-[A-Za-z\d]+)*\b"
)
_UNIT_NAMES = "|".join(sorted((*_UNITS, "business days?", "working days?"), key=len, reverse=True))
_MONEY_NAMES = "|".join(sorted((name for name in _CURRENCIES if name not in "$€£¥"), key=len, reverse=True))
_NUMBER = re.compile(
    rf"(?P<sign>[$€£¥])?\s?(?P<number>\d[\d,]*(?:\.\d+)?)(?P<ordinal>st|nd|rd|th)?"
    rf"(?:\s?(?P<percent>%|percent\b|per cent\b)"
    rf"|[\s-]?(?P<money>{_MONEY_NAMES})(?![a-z])(?:(?:\sand)?\s(?P<cents>\d{{1,2}})(?:\scents?\b)?)?"
    rf"|[\s-]?(?P<unit>{_UNIT_NAMES})(?![a-z]))?",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"(?:\s[a-z]{2,})?\s(?:a|an|per|each|every)\s(day|night|week|month|year|hour|minute|person|mile|item|kilo|km|kg)\b",
    re.IGNORECASE,
)
_BOUNDS = {
    "most": r"\b(?:up to|at most|no more than|not more than|a maximum of|maximum)|不超过|最多",
    "least": r"\b(?:at least|no less than|not less than|a minimum of|minimum|free from)|至少",
    "more": r"\b(?:more than|over|above|exceeding)|超过",
    "less": r"\b(?:less than|fewer than|under|below)|少于|低于",
}
_AFTER = {
    "most": r"\s?(?:[a-z]+\s)?(?:at most|or less|or fewer)\b",
    "least": r"\s?(?:[a-z]+\s)?(?:at least|or more|and up)\b",
}
_WHEN = re.compile(r"\b(until|till|by|before|after)\s(?:the\s)?$", re.IGNORECASE)
_RANGE = re.compile(r"\s*(?:to|and|or|-|–|—|到|至)\s*", re.IGNORECASE)
_MEANT = frozenset((*_UNITS, *_CURRENCIES, "business", "working", "percent"))


@lru_cache(REMEMBERED)
def values(text: str) -> tuple[Value, ...]:
    """The values in `text`, in order; spans are those of `text` with number words written as figures."""
    return tuple(_values(figures(text)))


def support_words(text: str) -> list[Value]:
    """Weaker words that support a strong one, as "any" supports "all"."""
    return [Value("word", word) for word, pattern in _SUPPORT.items() if re.search(pattern, text, re.IGNORECASE)]


@lru_cache(REMEMBERED)
def figures(text: str) -> str:
    """`text` with numbers written in words as figures; a lone "one" stays unless it counts something."""
    text = _ZH_NUMBER.sub(_figure_zh, text).replace("’", "'")
    text = _PART_HOUR.sub(lambda match: "30 minutes" if match[1].lower() == "half" else "15 minutes", text)
    text = _ONE.sub(lambda match: f"{match[1]} 1 ", text)
    tokens = tokenize(text)
    out: list[str] = []
    kept = at = 0
    while at < len(tokens):
        word = tokens[at].text
        counts = word in DIGITS or word in TEENS or word in TENS or (word == "a" and tokens[at + 1 : at + 2])
        found = cardinal(tokens, at) if counts else None
        if found is not None and word in ("one", "oh", "o") and found[1] == at + 1:
            following = [token.text for token in tokens[at + 1 : at + 3]]
            counted = following[:1] and (following[0] in _MEANT or _ranges(following))
            found = found if word == "one" and counted else None
        if found is None:
            at += 1
            continue
        number, after = found
        out += [text[kept : tokens[at].start], str(number)]
        kept, at = tokens[after - 1].end, after
    return _ordinals("".join([*out, text[kept:]]))


def _ordinals(text: str) -> str:
    tokens = tokenize(text)
    out: list[str] = []
    kept = at = 0
    while at < len(tokens):
        found = ordinal(tokens, at) if tokens[at].text not in ("first", "second") else None
        if found is None or tokens[at].text[0].isdecimal():
            at += 1
            continue
        number, after = found
        ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
        out += [text[kept : tokens[at].start], f"{number}{ending}"]
        kept, at = tokens[after - 1].end, after
    return "".join([*out, text[kept:]])


def _ranges(following: list[str]) -> bool:
    """Whether "to three" or "or 2" follows."""
    if len(following) < 2 or following[0] not in ("to", "or"):
        return False
    return following[1].isdecimal() or following[1] in DIGITS or following[1] in TEENS or following[1] in TENS


def _values(text: str) -> list[Value]:
    found: list[Value] = []
    left = text

    def take(match: re.Match[str], kind: Kind, norm: str, unit: str = "", rate: str = "") -> None:
        nonlocal left
        found.append(Value(kind, norm, unit, *match.span(), rate))
        left = left[: match.start()] + " " * (match.end() - match.start()) + left[match.end() :]

    for pattern in (_EMAIL, _URL):
        for match in pattern.finditer(left):
            take(match, "address", match.group().lower().rstrip("./,"))
    for match in _DATE.finditer(left):
        take(match, "date", _date(match))
    for match in _TIME.finditer(left):
        take(match, "time", _time(match))
    for match in _CODE.finditer(left):
        take(match, "code", match.group().replace("-", "").lower())
    for match in _NUMBER.finditer(left):
        kind, number, unit = _number(match)
        per = _RATE.match(text, match.end()) if not match["ordinal"] else None
        take(match, kind, number, unit, _UNITS[per[1].lower()] if per else "")
    for name, day in _WEEKDAYS.items():
        for match in re.finditer(rf"\b{name}s?\b" if name.isascii() else name, left, re.IGNORECASE):
            take(match, "weekday", day)
    for word, form in _WORDS.items():
        for match in re.finditer(form, left, re.IGNORECASE):
            take(match, "word", word)
    return [_bounded(value, text) for value in _ranged(sorted(found, key=lambda value: value.start), text)]


def _bounded(value: Value, text: str) -> Value:
    """`value` with what the words beside it make of it."""
    before, after = text[: value.start], text[value.end :]
    if value.kind in _WHENS:
        match = _WHEN.search(before)
        bound = "" if match is None else "until" if match[1].lower() in ("until", "till", "by", "before") else "after"
        return replace(value, bound=bound)
    if value.kind not in ("number", "money", "percent") or value.unit == "ordinal":
        return value
    for bound, form in _BOUNDS.items():
        if re.search(rf"(?:{form})\s*$", before, re.IGNORECASE) or re.match(
            _AFTER.get(bound, "(?!)"), after, re.IGNORECASE
        ):
            return replace(value, bound=bound)
    return value


def _ranged(found: list[Value], text: str) -> list[Value]:
    """`3 to 5 days`, `7 to 11 am`: the first number is what the second is."""
    for n in range(len(found) - 1, 0, -1):
        left, right = found[n - 1], found[n]
        joined = _RANGE.fullmatch(text, left.end, right.start)
        if not joined or left.kind != "number" or left.unit:
            continue
        if right.unit or right.kind == "percent":
            found[n - 1] = Value(right.kind, left.text, right.unit, left.start, left.end)
        elif right.kind == "time" and left.text.isdecimal() and int(left.text) <= 12:
            found[n - 1] = Value("time", f"{int(left.text):02d}:00?", "", left.start, left.end)
    return found


def _number(match: re.Match[str]) -> tuple[Kind, str, str]:
    number = match["number"].replace(",", "")
    if match["cents"]:
        number = f"{number}.{int(match['cents']):02d}"
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    number = number.lstrip("0") or "0"
    sign = match["sign"] or (match["money"] or "").lower()
    if sign:
        return "money", number, _CURRENCIES[sign]
    if match["percent"]:
        return "percent", number, ""
    unit = re.sub(r"[\s-]", "", (match["unit"] or "").lower())
    return "number", number, "ordinal" if match["ordinal"] else _UNITS.get(unit, "")


def _date(match: re.Match[str]) -> str:
    if match["iso"]:
        return match["iso"]
    day = int(match["day"] or match["day2"] or match["day3"])
    name = (match["month"] or match["month2"] or "").lower()
    month = int(match["month3"]) if match["month3"] else 1 + next(
        n for n, full in enumerate(_MONTHS) if full.startswith(name[:3])
    )  # fmt: skip
    year = match["year"] or match["year2"] or match["year3"]
    return f"{year + '-' if year else ''}{month:02d}-{day:02d}"


def _time(match: re.Match[str]) -> str:
    if match["word"]:
        return "12:00" if match["word"].lower() == "noon" else "00:00"
    hour = int(next(match[name] for name in ("hour", "hour2", "hour3", "hour4", "hour5", "hour6") if match[name]))
    minute = next((int(match[name]) for name in ("minute", "minute2", "minute4", "minute6") if match[name]), 0)
    if match["zhhalf"]:
        minute = 30
    if match["part5"]:
        past = 30 if match["part5"].lower() == "half" else 15
        hour, minute = (hour, past) if match["way"].lower() == "past" else ((hour + 11) % 12 + 1 - 1, 60 - past)
    half = (match["half"] or "").lower()
    late = half == "p" or match["part"] in ("下午", "晚上") or (match["of"] or "").lower() in ("afternoon", "evening")
    late = late or match["night"] is not None
    known = bool(half or match["part"] or match["of"] or match["night"] or hour > 12)
    known = known or (match["hour2"] or "").startswith("0")
    if late and hour < 12:
        hour += 12
    elif half == "a" and hour == 12:
        hour = 0
    return f"{hour % 24:02d}:{minute:02d}{'' if known else '?'}"


def _halves(time: str) -> tuple[str, str]:
    hour, minute = time.rstrip("?").split(":")
    return time.rstrip("?"), f"{(int(hour) + 12) % 24:02d}:{minute}"


def _figure_zh(match: re.Match[str]) -> str:
    text = match.group()
    percent = text.startswith("百分之")
    total = section = digit = 0
    for character in text.removeprefix("百分之"):
        if character in _ZH_DIGITS:
            digit = digit * 10 + _ZH_DIGITS[character] if digit else _ZH_DIGITS[character]
            continue
        scale = _ZH_SCALES[character]
        if scale == 10_000:
            total, section, digit = (total + section + digit) * scale, 0, 0
        else:
            section, digit = section + (digit or 1) * scale, 0
    return f"{total + section + digit}{'%' if percent else ''}"
