"""Intervals and tests: what they hold, and that pairing sees what unpaired draws cannot."""

import numpy as np
import pytest

from models.evaluation.bootstrap import DRAWS, bootstrap, difference, interval, mcnemar, resamples
from models.evaluation.figures import Sample, quantiles


def test_an_interval_is_about_as_wide_as_theory_says():
    right = np.arange(400) % 4 > 0
    draws = bootstrap(lambda at: float(right[at].mean()), len(right), seed=1)
    low, high = interval(draws)
    error = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert len(draws) == DRAWS
    assert low == pytest.approx(0.75 - error, abs=0.01)
    assert high == pytest.approx(0.75 + error, abs=0.01)


def test_draws_are_the_same_for_the_same_seed_and_others_for_another():
    first, second, third = (np.stack(list(resamples(20, seed, 5))) for seed in (1, 1, 2))
    assert (first == second).all()
    assert (first != third).any()


def test_groups_are_drawn_whole():
    groups = ["a"] * 3 + ["b"] * 5
    for places in resamples(8, 0, 50, groups):
        counts = np.bincount(places, minlength=8)
        assert len(set(counts[:3])) == 1
        assert len(set(counts[3:])) == 1
        assert counts[0] + counts[3] == 2


def test_figures_of_no_example_have_no_interval():
    figure = Sample(()).mean("accuracy", "accuracy", [])
    assert np.isnan(figure.value)
    assert figure.interval is None
    assert figure.shown() == "-"


def test_pairing_finds_a_small_change_that_unpaired_draws_do_not():
    random = np.random.default_rng(0)
    before = random.random(1000) < 0.9
    after = before.copy()
    after[np.flatnonzero(~before)[:12]] = True
    sample = Sample(tuple(map(str, range(1000))))
    old, new = sample.mean("a", "a", before), sample.mean("a", "a", after)
    paired = difference(old.value, new.value, old.draws, new.draws, paired=True)
    apart = difference(old.value, new.value, old.draws, new.draws, paired=False)
    assert paired.change == pytest.approx(1.2)
    assert paired.significant
    assert paired.chance < 0.01
    assert not apart.significant
    assert mcnemar(before, after) == pytest.approx(2 * 0.5**12)


def test_nothing_changed_is_no_change():
    sample = Sample(("x", "y", "z"))
    one = sample.mean("a", "a", [1, 0, 1])
    same = difference(one.value, one.value, one.draws, one.draws, paired=True)
    assert (same.low, same.high, same.chance) == (0.0, 0.0, 1.0)
    assert mcnemar(np.array([True, False]), np.array([True, False])) == 1.0


def test_a_sample_is_known_by_its_examples_and_their_order():
    assert Sample(("x", "y")).fingerprint == Sample(("x", "y")).fingerprint
    others = [Sample(("y", "x")), Sample(("x", "y"), 1), Sample(("x", "y"), 0, ("s", "s"))]
    assert Sample(("x", "y")).fingerprint not in {one.fingerprint for one in others}
    assert Sample(("x", "y", "z"), 0, ("s", "t", "s")).part([0, 2]) == Sample(("x", "z"), 0, ("s", "s"))


def test_times_have_a_median_and_a_slow_end():
    median, slow = quantiles("latency", "latency", [1.0, 2.0, 3.0, 4.0, 100.0])
    assert (median.name, median.value, median.unit, median.better) == ("latency_p50", 3.0, "ms", "lower")
    assert slow.name == "latency_p95"
    assert slow.value == pytest.approx(80.8)
