"""The rules of `speakable`, the more particular ones first.

A rule is a pattern and what to say for a match; None means that the rule does not apply after all. What a group called
`keep` matched stays as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from models.speakable.numbers import cardinal, decimal, digits, grouped, ordinal, year

Match = re.Match[str]
Rule = tuple[re.Pattern[str], Callable[[Match], str | None]]

MONTHS = ("January February March April May June July August September October November December").split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
STATES = dict(
    pair.split("=")
    for pair in (
        "AL=Alabama AK=Alaska AZ=Arizona AR=Arkansas CA=California CO=Colorado CT=Connecticut DE=Delaware FL=Florida "
        "GA=Georgia HI=Hawaii ID=Idaho IL=Illinois IN=Indiana IA=Iowa KS=Kansas KY=Kentucky LA=Louisiana ME=Maine "
        "MD=Maryland MA=Massachusetts MI=Michigan MN=Minnesota MS=Mississippi MO=Missouri MT=Montana NE=Nebraska "
        "NV=Nevada NH=New_Hampshire NJ=New_Jersey NM=New_Mexico NY=New_York NC=North_Carolina ND=North_Dakota OH=Ohio "
        "OK=Oklahoma OR=Oregon PA=Pennsylvania RI=Rhode_Island SC=South_Carolina SD=South_Dakota TN=Tennessee TX=Texas "
        "UT=Utah VT=Vermont VA=Virginia WA=Washington WV=West_Virginia WI=Wisconsin WY=Wyoming DC=D_C"
    ).split()
)
CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
}
UNITS = {
    "kg": ("kilogram", "kilograms"),
    "g": ("gram", "grams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "km": ("kilometer", "kilometers"),
    "m": ("meter", "meters"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "mi": ("mile", "miles"),
    "ft": ("foot", "feet"),
    "yd": ("yard", "yards"),
    "L": ("liter", "liters"),
    "l": ("liter", "liters"),
    "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"),
    "gal": ("gallon", "gallons"),
    "mph": ("mile per hour", "miles per hour"),
    "W": ("watt", "watts"),
    "GB": ("gigabyte", "gigabytes"),
    "MB": ("megabyte", "megabytes"),
    "hr": ("hour", "hours"),
    "hrs": ("hours", "hours"),
    "min": ("minute", "minutes"),
    "mins": ("minutes", "minutes"),
    "sec": ("second", "seconds"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°": ("degree", "degrees"),
    '"': ("inch", "inches"),
}
# Always followed by a name, so the full stop never ends a sentence.
TITLES = {"Dr": "Doctor", "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Prof": "Professor", "Mt": "Mount"}
# May end a sentence: the full stop stays where a capital or nothing follows.
ABBREVIATIONS = {
    "Ave": "Avenue",
    "Rd": "Road",
    "Blvd": "Boulevard",
    "Ln": "Lane",
    "Ct": "Court",
    "Hwy": "Highway",
    "Apt": "apartment",
    "Ste": "suite",
    "Inc": "Incorporated",
    "Ltd": "Limited",
    "Corp": "Corporation",
    "Co": "Company",
    "Jr": "Junior",
    "Sr": "Senior",
    "vs": "versus",
    "etc": "et cetera",
    "approx": "approximately",
    "dept": "department",
    "Dept": "department",
    "ext": "extension",
    "min": "minimum",
    "max": "maximum",
    "qty": "quantity",
    "est": "estimated",
}
OCLOCK = " o'clock"
LETTERS = {"A": "ay"}
"""Letters that would be read as a word."""
FRACTIONS = {"1/2": "one half", "1/4": "one quarter", "3/4": "three quarters", "1/3": "one third", "2/3": "two thirds"}

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_END = r"(?![\w])"
_MONTH = "|".join(f"{name[:3]}(?:{name[3:]})?" if len(name) > 3 else name for name in MONTHS).replace("Sep", "Sept?")
_MONTH = rf"(?P<month>{_MONTH})\.?"
_DAY = "|".join(f"{name[:3]}" for name in DAYS) + "|Tues|Wednes|Thur|Thurs"
_ID = (
    r"order|tracking|confirmation|reference|case|ticket|account|return|customer|invoice|code|extension|ext\.?|"
    r"room|flight|ending in|ends in|last four digits|PIN|SKU"
)

_NUMBERED = r"(?:order|tracking|confirmation|reference|case|ticket|account|return|customer|invoice) ?"


def _letters(text: str) -> str:
    return " ".join(LETTERS.get(letter, letter) for letter in text.upper())


def _mixed(text: str) -> str:
    """Letters spelled, digits one by one, a pause between the two: `RMA-1042`."""
    parts = re.findall(r"[A-Za-z]+|\d+", text)
    return ", ".join(grouped(part) if part.isdigit() else _letters(part) for part in parts)


def _address_part(text: str) -> str:
    """A piece of an e-mail or web address: words stay words, digits go one by one."""
    names = {".": "dot", "_": "underscore", "-": "dash", "+": "plus", "/": "slash", "@": "at"}
    parts = re.findall(r"[A-Za-z]+|\d+|[._+@/-]", text)
    return " ".join(names.get(part) or (digits(part) if part.isdigit() else part) for part in parts)


def _email(found: Match) -> str:
    return _address_part(found.group())


def _web(found: Match) -> str:
    return _address_part(found["rest"].rstrip("/"))


def _phone(found: Match) -> str | None:
    text = found.group()
    groups = re.findall(r"\d+", text)
    plain = "".join(groups)
    if not 7 <= len(plain) <= 15 or (len(plain) == 7 and len(groups) != 2):
        return None
    if len(groups) == 1 or (len(groups) == 2 and text.startswith("+")):
        country = plain[:-10] if len(plain) > 10 else ""
        rest = plain[len(country) :]
        groups = [group for group in (country, rest[:-7], rest[-7:-4], rest[-4:]) if group]
    said = ["eight hundred" if group == "800" else digits(group) for group in groups]
    return ("plus " if text.startswith("+") else "") + ", ".join(said)


def _identifier(found: Match) -> str:
    """`order 42719` gets a "number": "order four" sounds like "order for"."""
    bare = re.fullmatch(_NUMBERED, found["keep"].lower())
    return ("number " if bare or (found["hash"] and "number" not in found["keep"].lower()) else "") + _mixed(
        found["id"]
    )


def _money(found: Match) -> str | None:
    if found.string[found.end() : found.end() + 1].isalnum():
        return None  # "$0A0" is a code, not an amount
    one, many, cent, cents = CURRENCIES[found["currency"]]
    whole, _, fraction = found["amount"].replace(",", "").partition(".")
    scale = found["scale"]
    minus = "minus " if found["minus"] or found["minus2"] else ""
    if scale:
        name = {"k": "thousand", "m": "million", "b": "billion"}.get(scale.lower(), scale.lower())
        return f"{minus}{decimal(found['amount'])} {name} {many}"
    if len(fraction) > 2:
        return f"{minus}{decimal(found['amount'])} {many}"
    major, minor = int(whole), int(fraction.ljust(2, "0") or "0")
    parts = []
    if major or not minor:
        parts.append(f"{cardinal(major)} {one if major == 1 else many}")
    if minor:
        parts.append(f"{cardinal(minor)} {cent if minor == 1 else cents}")
    per = f" per {found['per']}" if found["per"] else ""
    return minus + " and ".join(parts) + per


def _month(name: str) -> str:
    return next(month for month in MONTHS if month.startswith(name[:3]))


def _date(month: str, day: str, in_year: str | None) -> str | None:
    if not 1 <= int(day) <= 31:
        return None
    said = f"{month} {ordinal(int(day))}"
    if in_year:
        said += f", {year(int(in_year) + (2000 if len(in_year) == 2 else 0))}"
    return said


def _iso_date(found: Match) -> str | None:
    month = int(found["m"])
    if not 1 <= month <= 12:
        return None
    said = _date(MONTHS[month - 1], found["d"], found["y"])
    if said is None or found["hour"] is None:
        return said
    clock = _clock(int(found["hour"]), int(found["minute"]), None)
    return clock and f"{said} at {clock}"


def _us_date(found: Match) -> str | None:
    month = int(found["m"])
    if not 1 <= month <= 12 or (not found["y"] and found.group() in FRACTIONS):
        return None
    return _date(MONTHS[month - 1], found["d"], found["y"])


def _month_day(found: Match) -> str | None:
    first = _date(_month(found["month"]), found["d"], None if found["to"] else found["y"])
    if first is None or not found["to"]:
        return first
    if not 1 <= int(found["to"]) <= 31:
        return None
    return f"{first} to {ordinal(int(found['to']))}" + (f", {year(int(found['y']))}" if found["y"] else "")


def _day_month(found: Match) -> str | None:
    if found["of"] and 1 <= int(found["d"]) <= 31:
        tail = f", {year(int(found['y']))}" if found["y"] else ""
        return f"{ordinal(int(found['d']))} of {_month(found['month'])}{tail}"
    return _date(_month(found["month"]), found["d"], found["y"])


def _month_year(found: Match) -> str:
    return f"{_month(found['month'])} {year(int(found['y']))}"


def _clock(hour: int, minute: int, half: str | None) -> str | None:
    """Half past six is "six thirty p.m."; hours from 13 on, and 0, say which half of the day by themselves."""
    if hour > 23 or minute > 59 or (half and not 1 <= hour <= 12):
        return None
    if half is None and (hour == 0 or hour > 12):
        half = "a" if hour == 0 else "p"
    said = cardinal(hour % 12 or 12)
    if minute:
        said += f" oh {cardinal(minute)}" if minute < 10 else f" {cardinal(minute)}"
    elif half is None:
        said += OCLOCK
    return said + (f" {half.lower()}.m." if half else "")


def _time(found: Match) -> str | None:
    said = _clock(int(found["hour"]), int(found["minute"] or 0), found["half"])
    stops = found.string.startswith(".", found.end())
    return said.removesuffix(".") if said and stops else said


def _time_range(found: Match) -> str | None:
    """`9-5 pm`, `9am-5pm`, `9:00-17:00`; `9-5` alone is no time."""
    if not any(found[name] for name in ("minute", "half", "minute2", "half2")):
        return None
    first = _clock(int(found["hour"]), int(found["minute"] or 0), found["half"])
    last = _clock(int(found["hour2"]), int(found["minute2"] or 0), found["half2"])
    if first is None or last is None:
        return None
    if found.string.startswith(".", found.end()):
        last = last.removesuffix(".")
    return f"{first.removesuffix(OCLOCK)} to {last}"


def _percent(found: Match) -> str:
    return f"{'minus ' if found['minus'] else ''}{decimal(found['n'])} percent"


def _measure(found: Match) -> str | None:
    if found["unit"] == '"' and found.string[: found.start()].endswith('"'):
        return None  # a number in quotation marks
    one, many = UNITS[found["unit"]]
    number = found["n"]
    return f"{'minus ' if found['minus'] else ''}{decimal(number)} {one if number == '1' else many}"


def _range(found: Match) -> str | None:
    if any(len(part) > 1 and part.startswith("0") and "." not in part for part in (found["a"], found["b"])):
        return None
    unit = found["unit"]
    tail = f" {UNITS[unit][1]}" if unit in UNITS else " percent" if unit else ""
    return f"{decimal(found['a'])} to {decimal(found['b'])}{tail}"


def _by(found: Match) -> str:
    return f"{decimal(found['a'])} by "


def _ordinal(found: Match) -> str:
    return ordinal(int(found["n"].replace(",", "")))


def _house(found: Match) -> str:
    number = found["n"]
    rest = int(number[-2:])
    head = cardinal(int(number[:-2]))
    if rest == 0:
        return cardinal(int(number))
    return f"{head} {f'oh {cardinal(rest)}' if rest < 10 else cardinal(rest)}"


def _state(found: Match) -> str | None:
    name = STATES.get(found["state"])
    if name is None:
        return None
    zip_code = ", ".join(digits(part) for part in found["zip"].split("-"))
    return f"{name.replace('_', ' ')} {zip_code}"


def _number(found: Match) -> str:
    return _plain_number(found) + (" " if found.string[found.end() : found.end() + 1].isalpha() else "")


def _plain_number(found: Match) -> str:
    text = found["n"]
    minus = "minus " if found["minus"] else ""
    if "." in text:
        return minus + decimal(text)
    plain = text.replace(",", "")
    if "," not in text and (len(plain) >= 5 or (plain.startswith("0") and len(plain) > 1)):
        return minus + grouped(plain)
    if "," not in text and len(plain) == 4 and 1900 <= int(plain) <= 2099:
        return minus + year(int(plain))
    return minus + cardinal(int(plain))


def _street(found: Match) -> str | None:
    """St. is Street after a name or an ordinal (`Oak St.`, `42nd St.`), Saint before a name."""
    if re.search(r"(?:[A-Z]\w*|\d(?:st|nd|rd|th))\s$", found.string[: found.start()]):
        return "Street" + _full_stop(found)
    return "Saint" if re.match(r"\s[A-Z]", found.string[found.end() :]) else None


def _drive(found: Match) -> str:
    return "Drive" + _full_stop(found)


def _title(found: Match) -> str:
    return TITLES[found["word"]]


def _abbreviation(found: Match) -> str:
    return ABBREVIATIONS[found["word"]] + _full_stop(found)


def _full_stop(found: Match) -> str:
    """The full stop of an abbreviation that also ends the sentence."""
    rest = found.string[found.end() :]
    return "." if not rest.strip() or re.match(r"\s+[A-Z]", rest) else ""


def _weekday(found: Match) -> str:
    first = next(day for day in DAYS if day.startswith(found["day"][:3]))
    if not found["to"]:
        return first
    return f"{first} to {next(day for day in DAYS if day.startswith(found['to'][:3]))}"


def _code(found: Match) -> str:
    """Letters and digits in one word (`A4`, `mp3`, `HP2231`): up to two digits are a number, more go one by one."""
    parts = re.findall(r"[^\W\d_]+|\d+", found["id"])
    return " ".join(
        (cardinal(int(part)) if len(part) < 3 and not part.startswith("0") else grouped(part))
        if part.isdecimal()
        else part
        if len(part) > 4 or not (part.isupper() or len(part) < 3)
        else _letters(part)
        for part in parts
    )


def _always(spoken: str) -> Callable[[Match], str]:
    return lambda _: spoken


def _rule(pattern: str, say: Callable[[Match], str | None]) -> Rule:
    return re.compile(pattern), say


_UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_CLOCK = r"(?P<hour{0}>\d{{1,2}})(?::(?P<minute{0}>\d\d))?(?:\s?(?P<half{0}>[aApP])\.?[mM]\b\.?)?"
_CLOCK1, _CLOCK2 = _CLOCK.format(""), _CLOCK.format("2")

RULES: tuple[Rule, ...] = (
    # addresses on the net, telephone numbers
    _rule(r"[\w.+-]*\w@\w[\w-]*(?:\.\w[\w-]*)+", _email),
    _rule(r"(?:https?://(?:www\.)?|www\.)(?P<rest>[\w./_-]*[\w/])", _web),
    _rule(r"(?P<rest>[A-Za-z][\w-]*\.(?:com|org|net|example|co|io|gov|edu)(?:/[\w/-]*\w)?)(?![\w-])", _web),
    _rule(r"\+\d{1,3}(?:[ .()-]{0,2}\d{2,5}){1,5}(?!\w|-\d)", _phone),
    _rule(r"(?:1[ .-])?\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}(?!\w|-\d)", _phone),
    _rule(r"\d{3}-\d{4}(?!\w|-\d)", _phone),
    # order numbers and the like
    _rule(
        rf"(?i:(?P<keep>(?:{_ID})\b(?: (?:number|no\.|id|code))?(?:(?: is| was|:) | ?))(?P<hash>#)?)"
        rf"(?!\d{{4}}-\d\d-\d\d)(?P<id>(?:[A-Za-z]{{1,4}}-?)?\d{{3,}}(?:-\d+)*){_END}(?![.,:/]\d|%)",
        _identifier,
    ),
    _rule(rf"(?P<keep>)(?P<hash>#)(?P<id>[A-Za-z]{{0,4}}-?\d{{3,}}(?:-\d+)*){_END}", _identifier),
    _rule(rf"#\s?(?P<minus>)(?P<n>\d+){_END}", lambda found: f"number {_number(found)}"),
    _rule(
        rf"(?P<id>[A-Z]{{1,4}}-?\d{{2,}}(?:-?[A-Z0-9]+)*|\d+[A-Z]{{2,4}}\d+){_END}", lambda found: _mixed(found["id"])
    ),
    _rule(r"(?P<id>[^\W\d_]+\d\w*|\d+[^\W\d_]+\d\w*)(?<!_)", _code),
    _rule(rf"\d{{5}}-\d{{4}}{_END}", lambda found: ", ".join(digits(part) for part in found.group().split("-"))),
    _rule(rf"(?P<state>[A-Z]{{2}}),? (?P<zip>\d{{5}}(?:-\d{{4}})?){_END}", _state),
    # money
    _rule(
        rf"(?P<minus>[-−])?(?P<currency>[$€£])\s?(?P<minus2>[-−])?(?P<amount>{_NUMBER})"
        r"(?:\s?(?P<scale>million|billion|thousand|[kK]\b|[mM]\b|[bB]\b))?(?:\s?/\s?(?P<per>[a-z]+))?",
        _money,
    ),
    # dates and times
    _rule(
        r"(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)(?:[T ](?P<hour>\d\d):(?P<minute>\d\d)(?::\d\d)?Z?)?(?![\w-])",
        _iso_date,
    ),
    _rule(r"(?P<m>\d{1,2})/(?P<d>\d{1,2})(?:/(?P<y>\d{4}|\d\d))?(?![\w/])", _us_date),
    _rule(
        rf"{_MONTH} (?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:\s?[-–]\s?(?P<to>\d{{1,2}})(?:st|nd|rd|th)?)?"
        rf"(?:,? (?P<y>\d{{4}}))?{_END}(?!:)",
        _month_day,
    ),
    _rule(rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?P<of> of)? {_MONTH}(?:,? (?P<y>\d{{4}}))?{_END}", _day_month),
    _rule(rf"{_MONTH} (?P<y>\d{{4}}){_END}", _month_year),
    _rule(
        rf"(?P<day>{_DAY})(?:\s?[-–]\s?(?P<to>{_DAY}){_END}\.?|\.(?=,? \w)(?P<none>))", lambda found: _weekday(found)
    ),
    _rule(rf"24/7{_END}", _always("twenty-four seven")),
    _rule(rf"(?:{'|'.join(FRACTIONS)})(?![\w/])", lambda found: FRACTIONS[found.group()]),
    _rule(rf"{_CLOCK1}\s?[-–]\s?{_CLOCK2}{_END}", _time_range),
    _rule(r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?\s?(?P<half>[aApP])\.[mM]\.?(?=\s+[A-Z]|\s*$)", _time),
    _rule(r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?\s?(?P<half>[aApP])(?:\.[mM]\.|[mM])(?!\w)", _time),
    _rule(
        r"(?P<half>)(?P<hour>\d{1,2}):(?P<minute>\d\d)(?![\w:])",
        lambda found: _clock(int(found["hour"]), int(found["minute"]), None),
    ),
    # quantities
    _rule(rf"(?P<minus>[-−])?(?P<n>{_NUMBER})\s?%", _percent),
    _rule(rf"(?P<a>{_NUMBER})\s?[-–]\s?(?P<b>{_NUMBER})(?:\s?(?P<unit>%|(?:{_UNIT})(?!\w)))?(?![\w-])", _range),
    _rule(rf"(?P<a>{_NUMBER})\s?[x×]\s?(?=\d)", _by),
    _rule(rf"(?P<minus>(?<![\w)])[-−])?(?P<n>{_NUMBER})[ -]?(?P<unit>{_UNIT})(?!\w)(?:\.(?=\s[a-z]))?", _measure),
    _rule(rf"(?P<n>\d[\d,]*)(?:st|nd|rd|th){_END}", _ordinal),
    _rule(
        r"(?P<n>\d{3,4})(?= (?:[NSEW]\.? )?(?:[A-Z][a-z]+ ){1,3}(?:St|Street|Ave|Avenue|Rd|Road|Lane|Ln|Drive|Dr|Court|"
        r"Ct|Boulevard|Blvd|Way|Place|Highway|Hwy)\b)",
        _house,
    ),
    _rule(rf"(?P<minus>(?<![\w)])[-−])?(?P<n>{_NUMBER})", _number),
    # words
    _rule(r"St\.", _street),
    _rule(r"(?<=[a-z] )Dr\.(?=,|\s*$)", _drive),
    _rule(r"No\.(?=\s?\d)", _always("number")),
    _rule(rf"(?P<word>{'|'.join(TITLES)})\.(?=\s\S)", _title),
    _rule(rf"(?P<word>{'|'.join(ABBREVIATIONS)})\.(?!\w)", _abbreviation),
    _rule(r"e\.g\.,?", _always("for example,")),
    _rule(r"i\.e\.,?", _always("that is,")),
    _rule(r"(?<=\d),(?=\d)", _always(", ")),
    _rule(r"(?<=\d)\.(?=\d)", _always(" point ")),
    _rule(r"and/or", _always("and or")),
    _rule(r"w/(?=\s?\w)", _always("with ")),
    _rule(r"(?<=\w)\s?/\s?(?=\w)", _always(" or ")),
    _rule(r"(?<=\w)&(?=\w)", _always(" and ")),
    _rule(r"&", _always("and")),
    _rule(r"@(?=\s)", _always("at")),
    _rule(r"\+(?=\s?\w)", _always(" plus ")),
    _rule(r"=", _always(" equals ")),
    _rule(r"[~≈](?=\w|\s)", _always("about ")),
    _rule(r"%", _always(" percent")),
    _rule(r"[€£$]", lambda found: CURRENCIES[found.group()][1]),
    _rule(r"°", _always(" degrees")),
    _rule(r"\s?[—–]\s?|\s-\s", _always(", ")),
    _rule(r"(?<=[^\W_])_+(?=[^\W_])", _always(" ")),
    _rule(r"-(?!\w)|[*_`#<>|\\^{}\[\]]", _always("")),
)
