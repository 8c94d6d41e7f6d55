"""What a connection may do."""

from __future__ import annotations

from agent.call.limits import MediaWatch, MessageBudget


def test_messages_come_out_of_a_budget_that_fills_again() -> None:
    budget = MessageBudget(10, 1000, 0.0)
    assert [budget.take(1, 0.0) for _ in range(11)] == [None] * 10 + ["10 messages"]
    again = MessageBudget(10, 1000, 0.0)
    assert all(again.take(1, at * 100.0) is None for at in range(50))


def test_bytes_come_out_of_another() -> None:
    budget = MessageBudget(10, 1000, 0.0)
    assert budget.take(600, 0.0) is None
    assert budget.take(600, 0.0) == "1000 bytes"
    assert budget.take(600, 1000.0) is None


def test_the_first_audio_may_come_later_than_the_next() -> None:
    watch = MediaWatch(10.0, 2.0, 500.0)
    assert watch.due_ms == 10_500.0
    watch.heard(3000.0)
    assert watch.due_ms == 5000.0
    assert watch.silent_s(4500.0) == 1.5


def test_no_audio_is_expected_while_it_is_paused() -> None:
    watch = MediaWatch(10.0, 2.0, 0.0)
    watch.heard(1000.0)
    watch.pause(True, 2000.0)
    assert watch.due_ms is None
    watch.pause(False, 60_000.0)
    assert watch.due_ms == 62_000.0
