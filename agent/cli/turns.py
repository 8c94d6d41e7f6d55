"""Turns of a call, printed as they are settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

_INDENT = 16  # columns of time and speaker, under which the words stand
_COLOUR = {"caller": "cyan", "agent": "green"}


class TurnPrinter:
    """Prints each turn of one call once, in order: the caller's at once, the agent's when what was heard is known."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: set[tuple[int, str]] = set()

    def show(self, turns: Sequence[Mapping[str, Any]], over: bool) -> None:
        """Print the turns that are new and settled; `over` settles them all."""
        ordered = sorted(turns, key=lambda turn: float(turn["started_ms"]))
        for n, turn in enumerate(ordered):
            settled = over or turn["speaker"] == "caller" or turn.get("heard") or n + 2 < len(ordered)
            if not settled:
                return
            key = (turn["number"], turn["speaker"])
            if key not in self._shown:
                self._shown.add(key)
                self.turn(turn)

    def turn(self, turn: Mapping[str, Any]) -> None:
        """Print one turn."""
        speaker = str(turn["speaker"])
        heard = turn.get("heard")
        text = str(turn["text"] if heard is None else heard)
        at = f"{float(turn['started_ms']) / 1000.0:6.1f} s"
        self.say(speaker, text, at, " [yellow]-- interrupted[/yellow]" if turn.get("interrupted") else "")
        self.detail(turn)

    def say(self, speaker: str, text: str, at: str = "", more: str = "") -> None:
        """Print who said what; `more` is markup."""
        colour = _COLOUR.get(speaker, "white")
        row = Table.grid(padding=(0, 1))
        row.add_column(width=8, justify="right", style="dim")
        row.add_column(width=6, justify="right", style=colour)
        row.add_column(overflow="fold")
        row.add_row(escape(at.strip()), escape(speaker), escape(text) + more)
        self._console.print(row, highlight=False)

    def detail(self, turn: Mapping[str, Any]) -> None:
        """Print what was understood in a turn and how long the answer took."""
        for detail in (meaning(turn), latency(turn)):
            if detail:
                self._console.print(Padding(f"[dim]{escape(detail)}[/]", (0, 0, 0, _INDENT)), highlight=False)


def meaning(turn: Mapping[str, Any]) -> str:
    """Intent with confidence, slots and mood of a caller's turn, in a line; empty where there are none.

    Of the voice only the two calibrated probabilities are told; its label is indicative (see its model card).
    """
    parts = []
    if turn.get("intent"):
        confidence = turn.get("confidence")
        parts.append(f"{turn['intent']} {confidence:.2f}" if confidence is not None else str(turn["intent"]))
    for name, slot in (turn.get("slots") or {}).items():
        parts.append(f"{name}={slot.get('value') if isinstance(slot, Mapping) else slot}")
    emotion = turn.get("emotion") or {}
    if "words" in emotion:
        parts.append(f"words: {emotion['words']}")
    if "voice" in emotion:
        parts.append(f"voice: anger {emotion['anger']:.2f}, activation {emotion['activation']:.2f}")
    return "  ".join(parts)


def latency(turn: Mapping[str, Any]) -> str:
    """How long an answer took and of what that is made, in a line; empty where nobody waited for it."""
    measured = dict(turn.get("latency") or {})
    total = measured.pop("total", None)
    parts = " + ".join(f"{name.replace('_', ' ')} {value:.0f}" for name, value in measured.items() if value >= 0.5)
    return "" if total is None else f"answered in {total:.0f} ms = {parts}"
