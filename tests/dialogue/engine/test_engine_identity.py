"""Flows and actions for proven callers only: when the question comes, and what becomes of the task."""

from __future__ import annotations

from counter import Call, Counter


async def test_a_flow_for_proven_callers_asks_first_and_goes_on(call: Call) -> None:
    asked = await call.say("what have I borrowed", "loans")
    assert asked.text == "First I need to check who you are. What's your card number?"
    answer = await call.prove()
    assert "Noor Lind, you have 3 books." in answer.text
    assert call.library.ran[-1] == ("list_loans", {"customer": "m1"})
    assert call.state.customer == {"outcome": "proven", "id": "m1", "name": "Noor Lind"}


async def test_who_is_proven_is_not_asked_again(call: Call) -> None:
    await call.say("what have I borrowed", "loans")
    await call.prove()
    answer = await call.say("and renew 4020", "renew", book="4020")
    assert "Moby Dick is yours for two more weeks, Noor Lind." in answer.text
    assert call.library.names.count("check_pin") == 1


async def test_an_action_for_proven_callers_asks_where_it_comes_up(call: Call) -> None:
    asked = await call.say("renew 4020", "renew", book="4020")
    assert asked.text == "First I need to check who you are. What's your card number?"
    assert call.library.names == ["find_book"]
    answer = await call.prove()
    assert "Moby Dick is yours for two more weeks" in answer.text
    assert call.library.ran[-1] == ("renew", {"number": "4020", "customer": "m1"})


async def test_a_second_task_takes_up_the_identity_flow_that_is_open(call: Call) -> None:
    await call.say("what have I borrowed", "loans")
    await call.say("112233", "give_information", card="112233")
    asked = await call.say("I also want to pay my fine", "pay")
    assert "And your PIN?" in asked.text
    assert "card number" not in asked.text
    assert [frame.flow for frame in call.state.frames].count("verify") == 1
    answer = await call.say("9876", "give_information", pin="9876")
    assert "How much would you like to pay?" in answer.text
    answer = await call.say("two dollars", "give_information", amount={"minor": 200, "currency": "USD"})
    answer = await call.yes()
    assert "Your payment of $2 is done." in answer.text
    assert "Noor Lind, you have 3 books." in answer.text
    assert call.library.names.count("check_pin") == 1


async def test_a_wrong_proof_may_be_mended(call: Call) -> None:
    await call.say("what have I borrowed", "loans")
    await call.say("112233", "give_information", card="112233")
    wrong = await call.say("1111", "give_information", pin="1111")
    assert wrong.text == "That isn't the right PIN. And your PIN?"
    assert "you have 3 books" in (await call.say("9876", "give_information", pin="9876")).text


async def test_a_proof_that_fails_ends_the_task_and_nothing_of_it_runs(call: Call) -> None:
    await call.say("what have I borrowed", "loans")
    await call.say("112233", "give_information", card="112233")
    await call.say("1111", "give_information", pin="1111")
    answer = await call.say("2222", "give_information", pin="2222")
    assert answer.text == "I can't confirm that it's you. Is there anything else I can help with?"
    assert call.state.frames == []
    assert call.state.customer is None
    assert "list_loans" not in call.library.names
    again = await call.say("renew 4020", "renew", book="4020")
    assert "First I need to check" in again.text
    await call.say("112233", "give_information", card="112233")
    assert "I can't confirm that it's you." in (await call.say("9876", "give_information", pin="9876")).text
    assert "renew" not in call.library.names


async def test_never_mind_inside_the_identity_flow_drops_the_task(call: Call) -> None:
    await call.say("what have I borrowed", "loans")
    answer = await call.say("never mind", "deny", yes_no=False)
    assert "I've left your loans as it is" in answer.text
    assert call.state.frames == []
    assert call.state.customer is None


async def test_a_question_during_the_proof_is_answered_and_the_proof_goes_on(call: Call) -> None:
    await call.say("what have I borrowed", "loans")
    aside = await call.say("when is the library open", "question")
    assert "The library is open from nine to six" in aside.text
    assert aside.text.endswith("What's your card number?")


async def test_who_is_proven_in_one_call_is_not_in_another(counter: Counter) -> None:
    first = counter.ring()
    await first.say("what have I borrowed", "loans")
    await first.prove()
    second = counter.ring(call_id="call-2")
    assert "First I need to check" in (await second.say("what have I borrowed", "loans")).text
