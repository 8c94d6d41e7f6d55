"""Which sentences rest on their section: 186 true and 307 false ones, as models word them, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from agent.dialogue.writing.evidence import Evidence
from agent.dialogue.writing.faithful import NEAR, judge, near
from models.encoder import SentenceEncoder

ROWS = yaml.safe_load(Path(__file__).with_name("faithful.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Section:
    heading: str
    text: str
    source: str = "facts.md#one"


def evidence(row):
    return Evidence([Section(row["heading"], row["text"])])


FALSE = [(row, sentence) for row in ROWS for sentence in row["bad"]]
TRUE = [(row, sentence) for row in ROWS for sentence in row["good"]]


def test_hardly_a_false_sentence_passes():
    passed = [sentence for row, sentence in FALSE if judge(sentence, evidence(row), row["question"]).reason is None]
    assert len(FALSE) > 300
    assert passed == KNOWN


KNOWN = [
    "Your landlord can register you.",
    "Courses are included in the Full membership.",
    "The form can only be handed in on paper.",
    "Visitors may stay all night.",
]
"""What words alone let through: who does it is swapped, or "only" is new. Meaning refuses the first and the third."""

MEANT = [(row, sentence) for row, sentence in FALSE if sentence in KNOWN]


def test_most_true_sentences_pass_and_keep_their_source():
    verdicts = [judge(sentence, evidence(row), row["question"]) for row, sentence in TRUE]
    assert sum(verdict.reason is None for verdict in verdicts) / len(TRUE) >= 0.89
    assert {verdict.source for verdict in verdicts if verdict.reason is None} == {"facts.md#one"}


def test_true_sentences_are_near_their_section_in_meaning():
    encoder = SentenceEncoder()
    close = [
        near(encoder.encode([sentence])[0], encoder.encode(evidence(row).windows))
        for row, sentence in TRUE[::45]
        if judge(sentence, evidence(row), row["question"]).reason is None
    ]
    assert all(close)
    refused = [near(encoder.encode([sentence])[0], encoder.encode(evidence(row).windows)) for row, sentence in MEANT]
    assert refused == [False, True, False, True]
    assert not near(encoder.encode(["The weather is lovely today."])[0], encoder.encode(evidence(ROWS[0]).windows))
    assert not near(np.ones(2, np.float32), np.zeros((0, 2), np.float32))
    assert 0.5 < NEAR < 0.6


RETURNS = Section(
    "What is your return policy?",
    "You can return anything within 30 days of delivery. Gift cards and opened fuel can't be returned. "
    "Cascade Parcel collects it for $4. The refund takes two days.",
)


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("You can return anything within 31 days of delivery.", "value"),
        ("The refund takes 30 days.", "value"),
        ("Swift Parcel collects it for $4.", "name"),
        ("You can return anything within 30 days of delivery to any post office worldwide.", "unsupported"),
        ("Gift cards can be returned.", "negation"),
        ("You can't return anything within 30 days of delivery.", "negation"),
        ("Would you like to return it?", "question"),
        ("I'm happy to help with that!", "empty"),
        ("Yes.", "empty"),
        ("Everyone gets a refund in two days.", "value"),
    ],
)
def test_each_check_has_its_reason(sentence, reason):
    assert judge(sentence, Evidence([RETURNS])).reason == reason


def test_the_businesss_own_name_may_be_said():
    sentence = "At Pine Outfitters, gift cards can't be returned."
    assert judge(sentence, Evidence([RETURNS])).reason == "name"
    assert judge(sentence, Evidence([RETURNS], ["Pine Outfitters"])).reason == "unsupported"
    assert judge("Pine returns: gift cards can't be returned.", Evidence([RETURNS], ["Pine"])).reason != "name"


@pytest.mark.parametrize(
    ("question", "sentence", "said"),
    [
        ("can I return gift cards", "No, gift cards can't be returned.", "No, gift cards can't be returned."),
        ("can I return gift cards", "Yes, return anything within 30 days.", "Return anything within 30 days."),
        ("do you sell boots", "No, gift cards can't be returned.", "Gift cards can't be returned."),
    ],
)  # fmt: skip
def test_a_yes_or_no_stays_only_where_the_section_answers_the_question(question, sentence, said):
    assert judge(sentence, Evidence([RETURNS]), question).text == said


def test_a_section_that_says_yes_supports_yes():
    section = Section("Can I return it without the box?", "Yes, as long as it's well wrapped.")
    verdict = judge("Yes, as long as it's well wrapped.", Evidence([section]), "I threw away the packaging")
    assert verdict.text == "Yes, as long as it's well wrapped."


FACTS = Section(
    "", "Order number: 42719\nordered: 2026-05-03\narrives: 2026-05-06\nreturnable total: $45.20\nnot damaged"
)


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("Order number 42719 arrives on May 6 and was ordered on May 3.", None),
        ("Order number 42719 arrives on May 3.", "value"),
        ("The returnable total is forty-five dollars and twenty cents.", None),
        ("The returnable total is $42719.", "value"),
        ("Order number 42719 is not returnable.", None),
    ],
)
def test_sentences_that_join_facts(sentence, reason):
    assert judge(sentence, Evidence([FACTS]), joins=True).reason == reason


def test_without_evidence_nothing_is_supported():
    assert judge("You have 30 days.", Evidence([])).reason == "empty"
