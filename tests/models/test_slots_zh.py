"""Values in recognized Chinese: digits, telephone, mail, days, sums, answers, addresses, choices."""

from datetime import date

import pytest

from models.slots import SlotContext, SlotSpec, find_slots
from models.slots.chinese.digits import digit_runs, mask_digits
from models.slots.chinese.numbers import read
from models.slots.chinese.yes_no import only

TODAY = date(2026, 5, 6)
"""A Wednesday."""
ORDER = SlotSpec("order", "digits", {"min_length": 5, "max_length": 5})
PRODUCT = SlotSpec("product", "choice", {"values": {"tent": ["帐篷", "大帐篷"], "boots": ["靴子", "鞋"]}})


def found(text: str, spec: SlotSpec, asked: bool = True) -> list[object]:
    expected = (spec.name,) if asked else ()
    context = SlotContext(TODAY, expected, spec.type == "yes_no" and asked, "zh")
    slots = find_slots(text, [spec], context)
    for slot in slots:
        assert text[slice(*slot.span)] == slot.raw
    return [slot.value for slot in slots if slot.confidence > 0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("我的订单号是四二七一九", "42719"),
        ("四万二千七百一十九", "42719"),
        ("幺二三四五", "12345"),
        ("４２７１９", "42719"),
        ("42719", "42719"),
        ("四二，七一九", "42719"),
        ("四 二 嗯 七 一 九", "42719"),
        ("四二七幺九，不对，是四二七一八", "42718"),
        ("四二七，四二七一九", "42719"),
        ("四二七七一九", "42719"),
        ("四两个七一九", "47719"),
    ],
)
def test_order_numbers(text: str, value: str) -> None:
    assert found(text, ORDER)[-1:] == [value]


@pytest.mark.parametrize("text", ["等一下", "我有一个问题", "下周三再打给你", "三件一共多少钱", "十分感谢"])
def test_words_with_digits_in_them_are_no_numbers(text: str) -> None:
    assert found(text, ORDER) == []
    assert found(text, SlotSpec("count", "digits"), asked=False) == []


def test_numbers_are_read_as_said() -> None:
    values = {
        "三百五": 350,
        "两万五": 25000,
        "1.5万": 15000,
        "一千零五": 1005,
        "一亿两千万": 120_000_000,
        "3万5": 35000,
    }
    for text, value in values.items():
        number = read(text)
        assert number is not None
        assert number.value == value
    assert read("万一") is None


def test_long_numbers_are_masked_and_short_ones_are_not() -> None:
    assert mask_digits("订单四二七一九和三个帐篷", "number") == "订单 number 和三个帐篷"
    assert [run.digits for run in digit_runs("加一二零六五五五零一四二")] == ["12065550142"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("我的电话是一三八零零一三八零零零", "+8613800138000"),
        ("13800138000", "+8613800138000"),
        ("加一 二零六 五五五 零一四二", "+12065550142"),
        ("2065550142", "+12065550142"),
    ],
)
def test_telephone_numbers(text: str, value: str) -> None:
    assert found(text, SlotSpec("phone", "phone")) == [value]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("li点ming艾特example点com", "li.ming@example.com"),
        ("我的邮箱是 l i 点 m i n g 零 一 at example 点 com", "li.ming01@example.com"),
        ("liming@example.com", "liming@example.com"),
        ("小明 xm 下划线 九 艾特 qq", "xm_9@qq.com"),
    ],
)
def test_mail_addresses(text: str, value: str) -> None:
    assert found(text, SlotSpec("mail", "email")) == [value]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("今天", "2026-05-06"), ("明天下午", "2026-05-07"), ("大后天", "2026-05-09"), ("前天", "2026-05-04"),
        ("下周三", "2026-05-13"), ("这周五", "2026-05-08"), ("上周日", "2026-05-03"), ("五月四号", "2026-05-04"),
        ("2026年5月4日", "2026-05-04"), ("二零二六年五月四日", "2026-05-04"), ("三天前", "2026-05-03"),
        ("两周后", "2026-05-20"), ("下个月五号", "2026-06-05"), ("一九八零年三月三号", "1980-03-03"),
        ("八零年三月三号", "1980-03-03"), ("月底", "2026-05-31"), ("去年十二月二十五号", "2025-12-25"),
        ("五号", "2026-05-05"),
    ],
)  # fmt: skip
def test_days(text: str, value: str) -> None:
    assert found(text, SlotSpec("day", "date")) == [value]


def test_a_weekday_is_the_next_or_the_last_as_the_slot_prefers() -> None:
    assert found("周五", SlotSpec("day", "date", {"prefer": "future"})) == ["2026-05-08"]
    assert found("周五", SlotSpec("day", "date", {"prefer": "past"})) == ["2026-05-01"]


@pytest.mark.parametrize(
    ("text", "minor", "currency"),
    [
        ("三百块", 30_000, "USD"), ("1.5万", 1_500_000, "USD"), ("一千二百零四块五", 120_450, "USD"),
        ("¥18.50", 1850, "CNY"), ("$20", 2000, "USD"), ("十八块五毛", 1850, "USD"), ("五毛", 50, "USD"),
        ("一百二十人民币", 12_000, "CNY"), ("我要转五百", 50_000, "USD"), ("三块零五分", 305, "USD"),
    ],
)  # fmt: skip
def test_sums(text: str, minor: int, currency: str) -> None:
    assert found(text, SlotSpec("amount", "amount")) == [{"minor": minor, "currency": currency}]


@pytest.mark.parametrize(
    "text", ["是的", "对", "没错", "好的", "行", "可以", "嗯", "没问题", "对，不过我想换地址", "要的"]
)
def test_yes(text: str) -> None:
    assert found(text, SlotSpec("yes_no", "yes_no")) == [True]


@pytest.mark.parametrize(
    "text", ["不是", "不用", "不要", "不行", "好的不用了谢谢", "不用了，好的", "没有了，谢谢", "不对，是四二七一九"]
)
def test_no(text: str) -> None:
    assert found(text, SlotSpec("yes_no", "yes_no")) == [False]


@pytest.mark.parametrize("text", ["是不是", "可以吗", "我想退货", "不好意思"])
def test_neither(text: str) -> None:
    assert found(text, SlotSpec("yes_no", "yes_no")) == []


def test_only_an_answer() -> None:
    assert only("好的，谢谢您")
    assert only("不用了")
    assert not only("对，我想换个地址")
    assert not only("谢谢")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("我的地址是上海市浦东新区世纪大道100号", "上海市浦东新区世纪大道100号"),
        ("送到北京市朝阳区建国路88号3号楼502室，谢谢", "北京市朝阳区建国路88号3号楼502室"),
        ("改成广州天河区体育西路5号", "广州天河区体育西路5号"),
        ("14 Birch Street, Portland, Oregon", "14 Birch Street, Portland, Oregon"),
    ],
)
def test_addresses(text: str, value: str) -> None:
    assert found(text, SlotSpec("address", "address")) == [value]
    assert found("我不知道", SlotSpec("address", "address")) == []


def test_choices_stand_anywhere_longest_first() -> None:
    assert found("我想买大帐篷和鞋", PRODUCT, asked=False) == ["tent", "boots"]


def test_a_number_inside_a_sum_is_no_order_number() -> None:
    specs = [ORDER, SlotSpec("amount", "amount")]
    slots = find_slots("订单四二七一九退我三万块", specs, SlotContext(TODAY, language="zh"))
    assert {slot.name: slot.value for slot in slots} == {
        "order": "42719",
        "amount": {"minor": 3_000_000, "currency": "USD"},
    }


def test_english_is_parsed_as_english_whatever_the_domain_also_speaks() -> None:
    slots = find_slots("four two seven one nine", [ORDER], SlotContext(TODAY, ("order",)))
    assert [slot.value for slot in slots] == ["42719"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("不对是橡树街22号纽约市邮编10013", "橡树街22号纽约市邮编10013"),
        ("我说错了，应该是橡树街22号，邮编一零零一三", "橡树街22号，邮编一零零一三"),
        ("我搬到橡树街22号了，离超市不远", "橡树街22号"),
    ],
)
def test_a_corrected_address_that_was_not_asked_for(text: str, value: str) -> None:
    assert found(text, SlotSpec("address", "address"), asked=False) == [value]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("对取消吧", True),
        ("好转吧", True),
        ("今天先不转了", False),
        ("现在先不要", False),
        ("还是不用了", False),
        ("别停", False),
        ("那就别转了吧", False),
        ("不停用", False),
        ("不开了", False),
    ],
)
def test_an_answer_with_what_is_to_be_done(text: str, answer: bool) -> None:
    assert found(text, SlotSpec("yes_no", "yes_no")) == [answer]


@pytest.mark.parametrize("text", ["对了我还想问", "对方是谁", "对账单在哪里", "好像是", "好多钱", "行李丢了", "你好"])
def test_words_that_begin_like_an_answer(text: str) -> None:
    assert found(text, SlotSpec("yes_no", "yes_no")) == []
