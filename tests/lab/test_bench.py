"""How many calls are held: the steps, what is seen in each, and what the report advises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from agent.lab.bench import SCENARIO, BenchStep, Plan, digest, server_load, spoken_lines
from agent.lab.bench_report import advice, by_group, conclusion, held, report
from agent.lab.load import BrokenCall, Happened, LoadTurn, PacedReply
from agent.lab.pacing import Pacing
from agent.lab.scenario import read_scenario

PLAN = Plan(target_ms=1000.0)
SERVER: dict[str, Any] = {
    "cores": 2,
    "workers": 2,
    "most_calls": 16,
    "cpu": 0.6,
    "rss_mb": 800.0,
    "loop_lag_ms": {"count": 100, "p50": 0.5, "p95": 3.0, "most": 9.0},
    "waited_ms": {"speculation": {"count": 10, "p50": 1.0, "p95": 5.0, "most": 6.0}},
    "busy": {"speculation": 0.3, "first_sentence": 0.1, "voice_activity": 0.2},
    "dropped": 0,
    "parts_ms": {"endpoint_wait": 200.0, "synthesis": 100.0, "total": 500.0},
}


def turns(answers: Sequence[float | None]) -> list[Happened]:
    return [LoadTurn(n, "where", float(n), answer, answer, False) for n, answer in enumerate(answers)]


def step(calls: int, answers: Sequence[float | None], **changes: Any) -> BenchStep:
    return replace(digest(calls, 40.0, turns(answers), server=SERVER), **changes)


def server(**changes: Any) -> dict[str, Any]:
    return {**SERVER, **changes}


def test_calls_double_and_then_grow_steadily_to_the_last() -> None:
    assert Plan(1, 18).levels() == [1, 2, 4, 8, 12, 16, 18]
    assert Plan(3, 3).levels() == [3]


def test_late_answers_unanswered_lines_and_refused_calls_break_a_step() -> None:
    assert step(4, [500.0] * 20).held(1000.0)
    assert not step(4, [500.0] * 15 + [1500.0] * 5).held(1000.0)
    assert not step(4, [500.0] * 19 + [None]).held(1000.0)
    assert not step(4, [500.0] * 20, refused=1).held(1000.0)
    assert not step(4, []).held(1000.0)


def test_few_lines_do_not_tell_a_p95_but_an_unanswered_one_tells() -> None:
    assert not step(1, [1500.0] * 4).telling
    assert step(1, [None] * 4).telling
    assert step(1, [1500.0] * 20).telling


def test_a_step_counts_what_happened_in_it() -> None:
    seen: list[Happened] = [
        *turns([400.0, 600.0, None]),
        LoadTurn(9, "box", 1.0, None, None, True),
        PacedReply(0, 1.0, Pacing((1.0,) * 20, 0)),
        PacedReply(1, 2.0, Pacing((9.0,) * 20, 2)),
        BrokenCall(2, 3.0, "ended", "agent:goodbye"),
        BrokenCall(3, 3.0, "refused", "HTTP 503"),
        BrokenCall(3, 4.0, "refused", "HTTP 503"),
    ]
    found = digest(4, 40.0, seen)
    assert (found.turns, found.unanswered, found.cut_offs) == (4, 1, 1)
    assert (found.ended, found.refused, found.whys) == (1, 2, ("agent:goodbye", "HTTP 503"))
    assert (found.jitter_ms, found.holes) == (9.0, 2)
    assert found.answered["p50"] == 500.0


def told(up_s: float, cpu_s: float, busy_s: float, total_ms: float, count: float) -> dict[str, Any]:
    kind = {"done": int(busy_s * 10), "dropped": 0, "busy_s": busy_s, "waited_ms": {"count": 1, "p95": 4.0}}
    return {
        "up_s": up_s,
        "cpu_s": cpu_s,
        "rss_mb": 700.0,
        "cores": 2,
        "calls": {"now": 1, "most": 16},
        "loop_lag_ms": {"count": 1, "p95": 2.0},
        "pool": {"workers": 2, "dropped": 0, "kinds": {"speculation": kind}},
        "latency": {"total": {"count": count, "total_ms": total_ms}},
    }


def test_the_server_s_load_is_what_changed_between_two_answers() -> None:
    found = server_load(told(10.0, 5.0, 1.0, 3000.0, 5.0), told(30.0, 15.0, 9.0, 9000.0, 15.0))
    assert found is not None
    assert (found["cpu"], found["busy"], found["parts_ms"]) == (0.5, {"speculation": 0.4}, {"total": 600.0})
    assert server_load(None, told(1.0, 1.0, 1.0, 1.0, 1.0)) is None


def test_the_most_calls_that_were_held_are_suggested_as_the_limit() -> None:
    steps = [step(4, [500.0] * 20), step(8, [500.0] * 20), step(12, [1500.0] * 20)]
    assert held(steps, PLAN) == 8
    assert conclusion(steps, PLAN)[-1] == "Set server.max_calls: 8."
    figures = report(steps, PLAN, "agent bench").figures
    assert (figures["suggested_max_calls"], [one["held"] for one in figures["steps"]]) == (8, [True, True, False])
    assert "not found" in conclusion(steps[:2], Plan(last=8, target_ms=1000.0))[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"server": server(loop_lag_ms={"count": 9, "p95": 40.0})}, "event loop runs late (p95 40 ms)"),
        ({"server": server(waited_ms={"speculation": {"p95": 900.0}})}, "recognizer.context_s"),
        ({"server": server(busy={"first_sentence": 1.7, "speculation": 0.1})}, "first sentences"),
        ({"server": server(cores=8, waited_ms={"understanding": {"p95": 900.0}})}, "raise pool.workers"),
        ({"server": server(cpu=1.9)}, "processor is used up"),
        ({"server": server(parts_ms={"endpoint_wait": 700.0, "total": 900.0})}, "section floor"),
        ({"server": None}, "says nothing of its load"),
        ({"caller_lag": {"count": 9, "p95": 30.0}}, "callers themselves ran late"),
        ({"jitter_ms": 31.0}, "31 ms off its schedule"),
        ({"refused": 1, "whys": ("HTTP 503",)}, "HTTP 503"),
    ],
)
def test_the_advice_is_about_what_is_used_up(changes: dict[str, Any], says: str) -> None:
    found = advice([step(8, [1500.0] * 20, **changes)], PLAN)
    assert any(says in line for line in found), found


def test_where_nothing_is_used_up_nothing_is_advised() -> None:
    assert advice([step(8, [500.0] * 20)], PLAN) == []


def test_workers_are_counted_by_what_the_work_is_for() -> None:
    found = by_group({"final_recognition": 0.1, "speculation": 0.2, "later_sentence": 0.3})
    assert found == {"recognition": 0.3, "synthesis": 0.3}


def test_the_shipped_callers_speak_for_about_three_seconds() -> None:
    lines = spoken_lines(read_scenario(SCENARIO))
    lengths = [(words.end - words.start) / 8000 for _, words in lines]
    assert len(lines) >= 8
    assert 2.5 <= sum(lengths) / len(lengths) <= 3.7
