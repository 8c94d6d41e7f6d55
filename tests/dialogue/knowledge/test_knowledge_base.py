"""Retrieval with the real sentence encoder, on wordings that are not in the knowledge files."""

from __future__ import annotations

import pytest
from conversation import SHOP, WordEncoder

from agent.dialogue.domain import Fact
from agent.dialogue.knowledge import KnowledgeBase
from agent.dialogue.knowledge.graph import read_graph
from agent.dialogue.loader import load_domain
from agent.dialogue.manner import KnowledgeSettings
from models.encoder import SentenceEncoder


@pytest.fixture(scope="module")
def base() -> KnowledgeBase:
    domain = load_domain(SHOP)
    return KnowledgeBase(domain.facts, SentenceEncoder(), domain.manner.knowledge, read_graph(SHOP / "graph.yaml", []))


@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("so how many days do I have to send something back", "returns-and-payment.md#what-is-your-return-policy"),
        ("when do I get my money back for the return", "returns-and-payment.md#how-long-does-a-refund-take"),
        ("are you guys open on sundays", "shop.md#what-are-your-hours"),
        ("what does shipping cost", "orders-and-shipping.md#how-much-is-shipping"),
        ("do you ship to canada", "orders-and-shipping.md#do-you-ship-to-canada-or-other-countries"),
        ("can I pay by paypal", "returns-and-payment.md#which-payment-methods-do-you-take"),
        ("does the lantern run on batteries", "products.md#does-the-lantern-take-batteries"),
        ("can I cook with the stove in my tent", "products.md#can-i-use-the-stove-inside-the-tent"),
        ("is the rain jacket waterproof", "products.md#is-the-rain-jacket-really-waterproof"),
        ("how long is the warranty", "shop.md#do-you-have-a-warranty"),
        ("warranty", "shop.md#do-you-have-a-warranty"),
        ("can I set up the tent by myself", "products.md#is-the-tent-easy-to-set-up"),
        ("which sizes do the boots come in", "products.md#which-boot-sizes-do-you-have"),
        ("for how many hours does the lantern burn", "products.md#how-long-does-the-lantern-battery-last"),
        ("Can I pay with a credit card?", "returns-and-payment.md#which-payment-methods-do-you-take"),
    ],
)
def test_finds_the_section(base: KnowledgeBase, question: str, source: str) -> None:
    found = base.find(question)
    assert found is not None
    assert found.fact.source == source
    assert found.answers


@pytest.mark.parametrize(
    "question",
    ["do you have kayaks", "who won the game last night", "what's the weight limit of the hammock",
     "can I bring my dog to the store", "how tall is mount hood", "do you offer guided tours"],
)  # fmt: skip
def test_does_not_answer_what_it_does_not_know(base: KnowledgeBase, question: str) -> None:
    found = base.find(question)
    assert found is not None
    assert not found.answers


@pytest.mark.parametrize(
    ("question", "about", "answer"),
    [
        ("And what does it cost?", "products.md#how-much-does-the-cedar-two-person-tent-weigh", "$189"),
        ("and how much is that one", "graph.yaml#spruce", "$329"),
        ("does it come in green", "products.md#is-the-backpack-waterproof", "moss green"),
        ("which one is cheaper", "products.md#what-s-the-difference-between-the-two-tents", "Cedar"),
        ("and how do I clean them", "products.md#are-the-boots-waterproof", "Brush off the mud"),
    ],
)
def test_takes_up_what_was_spoken_of(base: KnowledgeBase, question: str, about: str, answer: str) -> None:
    found = base.find(question, about)
    assert found is not None
    assert found.answers
    assert answer in found.answer


@pytest.mark.parametrize(
    ("question", "source", "answer"),
    [
        ("what is the cheapest tent for four", "graph.yaml#spruce", "The Spruce four-person tent is the cheapest"),
        ("is the Cedar cheaper than the Spruce", "graph.yaml#cedar+spruce", "Yes. The Cedar"),
        ("what's your fastest shipping", "graph.yaml#express", "Express delivery is the fastest."),
    ],
)  # fmt: skip
def test_the_graph_compares(base: KnowledgeBase, question: str, source: str, answer: str) -> None:
    found = base.find(question)
    assert found is not None
    assert (found.source, found.graph, found.strong) == (source, True, True)
    assert found.answer.startswith(answer)


def test_a_long_section_is_answered_by_the_sentence_that_was_asked_for(base: KnowledgeBase) -> None:
    found = base.find("what is your return policy")
    assert found is not None
    assert found.answer == "You can return anything within 30 days of delivery for a full refund."


def test_nothing_to_search_gives_nothing() -> None:
    settings = KnowledgeSettings()
    assert KnowledgeBase((), WordEncoder(), settings).find("hours") is None
    assert KnowledgeBase((Fact("a.md#b", "b", "c"),), WordEncoder(), settings).find("  ") is None


def test_shop_knows_enough() -> None:
    facts = load_domain(SHOP).facts
    assert len(facts) >= 25
    assert len({fact.source for fact in facts}) == len(facts)
