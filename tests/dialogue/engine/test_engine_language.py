"""A caller who changes the language keeps task, place and values."""

from __future__ import annotations

from counter import Call, Counter


async def test_a_task_goes_on_in_the_other_language(call: Call) -> None:
    await call.say("a room for three", "room", people="3", language="en")
    assert [frame.flow for frame in call.state.frames] == ["room", "pick_day"]
    answer = await call.say("五月七号", "give_information", day="2026-05-07", language="zh")
    assert answer.text == "要订5月7日3人的oak room吗？"
    assert {say.language for say in answer.says} == {"zh"}
    assert answer.expect.context.language == "zh"
    assert answer.facts["language"] == "zh"
    back = await call.say("yes please", "affirm", yes_no=True, language="en")
    assert back.text.startswith("The oak room is yours.")
    assert call.library.ran[-1][0] == "reserve"


async def test_who_was_proven_stays_so(call: Call) -> None:
    await call.say("what have I borrowed", "loans", language="en")
    await call.prove()
    answer = await call.say("帮我续借4020", "renew", book="4020", language="zh")
    assert "Noor Lind，Moby Dick再借两周。" in answer.text
    assert call.library.names.count("check_pin") == 1


async def test_questions_are_answered_from_the_knowledge_of_the_language(call: Call) -> None:
    answer = await call.say("图书馆几点开门？", "question", language="zh")
    assert "nine" not in answer.text


async def test_a_language_that_the_domain_does_not_speak_changes_nothing(call: Call) -> None:
    answer = await call.say("una sala por favor", "room", language="es")
    assert answer.text == "For which day?"
    assert call.state.language == ""


async def test_each_language_has_its_own_fixed_phrases(counter: Counter) -> None:
    english = {text for text, _ in counter.engine.fixed_phrases()}
    chinese = {text for text, _ in counter.engine.fixed_phrases("zh")}
    assert "For which day?" in english
    assert "哪一天？" in chinese
    assert not {"For which day?", "How can I help?"} & chinese
