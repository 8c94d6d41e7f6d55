"""How long the dialogue engine thinks about a turn: decisions and flow steps, without actions, searches and models."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from agent.dialogue.domain import Domain
from agent.dialogue.machine import FlowMachine
from agent.dialogue.policy import Policy
from agent.lab.conversations import Conversation
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.report import Progress, Report, Table
from agent.lab.text_calls import TextDesk, Understand
from models.contracts import Encoder

TIMED: tuple[tuple[type[Any], str], ...] = (
    (Policy, "decide"),
    (Policy, "after_search"),
    (FlowMachine, "advance"),
    (FlowMachine, "result"),
    (FlowMachine, "answered"),
    (FlowMachine, "assisted"),
)
"""What the engine does in a turn; `decide` begins it."""


async def measure_dialogue(
    domain: Domain,
    conversations: Sequence[Conversation],
    encoder: Encoder,
    understand: Understand,
    folder: Path,
    command: str,
    progress: Progress,
) -> Report:
    """Play `conversations` by text, with databases in `folder`, and report ms of engine work by turn.

    Raises:
        MeasureFailed: no conversation has a turn.
    """
    desk = TextDesk(domain, encoder, understand, folder)
    passed = 0
    with timed() as turns:
        for n, conversation in enumerate(conversations):
            progress(n, len(conversations), conversation.name)
            passed += (await desk.play(conversation)).passed
    if not turns:
        raise MeasureFailed(f"no conversation of '{domain.name}' has a turn; write one in its folder conversations")
    progress(len(conversations), len(conversations), "done")
    return digest(turns, domain.name, len(conversations), passed, command)


@contextmanager
def timed() -> Iterator[list[float]]:
    """Meanwhile every turn of every call in this process is timed; what is given gets ms by turn."""
    turns: list[float] = []
    before = [(kind, name, getattr(kind, name)) for kind, name in TIMED]
    for kind, name, method in before:
        setattr(kind, name, _timing(method, turns, begins=name == "decide"))
    try:
        yield turns
    finally:
        for kind, name, method in before:
            setattr(kind, name, method)


def _timing(method: Callable[..., Any], turns: list[float], begins: bool) -> Callable[..., Any]:
    @wraps(method)
    def timing(*arguments: Any, **named: Any) -> Any:
        if begins:
            turns.append(0.0)
        began = time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            if turns:
                turns[-1] += (time.perf_counter() - began) * 1000.0

    return timing


def digest(turns: Sequence[float], domain: str, played: int, passed: int, command: str) -> Report:
    """The report on `turns`: ms of each."""
    ordered = sorted(turns)
    found = {
        "turns": len(ordered),
        "median_ms": round(ordered[len(ordered) // 2], 3),
        "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
        "most_ms": round(ordered[-1], 3),
    }
    row = (domain, str(played), *(f"{value:g}" for value in found.values()))
    table = Table(
        "Engine work in a turn", ("domain", "conversations", "turns", "median ms", "p95 ms", "most ms"), (row,)
    )
    notes = (f"{passed} of {played} conversations passed.",)
    return Report("dialogue", command, (table,), {domain: found | {"conversations": played, "passed": passed}}, notes)
