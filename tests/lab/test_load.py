"""Callers that load a server, against a scripted one."""

from __future__ import annotations

import pytest

from agent.lab.ear import Span
from agent.lab.load import turn_of


def test_a_turn_is_answered_by_the_first_sound_after_it() -> None:
    turn = turn_of(3, "where", 12.0, 1000.0, 4000.0, [Span(0.0, 900.0), Span(4600.0, 7000.0)], [])
    assert (turn.answered_ms, turn.settled_ms, turn.cut_off) == (600.0, 600.0, False)


def test_a_reply_broken_off_and_begun_again_settles_with_the_last() -> None:
    spans = [Span(4300.0, 4700.0), Span(5900.0, 8000.0)]
    turn = turn_of(0, "where", 0.0, 1000.0, 4000.0, spans, [4750.0])
    assert (turn.answered_ms, turn.settled_ms) == (300.0, 1900.0)


def test_a_reply_into_the_line_is_a_cut_off_and_no_answer() -> None:
    turn = turn_of(0, "where", 0.0, 1000.0, 4000.0, [Span(2000.0, 6000.0)], [])
    assert turn.cut_off
    assert turn.answered_ms is None


@pytest.mark.parametrize("spans", [[], [Span(0.0, 900.0)]])
def test_silence_is_no_answer(spans: list[Span]) -> None:
    turn = turn_of(0, "where", 0.0, 1000.0, 4000.0, spans, [])
    assert (turn.answered_ms, turn.settled_ms, turn.cut_off) == (None, None, False)
