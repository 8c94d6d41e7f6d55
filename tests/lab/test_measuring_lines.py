"""Lines on which speech is recognized: what each keeps, adds and loses."""

import numpy as np
import pytest

from agent.lab.measuring.lines import line_of
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.recordings import RATE

TIME = np.arange(2 * RATE) / RATE
LOW, HIGH = (np.sin(2 * np.pi * hertz * TIME).astype(np.float32) * 0.3 for hertz in (1000, 6000))


def test_a_clean_line_changes_nothing():
    assert line_of("clean")(HIGH, 0) is HIGH


@pytest.mark.parametrize("condition", ["mulaw", "alaw", "noise-40", "loss-1"])
def test_a_telephone_line_keeps_speech_and_loses_what_lies_above_4_khz(condition):
    assert np.std(line_of(condition)(LOW, 0)) == pytest.approx(np.std(LOW), rel=0.07)
    if not condition.startswith("noise"):
        assert np.std(line_of(condition)(HIGH, 0)) < 0.02 * np.std(HIGH)


@pytest.mark.parametrize("kind", ["noise", "white", "babble", "tv"])
def test_noise_lies_as_far_below_the_speech_as_was_asked(kind):
    clean, noisy = line_of("mulaw")(LOW, 0), line_of(f"{kind}-10")(LOW, 0)
    assert len(noisy) == len(clean)
    ratio_db = 20 * np.log10(np.std(clean) / np.std(noisy - clean))
    assert ratio_db == pytest.approx(10.0, abs=2.5)


def test_a_lossy_line_is_silent_where_packets_are_lost_and_the_same_for_a_seed():
    long = np.tile(LOW, 10)
    first, again, other = (line_of("loss-20")(long, seed) for seed in (1, 1, 2))
    assert len(first) == len(long)
    assert (first == again).all()
    assert (first != other).any()
    pieces = first.reshape(-1, RATE // 50)
    silent = float(np.mean(pieces.std(axis=1) < 0.1))
    assert 0.1 < silent < 0.35


@pytest.mark.parametrize("condition", ["", "Clean", "noise", "noise-200", "loss-0", "loss-90", "rain-10"])
def test_another_condition_is_refused_with_those_there_are(condition):
    with pytest.raises(MeasureFailed, match="give clean, mulaw, alaw"):
        line_of(condition)
