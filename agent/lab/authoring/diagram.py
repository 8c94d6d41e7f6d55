"""A flow as boxes and arrows: what every notation draws. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.dialogue.domain import Domain
from agent.dialogue.steps import (
    AnswerStep,
    AnyStep,
    AskStep,
    AssistStep,
    BranchStep,
    CallStep,
    ConfirmStep,
    DoStep,
    EndStep,
    Flow,
    ForgetStep,
    HandOffStep,
    HangUpStep,
    JumpStep,
    SayStep,
    SetStep,
    VerifiedStep,
)
from agent.lab.authoring.graph import FLOW, edges

Shape = Literal[
    "start", "say", "ask", "confirm", "call", "branch", "answer", "note", "flow", "done", "person", "hang_up"
]
_LABEL = 42
"""Characters of an arrow's label; longer ones are cut."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box. head: what kind of step it is, in a word or two; text: what it says or does. where: `file:line`."""

    name: str
    shape: Shape
    head: str
    text: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to another, by their names; label: when."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Diagram:
    """A flow drawn: its name and title, boxes in the order of the file, the first where it begins, and arrows."""

    name: str
    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def diagrams(domain: Domain, flows: Sequence[str]) -> list[Diagram]:
    """Diagrams of `flows`, by their names."""
    return [_diagram(domain, name, domain.flows[name]) for name in flows]


def _diagram(domain: Domain, name: str, flow: Flow) -> Diagram:
    ways: dict[tuple[int, int | str], list[str]] = {}
    for edge in edges(flow):
        if not edge.implied:
            labels = ways.setdefault((edge.source, _through(flow, edge.target)), [])
            labels += [edge.label] if edge.label else []
    shown = {_through(flow, 0)} | {target for (source, target) in ways if not _passed(flow.steps[source])}
    boxes = [_start(domain, name, flow)]
    boxes += [_box(flow.steps[n], n, domain.lines.get(f"{name}.{n}", "")) for n in _steps(shown)]
    arrows = [Arrow("start", _name(_through(flow, 0), 0, boxes))]
    for (source, target), labels in ways.items():
        if source in shown and not _passed(flow.steps[source]):
            label = ", ".join(labels)
            label = label if len(label) <= _LABEL else label[: _LABEL - 1] + "…"
            arrows.append(Arrow(f"s{source}", _name(target, source, boxes), label))
    return Diagram(name, flow.title, tuple(boxes), tuple(arrows))


def _steps(shown: set[int | str]) -> Iterator[int]:
    yield from sorted(target for target in shown if isinstance(target, int))


def _name(target: int | str, source: int, boxes: list[Box]) -> str:
    """The box of `target`; a way out gets a box of its own for each step that takes it."""
    if isinstance(target, int):
        return f"s{target}"
    name = f"s{source}_{target.replace(':', '_')}"
    if all(box.name != name for box in boxes):
        if target.startswith(FLOW):
            boxes.append(Box(name, "flow", "go to", target.removeprefix(FLOW)))
        elif target == "person":
            boxes.append(Box(name, "person", "", "a person"))
        elif target == "hang_up":
            boxes.append(Box(name, "hang_up", "", "hang up"))
        else:
            boxes.append(Box(name, "done", "", "done"))
    return name


def _passed(step: AnyStep) -> bool:
    return isinstance(step, JumpStep | EndStep)


def _through(flow: Flow, target: int | str) -> int | str:
    """Where an arrow to `target` ends: jumps and ends are not drawn."""
    seen = set()
    while isinstance(target, int) and _passed(flow.steps[target]) and target not in seen:
        seen.add(target)
        target = next(edge.target for edge in edges(flow) if edge.source == target)
    return target


def _start(domain: Domain, name: str, flow: Flow) -> Box:
    opened = [intent.replace("_", " ") for intent in flow.intents]
    identity = domain.manner.identity
    if identity is not None and identity.flow == name:
        opened.append("when the caller must be proven")
    text = ", ".join(opened) or "opened by another flow"
    return Box("start", "start", name, f"{text} (verified callers)" if flow.verified else text)


def _box(step: AnyStep, n: int, where: str) -> Box:
    shape, head, text = _content(step)
    return Box(f"s{n}", shape, head, text, where)


def _content(step: AnyStep) -> tuple[Shape, str, str]:
    match step:
        case SayStep():
            return "say", "must hear" if step.must_hear else "", step.say
        case AskStep():
            check = f" (checked by {step.check.action})" if step.check is not None else ""
            return "ask", f"ask {step.ask}{check}", step.text
        case ConfirmStep():
            return "confirm", f"consent {step.consent}" if step.consent else "yes or no", step.confirm
        case CallStep():
            return "call", "action", f"{step.call} → {step.into}"
        case BranchStep():
            return "branch", "", step.branch
        case AnswerStep():
            return "answer", "", "answer from the knowledge"
        case ForgetStep():
            return "note", "", f"forget {', '.join(step.forget)}"
        case SetStep():
            return "note", "", ", ".join(f"{name} = {value}" for name, value in step.set.items())
        case VerifiedStep():
            return "note", "", f"caller proven: {step.verified}"
        case AssistStep():
            return "call", "model", f"{step.assist} ({', '.join(step.actions)}) → {step.into}"
        case DoStep():
            return "flow", "run", step.do
        case HandOffStep():
            return "note", "hand off", step.hand_off
        case HangUpStep():
            return "note", "hang up", step.hang_up
        case _:
            return "note", "", ""
