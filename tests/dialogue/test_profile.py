"""Who is calling, what may be said of it when, and which offer is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.dialogue.feelings import Feelings
from agent.dialogue.manner import EmotionSettings, OfferSpec
from agent.dialogue.offers import Occasion, choose_offer
from agent.dialogue.profile import NOBODY, Profile, Told, personal, read_profile, spoken_list, with_history

NOW = datetime(2026, 5, 4, 15, tzinfo=UTC)
ANNA = Profile(True, "Anna", last_topic="your return", open_items=("an order on its way",))


def test_a_whole_profile_is_read() -> None:
    result = {
        "known": True, "name": " Anna  Lee ", "language": "zh", "pace": 0.8, "last_topic": "your return",
        "last_days": 3, "open_items": ["an order", "a return", "an order"], "vip": True, "no_offers": True, "more": 1,
    }  # fmt: skip
    profile, problems = read_profile(result, ("en", "zh"))
    assert problems == []
    assert profile == Profile(
        True, "Anna Lee", "zh", 0.8, "your return", 3, ("an order", "a return"), vip=True, no_offers=True
    )


@pytest.mark.parametrize(
    ("result", "field", "default"),
    [
        ({"name": {"first": "Anna"}}, "name", None),
        ({"name": "<b>Anna</b>"}, "name", None),
        ({"name": "{customer.pin}"}, "name", None),
        ({"name": "A" * 500}, "name", None),
        ({"pace": float("nan")}, "pace", 1.0),
        ({"pace": "fast"}, "pace", 1.0),
        ({"pace": -1}, "pace", 1.0),
        ({"open_items": "an order"}, "open_items", ()),
        ({"last_days": "three"}, "last_days", None),
        ({"vip": "yes"}, "vip", False),
        ({"no_offers": "yes"}, "no_offers", True),
    ],
)
def test_a_value_that_makes_no_sense_is_left_out_and_named(result: dict[str, Any], field: str, default: Any) -> None:
    profile, problems = read_profile({"known": True, **result})
    assert profile.known
    assert getattr(profile, field) == default
    assert len(problems) == 1
    assert problems[0].startswith(field)
    assert "Anna" not in problems[0]


def test_an_item_that_cannot_be_spoken_does_not_cost_the_others() -> None:
    profile, problems = read_profile({"known": True, "open_items": ["an order", 7, None, "a return"]})
    assert profile.open_items == ("an order", "a return")
    assert [problem.split()[0] for problem in problems] == ["open_items.1", "open_items.2"]


@pytest.mark.parametrize(
    "result", [{}, {"known": False, "name": "Anna"}, {"known": "no", "name": "Anna"}, {"known": 1}]
)
def test_others_are_nobody(result: dict[str, Any]) -> None:
    assert read_profile(result)[0] == NOBODY


def test_a_pace_beyond_the_limits_is_brought_back() -> None:
    assert read_profile({"known": True, "pace": 3})[0].pace == 1.3
    assert read_profile({"known": True, "pace": 0.1})[0].pace == 0.7


def test_an_old_topic_is_not_referred_to() -> None:
    assert read_profile({"known": True, "last_topic": "your return", "last_days": 31})[0].last_topic is None
    assert read_profile({"known": True, "last_topic": "your return", "last_days": 30})[0].last_topic == "your return"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ("known", "name", "language", "pace", "last_topic", "last_days", "open_items", "vip", "no_offers")


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_no_result_breaks_the_reader(result: Mapping[str, Any]) -> None:
    profile, _ = read_profile(result)
    assert 0.7 <= profile.pace <= 1.3
    assert len(profile.open_items) <= 3
    assert profile.known or profile == NOBODY


def test_nothing_personal_before_the_caller_is_verified() -> None:
    assert personal(ANNA, verified=False, busy=False, upset=False) == []
    assert personal(NOBODY, verified=True, busy=False, upset=False) == []


def test_open_items_come_first_and_not_while_busy_or_upset() -> None:
    name, items = Told("known_caller", {"name": "Anna"}), Told("open_items", {"items": "an order on its way"})
    assert personal(ANNA, verified=True, busy=False, upset=False) == [name, items]
    assert personal(ANNA, verified=True, busy=True, upset=False) == [name]
    assert personal(ANNA, verified=True, busy=False, upset=True) == []
    nothing_open = replace(ANNA, open_items=())
    topic = Told("last_topic", {"topic": "your return"})
    assert personal(nothing_open, verified=True, busy=False, upset=False) == [name, topic]


def test_items_are_listed_as_spoken() -> None:
    assert spoken_list(()) == ""
    assert spoken_list(("a",)) == "a"
    assert spoken_list(("a", "b", "c")) == "a, b and c"
    assert spoken_list(("甲", "乙", "丙"), "zh") == "甲、乙和丙"


def past(day: int, outcome: str, *intents: str) -> dict[str, Any]:
    return {"opened_at": f"2026-05-{day:02d}T10:00:00+00:00", "outcome": outcome, "intents": list(intents)}


def test_history_gives_the_last_topic_unresolved_calls_first() -> None:
    titles = {"return": "your return", "track": "your order"}
    calls = [past(3, "completed", "track", "thanks"), past(1, "caller_left", "track", "return"), past(1, "x", "thanks")]
    profile = with_history(Profile(True, "Anna"), calls, titles, NOW)
    assert (profile.last_topic, profile.last_days) == ("your return", 3)
    assert with_history(Profile(True), calls[:1], titles, NOW).last_topic == "your order"
    assert with_history(ANNA, calls[:1], titles, NOW) == ANNA
    assert with_history(Profile(True), calls, {}, NOW).last_topic is None
    old = {"opened_at": "2026-03-01T10:00:00+00:00", "outcome": "caller_left", "intents": ["return"]}
    assert with_history(Profile(True), [old], titles, NOW).last_topic is None


WARRANTY = OfferSpec(name="warranty", after=("track",), when="order.long", say="A longer warranty?", yes="flow:buy")
CLUB = OfferSpec(name="club", after=("track", "return"), say="Would you like to join?", yes="flow:join")
GLAD = Occasion("track", {"order": {"long": True}})


def test_an_offer_may_be_written_with_a_bare_yes() -> None:
    written = yaml.safe_load("name: club\nafter: [track]\nsay: Join us?\nyes: flow:join\n")
    assert OfferSpec.model_validate(written).yes == "flow:join"


def offered(occasion: Occasion, profile: Profile = NOBODY, **feelings: Any) -> tuple[str | None, str]:
    choice = choose_offer((WARRANTY, CLUB), occasion, profile, Feelings(**feelings), EmotionSettings())
    return choice.offer.name if choice.offer else None, choice.why


def test_the_first_offer_that_suits_is_made() -> None:
    assert offered(GLAD) == ("warranty", "fits")
    assert offered(replace(GLAD, scope={"order": {"long": False}})) == ("club", "fits")
    assert offered(replace(GLAD, scope={"order": {"long": "no"}})) == ("club", "fits")
    assert offered(replace(GLAD, done="cancel")) == (None, "none_fits")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"open_flows": ("return",)}, "task_open"),
        ({"worked": False}, "failed"),
        ({"made": ("club",)}, "made_already"),
        ({"unwanted": True}, "unwanted"),
        ({"intents": ("track", "complaint")}, "complaint"),
    ],
)
def test_occasions_without_an_offer(change: dict[str, Any], why: str) -> None:
    assert offered(replace(GLAD, **change)) == (None, why)


def test_no_offer_to_those_who_are_upset_or_opted_out() -> None:
    assert offered(GLAD, Profile(True, no_offers=True)) == (None, "unwanted")
    assert offered(GLAD, raised=True) == (None, "upset")
    assert offered(GLAD, sad=True) == (None, "upset")
    assert offered(GLAD, stance="brief") == (None, "upset")
