"""Chinese sections with the real encoder: found by paraphrases, by English, and refused where they know nothing."""

from __future__ import annotations

import pytest

from agent.dialogue.domain import Fact
from agent.dialogue.knowledge import KnowledgeBase
from agent.dialogue.manner import KnowledgeSettings
from models.encoder import SentenceEncoder

FACTS = (
    Fact("a.md#return", "退货政策是什么？", "送达后30天内可以退货，全额退款。", ("我不想要了可以退吗",)),
    Fact("a.md#fee", "运费是多少？", "订单满75美元免运费，不满的话运费是6.95美元。", ("送货要钱吗", "邮费多少")),
    Fact(
        "a.md#hours", "你们几点开门？", "我们周一到周六早上九点到晚上六点营业，周日休息。", ("营业时间", "周末开门吗")
    ),
    Fact("a.md#tent", "帐篷防水吗？", "两款帐篷都防水，大雨也没问题。", ("下雨天帐篷会漏水吗",)),
    Fact("a.md#pay", "可以用什么方式付款？", "我们接受各种信用卡、支付宝和微信支付。", ("能用微信付款吗",)),
)


@pytest.fixture(scope="module")
def base() -> KnowledgeBase:
    return KnowledgeBase(FACTS, SentenceEncoder(), KnowledgeSettings())


@pytest.mark.parametrize(
    ("question", "source"),
    [("东西买了几天还可以退", "a.md#return"), ("寄过来要多少运费", "a.md#fee"), ("星期天你们营业吗", "a.md#hours"),
     ("帐篷下大雨会不会漏", "a.md#tent"), ("可以刷信用卡吗", "a.md#pay"), ("can I pay by card", "a.md#pay")],
)  # fmt: skip
def test_finds_the_section(base: KnowledgeBase, question: str, source: str) -> None:
    found = base.find(question)
    assert found is not None
    assert found.source == source
    assert found.answers
    assert found.answer == found.fact.text


@pytest.mark.parametrize("question", ["你们卖不卖皮划艇", "今天天气怎么样", "我想订一张去北京的机票", "店里能带狗吗"])
def test_refuses_what_it_does_not_know(base: KnowledgeBase, question: str) -> None:
    found = base.find(question)
    assert found is not None
    assert not found.answers
