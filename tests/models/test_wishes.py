"""Where a turn is parted, and which of its parts are wishes."""

from __future__ import annotations

import numpy as np
import pytest

from models.text_model import Reading
from models.wishes import CLEAR, parts, wishes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("where is my order", ["where is my order"]),
        ("where is my order and what is your return policy", ["where is my order", "what is your return policy"]),
        ("cancel my order. when are you open?", ["cancel my order", "when are you open"]),
        ("cancel it, also tell me the time", ["cancel it", "tell me the time"]),
        ("cancel it and then send me a new one", ["cancel it", "send me a new one"]),
        ("a tent and a lamp", ["a tent and a lamp"]),
        ("I bought bread and butter", ["I bought bread and butter"]),
        ("yes. cancel it please", ["cancel it please"]),
        ("cancel it please. thanks", ["cancel it please. thanks"]),
        ("that costs $4.50 for me", ["that costs $4.50 for me"]),
        ("", []),
        ("   ", []),
        ("?!", []),
        ("查一下我的订单，还有帮我取消会员", ["查一下我的订单", "帮我取消会员"]),
        ("我的账户里还有多少钱", ["我的账户里还有多少钱"]),
        ("我另外一个账户还有没有钱", ["我另外一个账户还有没有钱"]),
        ("我的订单到哪了？你们几点开门？", ["我的订单到哪了", "你们几点开门"]),
        ("查一下我的订单", ["查一下我的订单"]),
    ],
)
def test_parts(text: str, expected: list[str]) -> None:
    found = parts(text)
    assert [piece for _, piece in found] == expected
    assert all(text[start : start + len(piece)] == piece for start, piece in found)


def reads(**known: tuple[str, float]):
    """A model that knows the intent by a word of the text."""

    def read(texts: list[str]) -> list[Reading]:
        read.calls += 1
        found = [next((value for word, value in known.items() if word in text), ("other", 0.9)) for text in texts]
        vector = np.ones(1, np.float32)
        return [Reading((known,), *known, (), {}, vector) for known in found]

    read.calls = 0
    return read


IDLE = frozenset({"thanks", "give_information"})
TEXT = "thank you very much. cancel my order and when are you open"


def test_what_asks_for_nothing_is_no_wish() -> None:
    read = reads(thank=("thanks", 0.99), cancel=("cancel", 0.9), when=("hours", 0.8))
    found = wishes(TEXT, read, IDLE)
    assert [(said.intent, said.text) for said in found] == [
        ("cancel", "cancel my order"),
        ("hours", "when are you open"),
    ]
    assert all(TEXT[said.start :].startswith(said.text) for said in found)
    assert read.calls == 1


@pytest.mark.parametrize(("confidence", "count"), [(CLEAR, 2), (CLEAR - 0.01, 0)])
def test_a_part_must_be_clear_and_one_wish_is_none(confidence: float, count: int) -> None:
    read = reads(thank=("thanks", 0.99), cancel=("cancel", confidence), when=("hours", 0.9))
    assert len(wishes(TEXT, read, IDLE)) == count


def test_two_questions_are_two_wishes() -> None:
    read = reads(when=("question", 0.9), where=("question", 0.9))
    found = wishes("when are you open and where can I park", read, IDLE)
    assert [said.intent for said in found] == ["question", "question"]


def test_a_text_of_one_part_is_not_read_again() -> None:
    read = reads()
    assert wishes("cancel my order", read, IDLE) == ()
    assert read.calls == 0
