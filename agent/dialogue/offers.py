"""Which offer to make after a task, if any. Pure.

At most one a call, only once the task is done, never to an upset caller, in a complaint, or to somebody who does not
want offers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent.dialogue.emotion import is_complaint, upset
from agent.dialogue.feelings import Feelings
from agent.dialogue.manner import EmotionSettings, OfferSpec
from agent.dialogue.profile import Profile
from agent.dialogue.text import look_up

Refusal = Literal["none_fits", "task_open", "made_already", "unwanted", "upset", "complaint", "failed"]


@dataclass(frozen=True, slots=True)
class Occasion:
    """Where a call stands when an offer could be made.

    done: the flow that was just finished; scope: what its templates knew, with the results of its actions. worked: that
    its actions worked. open_flows: flows still to be finished. intents: the caller's intents so far. made: names of
    offers made in this call. unwanted: the caller said that they want none.
    """

    done: str
    scope: Mapping[str, Any]
    worked: bool = True
    open_flows: Sequence[str] = ()
    intents: Sequence[str] = ()
    made: Sequence[str] = ()
    unwanted: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The offer to make, or None and why not; the reason goes to the turn's record."""

    offer: OfferSpec | None
    why: Refusal | Literal["fits"]


def choose_offer(
    offers: Sequence[OfferSpec], occasion: Occasion, profile: Profile, feelings: Feelings, settings: EmotionSettings
) -> Choice:
    """The first offer that suits the occasion."""
    suiting = [offer for offer in offers if occasion.done in offer.after and _holds(offer, occasion.scope)]
    if not suiting:
        return Choice(None, "none_fits")
    why: Refusal | None = None
    if occasion.open_flows:
        why = "task_open"
    elif not occasion.worked:
        why = "failed"
    elif occasion.made:
        why = "made_already"
    elif occasion.unwanted or profile.no_offers:
        why = "unwanted"
    elif upset(feelings, settings) or feelings.stance in ("apologise", "brief", "soothe"):
        why = "upset"
    elif is_complaint((occasion.done, *occasion.intents), settings):
        why = "complaint"
    return Choice(None, why) if why is not None else Choice(suiting[0], "fits")


def _holds(offer: OfferSpec, scope: Mapping[str, Any]) -> bool:
    return offer.when is None or look_up(scope, offer.when) is True
