"""Asking a person at the terminal what turns mean: one key a turn, everything kept at once, and undone as easily."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from rich.console import Console
from rich.markup import escape

from agent.learning.labels import name_problem
from agent.learning.queue import Candidate
from models.contracts import OUT_OF_SCOPE

HELP = "1-9 choose   i another intent   n new intent   x out of scope   s skip   u undo   q quit"
_SPACE = " \t\r\n"


class Terminal(Protocol):
    """Where the person sits."""

    def key(self) -> str:
        """The next key pressed; empty where there is no more input."""
        ...

    def line(self, question: str) -> str:
        """A line typed in answer; empty where there is no more input."""
        ...


class Keeper(Protocol):
    """Where labels are kept; both are on the disk when these return."""

    def keep(self, candidate: Candidate, intent: str | None) -> None:
        """Label a turn; None keeps that it was looked at and skipped."""
        ...

    def forget(self, candidate: Candidate) -> None:
        """Take its label back."""
        ...


@dataclass
class Asked:
    """How far a person came: labels given and turns skipped; new: names given to intents that there are not yet."""

    labelled: int = 0
    skipped: int = 0
    new: list[str] = field(default_factory=list)


def ask(
    candidates: Sequence[Candidate], intents: Sequence[str], terminal: Terminal, keeper: Keeper, console: Console
) -> Asked:
    """Go through `candidates` until the last, q, or the end of the input.

    Raises:
        KeyboardInterrupt: Ctrl-C; whatever was answered is kept.
    """
    answers: list[str | None] = []
    asked, place = Asked(), 0
    while place < len(candidates):
        candidate = candidates[place]
        show(candidate, place + 1, len(candidates), console)
        choice = _choose(candidate, [*intents, *asked.new], terminal, console)
        if choice is _Quit:
            break
        if choice is _Undo:
            if not answers:
                console.print("There is nothing to undo.")
                continue
            place -= 1
            intent = answers.pop()
            keeper.forget(candidates[place])
            asked = replace(
                asked, labelled=asked.labelled - (intent is not None), skipped=asked.skipped - (intent is None)
            )
            continue
        intent = choice if isinstance(choice, str) else None
        keeper.keep(candidate, intent)
        answers.append(intent)
        if intent is None:
            asked.skipped += 1
        else:
            asked.labelled += 1
            if intent not in intents and intent != OUT_OF_SCOPE and intent not in asked.new:
                asked.new.append(intent)
        console.print(f"  [green]{intent or 'skipped'}[/]\n")
        place += 1
    return asked


def show(candidate: Candidate, number: int, total: int, console: Console) -> None:
    """A turn with what the agent had said before, why it is shown, and what it may mean."""
    console.print(f"[bold]{number} of {total}[/]  [dim]{candidate.call_id} turn {candidate.turn}[/]", highlight=False)
    if candidate.before:
        console.print(f"  agent:  [dim]{escape(candidate.before)}[/]", highlight=False)
    console.print(f"  caller: [bold]{escape(candidate.text)}[/]", highlight=False)
    console.print(f"  understood as {candidate.intent or '-'} {candidate.confidence:.2f}", highlight=False)
    console.print(f"  [yellow]{escape('; '.join(candidate.why))}[/]", highlight=False)
    named = [f"[bold]{n}[/] {intent}" for n, intent in enumerate(candidate.suggestions, start=1)]
    if named:
        console.print("  " + "   ".join(named), highlight=False)
    console.print(f"  [dim]{HELP}[/]", highlight=False)


class _Skip:
    """Look at the next turn."""


class _Undo:
    """Take the last answer back."""


class _Quit:
    """No more turns."""


_Answer = str | type[_Skip] | type[_Undo] | type[_Quit]


def _choose(candidate: Candidate, intents: Sequence[str], terminal: Terminal, console: Console) -> _Answer:
    plain: dict[str, _Answer] = {"s": _Skip, "u": _Undo, "q": _Quit, "": _Quit, "x": OUT_OF_SCOPE, "\x04": _Quit}
    while True:
        key = terminal.key().lower()
        if key and key in _SPACE:
            continue
        if key in plain:
            return plain[key]
        if key.isdigit() and 0 < int(key) <= len(candidate.suggestions):
            return candidate.suggestions[int(key) - 1]
        if key == "i":
            console.print("  " + "  ".join(sorted(intents)), highlight=False)
            name = _named(terminal.line("intent"), intents)
            if name is not None:
                return name
            console.print("  [red]No intent, or more than one, begins so.[/]")
        elif key == "n":
            name = terminal.line("name of the new intent").strip()
            problem = name_problem(name, intents, new_intents=True)
            if name and not problem:
                return name
            console.print(f"  [red]{escape(repr(name))} {problem or 'is empty'}[/]", highlight=False)
        console.print(f"  [dim]{HELP}[/]", highlight=False)


def _named(typed: str, intents: Sequence[str]) -> str | None:
    """The intent that is meant by its name or the beginning of it."""
    typed = typed.strip()
    if typed in intents:
        return typed
    fitting = [intent for intent in intents if typed and intent.startswith(typed)]
    return fitting[0] if len(fitting) == 1 else None
