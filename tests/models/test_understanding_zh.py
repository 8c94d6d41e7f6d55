"""Chinese turns: what they ask for, what they answer, and whether they are finished."""

from datetime import date

import pytest

from models.completeness import Completeness
from models.contracts import OUT_OF_SCOPE, UnderstandingContext, Understood
from models.encoder import SentenceEncoder
from models.heads import classifiable
from models.slots import SlotContext, SlotSpec
from models.text_emotion import TextEmotionModel
from models.text_model import ModelInfo
from models.text_model_open import AveragedModel
from models.training.heads import train_intent_head
from models.understanding import MultilingualUnderstanding, TurnUnderstanding
from models.wording_zh import clauses, residue

SPECS = (
    SlotSpec("order_number", "digits", {"min_length": 5, "max_length": 5}),
    SlotSpec("yes_no", "yes_no"),
    SlotSpec("reason", "text"),
)
EXAMPLES = {
    "order_status": [
        "我的订单到哪里了",
        "查一下我的快递",
        "包裹什么时候到",
        "我的东西还没收到",
        "订单发货了吗",
        "想查物流",
    ],
    "return_order": ["我想退货", "这个东西我要退掉", "怎么退货", "帮我办退货", "买错了想退", "鞋子不合适要退"],
    "cancel_order": ["取消我的订单", "订单不要了帮我取消", "我想取消", "把刚下的单取消掉", "能取消订单吗", "撤销订单"],
    "human": ["转人工", "我要跟真人说话", "找客服人员", "接人工服务", "让你们经理来", "我要人工"],
    "affirm": ["是的", "对的", "没错", "好的可以", "嗯对", "就这样"],
    "deny": ["不是", "不用了", "不要", "不对", "算了不用", "不行"],
    "thanks": ["谢谢", "多谢你", "非常感谢", "谢谢您了", "太感谢了", "辛苦了谢谢"],
    "give_information": [
        "订单号是四二七一九",
        "号码是12345",
        "我的编号是五零三八六",
        "是42719",
        "就是那个",
        "尾号一二三四五",
    ],
}
OUTSIDE = ["今天天气怎么样", "给我讲个笑话", "世界上最高的山是哪座", "推荐一部电影", "帮我叫辆出租车", "股票涨了吗"]


@pytest.fixture(scope="module")
def understanding() -> TurnUnderstanding:
    encoder = SentenceEncoder()
    head = train_intent_head(EXAMPLES, OUTSIDE, encoder)
    info = ModelInfo("shop", "test", "head", encoder.identity, intents=head.labels, threshold=head.threshold)
    model = AveragedModel(info, (), ((head.head, 1.0),), encoder)
    emotion = TextEmotionModel(encoder, language="zh")
    return TurnUnderstanding(model, SPECS, emotion, lambda: date(2026, 5, 6), language="zh")


@pytest.mark.parametrize(
    ("text", "expected", "yes_no", "intent"),
    [
        ("你好，我想问一下我的快递到哪里了？", (), False, "order_status"),
        ("麻烦帮我把订单取消掉。", (), False, "cancel_order"),
        ("我要找人工客服。", (), False, "human"),
        ("喂，你好。我买的鞋不合适，要退货。谢谢。", (), False, "return_order"),
        ("四二七一九", ("order_number",), False, "give_information"),
        ("嗯，我的订单号是42719", ("order_number",), False, "give_information"),
        ("不对，是四二七一八", ("order_number",), False, "give_information"),
        ("是的，没错。", (), True, "affirm"),
        ("不用了，谢谢。", (), True, "deny"),
        ("好的", (), True, "affirm"),
    ],
)
def test_turns_are_understood(
    understanding: TurnUnderstanding, text: str, expected: tuple[str, ...], yes_no: bool, intent: str
) -> None:
    understood = understanding.understand(text, UnderstandingContext(expected, yes_no, "zh"))
    assert understood.intent == intent, understood.ranking[:3]
    if "42719" in text or "四二七一" in text:
        slot = understood.slot("order_number")
        assert slot is not None
        assert slot.value in {"42719", "42718"}


def test_nothing_is_out_of_scope(understanding: TurnUnderstanding) -> None:
    assert understanding.understand(" ", UnderstandingContext(language="zh")).intent == OUT_OF_SCOPE


def test_clauses_and_what_is_left_of_a_value() -> None:
    assert clauses("喂，你好。我想退货！谢谢") == ["喂，你好", "我想退货", "谢谢"]
    assert residue("嗯，我的订单号是", ()) == []
    assert residue("鞋子太小", ()) == ["鞋子", "小"]
    assert classifiable("订单四二七一九在哪") == "订单 number 在哪"


AT = SlotContext(date(2026, 5, 6), language="zh")


@pytest.mark.parametrize(
    ("text", "expected", "yes_no", "low", "high"),
    [
        ("我的订单号是", (), False, 0.0, 0.1),
        ("我想要", (), False, 0.0, 0.1),
        ("因为", (), False, 0.0, 0.1),
        ("我的快递到哪里了？", (), False, 0.8, 1.0),
        ("谢谢，再见。", (), False, 0.9, 1.0),
        ("我想退货", (), False, 0.5, 0.8),
        ("我想退货，", (), False, 0.1, 0.4),
        ("四二七", ("order_number",), False, 0.0, 0.1),
        ("四二七一九", ("order_number",), False, 0.9, 1.0),
        ("是的", (), True, 0.9, 1.0),
        ("嗯", (), False, 0.8, 0.9),
    ],
)
def test_how_finished_a_turn_is(text: str, expected: tuple[str, ...], yes_no: bool, low: float, high: float) -> None:
    completeness = Completeness(SPECS)
    at = SlotContext(AT.today, expected, yes_no, "zh")
    assert low <= completeness.probability(text, UnderstandingContext(expected, yes_no, "zh"), at) <= high


class Named:
    """Understands everything as its own name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def understand(self, text: str, context: UnderstandingContext = UnderstandingContext()) -> Understood:  # noqa: B008
        return Understood(self.name, 1.0)


def test_a_turn_is_understood_in_its_language_which_is_opened_on_need() -> None:
    made: list[str] = []

    def make() -> Named:
        made.append("zh")
        return Named("chinese")

    both = MultilingualUnderstanding(Named("english"), {"zh": make})
    assert both.understand("where is my order").intent == "english"
    assert made == []
    assert both.understand("我的订单", UnderstandingContext(language="en")).intent == "chinese"
    assert both.understand("OK", UnderstandingContext(language="zh")).intent == "chinese"
    assert both.understand("42719", UnderstandingContext(language="zh-CN")).intent == "chinese"
    assert both.understand("speak English please", UnderstandingContext(language="zh")).intent == "english"
    assert both.understand("hola", UnderstandingContext(language="es")).intent == "english"
    assert made == ["zh"]
