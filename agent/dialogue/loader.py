"""Reading a domain folder, and refusing one that could not work: every problem with its file, line and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator

from agent.dialogue.domain import Domain, IntentSpec, SlotSpec
from agent.dialogue.knowledge.reading.folder import read_sections
from agent.dialogue.manner import PHRASES, Manner
from agent.dialogue.steps import STEP_KINDS, AskStep, BranchStep, CallStep, ConfirmStep, Flow, ForgetStep, SayStep
from agent.dialogue.text import FORMATS, holes
from agent.dialogue.written import Phrase
from agent.yamlfile import FileError, Where, YamlFile, read_yaml
from models.slots import SlotError, slot_specs
from models.training.examples import DataError
from models.training.heads import LEAST_EXAMPLES
from models.training.reading.marks import unmark

OWN_INTENTS = frozenset(
    {"greeting", "thanks", "goodbye", "affirm", "deny", "repeat", "wait", "small_talk", "give_information"}
)
"""Intents that the dialogue itself answers; every other intent needs a flow or an escalation rule."""
ALWAYS_KNOWN = frozenset({"business", "words", "given"})
"""Names that any template may use."""
PHRASE_NAMES: Mapping[str, frozenset[str]] = {
    "resume": frozenset({"title"}),
    "clarify_one": frozenset({"first"}),
    "clarify_two": frozenset({"first", "second"}),
    "never_mind": frozenset({"title"}),
}


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
    """Read the domain in folder `path`: domain.yaml, intents.yaml, flows.yaml and knowledge/*.md.

    Raises:
        DomainError: a file is missing or wrong; all problems that can be seen together are reported together.
    """
    if not path.is_dir():
        raise DomainError([f"{path}: there is no such folder; name a folder that holds domain.yaml"])
    problems: list[str] = []
    manner_file, manner = _read(path / "domain.yaml", Manner, problems)
    intents_file, intents = _read(path / "intents.yaml", _Intents, problems)
    flows_file, flows = _read(path / "flows.yaml", _Flows, problems)
    facts = read_sections(path / "knowledge", problems)
    if manner is None or intents is None or flows is None or not (manner_file and intents_file and flows_file):
        raise DomainError(problems)
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
    domain = Domain(manner, unmarked, unspoken, slots, flows.flows, tuple(facts), lines)
    problems += _check_manner(domain, manner_file)
    problems += _check_intents(domain, intents_file)
    for name in domain.flows:
        problems += _check_flow(domain, name, flows_file)
    if problems:
        raise DomainError(problems)
    return domain


def _read(path: Path, model: type[Any], problems: list[str]) -> tuple[YamlFile | None, Any]:
    try:
        file = read_yaml(path)
    except FileError as error:
        problems += error.problems
        return None, None
    try:
        return file, TypeAdapter(model).validate_python(file.data)
    except ValidationError as error:
        problems += [_explained(file, item["loc"], item["type"], item["msg"], item["input"]) for item in error.errors()]
        return file, None


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


def _check_manner(domain: Domain, file: YamlFile) -> Iterator[str]:
    manner = domain.manner
    for name in PHRASES:
        if name not in manner.phrases:
            yield file.problem(("phrases",), f"phrase '{name}' is missing; add it under 'phrases'")
    for name, phrase in manner.phrases.items():
        if name not in PHRASES:
            yield file.problem(("phrases", name), f"unknown phrase '{name}'; remove it or correct its spelling")
        for text in phrase.text:
            yield from _check_text(file, ("phrases", name), text, ALWAYS_KNOWN | PHRASE_NAMES.get(name, frozenset()))
    for text in (*manner.greeting.text, *manner.disclosures, manner.offer):
        yield from _check_text(file, ("greeting",), text, ALWAYS_KNOWN)
    for name in (*manner.remember, *manner.default_flows, *manner.listening.other, *manner.listening.another):
        if name not in domain.slots:
            yield file.problem(("remember",), f"slot '{name}' is not in intents.yaml; add it there or drop it here")
    for slot, flow in manner.default_flows.items():
        if flow not in domain.flows:
            yield file.problem(("default_flows", slot), f"flow '{flow}' does not exist; name one of flows.yaml")
    for n, rule in enumerate(manner.escalation):
        if rule.intent is not None and rule.intent not in domain.intents:
            where = ("escalation", n, "intent")
            yield file.problem(where, f"intent '{rule.intent}' is not in intents.yaml; add it there")


def _check_intents(domain: Domain, file: YamlFile) -> Iterator[str]:
    escalated = {rule.intent for rule in domain.manner.escalation}
    for name, intent in domain.intents.items():
        if name not in OWN_INTENTS and domain.flow_of(name) is None and name not in escalated:
            yield file.problem(
                ("intents", name), f"intent '{name}' leads nowhere; give it a flow in flows.yaml or an escalation rule"
            )
        if len(intent.examples) < LEAST_EXAMPLES:
            few = f"intent '{name}' has {len(intent.examples)} examples; give at least {LEAST_EXAMPLES}"
            yield file.problem(("intents", name), few)
        for slot in intent.slots:
            if slot not in domain.slots:
                yield file.problem(("intents", name, "slots"), f"slot '{slot}' is not under 'slots'; add it there")


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


def _check_flow(domain: Domain, name: str, file: YamlFile) -> Iterator[str]:
    flow = domain.flows[name]
    at: Where = ("flows", name)
    for intent in flow.intents:
        if intent not in domain.intents:
            yield file.problem((*at, "intents"), f"intent '{intent}' is not in intents.yaml; add it there")
        elif domain.flow_of(intent) != name:
            other = domain.flow_of(intent)
            yield file.problem((*at, "intents"), f"intent '{intent}' opens flow '{other}' too; keep it in one flow")
    ids = [step.id for step in flow.steps if step.id]
    known = set(ALWAYS_KNOWN) | set(domain.slots) | set(flow.slots)
    known |= {step.into for step in flow.steps if isinstance(step, CallStep)}
    known |= {step.check.into for step in flow.steps if isinstance(step, AskStep) and step.check}
    for n, step in enumerate(flow.steps):
        here: Where = (*at, "steps", n)
        if step.id and ids.count(step.id) > 1:
            yield file.problem((*here, "id"), f"id '{step.id}' appears twice in flow '{name}'; rename one")
        for tail, target in _targets(step):
            missing = (
                target.removeprefix("flow:") not in domain.flows if target.startswith("flow:") else target not in ids
            )
            if missing:
                yield file.problem(
                    (*here, *tail), f"jumps to '{target}', which does not exist; name an id of this flow or flow:NAME"
                )
        for key, slot in _slots(step):
            if slot not in domain.slots and slot not in flow.slots:
                yield file.problem(
                    (*here, key), f"slot '{slot}' is not in intents.yaml nor in the flow's 'slots'; add it to one"
                )
        for tail, action in _actions(step):
            if action not in domain.manner.actions:
                yield file.problem(
                    (*here, *tail), f"action '{action}' is not in domain.yaml; add it under 'actions' there"
                )
        for key, text in _texts(step):
            yield from _check_text(file, (*here, key), text, known)
        for key, path in _paths(step):
            if path.split(".")[0] not in known:
                yield file.problem((*here, key), f"'{path}' names nothing this flow knows; use a slot or a result")
        if isinstance(step, AskStep):
            if (step.accept == "option") != (step.options is not None):
                yield file.problem(here, "'accept: option' and 'options' belong together; give both or neither")
            for intent in step.takes:
                if intent not in domain.intents:
                    yield file.problem((*here, "takes"), f"intent '{intent}' is not in intents.yaml; add it there")


def _targets(step: Any) -> Iterator[tuple[Where, str]]:
    for key in ("jump", "if_yes", "if_no", "on_error", "otherwise"):
        target = getattr(step, key, None)
        if target is not None:
            yield (key,), target
    if isinstance(step, BranchStep):
        for case, target in step.cases.items():
            yield ("cases", case), target


def _slots(step: Any) -> Iterator[tuple[str, str]]:
    if isinstance(step, AskStep):
        yield "ask", step.ask
    if isinstance(step, ForgetStep):
        for slot in step.forget:
            yield "forget", slot


def _actions(step: Any) -> Iterator[tuple[Where, str]]:
    if isinstance(step, CallStep):
        yield ("call",), step.call
    if isinstance(step, AskStep) and step.check:
        yield ("check", "action"), step.check.action


def _texts(step: Any) -> Iterator[tuple[str, str]]:
    if isinstance(step, SayStep):
        yield "say", step.say
    if isinstance(step, ConfirmStep):
        yield "confirm", step.confirm
    if isinstance(step, AskStep):
        yield "text", step.text
        for text in step.reprompts:
            yield "reprompts", text
        if step.wrong:
            yield "wrong", step.wrong
    if isinstance(step, CallStep):
        for value in step.arguments.values():
            if isinstance(value, str):
                yield "arguments", value


def _paths(step: Any) -> Iterator[tuple[str, str]]:
    if isinstance(step, BranchStep):
        yield "branch", step.branch
    if isinstance(step, AskStep) and step.options:
        yield "options", step.options


def _check_text(file: YamlFile, where: Where, text: str, known: frozenset[str] | set[str]) -> Iterator[str]:
    for path, form in holes(text):
        if path.split(".")[0] not in known:
            yield file.problem(where, f"'{{{path}}}' names nothing that is known here; use one of {sorted(known)}")
        if form is not None and form not in FORMATS:
            yield file.problem(where, f"unknown format '{form}' in '{{{path}|{form}}}'; use one of {sorted(FORMATS)}")


def fixed_texts(domain: Domain) -> Iterator[Phrase]:
    """Every text of the domain as written, with its tone, whether or not it has variable parts."""
    manner = domain.manner
    yield manner.greeting
    yield Phrase(text=(*manner.disclosures, manner.offer))
    yield from manner.phrases.values()
    yield from (rule.say for rule in manner.escalation if rule.say)
    yield from (Phrase(text=(spec.filler,)) for spec in manner.actions.values() if spec.filler)
    for flow in domain.flows.values():
        for step in flow.steps:
            texts = tuple(text for key, text in _texts(step) if key != "arguments")
            if texts:
                yield Phrase(text=texts, tone=getattr(step, "tone", "neutral"))
    yield from (Phrase(text=(fact.text,)) for fact in domain.facts)
