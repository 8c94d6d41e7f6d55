"""What a person who talks to the caller could say or read next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from agent.dialogue.knowledge.base import Found


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


class Assistant(Protocol):
    """Finds suggestions; blocking, called from the pool."""

    def suggest(self, text: str, language: str, about: str | None = None) -> list[Suggestion]:
        """What helps to answer `text`, best first; empty where it asks nothing that is known.

        about: the source spoken of before, which "and what does it cost?" leans on.
        """
        ...


class Knowledge(Protocol):
    """See `agent.dialogue.knowledge.KnowledgeBase`."""

    def find(self, question: str, about: str | None = None) -> Found | None:
        """The best answer to `question`."""
        ...


class KnowledgeAssistant:
    """Suggests out of a domain's knowledge, by language, what the agent itself would answer without asking back."""

    def __init__(self, knowledge: Mapping[str, Knowledge]) -> None:
        self._knowledge = knowledge

    def suggest(self, text: str, language: str, about: str | None = None) -> list[Suggestion]:
        """See `Assistant`."""
        knowledge = self._knowledge.get(language)
        found = None if knowledge is None else knowledge.find(text, about)
        if found is None or not found.strong:
            return []
        return [Suggestion(found.fact.heading, found.fact.text, found.answer, found.source, found.score)]
