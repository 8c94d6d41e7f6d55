"""Pauses inside the lines of a scenario: where there is a gap, as often as asked, drawn by the seed."""

import numpy as np
import pytest
from lab.agents import said, sound

from agent.lab.gaps import Gaps
from agent.lab.scenario import Scenario, Script
from agent.lab.spoken import Spoken
from models.contracts import Recognition, Word

TWO_WORDS = np.concatenate([sound(500), np.zeros(8 * 60, np.int16), sound(500)])
SOUNDS = {n: Spoken(TWO_WORDS, 0, len(TWO_WORDS)) for n in range(40)} | {40: said(300)}


class Timekeeper:
    """Says that the second word begins where the first has ended, after 530 ms."""

    heard = 0

    def recognize(self, samples, hints=None):
        self.heard += 1
        return Recognition("two words", (Word("two", 0.02, 0.53, 1.0), Word("words", 0.53, 1.06, 1.0)))


def scenario(share: float) -> Scenario:
    steps = [*({"say": "Two words."} for _ in range(40)), {"backchannel": "uh-huh"}]
    return Scenario("test", Script(description="", paused_share=share, steps=steps))


def paused(share: float, seed: int = 0) -> dict[int, tuple]:
    gaps, read = Gaps(Timekeeper), scenario(share)
    gaps.find(read, SOUNDS)
    return {n: each.pauses for n, each in gaps.paused(read, seed, SOUNDS).items() if each.pauses}


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 12, 28), (1.0, 40, 40)])
def test_as_many_lines_as_asked_have_a_pause(share, least, most):
    found = paused(share)
    assert least <= len(found) <= most
    assert 40 not in found
    for ((first, last),) in found.values():
        assert 500 * 8 <= first <= 560 * 8
        assert 250 * 8 <= last - first <= 700 * 8


def test_the_seed_alone_decides():
    assert paused(0.5, 3) == paused(0.5, 3)
    assert paused(0.5, 3) != paused(0.5, 4)


def test_nothing_is_recognized_where_no_pause_is_asked_for():
    keeper = Timekeeper()
    Gaps(lambda: keeper).find(scenario(0.0), SOUNDS)
    assert keeper.heard == 0
    Gaps(lambda: keeper).find(scenario(0.1), SOUNDS)
    assert keeper.heard == 40
