"""Limits on faults: what they allow and what they name."""

import pytest

from agent.lab.reporting.limits import Limit, over, parse_limits
from agent.lab.summary import SHARES, Share, Summary


def summary(**shares):
    everything = {figure.name: Share(0, 100) for figure in SHARES} | {"tasks": Share(100, 100)}
    return Summary(100, 100, {}, everything | shares)


def test_names_counts_and_percentages():
    assert parse_limits("tasks, cut_offs:3%,unanswered:1") == [
        Limit("tasks"),
        Limit("cut_offs", 3.0, True),
        Limit("unanswered", 1.0),
    ]
    assert parse_limits("none") == []


@pytest.mark.parametrize("text", ["cutoffs", "cut_offs:", "cut_offs:-1", "resumed", "", "none,tasks"])
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(ValueError, match="--fail-on has"):
        parse_limits(text)


@pytest.mark.parametrize(
    ("text", "passed"),
    [("cut_offs", True), ("cut_offs:2", True), ("cut_offs:3", False), ("cut_offs:3%", False), ("cut_offs:2.5%", True)],
)
def test_more_than_the_limit_passes_it(text, passed):
    assert bool(over(parse_limits(text), summary(cut_offs=Share(3, 100)))) is passed


def test_tasks_are_counted_by_those_that_failed():
    assert over(parse_limits("tasks"), summary()) == []
    assert over(parse_limits("tasks"), summary(tasks=Share(98, 100))) == [
        "calls that did not go as expected: 2 of 100, more than 0"
    ]


def test_false_interruptions_are_those_with_nobody_speaking_too():
    found = over(parse_limits("false_interruptions"), summary(unprovoked_interruptions=Share(1, 40)))
    assert found == ["unprovoked interruptions: 1 of 40, more than 0"]


def test_nothing_measured_passes_no_percentage():
    assert over(parse_limits("cut_offs:1%"), summary(cut_offs=Share(0, 0))) == []
