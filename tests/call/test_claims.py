"""Which words over the agent claim the floor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.claims import claims_floor, is_echo, words_of

AGENT = "You can return anything within 30 days of delivery for a full refund."


@pytest.mark.parametrize("text", ["", "...", "Uh-huh.", "mm-hmm", "okay, right", "I see.", "Yeah, yeah.", "Thank you!"])
def test_company_does_not_claim_the_floor(text):
    assert not claims_floor(text, AGENT, asked_yes_no=False)


@pytest.mark.parametrize(
    "text", ["no", "No wait, I meant the other one.", "okay but when", "stop", "42718", "Where is it?"]
)
def test_words_meant_for_an_answer_claim_it(text):
    assert claims_floor(text, AGENT, asked_yes_no=False)


@pytest.mark.parametrize("text", ["Yes.", "yeah, sure", "okay", "right", "Nope."])
def test_once_yes_or_no_was_asked_they_are_answers(text):
    assert claims_floor(text, "Shall I cancel it?", asked_yes_no=True)


@pytest.mark.parametrize("text", ["mm-hmm", "I see", "great"])
def test_other_company_is_no_answer_even_then(text):
    assert not claims_floor(text, "Shall I cancel it?", asked_yes_no=True)


@pytest.mark.parametrize(
    "text",
    [
        "return anything within 30 days",
        "within thirty days of delivery for a full refund",
        "days of delivery for a full",
    ],
)
def test_the_agents_own_words_coming_back_are_an_echo(text):
    assert not claims_floor(text, AGENT, asked_yes_no=False)


@pytest.mark.parametrize(
    "text",
    [
        "refund",
        "full refund",
        "for a refund you said anything",
        "delivery of days within anything return",
        "what about shoes then",
    ],
)
def test_single_words_other_words_and_other_orders_are_no_echo(text):
    assert claims_floor(text, AGENT, asked_yes_no=False)


def test_nothing_is_an_echo_of_silence():
    assert not is_echo(words_of("return anything within"), [])
    assert claims_floor("return anything within", "", asked_yes_no=False)


@given(st.lists(st.sampled_from(words_of(AGENT)), max_size=12), st.integers(0, 8), st.integers(3, 8))
def test_any_stretch_of_what_was_said_is_an_echo_of_it(before, first, length):
    said = before + words_of(AGENT)
    stretch = words_of(AGENT)[first : first + length]
    assert is_echo(stretch, said) is (len(stretch) >= 3)


@given(st.text(), st.text(), st.booleans())
def test_any_words_are_judged(text, agent, asked):
    claimed = claims_floor(text, agent, asked)
    assert not (claimed and not words_of(text))
