"""What the bench counts, and the questions it refuses to ask."""

from __future__ import annotations

from pathlib import Path

import pytest
from conversation import WordEncoder

from agent.dialogue.domain import Fact
from agent.dialogue.knowledge import KnowledgeBase
from agent.dialogue.knowledge.base import Found
from agent.dialogue.knowledge.folder import Knowledge, read_knowledge
from agent.dialogue.knowledge.graph import read_graph
from agent.dialogue.knowledge.measuring import ask_all, inventions, measured, padded, same_source
from agent.dialogue.knowledge.questions import Known, Question, read_questions
from agent.dialogue.manner import KnowledgeSettings
from agent.yamlfile import FileError

SHIPPED = Path(__file__).parents[3] / "configs" / "domains"
FACTS = (
    Fact("a.md#dogs", "Are dogs allowed?", "Dogs may come on a leash. Cats may not.", ("can I bring my dog",)),
    Fact("a.md#hours", "When are you open?", "From nine to five.", ("opening hours",)),
)
GRAPH = """
types: {room: {words: [room]}}
properties: {beds: {of: [room], kind: number, words: [how many beds, beds], say: "{name} has {value} beds."}}
entities: {big: {type: room, names: [big room], say: the big room, beds: 4}}
"""


def found(fact: Fact, answer: str, graph: bool = False) -> Found:
    return Found(fact, 0.9, 0.9, 0.9, True, True, answer, graph, entities=("big",) if graph else ())


def test_sources_are_the_same_whatever_their_order_and_part() -> None:
    assert same_source("graph.yaml#b+a", ["x.md#y", "graph.yaml#a+b"])
    assert same_source("a.md#returns-part-2", ["a.md#returns"])
    assert not same_source("a.md#returns", ["b.md#returns"])
    assert not same_source("graph.yaml#a", ["graph.yaml#a+b"])


def test_whatever_stands_nowhere_is_an_invention(tmp_path: Path) -> None:
    (tmp_path / "graph.yaml").write_text(GRAPH)
    knowledge = Knowledge(FACTS, read_graph(tmp_path / "graph.yaml", []))
    dogs, room = FACTS[0], Fact("graph.yaml#big", "big", "")
    assert inventions(found(dogs, "Dogs may come on a leash."), knowledge) == []
    assert inventions(found(dogs, "Cats may not. Dogs may come in."), knowledge) == ["Dogs may come in."]
    assert inventions(found(room, "The big room has 4 beds.", True), knowledge) == []
    assert inventions(found(room, "The big room has 5 beds.", True), knowledge) == ["5"]


def test_counts_what_was_right_refused_and_invented() -> None:
    base = KnowledgeBase(FACTS, WordEncoder(), KnowledgeSettings(minimum=0.3, strong=0.5))
    questions = [
        Question(ask="can I bring my dog", source=("a.md#dogs",)),
        Question(ask="opening hours", source=("a.md#dogs",)),
        Question(ask="spaceship fuel"),
    ]
    asked = ask_all("house", base, Knowledge(FACTS), questions, lambda done, total, what: None)
    evaluation = measured(asked, {"house": 2}, seed=0)
    assert evaluation.figure("right_source").value == 50
    assert evaluation.figure("answered").value == 50
    assert evaluation.figure("refused").value == 100
    assert evaluation.figure("invented").value == 0
    assert [row[1] for row in evaluation.folded[0].rows] == ["opening hours"]
    assert evaluation.answers is not None
    assert evaluation.answers.right == (True, False, True)


def test_fills_up_with_sections_that_are_all_different() -> None:
    facts = padded(FACTS, 50, seed=0)
    assert len({fact.source for fact in facts}) == len({fact.text for fact in facts}) == 50
    assert facts[:2] == list(FACTS)
    assert padded(FACTS, 50, seed=0) == facts


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("questions:\n  - {ask: hours, source: a.md#gone}", ":2: there is no section 'a.md#gone'"),
        ("questions:\n  - {ask: hours, source: [graph.yaml#big+small]}", "no section 'graph.yaml#big+small'"),
        ("questions:\n  - {ask: hours}\n  - {ask: Hours}", ":3: 'Hours' is asked twice"),
        ("questions:\n  - {source: a.md#dogs}", "'questions.0.ask' is missing"),
        ("questions:\n  - {ask: hours, sorce: x}", "unknown key"),
        ("questions: 3", ":1: "),
    ],
)
def test_refuses_questions_that_prove_nothing(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text(text)
    with pytest.raises(FileError) as failed:
        read_questions(path, Known({"a.md#dogs"}, {"big"}))
    assert problem in str(failed.value)


def test_reads_questions(tmp_path: Path) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text(
        "questions:\n  - {ask: dogs, source: [a.md#dogs, graph.yaml#big], about: a.md#dogs}\n  - {ask: pizza}\n"
    )
    one, other = read_questions(path, Known({"a.md#dogs"}, {"big"}))
    assert one.source == ("a.md#dogs", "graph.yaml#big")
    assert one.about == "a.md#dogs"
    assert other.source == ()


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*/questions.yaml")), ids=lambda path: path.parent.name)
def test_shipped_domains_are_asked_enough(path: Path) -> None:
    known = read_knowledge(path.parent)
    questions = read_questions(path, known.known)
    refused = [question for question in questions if not question.source]
    wordings = {text.lower() for fact in known.facts for text in (fact.heading, *fact.questions)}
    assert len(known.facts) >= 25
    assert len(questions) >= 60
    assert len(refused) >= len(questions) * 0.3
    assert not [question.ask for question in questions if question.ask.lower() in wordings]
