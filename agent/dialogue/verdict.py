"""How a call went, for the records and for alerts: what it was about, and whether the caller left it unhappy. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.dialogue.feelings import Feelings
from agent.dialogue.manner import EmotionSettings

NO_TOPIC = "none"
"""The topic of a call in which nothing was begun."""
UPSET_TURNS = 2
"""Turns in which a caller was upset, from which a call is negative even if it ended well."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`topic` is the flow that the caller called for; `negative` that they were upset at the end or for some time."""

    topic: str
    negative: bool


def judge(feelings: Feelings, settings: EmotionSettings, flows: Sequence[str], identity: str | None = None) -> Verdict:
    """The verdict on a call.

    Args:
        flows: those that the call was about, the likeliest to be its topic first.
        identity: the flow that proves who calls, which is nobody's wish.

    One turn of anger that the call made good again is no negative call; one that it ended with is.
    """
    upset = [one.anger >= settings.upset or one.sadness >= settings.sad for one in feelings.series]
    negative = bool(upset) and (upset[-1] or sum(upset) >= UPSET_TURNS)
    return Verdict(next((flow for flow in flows if flow != identity), NO_TOPIC), negative)
