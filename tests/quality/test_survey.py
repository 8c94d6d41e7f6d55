"""The survey: what counts as an answer, and how it stands before the goodbye of the real dialogue."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from qualityfakes import CONFIG, agent, evidence, good

sys.path.insert(0, str(Path(__file__).parents[1] / "dialogue"))

from conversation import SHOP, Answer, Conversation, gather, open_desk

from agent.dialogue.contracts import Dialogue, Expect, HangUp
from agent.dialogue.domain import Domain
from agent.dialogue.loader import load_domain
from agent.quality.satisfaction import survey_of
from agent.quality.survey import SurveyedDialogue, SurveySettings, goodbyes, load_survey, read_answer
from agent.yamlfile import FileError
from agent.yamlfile import read_yaml as read

DEFAULTS = CONFIG / "survey.yaml"
SETTINGS = SurveySettings.model_validate({**read(DEFAULTS).data, "ask": True})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Five.", 5), ("4 out of 5", 4), ("a four", 4), ("I'd say a 3", 3), ("1", 1), ("No, five!", 5),
        ("very satisfied", 5), ("good", 4), ("not bad", 4), ("it was okay", 3), ("not very happy", 2),
        ("I wasn't satisfied", 2), ("terrible", 1), ("very bad", 1),
        ("五分", 5), ("三分吧", 3), ("非常满意", 5), ("满意", 4), ("一般", 3), ("不满意", 2), ("很差", 1), ("不差", 4),
    ],
)  # fmt: skip
def test_answers(text: str, value: int) -> None:
    answer = read_answer(text)
    assert answer is not None
    assert (answer.value, answer.via) == (value, "words")


@pytest.mark.parametrize("text", ["no thanks", "No.", "goodbye", "I'd rather not", "不用了", "没空"])
def test_declined(text: str) -> None:
    answer = read_answer(text)
    assert answer is not None
    assert (answer.value, answer.via) == (None, "declined")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ten",
        "10",
        "0",
        "between three and four",
        "I want to cancel my order",
        "one more thing",
        "等一下",
        "hm " * 9,
    ],
)
def test_no_answers(text: str) -> None:
    assert read_answer(text) is None


def test_keys() -> None:
    answer = read_answer("", "4#")
    assert answer is not None
    assert (answer.value, answer.via) == (4, "key")
    assert [read_answer("", keys) for keys in ("0", "6", "45", "*", "", "²")] == [None] * 6


@pytest.fixture(scope="module")
def shop() -> Domain:
    return load_domain(SHOP)


@pytest.fixture
async def talk(tmp_path: Path, shop: Domain) -> AsyncIterator[Conversation]:
    desk = await open_desk(tmp_path / "shop.db", domain=shop)
    call = desk.call()
    call.call = SurveyedDialogue(call.call, SETTINGS, goodbyes(desk.domain), "en")  # type: ignore[assignment]
    await gather(call.call.open("+15035550101", {}))
    yield call
    await desk.actions.close()


async def to_the_survey(talk: Conversation) -> Answer:
    await talk.say("what is your return policy", "policy_question")
    return await talk.say("no that's all goodbye", "goodbye")


def told(answer: Answer) -> Any:
    """The reasons as a reply keeps them."""
    reasons: dict[str, Any] = {}
    for part in answer.parts:
        reasons |= getattr(part, "facts", {})
    return reasons.get("survey")


async def test_people_run_the_actions_of_the_dialogue_inside(talk: Conversation) -> None:
    dialogue: Any = talk.call
    names = {one["name"] for one in dialogue.runnable()}
    assert "find_order" in names
    acted = await dialogue.act("find_order", {"order_number": "42719"})
    assert acted.ok
    with pytest.raises(ValueError, match="no_such"):
        await dialogue.act("no_such", {})


async def test_asks_before_the_goodbye(talk: Conversation) -> None:
    asked = await to_the_survey(talk)
    assert "from 1 to 5" in asked.text
    assert "Goodbye" not in asked.text
    assert asked.hang_up is None
    assert isinstance(asked.expect, Expect)
    assert told(asked) == {"asked": 1}
    thanked = await talk.say("five", "out_of_scope")
    assert thanked.text == "Thank you for your answer. Thanks for calling Harbor & Pine Outfitters. Goodbye."
    assert thanked.hang_up == HangUp("goodbye")
    assert told(thanked) == {"value": 5, "via": "words"}


async def test_an_answer_by_key_after_one_that_was_none(talk: Conversation) -> None:
    await to_the_survey(talk)
    again = await talk.press("9")
    assert again.text.startswith("Sorry, please give a number")
    assert again.hang_up is None
    thanked = await talk.press("2")
    assert told(thanked) == {"value": 2, "via": "key"}
    assert thanked.hang_up is not None


@pytest.mark.parametrize("said", ["no thanks", "silence", "hmm"])
async def test_without_an_answer_it_says_goodbye(talk: Conversation, said: str) -> None:
    await to_the_survey(talk)
    if said == "hmm":
        await talk.say("hmm", "wait")
    last = await talk.stay_silent(1) if said == "silence" else await talk.say(said, "deny")
    assert last.text.endswith("Goodbye.")
    assert "Thank you for your answer" not in last.text
    assert last.hang_up is not None
    assert told(last)["value"] is None


async def test_another_wish_goes_on(talk: Conversation) -> None:
    await to_the_survey(talk)
    more = await talk.say("oh and where is my order", "order_status")
    assert "order number" in more.text
    assert more.hang_up is None


async def test_short_calls_are_not_asked(talk: Conversation) -> None:
    left = await talk.say("wrong number goodbye", "goodbye")
    assert left.text.endswith("Goodbye.")
    assert left.hang_up == HangUp("goodbye")


async def test_previews_and_what_is_taken_back_change_nothing(talk: Conversation) -> None:
    call: Dialogue = talk.call
    await talk.say("what is your return policy", "policy_question")
    leaving = talk.turn("goodbye", "goodbye")
    before = call.snapshot()
    foreseen = await gather(call.preview(leaving))
    assert "from 1 to 5" in foreseen.text
    asked = await gather(call.respond(leaving))
    assert [part.text for part in foreseen.says] == [part.text for part in asked.says]
    assert (await gather(call.preview(talk.turn("five", "out_of_scope")))).parts == []
    call.restore(before)
    assert "from 1 to 5" in (await gather(call.respond(leaving))).text
    assert not call.sensitive
    assert call.context.expected_slots == ()
    assert ("Thank you for your answer.", "neutral") in call.fixed_phrases()


async def test_asks_in_the_callers_language(talk: Conversation) -> None:
    await talk.say("what is your return policy", "policy_question")
    turn = talk.turn("没有了再见", "goodbye")
    object.__setattr__(turn, "language", "zh")
    asked = await gather(talk.call.respond(turn))
    assert "一到五分" in asked.text
    assert {say.language for say in asked.says} == {"zh"}


async def test_a_person_who_takes_the_call_ends_the_survey(talk: Conversation) -> None:
    await to_the_survey(talk)
    talk.call.overheard("human", "Hello, Bo here. Five minutes please.", None)
    back = await gather(talk.call.handed_back("bo", "told about the delay"))
    assert back.text
    assert told(await talk.say("five", "out_of_scope")) is None
    assert talk.call.instruct("apologise")
    members = [name for name in vars(Dialogue) if not name.startswith("_")]
    assert [name for name in members if not hasattr(SurveyedDialogue, name)] == []


def test_the_last_answer_of_a_call_counts() -> None:
    turns = [*good()[:-1], agent(2, "Thanks.", 13_000.0, 14_000.0, survey={"value": 3, "via": "key"})]
    assert survey_of(evidence(turns)) == 3
    assert (
        survey_of(evidence([*turns[:-1], agent(2, "Bye.", 1.0, 2.0, survey={"value": None, "via": "silence"})])) is None
    )
    assert survey_of(evidence([*turns[:-1], agent(2, "Bye.", 1.0, 2.0, survey={"value": 9})])) is None


def test_survey_files(tmp_path: Path) -> None:
    assert load_survey(tmp_path, DEFAULTS) is None
    own = tmp_path / "survey.yaml"
    own.write_text("ask: true\nthanks: {en: Cheers., zh: 谢谢。}\n")
    settings = load_survey(tmp_path, DEFAULTS)
    assert settings is not None
    assert settings.thanks["en"] == "Cheers."
    assert settings.question == SETTINGS.question
    own.write_text("ask: false\n")
    assert load_survey(tmp_path, DEFAULTS) is None
    for text, problem in (
        ("ask: true\nquestoin: {}\n", "survey.yaml:2: unknown key 'questoin'"),
        ("ask: true\nthanks: {en: Cheers.}\n", "'thanks' has no text in 'zh'"),
        ("- ask\n", "is no mapping"),
    ):
        own.write_text(text)
        with pytest.raises(FileError, match=problem):
            load_survey(tmp_path, DEFAULTS)
