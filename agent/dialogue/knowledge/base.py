"""Finding the answer to a question in a domain's sections and graph, or finding that it is not there.

Sections are ranked by words and meaning (`search`); which of the best answers, and how surely, a logistic model says
(`answerable`); what is spoken are sentences of the section as they stand (`spoken`). Comparisons, selections and
relations are answered by the graph.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.dialogue.domain import Fact
from agent.dialogue.knowledge.answerable import Answerable, answerable
from agent.dialogue.knowledge.graph import Graph, GraphAnswer, GraphReader
from agent.dialogue.knowledge.likeness import weight
from agent.dialogue.knowledge.search import SearchIndex, Signals
from agent.dialogue.knowledge.spoken import spoken_answer
from agent.dialogue.knowledge.terms import terms
from agent.dialogue.manner import KnowledgeSettings
from models.contracts import Encoder

WORD_FOR_WORD = 0.97
"""Similarity from which a question is one that a section was written for, so that the graph is not asked."""
FEW = 3
"""Terms of a question up to which it may lean on what was spoken of before."""

_LEANING = re.compile(
    r"\b(it|its|that|this|they|them|those|these|one|ones|there|then|both)\b|^\W*(and|but|so|or|what about|how about)\b"
    r"|它|这|那|呢",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Found:
    """The best answer. score: P(it answers the question); `answers` and `strong` compare it to the settings.

    answer: what is to be spoken, one or two sentences. cosine, coverage: nearest text, and share of the question's
    weight that the section's words cover; graph: the answer is the graph's; signals: everything the score rests on;
    entities: things of the graph that the answer is about.
    """

    fact: Fact
    score: float
    cosine: float
    coverage: float
    answers: bool
    strong: bool
    answer: str
    graph: bool = False
    signals: Signals | None = None
    entities: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """FILE#heading of the section, or `graph.yaml#ENTITY`."""
        return self.fact.source


class KnowledgeBase:
    """An index of a domain's facts. `find` blocks on the encoder: call it from the pool."""

    def __init__(
        self,
        facts: Sequence[Fact],
        encoder: Encoder,
        settings: KnowledgeSettings,
        graph: Graph | None = None,
        cache: Path | None = None,
        model: Answerable | None = None,
    ) -> None:
        """`cache`: where vectors are kept, a path without a suffix (var/cache/knowledge/NAME); None keeps none.

        model: what judges sections; None takes the one that comes with the agent.
        """
        self.facts = tuple(facts)
        self._settings = settings
        self._encoder = encoder
        self._index = SearchIndex(facts, encoder, cache)
        self._graph = GraphReader(graph) if graph is not None else None
        self._model = model or answerable()
        self._sections = {fact.source: n for n, fact in enumerate(self.facts)}

    def find(self, question: str, about: str | None = None) -> Found | None:
        """The best answer to `question`, or None where there is nothing to find or no words.

        about: the source spoken of before, which "and what does it cost?" leans on.
        """
        if not question.strip():
            return None
        entities = self._entities(about)
        told = self._graph.answer(question, entities) if self._graph is not None else None
        leaning = about is not None and leans(question)
        if leaning and told is not None and self._graph is not None and told != self._graph.answer(question):
            return self._told(told)
        found = self._section(question)
        exact = found is not None and found.signals is not None and found.signals.asked >= WORD_FOR_WORD
        if leaning and about is not None and not exact:
            of_it = self._section_about(question, about, entities)
            found = of_it if of_it is not None and (of_it.answers or found is None) else found
        if told is None or (exact and found is not None):
            return found
        if told.relational or found is None or not found.strong:
            return self._told(told)
        return found

    def _section(self, question: str, without: int | None = None) -> Found | None:
        candidates = self._index.candidates(question, without)
        if not candidates:
            return None
        scores = [self._model.probability(candidate.signals) for candidate in candidates]
        score = max(scores)
        best = candidates[scores.index(score)]
        fact, signals = self.facts[best.section], best.signals
        return Found(
            fact,
            round(score, 3),
            round(signals.cosine, 3),
            round(signals.coverage, 3),
            score >= self._settings.minimum,
            score >= self._settings.strong,
            spoken_answer(fact.text, question, self._encoder, _weigh),
            signals=signals,
        )

    def _section_about(self, question: str, about: str, entities: Sequence[str]) -> Found | None:
        """The answer to `question` said in full: with the things that were spoken of in place of "it".

        The section spoken of is left out, where the question asks for something that it does not say.
        """
        section = self._sections.get(about)
        topic = self._topic(section, entities)
        if not topic:
            return None
        plain = _LEANING.sub(" ", question).strip(" ?.,!")
        without = section
        if section is not None:
            fact = self.facts[section]
            own = set(terms(" ".join((fact.heading, *fact.questions, fact.text))))
            if set(terms(plain)) <= own:
                without = None
        return self._section(f"{plain} {topic}", without)

    def _topic(self, section: int | None, entities: Sequence[str]) -> str:
        if self._graph is not None and len(entities) == 1:
            return self._graph.graph.entities[entities[0]].say
        return self.facts[section].heading.strip("?？") if section is not None else ""

    def _entities(self, about: str | None) -> list[str]:
        if about is None or self._graph is None:
            return []
        file, _, names = about.partition("#")
        if file == "graph.yaml":
            return names.split("+")
        section = self._sections.get(about)
        if section is None:
            return []
        fact = self.facts[section]
        headed = self._graph.entities_in(fact.heading)
        return headed or self._graph.entities_in(fact.text)

    def _told(self, told: GraphAnswer) -> Found:
        fact = Fact(told.source, " + ".join(told.entities), told.text)
        return Found(fact, 1.0, 1.0, 1.0, True, True, told.text, graph=True, entities=told.entities)


def leans(question: str) -> bool:
    """Whether `question` may be about what was spoken of before: it says "it" or the like, and little else."""
    return len(set(terms(question))) <= FEW and _LEANING.search(question) is not None


def _weigh(words: Sequence[str]) -> float:
    return sum(weight(word) for word in words)
