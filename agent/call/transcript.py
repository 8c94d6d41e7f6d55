"""What was said in a call, by whom, and what of it was heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.call.playout import HeardUtterance
from agent.records.contracts import TurnRecord


class Transcript:
    """The turns of one call in order. What the caller never heard is not part of it."""

    def __init__(self) -> None:
        self._turns: dict[tuple[int, str], TurnRecord] = {}

    def put(self, turn: TurnRecord) -> None:
        """Add a turn, or replace the one with its number and speaker."""
        self._turns[turn.number, turn.speaker] = turn

    def get(self, number: int, speaker: str) -> TurnRecord | None:
        """The turn of that number and speaker."""
        return self._turns.get((number, speaker))

    def take_back(self, number: int, speaker: str) -> None:
        """A turn turned out not to be one."""
        self._turns.pop((number, speaker), None)

    def fix(self, number: int, heard: list[HeardUtterance], interrupted: bool, ended_ms: float) -> TurnRecord | None:
        """Set what was heard of the agent's turn `number`."""
        turn = self._turns.get((number, "agent"))
        if turn is None:
            return None
        text = " ".join(utterance.heard for utterance in heard)
        fixed = replace(turn, heard=text, interrupted=interrupted and text != turn.text, ended_ms=ended_ms)
        self._turns[number, "agent"] = fixed
        return fixed

    def rows(self) -> list[Mapping[str, Any]]:
        """The conversation as heard: {speaker, text, at_ms, turn} a turn, `turn` being its number."""
        rows: list[Mapping[str, Any]] = []
        for turn in sorted(self._turns.values(), key=lambda t: (t.started_ms, t.number, t.speaker == "agent")):
            text = turn.text if turn.heard is None else turn.heard
            if text:
                rows.append(
                    {"speaker": turn.speaker, "text": text, "at_ms": round(turn.started_ms), "turn": turn.number}
                )
        return rows
