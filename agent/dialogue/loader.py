"""Reading a domain folder, and refusing one that could not work: every problem with its file, line and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator

from agent.dialogue.checking import check_flow, check_intents, check_manner, texts_of
from agent.dialogue.domain import Domain, IntentSpec, SlotSpec
from agent.dialogue.extending import DomainFiles, read_files
from agent.dialogue.knowledge.graph.reading import read_graph
from agent.dialogue.knowledge.reading.folder import read_sections
from agent.dialogue.manner import Manner
from agent.dialogue.steps import STEP_KINDS, Flow
from agent.dialogue.translation import translated
from agent.dialogue.written import Phrase
from agent.yamlfile import FileError, Where, YamlFile
from models.slots import SlotError, slot_specs
from models.training.examples import DataError
from models.training.reading.marks import unmark


class DomainError(FileError):
    """A domain that cannot be used; the message lists `file:line: problem; remedy` for every problem found."""


class _WrittenIntent(IntentSpec):
    """An intent as the file has it, with marks inside its examples."""

    @field_validator("marks", mode="before")
    @classmethod
    def _inside_examples(cls, value: Any) -> Any:
        raise ValueError("this is no key; mark values inside the examples, as in 'a [big tent](product)'")


class _Intents(BaseModel):
    model_config = ConfigDict(extra="forbid")
    intents: Mapping[str, _WrittenIntent]
    out_of_scope: Mapping[str, tuple[str, ...]] = {}
    slots: Mapping[str, Mapping[str, Any]] = {}


class _Flows(BaseModel):
    model_config = ConfigDict(extra="forbid")
    flows: Mapping[str, Flow]


def load_domain(path: Path) -> Domain:
    """Read the domain in folder `path`: domain.yaml, intents.yaml, flows.yaml and knowledge/*.md, and its translations.

    Raises:
        DomainError: a file is missing or wrong; all problems that can be seen together are reported together.
    """
    if not path.is_dir():
        raise DomainError([f"{path}: there is no such folder; name a folder that holds domain.yaml"])
    problems: list[str] = []
    files = read_files(path, problems)
    if files is None:
        raise DomainError(problems)
    domain = _domain(files, problems)
    if domain is None or problems:
        raise DomainError(problems)
    localized: dict[str, Domain] = {}
    for language in domain.manner.languages:
        if language == domain.manner.language:
            continue
        other = translated(files, language, problems)
        if other is not None:
            in_other = _domain(other, problems)
            if in_other is not None:
                localized[language] = in_other
    if problems:
        raise DomainError(problems)
    return replace(domain, localized=localized)


def _domain(files: DomainFiles, problems: list[str]) -> Domain | None:
    manner_file, intents_file, flows_file = files.manner, files.intents, files.flows
    manner = _valid(manner_file, Manner, problems)
    intents = _valid(intents_file, _Intents, problems)
    flows = _valid(flows_file, _Flows, problems)
    facts = read_sections(files.folder / "knowledge", problems)
    graph = read_graph(files.folder / "graph.yaml", problems)
    if manner is None or intents is None or flows is None:
        return None
    slots: dict[str, SlotSpec] = {}
    for name, options in intents.slots.items():
        try:
            slot_specs({name: options})
        except SlotError as error:
            problems.append(intents_file.problem(("slots", name), str(error)))
        slots[name] = SlotSpec(name, str(options.get("type")), {k: v for k, v in options.items() if k != "type"})
    lines = {
        f"{name}.{n}": flows_file.problem(("flows", name, "steps", n), "").removesuffix(": ")
        for name, flow in flows.flows.items()
        for n in range(len(flow.steps))
    }
    lines |= {
        f"action.{name}": manner_file.problem(("actions", name), "").removesuffix(": ") for name in manner.actions
    }
    unspoken = tuple(text for texts in intents.out_of_scope.values() for text in texts)
    unmarked = {name: _unmarked(name, intent, intents_file, problems) for name, intent in intents.intents.items()}
    problems += _marked_outside(intents.out_of_scope, intents_file)
    domain = Domain(
        manner, unmarked, unspoken, slots, flows.flows, tuple(facts), lines, folder=files.folder, graph=graph
    )
    problems += check_manner(domain, manner_file)
    problems += check_intents(domain, intents_file)
    for name in domain.flows:
        problems += check_flow(domain, name, flows_file)
    return domain


def _valid(file: YamlFile, model: type[Any], problems: list[str]) -> Any:
    try:
        return TypeAdapter(model).validate_python(file.data)
    except ValidationError as error:
        problems += [_explained(file, item["loc"], item["type"], item["msg"], item["input"]) for item in error.errors()]
        return None


def _explained(file: YamlFile, where: Where, kind: str, message: str, value: Any) -> str:
    if kind == "union_tag_not_found":
        return file.problem(where, f"this step has no kind; give it one of {', '.join(STEP_KINDS)}")
    # The kind of a step is part of pydantic's path but not of the file's.
    path = tuple(part for n, part in enumerate(where) if not (n == 4 and where[0] == "flows" and part in STEP_KINDS))
    name = str(path[-1]) if path else "the file"
    if kind == "extra_forbidden":
        return file.problem(path, f"unknown key '{name}'; remove it or correct its spelling")
    if kind == "missing":
        return file.problem(path[:-1], f"'{name}' is missing; add it")
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return file.problem(path, f"'{name}' is {shown}: {message.removeprefix('Value error, ')}")


def _unmarked(name: str, written: IntentSpec, file: YamlFile, problems: list[str]) -> IntentSpec:
    """The intent with plain examples, and the values that were marked in them."""
    plain, marks = [], {}
    for n, example in enumerate(written.examples):
        where = ("intents", name, "examples", n)
        try:
            text, spans = unmark(example)
        except DataError as error:
            problems += [file.problem(where, problem) for problem in error.problems]
            continue
        plain.append(text)
        if spans:
            marks[text] = spans
            declared = file.data.get("slots", {})
            problems += [
                file.problem(where, f"slot '{span.name}' is not under 'slots'; add it there or correct the mark")
                for span in spans
                if span.name not in declared
            ]
    return IntentSpec(**{**dict(written), "examples": tuple(plain) or written.examples, "marks": marks})


def _marked_outside(groups: Mapping[str, tuple[str, ...]], file: YamlFile) -> Iterator[str]:
    for group, texts in groups.items():
        for n, text in enumerate(texts):
            if "](" in text:
                where = ("out_of_scope", group, n)
                yield file.problem(where, f"{text!r} marks a value, but no slot is read there; write plain words")


def fixed_texts(domain: Domain) -> Iterator[Phrase]:
    """Every text of the domain as written, with its tone, whether or not it has variable parts."""
    manner = domain.manner
    yield manner.greeting
    yield Phrase(text=(*manner.disclosures, manner.offer))
    yield from manner.phrases.values()
    yield from (rule.say for rule in manner.escalation if rule.say)
    yield from (Phrase(text=(spec.filler,)) for spec in manner.actions.values() if spec.filler)
    yield from (Phrase(text=texts) for texts in manner.emotion.say.values())
    for flow in domain.flows.values():
        for step in flow.steps:
            texts = tuple(text for key, text in texts_of(step) if key != "arguments")
            if texts:
                yield Phrase(text=texts, tone=getattr(step, "tone", "neutral"))
    yield from (Phrase(text=(fact.text,)) for fact in domain.facts)
