"""A domain in another language: its texts, patterns and rules, and a call that changes to it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conversation import SHOP, Conversation, Desk, WordEncoder, gather, open_desk

from agent.dialogue.contracts import CallerTurn
from agent.dialogue.domain import Domain
from agent.dialogue.extending import read_files
from agent.dialogue.loader import load_domain
from agent.dialogue.manner import matches
from agent.dialogue.text import choose_option
from agent.dialogue.translation import translated
from models.contracts import Slot, Understood
from models.languages import written_in


@pytest.fixture(scope="module")
def shop() -> Domain:
    return load_domain(SHOP)


@pytest.fixture(scope="module")
def chinese(shop: Domain) -> Domain:
    return shop.localized["zh"]


def problems_of(folder: Path) -> list[str]:
    problems: list[str] = []
    files = read_files(folder, problems)
    assert files is not None
    translated(files, "zh", problems)
    return problems


def test_a_rule_keeps_all_but_its_words(shop: Domain, chinese: Domain) -> None:
    for one, other in zip(shop.manner.escalation, chinese.manner.escalation, strict=True):
        assert (one.name, one.reason, one.priority, one.intent) == (
            other.name,
            other.reason,
            other.priority,
            other.intent,
        )
    rules = {rule.name: rule for rule in chinese.manner.escalation}
    assert matches(rules["injury"].words, "炉子着火了")
    assert not matches(rules["injury"].words, "炉子点不着火")
    assert rules["legal"].say is not None
    assert "转接" in rules["legal"].say.text[0]


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("texts.yaml", '"your order": 您的订单\n', "", "there is no translation of 'your order'; add it"),
        ("texts.yaml", '"your order"', '"our order": 我们的\n"your order"', "nothing says 'our order' any more"),
        ("texts.yaml", "订单{order.number}之前已经取消了", "订单{order.sum}取消了", "names a value that"),
        ("intents.yaml", "  stock_alert:", "  stock_alarm:", "intent 'stock_alert' has no examples in this language"),
        ("intents.yaml", "  stock_alert:", "  stock_alarm:", "the domain has no intent 'stock_alarm'"),
        ("domain.yaml", "name: injury", "name: injuries", "the domain has no escalation rule 'injuries'"),
        ("domain.yaml", "business:", "offer: 好\nbusiness:", "a translation has no 'offer'"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, name: str, old: str, new: str, problem: str) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(SHOP, folder)
    path = folder / "zh" / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert any(problem in line for line in problems_of(folder)), problems_of(folder)


@pytest.mark.parametrize(
    ("name", "said", "other"),
    [
        ("never_mind", ["算了吧", "我不退了"], ["不用客气", "是不是不能退了", "不取消了吗"]),
        ("go_on", ["请继续", "能再详细说说吗"], ["我要继续退货"]),
        ("unknown", ["我不知道单号", "忘了", "找不到了"], ["好的"]),
        ("negation", ["我不想退", "没有", "不要"], ["能不能退", "不好意思", "对不起", "没问题"]),
        ("slower", ["慢一点", "你说得太快了"], ["物流太慢了"]),
        ("faster", ["说快一点"], ["物流太慢了", "快点发货"]),
        ("louder", ["大声一点", "声音太小了"], ["有多大", "影响大吗"]),
        ("goodbye", ["拜拜", "那我先挂了"], ["我要挂失"]),
        ("no_offers", ["不要再给我推销了"], ["我不要这个"]),
    ],
)
def test_chinese_words_with_a_fixed_meaning(chinese: Domain, name: str, said: list[str], other: list[str]) -> None:
    patterns = getattr(chinese.manner.listening, name)
    assert [text for text in said if not matches(patterns, text)] == []
    assert [text for text in other if matches(patterns, text)] == []


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("登山靴", "峰顶登山靴"),
        ("退那双靴子", "峰顶登山靴"),
        ("那个灯", "灯塔露营灯"),
        ("都要退", "all"),
        ("我不知道", None),
        ("靴子和灯", None),
        ("我上个星期去爬山的时候下了好大的雨", None),
    ],
)
def test_an_option_by_a_part_of_its_name(said: str, chosen: str | None) -> None:
    assert choose_option(said, ["峰顶登山靴", "灯塔露营灯"]) == chosen


class Bilingual:
    """A call whose turns are in a language."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk

    async def say(self, language: str, text: str, intent: str, **slots: object) -> str:
        self._talk.number += 1
        values = tuple(Slot(name, value, str(value), (0, 0)) for name, value in slots.items())
        heard = Understood(intent, 0.95, ((intent, 0.95),), values)
        answer = await gather(self._talk.call.respond(CallerTurn(self._talk.number, text, heard, language=language)))
        self._talk.call.heard(answer.text, True)
        return answer.text


@pytest.fixture
async def call(tmp_path: Path, shop: Domain):  # type: ignore[no-untyped-def]
    desk: Desk = await open_desk(tmp_path / "shop.db", domain=shop)
    yield Bilingual(desk.call())
    await desk.actions.close()


async def test_what_actions_gave_is_read_again_in_the_new_language(call: Bilingual) -> None:
    text = await call.say("en", "cancel order 42750", "cancel_order", order_number="42750")
    assert "the Ridge backpack and the Ember camp stove" in text
    text = await call.say("zh", "请说中文", "out_of_scope")
    assert text == "订单42750是山脊背包和星火露营炉，一共194美元25美分。 要取消吗？"
    text = await call.say("zh", "好", "affirm", yes_no=True)
    assert "订单42750已取消" in text
    assert "3到5个工作日" in text


async def test_an_item_chosen_in_one_language_is_returned_in_the_other(call: Bilingual) -> None:
    assert "峰顶登山靴和灯塔露营灯" in await call.say("zh", "退货四二七一八", "return_order", order_number="42718")
    assert "退灯塔露营灯" in await call.say("zh", "退灯", "give_information")
    text = await call.say("en", "the glass is cracked", "out_of_scope")
    assert "return of the Beacon lantern from order 42718, for a refund of $38.50" in text
    assert "3 to 5 business days" in await call.say("en", "yes please", "affirm", yes_no=True)


class Noting(WordEncoder):
    """Keeps what it encoded."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.texts += texts
        return super().encode(texts)


async def test_the_sections_of_another_language_wait_for_its_first_question(tmp_path: Path, shop: Domain) -> None:
    encoder = Noting()
    desk = await open_desk(tmp_path / "shop.db", encoder, shop)
    talk = Bilingual(desk.call())
    assert desk.engine.knowledge["zh"].sections == len(shop.localized["zh"].facts) > 50
    await talk.say("en", "when do you close", "policy_question")
    assert encoder.texts
    assert not any(written_in(text) == "zh" for text in encoder.texts)
    await talk.say("zh", "你们几点关门", "policy_question")
    await desk.actions.close()
    assert any("营业时间" in text for text in encoder.texts)


async def test_two_of_a_thing_have_a_measure_word(call: Bilingual) -> None:
    assert "两盏灯塔露营灯和溪流净水器" in await call.say("zh", "取消四二七二三", "cancel_order", order_number="42723")
