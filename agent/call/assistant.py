"""What a person who talks to the caller could say or read next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from agent.dialogue.domain import Domain
from agent.dialogue.knowledge.base import Found
from agent.dialogue.steps import AnswerStep
from models.contracts import OUT_OF_SCOPE


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A section of the knowledge that answers what the caller asked.

    answer: the sentences of it that do. source: FILE#heading, or graph.yaml#ENTITY. confidence: P(it answers the
    question).
    """

    title: str
    text: str
    answer: str
    source: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller said. intent, confidence: as understood, or as far as it was.

    about: the source spoken of before, which "and what does it cost?" leans on.
    """

    text: str
    language: str
    intent: str = OUT_OF_SCOPE
    confidence: float = 0.0
    about: str | None = None


class Assistant(Protocol):
    """Finds suggestions; blocking, called from the pool."""

    def suggest(self, question: Question) -> list[Suggestion]:
        """What helps to answer, best first; empty where nothing is asked that is known."""
        ...


class Knowledge(Protocol):
    """See `agent.dialogue.knowledge.KnowledgeBase`."""

    def find(self, question: str, about: str | None = None) -> Found | None:
        """The best answer to `question`."""
        ...


class KnowledgeAssistant:
    """Suggests out of a domain's knowledge, by language, what the agent itself would answer without asking back.

    Callers who plainly want something done, for which there is a flow without an answer from the knowledge, get none.
    """

    def __init__(self, domain: Domain, knowledge: Mapping[str, Knowledge]) -> None:
        self._knowledge = knowledge
        self._sure = domain.manner.understanding.switch
        self._tasks = frozenset(
            intent
            for flow in domain.flows.values()
            for intent in flow.intents
            if not any(isinstance(step, AnswerStep) for step in flow.steps)
        )

    def suggest(self, question: Question) -> list[Suggestion]:
        """See `Assistant`."""
        if question.intent in self._tasks and question.confidence >= self._sure:
            return []
        knowledge = self._knowledge.get(question.language)
        found = None if knowledge is None else knowledge.find(question.text, question.about)
        if found is None or not found.strong:
            return []
        return [Suggestion(found.fact.heading, found.fact.text, found.answer, found.source, found.score)]
