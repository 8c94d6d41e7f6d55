"""What the Chinese voice says for figures and signs, and where its sentences are cut."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.speakable import sentences, speakable
from models.speakable.sentences import IN_CHINESE
from models.speakable.zh_numbers import cardinal, decimal, grouped

TABLE = [
    ("您的订单42719已经发货，共3件。", "您的订单四二七一九已经发货，共三件。"),
    ("验证码是407219。", "验证码是四零七，二一九。"),
    ("账户尾号是0142", "账户尾号是零一四二"),
    ("编号RMA-1042", "编号R M A 一零四二"),
    ("合计¥1,204.50元。", "合计一千二百零四元五角。"),
    ("运费18.05元", "运费十八元零五分"),
    ("¥0.05和0.5元", "五分和五角"),
    ("退款$18.50和€20", "退款十八点五美元和二十欧元"),
    ("1.5万元", "一点五万元"),
    ("2026-05-04 14:30", "二零二六年五月四日十四点半"),
    ("2026年5月4日", "二零二六年五月四日"),
    ("5月20号", "五月二十号"),
    ("营业时间是9:05-18:00", "营业时间是九点零五分到十八点"),
    ("2:00", "两点"),
    ("请拨打400-820-8820或13800138000。", "请拨打四零零，八二零，八八二零或一三八，零零一三，八零零零。"),
    ("+1 206 555 0142", "加一，二零六，五五五，零一四二"),
    ("li.ming01@example.com", "li.ming01@example.com"),
    ("邮箱是li.ming01@example.com", "邮箱是li 点 ming 零一 艾特 example 点 com"),
    ("2026年3月的对账单已经发到li@example.com。", "二零二六年三月的对账单已经发到li 艾特 example 点 com。"),
    ("打15%的折", "打百分之十五的折"),
    ("3-5天", "三到五天"),
    ("5%-10%", "百分之五到百分之十"),
    ("第2天", "第二天"),
    ("2个帐篷重2.5kg", "两个帐篷重二点五公斤"),
    ("2个月和12个人", "两个月和十二个人"),
    ("温度-3℃", "温度负三摄氏度"),
    ("1/2的客户", "二分之一的客户"),
    ("库存12000件", "库存一万二千件"),
    ("VIP客户", "VIP客户"),
]


@pytest.mark.parametrize(("written", "spoken"), TABLE)
def test_written_chinese_as_it_is_said(written: str, spoken: str) -> None:
    if written.isascii():
        language = "zh" if "@" not in written else "en"
        if language == "en":
            spoken = "li dot ming zero one at example dot com"
        assert speakable(written, language).text == spoken
    else:
        assert speakable(written).text == spoken


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "零"), (2, "二"), (10, "十"), (12, "十二"), (20, "二十"), (101, "一百零一"), (110, "一百一十"),
        (200, "两百"), (212, "两百一十二"), (1005, "一千零五"), (2222, "两千二百二十二"), (10050, "一万零五十"),
        (20000, "两万"), (200000005, "两亿零五"), (-3, "负三"),
    ],
)  # fmt: skip
def test_numbers(number: int, words: str) -> None:
    assert cardinal(number) == words


def test_counts_decimals_and_digits() -> None:
    assert cardinal(2, counted=True) == "两"
    assert decimal("1,204.50") == "一千二百零四点五零"
    assert decimal(".5") == "零点五"
    assert grouped("42719") == "四二七一九"
    assert grouped("13800138000") == "一三八，零零一三，八零零零"
    assert grouped("7731904") == "七七三，一九零四"


def test_sentences_end_at_chinese_marks_and_the_first_piece_is_short() -> None:
    text = "您好！您的订单42719已经发货；如有问题，请联系我们。好吗？"
    assert [text[slice(*span)] for span in sentences(text)] == [
        "您好！", "您的订单42719已经发货；", "如有问题，请联系我们。", "好吗？",
    ]  # fmt: skip
    long = "我已经帮您查到了这个订单，它今天上午已经从仓库发出，预计明天下午送到。"
    pieces = [long[slice(*span)] for span in sentences(long)]
    assert "".join(pieces) == long
    assert len(pieces[0]) <= IN_CHINESE.first + 2


def test_english_is_read_as_before_beside_it() -> None:
    assert speakable("Order 42719 costs $18.50.").text == (
        "Order number four two seven, one nine costs eighteen dollars and fifty cents."
    )


@given(st.text(alphabet="订单元月日点，。！？您好的" + string.digits + string.ascii_letters + " .,%@¥-:/", max_size=40))
def test_any_text_keeps_its_spans_and_loses_its_figures(text: str) -> None:
    spoken = speakable(text, "zh")
    assert not any(character in string.digits for character in spoken.text)
    whole = 0
    for segment in spoken.segments:
        assert segment.start == whole
        whole = segment.end
    assert whole == len(text)
    last = 0
    for start, end in sentences(text, "zh"):
        assert last <= start < end <= len(text)
        last = end
