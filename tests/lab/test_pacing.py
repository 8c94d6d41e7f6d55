"""How evenly audio comes, from when its frames arrived."""

from __future__ import annotations

import pytest

from agent.lab.pacing import Arrival, pacing


def arrivals(times: list[float]) -> list[Arrival]:
    return [Arrival(at, 20.0) for at in times]


def reply(begin: float, count: int, lead: int = 8) -> list[float]:
    """A burst of `lead` frames more than the first, then one every 20 ms."""
    return [begin + 20.0 * max(0, n - lead) for n in range(count)]


def test_an_even_reply_sent_ahead_has_no_deviation() -> None:
    found = pacing(arrivals(reply(1000.0, 100)))
    assert found is not None
    assert max(found.deviations_ms) < 0.01
    assert found.holes == 0


def test_a_late_frame_that_is_caught_up_shows_and_is_no_hole() -> None:
    times = reply(0.0, 100)
    times[50] += 15.0
    found = pacing(arrivals(times))
    assert found is not None
    assert max(found.deviations_ms) == pytest.approx(15.0)
    assert sum(deviation > 1.0 for deviation in found.deviations_ms) == 1
    assert found.holes == 0


def test_a_stall_longer_than_what_was_sent_ahead_is_a_hole_and_a_new_schedule() -> None:
    first = reply(0.0, 60)
    found = pacing(arrivals(first + reply(first[-1] + 400.0, 60)))
    assert found is not None
    assert found.holes == 1
    assert max(found.deviations_ms) < 0.01


def test_another_reply_is_no_hole() -> None:
    first = reply(0.0, 60)
    found = pacing(arrivals(first + reply(first[-1] + 6000.0, 60)))
    assert found is not None
    assert found.holes == 0


@pytest.mark.parametrize("count", [0, 1, 20])
def test_too_little_audio_tells_nothing(count: int) -> None:
    assert pacing(arrivals(reply(0.0, count))) is None


def test_what_was_taken_back_is_no_hole_and_what_follows_begins_anew() -> None:
    first = reply(0.0, 60)
    again = reply(first[-1] + 90.0, 60)
    found = pacing(arrivals(first + again), [first[-1] + 5.0])
    assert found is not None
    assert found.holes == 0
    assert max(found.deviations_ms) < 0.01
    unaware = pacing(arrivals(first + again))
    assert unaware is not None
    assert max(unaware.deviations_ms) > 50.0
