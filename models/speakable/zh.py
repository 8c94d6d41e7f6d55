"""The rules of `speakable` for Chinese, the more particular ones first; of the form that `models.speakable.rules` has.

Latin words inside a Chinese text stay as they are: the voice reads them as English.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from models.speakable.zh_numbers import cardinal, decimal, digits, grouped

Match = re.Match[str]
Rule = tuple[re.Pattern[str], Callable[[Match], str | None]]

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_END = r"(?![A-Za-z0-9])"
_MEASURES = (
    "个(?!位)|件|位|次|天|张|把|条|元|块|周|小时|分钟|秒钟|年|只|双|台|份|种|项|本|封|套|间|瓶|箱|包|家|名|顶|盏|辆|笔"
    "|根|片|人"
)
"""Words that count: two of them is 两."""
_UNITS = {
    "kg": "公斤", "g": "克", "mg": "毫克", "km": "公里", "m": "米", "cm": "厘米", "mm": "毫米", "L": "升", "l": "升",
    "ml": "毫升", "mL": "毫升", "W": "瓦", "°C": "摄氏度", "℃": "摄氏度", "°F": "华氏度", "°": "度", "㎡": "平方米",
}  # fmt: skip
_CURRENCIES = {
    "¥": "元", "￥": "元", "CNY": "元", "RMB": "元", "元": "元", "块": "块", "块钱": "块钱", "人民币": "元人民币",
    "$": "美元", "US$": "美元", "USD": "美元", "美元": "美元", "美金": "美金", "€": "欧元", "EUR": "欧元",
    "欧元": "欧元", "£": "英镑", "GBP": "英镑", "英镑": "英镑", "HK$": "港元", "HKD": "港元", "港元": "港元",
    "港币": "港币", "日元": "日元",
}  # fmt: skip
_BEFORE = r"US\$|HK\$|[¥￥$€£]|(?:CNY|RMB|USD|EUR|GBP|HKD)\s?"
_AFTER = "元|块钱|块|人民币|美元|美金|欧元|英镑|港元|港币|日元|CNY|RMB|USD|EUR|GBP|HKD"
_NAMED = (
    r"订单号码|订单编号|订单号|订单|单号|编号|尾号|账号|帐号|账户|卡号|工单|验证码|校验码|密码|邮编|邮政编码|流水号|代码"
    r"|房间|航班|车次|号码|电话|手机|热线|分机|证件号|身份证号?|会员号|客户号|参考号|确认号|序列号|型号"
)
_SIGNS = {".": "点", "_": "下划线", "-": "杠", "+": "加", "/": "斜杠", "@": "艾特"}


def _spelled(text: str) -> str:
    return " ".join(text.upper())


def _mixed(text: str) -> str:
    """Letters spelled, digits one by one: `RMA-1042`, `42719`."""
    parts = re.findall(r"[A-Za-z]+|\d+", text)
    return " ".join(grouped(part) if part.isdigit() else _spelled(part) for part in parts)


def _address(text: str) -> str:
    """A piece of an e-mail or web address: words stay words, digits go one by one."""
    parts = re.findall(r"[A-Za-z]+|\d+|[._+@/-]", text)
    said = [_SIGNS.get(part) or (digits(part) if part.isdigit() else part) for part in parts]
    return " ".join(said)


def _identifier(found: Match) -> str:
    return _mixed(found["id"])


def _phone(found: Match) -> str | None:
    text = found.group()
    groups = re.findall(r"\d+", text)
    plain = "".join(groups)
    if not 7 <= len(plain) <= 15:
        return None
    said = "，".join(digits(group) for group in groups) if len(groups) > 1 else grouped(plain)
    return ("加" if text.startswith("+") else "") + said


def _day(month: str, day: str) -> str | None:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    return f"{cardinal(int(month))}月{cardinal(int(day))}"


def _date(found: Match) -> str | None:
    said = _day(found["m"], found["d"])
    if said is None:
        return None
    said = (f"{digits(found['y'])}年" if found["y"] else "") + said + "日"
    if found["hour"] is None:
        return said
    clock = _clock(found["hour"], found["minute"])
    return clock and said + clock


def _month_day(found: Match) -> str | None:
    said = _day(found["m"], found["d"])
    return said and said + found["unit"]


def _clock(hour: str, minute: str) -> str | None:
    if int(hour) > 24 or int(minute) > 59:
        return None
    said = cardinal(int(hour), counted=True) + "点"
    if int(minute) == 30:
        return said + "半"
    if int(minute) == 0:
        return said
    return said + ("零" if int(minute) < 10 else "") + cardinal(int(minute)) + "分"


def _time(found: Match) -> str | None:
    first = _clock(found["hour"], found["minute"])
    if first is None or found["hour2"] is None:
        return first
    last = _clock(found["hour2"], found["minute2"])
    return last and f"{first}到{last}"


def _money(found: Match) -> str | None:
    name = _CURRENCIES[(found["before"] or found["after"]).strip()]
    amount = found["amount"].replace(",", "")
    whole, _, fraction = amount.partition(".")
    minus = "负" if found["minus"] else ""
    scale = found["scale"] or ""
    if scale or len(fraction) > 2 or name not in ("元", "元人民币"):
        # dollars and the like: 十八点五美元; a round amount has no 点零零
        figure = amount if fraction.strip("0") else whole
        plain = figure.rstrip("0") if "." in figure else figure
        return minus + decimal(plain, counted=True) + scale + name
    tenths, hundredths = int((fraction + "00")[0]), int((fraction + "00")[1])
    said = f"{cardinal(int(whole), counted=True)}{name}" if int(whole) or not (tenths or hundredths) else ""
    if tenths:
        said += f"{cardinal(tenths)}角"
    if hundredths:
        said += ("零" if said and not tenths else "") + f"{cardinal(hundredths)}分"
    return minus + said


def _number(found: Match) -> str | None:
    text = found["n"].replace(",", "")
    whole = text.partition(".")[0]
    if "." not in text and ((len(whole) > 1 and whole.startswith("0")) or len(whole) > 8):
        return grouped(text)
    return ("负" if found["minus"] else "") + decimal(text)


def _bare(found: Match) -> str | None:
    """Five and more figures that count nothing are a number of something: they are read one by one."""
    return grouped(found.group())


def _percent(found: Match) -> str:
    return f"百分之{'负' if found['minus'] else ''}{decimal(found['n'])}"


def _fraction(found: Match) -> str | None:
    return f"{cardinal(int(found['b']))}分之{cardinal(int(found['a']))}"


def _counted(found: Match) -> str:
    return ("负" if found["minus"] else "") + decimal(found["n"], counted=True)


def _range(found: Match) -> str | None:
    if any(len(part) > 1 and part.startswith("0") and "." not in part for part in (found["a"], found["b"])):
        return None
    if found["percent"]:
        return f"百分之{decimal(found['a'])}到百分之{decimal(found['b'])}"
    counted = found["measure"] is not None
    return f"{decimal(found['a'], counted)}到{decimal(found['b'], counted)}"


def _unit(found: Match) -> str:
    return ("负" if found["minus"] else "") + decimal(found["n"], counted=True) + _UNITS[found["unit"]]


def _rule(pattern: str, say: Callable[[Match], str | None]) -> Rule:
    return re.compile(pattern), say


def _always(words: str) -> Callable[[Match], str | None]:
    return lambda found: words


_UNIT = "|".join(sorted((re.escape(unit) for unit in _UNITS), key=len, reverse=True))

RULES: tuple[Rule, ...] = (
    _rule(r"[A-Za-z0-9][A-Za-z0-9_.+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", lambda found: _address(found.group())),
    _rule(r"(?:https?://)(?P<rest>[A-Za-z0-9./_-]*[A-Za-z0-9])/?", lambda found: _address(found["rest"])),
    _rule(r"(?:www\.)[A-Za-z0-9./_-]*[A-Za-z0-9]", lambda found: _address(found.group())),
    _rule(
        r"(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})"
        r"(?:[T ](?P<hour>\d\d):(?P<minute>\d\d)(?::\d\d)?Z?)?(?![\d-])",
        _date,
    ),
    _rule(r"(?P<y>\d{4})年(?!前|后|来|间|内|以)", lambda found: digits(found["y"]) + "年"),
    _rule(r"(?P<m>\d{1,2})月(?P<d>\d{1,2})(?P<unit>[日号])", _month_day),
    _rule(
        r"(?P<hour>\d{1,2})[:：](?P<minute>\d\d)(?:\s?[-–—~到至]\s?(?P<hour2>\d{1,2})[:：](?P<minute2>\d\d))?(?![:\d])",
        _time,
    ),
    _rule(
        rf"(?P<minus>[-−])?(?P<before>{_BEFORE})(?P<amount>{_NUMBER})(?P<scale>万|亿|千)?(?:{_AFTER})?(?P<after>)",
        _money,
    ),
    _rule(rf"(?P<minus>[-−])?(?P<before>)(?P<amount>{_NUMBER})\s?(?P<scale>万|亿|千)?(?P<after>{_AFTER})", _money),
    _rule(
        rf"(?P<keep>(?:{_NAMED})(?:是|为|：|:|\s|#|后四位|尾号|号码?)*)"
        rf"(?P<id>(?:[A-Za-z]{{1,4}}-?)?\d{{3,}}(?:-\d+)*){_END}(?![.,:/]\d|%|{_MEASURES})",
        _identifier,
    ),
    _rule(r"#(?P<id>[A-Za-z]{0,4}-?\d{3,}(?:-\d+)*)", _identifier),
    _rule(
        r"(?:\+\d[\d ()-]{6,}\d|\(?\d{3,4}\)?[ -]\d{3,4}[ -]\d{3,4}|0\d{2,3}-\d{7,8}|1[3-9]\d{9})(?!\d)",
        _phone,
    ),
    _rule(r"第(?P<n>\d+)", lambda found: "第" + cardinal(int(found["n"]))),
    _rule(rf"(?P<id>[A-Z]{{1,4}}-?\d{{2,}}(?:-?[A-Z0-9]+)*|\d+[A-Z]{{2,4}}\d+){_END}", _identifier),
    _rule(r"(?P<id>[A-Za-z]+\d[A-Za-z0-9]*|\d+[A-Za-z]+\d[A-Za-z0-9]*)", _identifier),
    _rule(
        r"(?P<a>\d+(?:\.\d+)?)(?:%|％)?\s?[-–—~～]\s?(?P<b>\d+(?:\.\d+)?)"
        rf"(?:(?P<percent>[%％])|(?=(?P<measure>{_MEASURES})))?(?![\d-])",
        _range,
    ),
    _rule(rf"(?P<minus>[-−])?(?P<n>{_NUMBER})\s?[%％]", _percent),
    _rule(r"(?P<a>\d+)/(?P<b>\d+)(?![\d/])", _fraction),
    _rule(rf"(?P<minus>(?<![A-Za-z0-9)])[-−])?(?P<n>{_NUMBER})\s?(?P<unit>{_UNIT})(?![A-Za-z0-9])", _unit),
    _rule(rf"(?P<minus>(?<![A-Za-z0-9)])[-−])?(?P<n>{_NUMBER})(?={_MEASURES})(?!个?月)", _counted),
    _rule(rf"(?P<minus>(?<![A-Za-z0-9)])[-−])?(?P<n>{_NUMBER})(?=个月)", _counted),
    _rule(rf"\d{{5,}}{_END}(?![.,]\d|[万亿多余])", _bare),
    _rule(rf"(?P<minus>(?<![A-Za-z0-9)])[-−])?(?P<n>{_NUMBER})", _number),
    _rule(r"(?<=[A-Za-z])\s?&\s?(?=[A-Za-z])", _always(" and ")),
    _rule(r"&", _always("和")),
    _rule(r"\+", _always("加")),
    _rule(r"=", _always("等于")),
    _rule(r"[~～≈]", _always("大约")),
    _rule(r"[%％]", _always("百分之")),
    _rule(r"[¥￥]", _always("元")),
    _rule(r"°C?|℃", _always("度")),
    _rule(r"(?<=\w)\s?/\s?(?=\w)", _always("或")),
    _rule(r"[*_`#<>|\\^{}\[\]]", _always("")),
)
