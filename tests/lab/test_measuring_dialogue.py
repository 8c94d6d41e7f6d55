"""Engine work is timed by turn, and the engine is as before afterwards."""

from __future__ import annotations

import pytest

from agent.dialogue.machine import FlowMachine
from agent.lab.measuring.dialogue import TIMED, digest, timed


def test_work_is_added_to_the_turn_that_began_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr("agent.lab.measuring.dialogue.time.perf_counter", lambda: next(ticks) / 1000.0)
    kind, name = TIMED[0]
    monkeypatch.setattr(kind, name, lambda: "decided")
    monkeypatch.setattr(FlowMachine, "advance", lambda: "advanced")
    with timed() as turns:
        FlowMachine.advance()  # type: ignore[call-arg]
        assert turns == []
        assert getattr(kind, name)() == "decided"
        assert FlowMachine.advance() == "advanced"  # type: ignore[call-arg]
        getattr(kind, name)()
    assert turns == pytest.approx([2.0, 1.0])


def test_afterwards_nothing_is_timed() -> None:
    before = [getattr(kind, name) for kind, name in TIMED]
    with timed():
        assert all(getattr(kind, name) is not method for (kind, name), method in zip(TIMED, before, strict=True))
    assert [getattr(kind, name) for kind, name in TIMED] == before


def test_a_report_of_the_turns() -> None:
    report = digest([3.0, 1.0, 2.0], "shop", 2, 1, "agent evaluate dialogue")
    assert report.figures["shop"]["median_ms"] == 2.0
    assert report.figures["shop"]["most_ms"] == 3.0
    assert "1 of 2 conversations passed." in report.markdown()
