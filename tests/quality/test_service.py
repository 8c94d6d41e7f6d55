"""Scores in the database: made at a call's end or later, searched, rated, calibrated; how predictions are fitted."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from qualityfakes import ANGRY, CONFIG, NOON, agent, caller, good, greeting, keep
from sqlalchemy import delete, update

from agent.quality.calibration import Correction, Pair, calibrate
from agent.quality.fitting import ridge
from agent.quality.rubric import Rubrics
from agent.quality.satisfaction import FEATURES, Predictor, fit
from agent.quality.searching import Range, SearchError, Wanted, load_quality, search_calls, side_by_side, unscored_calls
from agent.quality.service import BadRating, NotFinished, Quality, QualityError, Rating, facts_from, score_call
from agent.quality.tables import QualityScore
from agent.records.contracts import CallOpened
from agent.records.database import Call, Turn
from agent.records.queries import CallNotFound
from agent.records.writer import SqlRecords

SHOP = CONFIG.parent / "domains" / "shop"
RUDE = [
    greeting(),
    caller(1, "This is ridiculous, I want a refund for 100% of it.", 5500.0, 8000.0, emotion=ANGRY),
    agent(1, "Calm down.", 8500.0, 9500.0, actions=[]),
]


async def begin(records: SqlRecords) -> None:
    """A call that goes on."""
    await (await records.open_call(CallOpened("open", "twilio", "CA1", "shop"))).flush()


async def all_scored(quality: Quality, again: bool = False) -> list[tuple[int, int, int]]:
    return [progress async for progress in quality.score_since(again=again)]


async def test_a_call_is_scored_and_kept(records: SqlRecords, quality: Quality) -> None:
    await keep(records, "a")
    scored = await quality.score_call("a")
    found = await load_quality(records.database, "a")
    assert (scored.score, found["score"], found["intent"]) == (100.0, 100.0, "order_status")
    assert {"greeting", "disclosure", "resolution"} <= {item["name"] for item in found["items"]}
    greeted = next(item for item in found["items"] if item["name"] == "greeting")
    assert (greeted["score"], greeted["value"], greeted["evidence"], greeted["passed"]) == (5.0, 1.0, [0], True)
    assert greeted["details"][0]["text"].startswith("Thanks for calling")
    again = await score_call(records.database, "a", Rubrics(CONFIG), records.clock)
    assert again.score == 100.0


async def test_what_cannot_be_scored(records: SqlRecords, quality: Quality, caplog: pytest.LogCaptureFixture) -> None:
    await begin(records)
    await keep(records, "a")
    with pytest.raises(NotFinished, match="still goes on"):
        await quality.score_call("open")
    with pytest.raises(CallNotFound):
        await quality.score_call("nope")
    with caplog.at_level(logging.ERROR):
        assert await quality.score("open") is None
    assert "agent quality score" in caplog.text


async def test_calls_recorded_before_are_scored_once(records: SqlRecords, quality: Quality) -> None:
    for name in ("a", "b", "c"):
        await keep(records, name)
    await quality.score_call("b")
    assert await all_scored(quality) == [(1, 0, 2), (2, 0, 2)]
    assert await all_scored(quality) == []
    assert len(await all_scored(quality, again=True)) == 3
    async with records.database.engine.begin() as connection:
        await connection.execute(update(Turn).where(Turn.call_id == "b", Turn.number == 1).values(reasons=7, emotion=7))
    assert (await all_scored(quality, again=True))[-1] == (3, 1, 3), "a broken record stops nobody else's score"
    assert await quality.unscored(NOON + timedelta(days=1), again=True) == []
    async with records.database.engine.begin() as connection:
        await connection.execute(update(QualityScore).values(digest="older"))
    assert len(await quality.unscored()) == 3, "a changed rubric makes scores new"


async def test_a_score_goes_with_its_call(records: SqlRecords, quality: Quality) -> None:
    await keep(records, "a")
    await quality.score_call("a")
    await quality.rate(Rating("a", "ann", 80, {}))
    async with records.database.engine.begin() as connection:
        await connection.execute(delete(Call).where(Call.id == "a"))
    assert await quality.calibration() == calibrate([], {})


async def test_search(records: SqlRecords, quality: Quality) -> None:
    await keep(records, "good")
    records.clock.day = 1  # type: ignore[attr-defined]
    await keep(records, "rude", RUDE, outcome="caller_left", topic="returns")
    await keep(records, "unscored", RUDE)
    await begin(records)
    await quality.score_call("good")
    await quality.score_call("rude")

    async def ids(**wanted: Any) -> list[str]:
        return [row["call_id"] for row in await search_calls(records.database, Wanted(**wanted))]

    assert sorted(await ids()) == ["good", "rude", "unscored"]
    assert await ids(text="refund", emotion="angry", score=Range.read("<60")) == ["rude"]
    assert await ids(text="REFUND ridiculous", topic="returns") == ["rude"]
    assert await ids(text='"ridiculous, i want" refund', outcome="caller_left") == ["rude"]
    assert await ids(text="100% refund", score=Range.read("0-100")) == ["rude"]
    assert await ids(text="100_") == []
    assert await ids(text="refund delivery") == []
    assert await ids(text="delivery") == ["good"]
    assert await ids(emotion="sad") == []
    assert await ids(failed="forbidden") == ["rude"]
    assert await ids(score=Range.read(">=100")) == ["good"]
    assert await ids(satisfaction=Range.read("<3")) == ["rude"]
    assert await ids(until=NOON + timedelta(hours=1)) == ["good"]
    assert await ids(since=NOON + timedelta(hours=1), domain="shop", score=Range.read("<=100")) == ["rude"]
    assert await ids(domain="bank") == []
    assert len(await ids(limit=2)) == 2
    (row,) = await search_calls(records.database, Wanted(text="calm", topic="returns"))
    assert row["matches"] == [{"turn": 1, "speaker": "agent", "at_ms": 8500.0, "text": "Calm down."}]
    assert {"forbidden", "empathy", "resolution"} <= set(row["failed"])
    assert await unscored_calls(records.database) == 1


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Wanted(emotion="livid"), "emotion 'livid' is not known"),
        (Wanted(limit=0), "limit 0 is out of range"),
        (Wanted('say "refund'), "quotation mark"),
        (Wanted("a " * 11), "11 words are too many"),
    ],
)
async def test_searches_that_cannot_be_made(records: SqlRecords, wanted: Wanted, told: str) -> None:
    with pytest.raises(SearchError, match=told):
        await search_calls(records.database, wanted)


@pytest.mark.parametrize("text", ["", "<", "60<", "80-40", "-5", "many", "< 1e3"])
def test_ranges_that_are_none(text: str) -> None:
    with pytest.raises(SearchError):
        Range.read(text)


async def test_side_by_side(records: SqlRecords, quality: Quality) -> None:
    await keep(records, "a")
    await keep(records, "b", RUDE)
    await all_scored(quality)
    found = await side_by_side(records.database, ["a", "b"])
    forbidden = next(row for row in found["items"] if row["name"] == "forbidden")
    assert [cell["passed"] for cell in forbidden["cells"]] == [True, False]
    assert [call["call_id"] for call in found["calls"]] == ["a", "b"]
    for wrong in (["a"], ["a", "a"], list("abcde")):
        with pytest.raises(SearchError, match="2 to 4"):
            await side_by_side(records.database, wrong)


async def test_ratings(records: SqlRecords, quality: Quality) -> None:
    await keep(records, "a")
    await begin(records)
    await quality.score_call("a")
    await quality.rate(Rating("a", "ann", 20, {"greeting": True, "resolution": False}, "call me on 4155550123"))
    await quality.rate(Rating("a", "ann", 60, {"greeting": True, "resolution": False}, "call me on 4155550123"))
    await quality.rate(Rating("a", "bo", 80, {"resolution": True}))
    found = await load_quality(records.database, "a")
    assert found["human_score"] == 70.0
    assert [(rating["who"], rating["score"]) for rating in found["ratings"]] == [("ann", 60), ("bo", 80)]
    assert found["ratings"][0]["note"] == "call me on [phone]"
    told = await quality.calibration()
    assert (told.pairs, told.bias, told.mean_error) == (1, 30.0, 30.0)
    assert {item.name: item.agreement for item in told.items} == {"greeting": 1.0, "resolution": 1.0}
    with pytest.raises(QualityError, match="rate more calls"):
        await quality.apply()
    for wrong, error in (
        (Rating("a", "ann", 101, {}), BadRating),
        (Rating("a", " ", 10, {}), BadRating),
        (Rating("a", "ann", 10, {"charm": True}), BadRating),
        (Rating("a", "ann", 10, {}, "x" * 4001), BadRating),
        (Rating("open", "ann", 10, {}), NotFinished),
        (Rating("nope", "ann", 10, {}), CallNotFound),
    ):
        with pytest.raises(error):
            await quality.rate(wrong)
    with pytest.raises(QualityError, match="there is no rubric 'x'; use one of default"):
        await quality.calibration("x")


async def test_scores_are_corrected_towards_people(records: SqlRecords, quality: Quality) -> None:
    for n in range(12):
        await keep(records, f"c{n}", good() if n % 2 else RUDE)
        await quality.score_call(f"c{n}")
        score = (await load_quality(records.database, f"c{n}"))["raw_score"]
        await quality.rate(Rating(f"c{n}", "ann", max(0, round(score - 20)), {}))
    told = await quality.apply()
    assert told.better
    found = await load_quality(records.database, "c1")
    assert found["raw_score"] == 100.0
    assert found["score"] < 95.0
    await keep(records, "new")
    await quality.score_call("new")
    assert (await load_quality(records.database, "new"))["score"] == found["score"], "later calls are corrected too"


def test_calibration_is_drawn_to_no_correction() -> None:
    few = [Pair(f"c{n}", 50.0 + n, 40.0 + n, {}, {}) for n in range(10)]
    many = [Pair(f"c{n}", 50.0 + n % 40, 40.0 + n % 40, {}, {}) for n in range(2000)]
    mild, strong = (calibrate(pairs, {}).correction.apply(60.0) for pairs in (few, many))
    assert mild is not None
    assert strong == pytest.approx(50.0, abs=0.3)
    assert strong < mild < 60.0
    assert calibrate(few[:9], {}).correction == Correction()
    assert Correction(10.0, 1.0).apply(95.0) == 100.0
    assert Correction().apply(None) is None


def test_what_is_left_out_is_exactly_that() -> None:
    random = np.random.default_rng(1)
    rows, given = random.normal(size=(30, 3)), random.normal(size=30)
    _, left_out = ridge(rows, given, 5.0)
    for n in (0, 17):
        weights, _ = ridge(np.delete(rows, n, 0), np.delete(given, n), 5.0)
        assert left_out[n] == pytest.approx(rows[n] @ weights)


def test_kappa() -> None:
    values = [(1.0, 1), (1.0, 1), (0.0, 0), (0.0, 1)]
    pairs = [
        Pair(str(n), 50, 50, {"x": ours, "y": None}, {"x": theirs, "y": 1}) for n, (ours, theirs) in enumerate(values)
    ]
    (item,) = calibrate(pairs, {"x": 0.6, "y": 0.6}).items
    assert (item.name, item.pairs, item.agreement, item.kappa) == ("x", 4, 0.75, 0.5)


def test_satisfaction_follows_surveys_only_as_far_as_they_go() -> None:
    settings = Rubrics(CONFIG).of("shop").satisfaction
    assert set(settings.weights) <= set(FEATURES)
    calm, furious = dict.fromkeys(FEATURES, 0.0), dict.fromkeys(FEATURES, 1.0)
    prior = Predictor.of(settings)
    assert prior.predict(calm) == settings.base
    assert prior.predict(furious) == 1.0
    assert fit(settings, [(calm, 2.0)] * 9).error is None
    few, many = fit(settings, [(calm, 2.0)] * 10), fit(settings, [(calm, 2.0)] * 1000)
    assert 2.0 < many.predictor.predict(calm) < 2.05 < few.predictor.predict(calm) < settings.base
    assert many.better
    assert not fit(settings, [(calm, settings.base)] * 20).better
    assert Predictor.of(settings, many.predictor.data()) == many.predictor


async def test_a_fit_makes_predictions_anew(records: SqlRecords, quality: Quality) -> None:
    thanks = {"survey": {"value": 2, "via": "key"}}
    for n in range(12):
        turns = [*good()[:-1], agent(2, "Thank you.", 13_000.0, 15_000.0, **thanks)]
        await keep(records, f"s{n}", turns)
    await keep(records, "silent")
    await all_scored(quality)
    before = (await load_quality(records.database, "silent"))["satisfaction"]
    asked = await load_quality(records.database, "s0")
    assert (asked["satisfaction"], asked["surveyed"]) == (2.0, True)
    assert (await quality.fit_satisfaction(keep=False)).better
    assert (await load_quality(records.database, "silent"))["satisfaction"] == before
    await quality.fit_satisfaction()
    found = await load_quality(records.database, "silent")
    assert found["satisfaction"] < before
    assert not found["surveyed"]


def test_facts_of_domains_that_are_not_there() -> None:
    find = facts_from([CONFIG.parent / "domains"])
    assert find("nowhere") is None
    assert find("../domains/shop") is None
    assert find("") is None
    own = CONFIG.parent / "domains" / "common"
    assert facts_from([own])(str(own)) is None, "common is no domain by itself"
    assert Rubrics(CONFIG).of("/srv/domains/shop").name == "default"


async def test_the_domain_counts(records: SqlRecords) -> None:
    cut = [replace(good()[0], heard="Thanks for calling Harbor & Pine."), *good()[1:]]
    await keep(records, "a", cut)
    find = facts_from([SHOP])
    assert find("shop") == find(str(SHOP)) is not None
    quality = Quality(records.database, Rubrics(CONFIG), records.clock, find)
    scored = await quality.score_call("a")
    assert [item.criterion.name for item in scored.items if item.passed is False] == ["disclosure"]
