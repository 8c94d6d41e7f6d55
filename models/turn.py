"""Whether the caller's turn is over, from the words so far and what was asked."""

from __future__ import annotations

from collections.abc import Set

from models.contracts import UnderstandingContext, Understood

LEADING = 0.6
"""Most that a sentence of a leading kind can reach: "This is ridiculous." is finished, the turn seldom is."""


def turn_over(understood: Understood, context: UnderstandingContext, leading: Set[str]) -> float:
    """P(the turn is over) in [0, 1].

    `leading` names intents after which callers often go on: greetings, complaints, a "no" that nobody asked for. An
    answer to what was asked is never leading.
    """
    answers = context.asked_yes_no and any(slot.name == "yes_no" for slot in understood.slots)
    answers = answers or any(understood.slot(name) is not None for name in context.expected_slots)
    if understood.intent in leading and not answers:
        return min(understood.complete, LEADING)
    return understood.complete
