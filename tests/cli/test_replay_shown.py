"""How `agent replay` shows a change."""

import pytest
from rich.text import Text

from agent.cli.replay import _words
from agent.lab.replaying.changes import Change


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (Change("transcript", "No, the other one.", "No, the odd one."), "No, the [-other-] {+odd+} one."),
        (Change("reply", None, "Are you [there]?"), "new: Are you [there]?"),
        (Change("decision", "pause", None), "gone: pause"),
        (Change("decision", 2, 1, None, "pause"), "pause: 2 -> 1"),
        (Change("slots", {}, {"order_number": "42719"}), "none -> order_number 42719"),
    ],
)
def test_both_sides_can_be_read_without_colours(change, shown):
    assert Text.from_markup(_words(change)).plain == shown
