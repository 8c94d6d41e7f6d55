"""How well questions are answered out of a domain's knowledge: right sources, refusals, inventions, time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.dialogue.domain import Fact
from agent.dialogue.knowledge.base import Found, KnowledgeBase
from agent.dialogue.knowledge.folder import Knowledge
from agent.dialogue.knowledge.questions import Question
from agent.dialogue.knowledge.spoken import parts_of
from models.evaluation.figures import Figure, Sample, quantiles
from models.evaluation.report import Answers, Evaluation
from models.evaluation.tables import Table

MEASURE = "knowledge"
Progress = Callable[[float, float, str], None]

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a domain and what came of it; ms: how long the search took, cpu_ms: of that, how long it computed.

    The two differ where the machine has other work.
    """

    domain: str
    question: Question
    found: Found | None
    ms: float
    cpu_ms: float
    invented: tuple[str, ...] = ()

    @property
    def answered(self) -> bool:
        """Whether an answer would be spoken."""
        return self.found is not None and self.found.answers

    @property
    def source(self) -> str:
        """Where the best answer stands, refused or not."""
        return "" if self.found is None else self.found.source

    @property
    def first(self) -> bool:
        """Whether the best section is a right one, refused or not."""
        return self.found is not None and same_source(self.found.source, self.question.source)

    @property
    def right(self) -> bool:
        """Whether a right answer would be spoken, or, where there is none, none."""
        return self.first and self.answered if self.question.source else not self.answered


def same_source(found: str, right: Sequence[str]) -> bool:
    """Whether `found` is one of `right`, in whatever order things are told together, and whatever part of a section."""
    return _plain(found) in {_plain(source) for source in right}


def _plain(source: str) -> str:
    file, _, name = source.partition("#")
    name = re.sub(r"-part-\d+$", "", name)
    return f"{file}#{'+'.join(sorted(name.split('+')))}"


def ask_all(
    domain: str, base: KnowledgeBase, knowledge: Knowledge, questions: Sequence[Question], progress: Progress
) -> list[Asked]:
    """Ask every question of one domain."""
    found = []
    for n, question in enumerate(questions):
        progress(n, len(questions), f"asking {domain}")
        began, computed = time.perf_counter(), time.thread_time()
        answer = base.find(question.ask, question.about)
        ms, cpu_ms = (time.perf_counter() - began) * 1000.0, (time.thread_time() - computed) * 1000.0
        invented = tuple(inventions(answer, knowledge)) if answer is not None and answer.answers else ()
        found.append(Asked(domain, question, answer, ms, cpu_ms, invented))
    return found


def inventions(found: Found, knowledge: Knowledge) -> list[str]:
    """What is spoken but stands nowhere: sentences not in the section, numbers that the graph does not have."""
    if not found.graph:
        section = next((fact for fact in knowledge.facts if fact.source == found.source), None)
        return [part for part in parts_of(found.answer) if section is None or part not in section.text]
    if knowledge.graph is None:
        return [found.answer]
    things = [knowledge.graph.entities[name] for name in found.entities if name in knowledge.graph.entities]
    told = " ".join(
        f"{value} {thing.say}" for thing in things for value in (*thing.values.values(), *thing.spoken.values())
    )
    fixed = " ".join(
        str(text)
        for part in (
            *knowledge.graph.types.values(),
            *knowledge.graph.properties.values(),
            *knowledge.graph.relations.values(),
        )
        for text in part.model_dump().values()
    )
    known = {float(number.replace(",", "")) for number in _NUMBER.findall(f"{told} {fixed}")}
    spoken = [number for number in _NUMBER.findall(found.answer) if float(number.replace(",", "")) not in known]
    return spoken


def measured(asked: Sequence[Asked], sizes: dict[str, int], seed: int) -> Evaluation:
    """The figures of all domains together and of each, and every question that went wrong."""
    domains = list(dict.fromkeys(one.domain for one in asked))
    figures = _figures(asked, "", seed)
    rows = []
    for domain in domains:
        own = _figures([one for one in asked if one.domain == domain], f"_{domain}", seed)
        rows.append((domain, str(sizes[domain]), *(one.shown() for one in own)))
        figures += own if len(domains) > 1 else []
    columns = ("domain", "sections", *(one.words for one in _figures(asked, "", seed)))
    wrong = tuple(
        (one.domain, one.question.ask, "refused" if not one.answered else one.source, _score(one),
         ", ".join(one.question.source) or "to be refused")
        for one in asked
        if not one.right
    )  # fmt: skip
    invented = tuple((one.domain, one.question.ask, text) for one in asked for text in one.invented)
    answers = Answers("right", Sample(tuple(f"{one.domain}\t{one.question.ask}" for one in asked), seed).fingerprint,
                      tuple(one.right for one in asked))  # fmt: skip
    return Evaluation(
        MEASURE,
        {"name": "knowledge"},
        tuple(f"{domain} ({sum(one.domain == domain for one in asked)} questions)" for domain in domains),
        "questions.yaml",
        seed,
        len(asked),
        tuple(figures),
        (Table("By domain", columns, tuple(rows)),),
        folded=(
            Table("Questions that went wrong", ("domain", "question", "answer", "P", "right"), wrong),
            *([Table("Invented", ("domain", "question", "what"), invented)] if invented else []),
        ),
        answers=answers,
        main=tuple(one.name for one in _figures(asked, "", seed)),
        notes=(
            "right source first: whether refused or not; answered rightly: also not refused; "
            "invented: answers with a sentence that is not in their section, or a number that is not in the graph",
        ),
    )


def _score(one: Asked) -> str:
    return "-" if one.found is None else f"{one.found.score:.2f}"


def _figures(asked: Sequence[Asked], ending: str, seed: int) -> list[Figure]:
    answerable = [one for one in asked if one.question.source]
    others = [one for one in asked if not one.question.source]
    spoken = [one for one in asked if one.answered]
    sample, left, said = (
        Sample(tuple(f"{one.domain}\t{one.question.ask}" for one in some), seed)
        for some in (answerable, others, spoken)
    )
    return [
        sample.mean(f"right_source{ending}", "right source first", [one.first for one in answerable]),
        sample.mean(f"answered{ending}", "answered rightly", [one.right for one in answerable]),
        sample.mean(f"refused_wrongly{ending}", "answerable refused", [not o.answered for o in answerable], "lower"),
        left.mean(f"refused{ending}", "unanswerable refused", [not one.answered for one in others]),
        said.mean(f"invented{ending}", "answers with an invention", [bool(one.invented) for one in spoken], "lower"),
        *quantiles(f"search{ending}", "search", [one.ms for one in asked], seed=seed),
        *quantiles(f"search_cpu{ending}", "search, processor", [one.cpu_ms for one in asked], (0.5,), seed),
    ]


def padded(facts: Sequence[Fact], count: int, seed: int) -> list[Fact]:
    """`facts` and as many made-up sections, of their own words in other orders, as make `count`: for measuring time."""
    rng = np.random.default_rng(seed)
    found = list(facts)[:count]
    words = [word for fact in facts for word in fact.text.split()]
    for n in range(len(found), count):
        drawn = [str(words[k]) for k in rng.integers(0, len(words), 40)]
        name = f"item {n}"
        found.append(Fact(f"made-up.md#{n}", f"{' '.join(drawn[:7])} {name}?", " ".join(drawn[7:25]) + f" {name}.",
                          (" ".join(drawn[25:33]), " ".join(drawn[33:]))))  # fmt: skip
    return found
