"""Questions that knowledge is measured on: questions.yaml of a domain folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError, field_validator

from agent.dialogue.written import Part, Word
from agent.yamlfile import FileError, explain, read_yaml


class Question(Part):
    """What a caller asks. source: the sections that are right, none where it is to be refused; about: what was spoken
    of before."""

    ask: Word
    source: tuple[Word, ...] = ()
    about: Word | None = None

    @field_validator("source", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class _Questions(Part):
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What sources may name: sections, and entities of the graph."""

    sections: Collection[str]
    entities: Collection[str] = ()

    def has(self, source: str) -> bool:
        """Whether `source` is there."""
        file, _, names = source.partition("#")
        if file == "graph.yaml":
            return all(name in self.entities for name in names.split("+"))
        return source in self.sections


def read_questions(path: Path, known: Known) -> tuple[Question, ...]:
    """The questions in file `path`.

    Raises:
        FileError: it is missing or wrong, or names a source that is not there.
    """
    file = read_yaml(path)
    try:
        questions = _Questions.model_validate(file.data).questions
    except ValidationError as error:
        raise FileError(explain(file, error)) from error
    problems: list[str] = []
    for n, question in enumerate(questions):
        sources = [*question.source, *([question.about] if question.about else [])]
        problems += [
            file.problem(
                ("questions", n), f"there is no section {source!r}; `agent knowledge list` shows those there are"
            )
            for source in sources
            if not known.has(source)
        ]
    asked = [question.ask.lower() for question in questions]
    problems += [
        file.problem(("questions", n), f"{question.ask!r} is asked twice; ask it once")
        for n, question in enumerate(questions)
        if asked.index(question.ask.lower()) != n
    ]
    if problems:
        raise FileError(problems)
    return questions
