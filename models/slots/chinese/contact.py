"""Telephone numbers, e-mail addresses and postal addresses in Chinese text.

Option of a phone: `region`, the country of numbers given without a country code; a Chinese mobile number is known by
its form whatever the region (default US).
"""

from __future__ import annotations

import re

import phonenumbers

from models.contracts import Slot
from models.slots import address as english_address
from models.slots.chinese.digits import digit_runs
from models.slots.chinese.numbers import DIGITS, plain
from models.slots.spec import SlotContext, SlotSpec

_SHORTEST = 8
"""Digits; shorter runs are order numbers, codes or local numbers that cannot be called from elsewhere."""
_MOBILE = re.compile(r"(?:86)?1[3-9]\d{9}")
_PLUS = re.compile(r"(?:[+＋]|加号?)\s*$")

_WRITTEN = re.compile(r"[A-Za-z0-9][\w.+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}", re.ASCII)
_SIGNS = {
    "艾特": "@", "爱特": "@", "圈a": "@", "圈A": "@", "小老鼠": "@", "at": "@", "@": "@", "＠": "@",
    "点": ".", "dot": ".", ".": ".", "下划线": "_", "_": "_", "横杠": "-", "中划线": "-", "减号": "-", "杠": "-",
    "-": "-", "加号": "+", "+": "+",
}  # fmt: skip
_PIECE = re.compile(
    "|".join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True))
    + rf"|[A-Za-z]+?(?=at\b|dot\b)|[A-Za-z]+|[{''.join(re.escape(one) for one in DIGITS)}]+|\s+",
)
_PROVIDERS = {"qq", "gmail", "163", "126", "sina", "hotmail", "outlook", "yahoo", "icloud", "foxmail"}

_PLACE = re.compile(
    r"(?:[\u4e00-\u9fff]{2,8}?(?:省|自治区|市|区|县|州))+[\u4e00-\u9fffA-Za-z0-9\s\-—,，]{2,60}?"
    r"(?:号楼?|室|栋|幢|楼|大厦|小区|广场|单元|弄|村|园|城)(?:[\u4e00-\u9fffA-Za-z0-9]{0,20}?(?:号|室|楼|层|单元|栋))*"
)
_STREET = re.compile(
    r"[\u4e00-\u9fff]{2,12}?(?:路|街|道|巷|胡同)[\d一二三四五六七八九十百零]+号(?:[\u4e00-\u9fff\d]{0,12}?(?:室|楼|栋|单元))*"
)
_REST = re.compile(
    r"(?:[\s，,]*[\u4e00-\u9fff]{1,8}?(?:省|(?<![超城都])市|州|县))*"
    rf"(?:[\s，,]*邮政?编码?[是为]?\s*[{''.join(re.escape(one) for one in DIGITS)}]{{5,6}})?"
)
"""The town and the postcode where they are said after the street."""
_LEAD_IN = re.compile(
    r"[\s，,。]*(?:(?:嗯|呃|啊|哦|好的?|那个|那|就是|请|麻烦|帮我|你帮我|您帮我|可以|不对|不是|错了|说错了|我说错了|应该是|我是说|抱歉|不好意思)"
    r"[\s，,。]*)*"
    r"(?:(?:我|我们|我家|我的)?(?:的)?(?:新的?|收货|送货|家庭|公司|详细|快递)?(?:地址|住址)(?:是|在|改成|换成|改为|变成|为)?"
    r"|(?:把它?|订单)?(?:送|寄|发|配送|改|换)(?:货)?(?:到|去|成|往|至)|(?:我|我们|我家)?(?:住|搬)(?:在|到)|在|是)?[\s，,：:]*"
)
_TAIL = re.compile(r"[\s，,。！？]*(?:谢谢你?|好吗|可以吗|行吗|就行|就可以了?|吧|啊|呢|哈|的)?[\s，,。！？]*$")
_NOT_AN_ADDRESS = re.compile(r"不知道|什么|怎么|为什么|多少|哪里|人工|取消|等一下|不用|算了|同一个|没变|再说|重复")
_LIKE_ONE = re.compile(r"[省市区县州镇乡村路街道巷弄号楼室栋幢院园厦座层]|\d")
_LONGEST = 120


def phone(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Numbers of a possible length in the region, as E.164."""
    region = spec.word("region", "US")
    found = []
    for run in digit_runs(text):
        if len(run.digits) < _SHORTEST:
            continue
        lead = _PLUS.search(text[: run.start])
        start = lead.start() if lead else run.start
        chinese = _MOBILE.fullmatch(run.digits)
        try:
            number = phonenumbers.parse(("+" if lead else "") + run.digits, "CN" if chinese and not lead else region)
        except phonenumbers.NumberParseException:
            continue
        if not phonenumbers.is_possible_number(number):
            continue
        value = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        sure = 1.0 if len(run.digits) >= 10 else 0.6
        found.append(Slot(spec.name, value, text[start : run.end], (start, run.end), sure))
    return found


def email(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Addresses in lower case, written or spoken (li 点 ming 艾特 example 点 com)."""
    found = [Slot(spec.name, m.group().lower(), m.group(), m.span()) for m in _WRITTEN.finditer(text)]
    pieces = _pieces(text)
    for index, (said, start, _) in enumerate(pieces):
        if said != "@" or any(low <= start < high for low, high in (slot.span for slot in found)):
            continue
        first = index
        while first > 0 and pieces[first - 1][2] == pieces[first][1] and pieces[first - 1][0] != "@":
            first -= 1
        last = index
        while last + 1 < len(pieces) and pieces[last + 1][1] == pieces[last][2] and pieces[last + 1][0] != "@":
            last += 1
        local = "".join(piece for piece, _, _ in pieces[first:index]).strip("._-+")
        domain = "".join(piece for piece, _, _ in pieces[index + 1 : last + 1]).strip("._-+")
        confidence = 0.9
        if domain in _PROVIDERS:
            domain, confidence = domain + ".com", 0.6
        if re.fullmatch(r"[a-z0-9][\w.+-]*", local, re.ASCII) and re.fullmatch(
            r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,12}", domain
        ):
            span = pieces[first][1], pieces[last][2]
            raw = text[slice(*span)]
            span = span[0] + len(raw) - len(raw.lstrip()), span[1] - len(raw) + len(raw.rstrip())
            found.append(Slot(spec.name, f"{local}@{domain}", text[slice(*span)], span, confidence))
    return sorted(found, key=lambda slot: slot.span)


def _pieces(text: str) -> list[tuple[str, int, int]]:
    """What each word or sign of an address adds to it, with its place; spaces add nothing."""
    found = []
    for match in _PIECE.finditer(plain(text)):
        raw = match.group()
        said = _SIGNS.get(raw) or ("" if raw.isspace() else raw.lower())
        if said and all(character in DIGITS for character in said):
            said = "".join(str(DIGITS[character]) for character in said)
        found.append((said, match.start(), match.end()))
    return found


def address(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """At most one address: province to door anywhere, a street with a number, or what was said when it was asked for.

    An address in Latin letters is read as the English parser does.
    """
    found = [*_PLACE.finditer(text)] or [*_STREET.finditer(text)]
    expected = spec.name in context.expected
    if found and not expected:
        start, end = found[-1].span()
        lead, rest = _LEAD_IN.match(text, start, end), _REST.match(text, end)
        return [_address(spec, text, lead.end() if lead else start, rest.end() if rest else end, 1.0)]
    latin = english_address.parse(text, spec, context)
    if latin or not expected or (_NOT_AN_ADDRESS.search(text) and not found):
        return latin
    lead = _LEAD_IN.match(text)
    tail = _TAIL.search(text)
    start, end = lead.end() if lead else 0, tail.start() if tail else len(text)
    if end - start < 4 or not (found or _LIKE_ONE.search(text, start, end)):
        return []
    return [_address(spec, text, start, end, 1.0 if found else 0.6)]


def _address(spec: SlotSpec, text: str, start: int, end: int, confidence: float) -> Slot:
    raw = text[start:end][:_LONGEST].strip(" ，,。")
    start = text.index(raw, start)
    return Slot(spec.name, re.sub(r"\s+", " ", raw), raw, (start, start + len(raw)), confidence)
