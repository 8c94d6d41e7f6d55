from collections.abc import Sequence
from typing import Any

import pytest

from agent.handoff.briefing import MOST_WORDS, better, brief, brief_request, cite, count_words
from agent.handoff.contracts import HandoffRequest

ROWS: list[dict[str, Any]] = [
    {"speaker": "agent", "text": "Acme Shop, how can I help?", "turn": 0},
    {"speaker": "caller", "text": "This is Maria Doe, I want to cancel order five four three two one", "turn": 1},
    {"speaker": "agent", "text": "I cannot cancel order 54321, it has been shipped", "turn": 2},
    {"speaker": "caller", "text": "That is ridiculous! Give me somebody with a brain", "turn": 3},
]
SLOTS = {
    "name": {"value": "Maria Doe", "verified": True},
    "order": {"value": "54321", "verified": False},
    "pin": {"value": "withheld", "verified": True},
    "city": {"value": "Springfield", "verified": True},
}
ACTIONS = [{"name": "cancel_order", "arguments": {"order": "54321"}, "ok": False}]
EMOTION = [{"turn": 1, "label": "neutral", "anger": 0.1}, {"turn": 3, "label": "angry", "anger": 0.9}]


def request(**more: Any) -> HandoffRequest:
    fields: dict[str, Any] = {
        "transcript": ROWS,
        "intent": "cancel_order",
        "slots": SLOTS,
        "actions": ACTIONS,
        "emotion": EMOTION,
    }
    return HandoffRequest("h", "c", "plain", "g", "asked", "asked", **(fields | more))


def test_who_what_tried_and_how_the_caller_feels_each_with_its_turns() -> None:
    briefing = brief_request(request())
    assert [(one.text, one.turns) for one in briefing.sentences] == [
        ("The caller is Maria Doe (verified).", (1,)),
        ("Wish, cancel order: “This is Maria Doe, I want to cancel order five four three two one”.", (1,)),
        ("Given: order 54321 (not verified).", (1, 2)),
        ("Tried without success: cancel order.", (1, 2)),
        ("Sounded angry and still does.", (3,)),
        ("Last words: “That is ridiculous! Give me somebody with a brain”.", (3,)),
    ]
    assert count_words(briefing.text) <= MOST_WORDS


def test_chinese() -> None:
    rows = [
        {"speaker": "caller", "text": "我要取消订单，订单号是五四三二一"},
        {"speaker": "agent", "text": "订单已经发货，无法取消"},
        {"speaker": "caller", "text": "太过分了，我要找人工"},
    ]
    slots = {"order": {"value": "54321", "verified": True}}
    briefing = brief(rows, intent="cancel_order", slots=slots, emotion=[{"turn": 2, "anger": 0.8}], language="zh-CN")
    assert briefing.text == (
        "诉求：“我要取消订单，订单号是五四三二一”。已提供：order 54321（已核实）。"
        "客服最后说：“订单已经发货，无法取消”。情绪：生气，仍未平复。来电者最后说：“太过分了，我要找人工”。"
    )
    assert [one.turns for one in briefing.sentences] == [(0,), (0,), (1,), (2,), (2,)]


def test_what_no_turn_bears_out_is_left_out() -> None:
    briefing = brief_request(request(transcript=ROWS[:1], emotion=EMOTION))
    assert [one.text for one in briefing.sentences] == ["The agent last said: “Acme Shop, how can I help?”."]
    assert brief_request(request(transcript=[])).sentences == ()


def test_calmer_now_and_felt_otherwise() -> None:
    calmer = [{"turn": 1, "label": "angry", "anger": 0.9}, {"turn": 3, "label": "neutral", "anger": 0.0}]
    assert ("Sounded angry, is calmer now.", (1, 3)) in [
        (one.text, one.turns) for one in brief_request(request(emotion=calmer)).sentences
    ]
    sad = [{"turn": 3, "label": "sad", "anger": 0.1}]
    assert "Sounds sad." in brief_request(request(emotion=sad)).text


@pytest.mark.parametrize("word", ["word", "很"])
def test_never_more_than_eighty_words_and_the_least_goes_first(word: str) -> None:
    long = [{"speaker": who, "text": f"{word} " * 300, "turn": n} for n, who in enumerate(["caller", "agent"] * 6)]
    slots = {f"slot {n}": {"value": f"{word}", "verified": False} for n in range(30)}
    briefing = brief(long, intent=word, slots=slots, actions=[{"name": word * 9, "ok": n % 2} for n in range(40)])
    assert 0 < count_words(briefing.text) <= MOST_WORDS
    assert briefing.sentences[0].turns == (0,)


def test_private_numbers_do_not_get_in() -> None:
    rows = [{"speaker": "caller", "text": "My card is 4111 1111 1111 1111 and I am jane@example.com", "turn": 4}]
    briefing = brief(rows, slots={"card": {"value": "4111 1111 1111 1111", "verified": True}})
    assert "4111" not in briefing.text
    assert "jane@" not in briefing.text


class Wording:
    def __init__(self, text: str, on: bool = True) -> None:
        self.text, self.on = text, on
        self.private: dict[str, str] = {}

    def does(self, use: str) -> bool:
        return self.on

    async def summary(self, facts: Sequence[str], paragraph: str, *, language: str = "en", private: Any = None) -> str:
        self.private = dict(private)
        return self.text


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("Maria Doe wants to cancel order 54321. It has been shipped.", [(1,), (2,)]),
        ("Maria Doe wants to cancel order 99999.", None),
        ("Maria Doe wants to cancel order 54321. She was promised a refund of $40.", None),
        ("Order 54321 has not been shipped.", None),
        ("word " * 81, None),
        ("", None),
    ],
)
async def test_a_models_words_stay_only_where_turns_bear_out_every_sentence(
    text: str, turns: list[tuple[int, ...]] | None
) -> None:
    rules, writer = brief_request(request()), Wording(text)
    found = await better(rules, request(), writer)  # type: ignore[arg-type]
    assert writer.private == {"name": "Maria Doe"}
    if turns is None:
        assert found is rules
    else:
        assert found.by == "model"
        assert [set(one.turns) for one in found.sentences] == [set(one) for one in turns]


async def test_without_a_model_the_rules_stand() -> None:
    rules = brief_request(request())
    assert await better(rules, request(), None) is rules
    assert await better(rules, request(), Wording("x", on=False)) is rules  # type: ignore[arg-type]


def test_citing_takes_as_few_turns_as_have_it() -> None:
    known = [("Caller: I want to cancel order 54321", (1,)), ("Agent: it has been shipped", (2,))]
    assert cite("The caller wants to cancel order 54321.", known) == (1,)
    assert cite("The caller wants a new kettle.", known) == ()
