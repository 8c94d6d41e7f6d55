"""A flow as a graph: which step can follow which. What is drawn, and what is checked. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from agent.dialogue.domain import Domain
from agent.dialogue.steps import (
    AskStep,
    AssistStep,
    BranchStep,
    CallStep,
    ConfirmStep,
    DoStep,
    EndStep,
    Flow,
    HandOffStep,
    HangUpStep,
    JumpStep,
)

Exit = Literal["done", "person", "hang_up"]
EXITS: tuple[Exit, ...] = ("done", "person", "hang_up")
FLOW = "flow:"


@dataclass(frozen=True, slots=True)
class Edge:
    """Step `source` can be followed by `target`: a step's number, one of `EXITS`, or `flow:NAME`.

    label: when, empty where it always is. implied: the engine's own way out, which the file does not write.
    """

    source: int
    target: int | str
    label: str = ""
    implied: bool = False


def edges(flow: Flow) -> list[Edge]:
    """Every way on from every step of `flow`, in the order of the file."""
    return [edge for n in range(len(flow.steps)) for edge in _from(flow, n)]


def _from(flow: Flow, n: int) -> Iterator[Edge]:
    step = flow.steps[n]
    following: int | str = n + 1 if n + 1 < len(flow.steps) else "done"

    def to(target: str | None) -> int | str:
        return following if target is None else target if target.startswith(FLOW) else flow.index(target)

    match step:
        case ConfirmStep():
            yield Edge(n, to(step.if_yes), "yes")
            yield Edge(n, to(step.if_no), "no")
        case BranchStep():
            for case, target in step.cases.items():
                yield Edge(n, to(target), case)
            yield Edge(n, to(step.otherwise), "otherwise")
        case AssistStep():
            yield Edge(n, following)
            yield Edge(n, to(step.otherwise), "otherwise")
        case CallStep():
            yield Edge(n, following)
            yield Edge(n, "person" if step.on_error is None else to(step.on_error), "fails", step.on_error is None)
        case AskStep():
            yield Edge(n, following)
            yield Edge(n, "person", "no answer", True)
        case JumpStep():
            yield Edge(n, to(step.jump))
        case HandOffStep():
            yield Edge(n, "person")
        case EndStep():
            yield Edge(n, "done")
        case HangUpStep():
            yield Edge(n, "hang_up")
        case _:
            yield Edge(n, following)


def reached(flow: Flow) -> set[int]:
    """The steps that can be come to from the first one."""
    ways = _ways((edge.source, edge.target) for edge in edges(flow))
    found, open_ = {0}, [0]
    while open_:
        for target in ways.get(open_.pop(), ()):
            if isinstance(target, int) and target not in found:
                found.add(target)
                open_.append(target)
    return found


def stuck(flow: Flow) -> list[int]:
    """Steps that can be come to and from which no written way leads out of the flow."""
    backwards = _ways((edge.target, edge.source) for edge in edges(flow) if not edge.implied)
    found: set[int | str] = {target for target in backwards if not isinstance(target, int)}
    open_ = list(found)
    while open_:
        for source in backwards.get(open_.pop(), ()):
            if source not in found:
                found.add(source)
                open_.append(source)
    return sorted(reached(flow) - {n for n in found if isinstance(n, int)})


def used_flows(domain: Domain) -> set[str]:
    """Flows that something opens: an intent, a value, another flow, the proof of identity, an offer."""
    manner = domain.manner
    found = {name for name, flow in domain.flows.items() if flow.intents} | set(manner.default_flows.values())
    found |= {offer.yes.removeprefix(FLOW) for offer in manner.offers if offer.yes}
    found |= {manner.identity.flow} if manner.identity is not None else set()
    open_ = list(found)
    while open_:
        flow = domain.flows.get(open_.pop())
        for name in _named(flow) if flow is not None else ():
            if name not in found:
                found.add(name)
                open_.append(name)
    return found


def _named(flow: Flow) -> set[str]:
    """Flows that `flow` goes to or runs."""
    gone = {edge.target for edge in edges(flow)}
    run = {step.do for step in flow.steps if isinstance(step, DoStep)}
    return {str(target).removeprefix(FLOW) for target in gone if str(target).startswith(FLOW)} | run


Node = tuple[str, int]
"""A flow's name and a step's number."""


def rounds(domain: Domain) -> list[list[Node]]:
    """Ways round and back to the same step on which the agent never waits for the caller, as the steps on them.

    A confirmation waits. So does a question, where its slot is forgotten on the way round: else it is known the second
    time and is not asked.
    """
    ways: dict[Node, set[Node]] = {}
    for name, flow in domain.flows.items():
        for edge in edges(flow):
            target = edge.target
            if isinstance(target, int):
                ways.setdefault((name, edge.source), set()).add((name, target))
            elif target.startswith(FLOW):
                ways.setdefault((name, edge.source), set()).add((target.removeprefix(FLOW), 0))
        for n, step in enumerate(flow.steps):
            if isinstance(step, DoStep) and step.do in domain.flows:
                ways.setdefault((name, n), set()).add((step.do, 0))
    waits = {node for node in _nodes(domain) if isinstance(domain.flows[node[0]].steps[node[1]], ConfirmStep)}
    found = []
    for part in components(_without(ways, waits)):
        forgotten = {slot for name, n in part for slot in getattr(domain.flows[name].steps[n], "forget", ())}
        asked = {node for node in part if getattr(domain.flows[node[0]].steps[node[1]], "ask", None) in forgotten}
        inside = {node: targets & part for node, targets in ways.items() if node in part}
        found += [sorted(rest) for rest in components(_without(inside, waits | asked))]
    return sorted(found)


def _nodes(domain: Domain) -> Iterator[Node]:
    for name, flow in domain.flows.items():
        for n in range(len(flow.steps)):
            yield name, n


def _without(ways: Mapping[Node, set[Node]], gone: set[Node]) -> dict[Node, set[Node]]:
    return {node: targets - gone for node, targets in ways.items() if node not in gone}


def components(ways: Mapping[Node, set[Node]]) -> list[set[Node]]:
    """Sets of nodes that can all be come to from one another, without nodes that lead to no way round (Tarjan 1972)."""
    order: dict[Node, int] = {}
    low: dict[Node, int] = {}
    stack: list[Node] = []
    found: list[set[Node]] = []

    def visit(root: Node) -> None:
        work: list[tuple[Node, Iterator[Node]]] = [(root, iter(sorted(ways.get(root, ()))))]
        order[root] = low[root] = len(order)
        stack.append(root)
        while work:
            node, targets = work[-1]
            following = next(targets, None)
            if following is not None:
                if following not in order:
                    order[following] = low[following] = len(order)
                    stack.append(following)
                    work.append((following, iter(sorted(ways.get(following, ())))))
                elif following in stack:
                    low[node] = min(low[node], order[following])
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == order[node]:
                part = set(stack[stack.index(node) :])
                del stack[stack.index(node) :]
                if len(part) > 1 or node in ways.get(node, ()):
                    found.append(part)

    for node in sorted(ways):
        if node not in order:
            visit(node)
    return found


def _ways(pairs: Iterable[tuple[int | str, int | str]]) -> dict[int | str, list[int | str]]:
    found: dict[int | str, list[int | str]] = {}
    for source, target in pairs:
        found.setdefault(source, []).append(target)
    return found
