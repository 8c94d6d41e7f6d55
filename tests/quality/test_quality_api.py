"""Measures and trends, and what supervisors get of quality over HTTP and on the command line."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from qualityfakes import CONFIG, NOON, DayClock, agent, good, greeting, keep
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "console"))

from consolefakes import a_world

from agent.cli import quality as quality_command
from agent.cli import records as records_command
from agent.console.console import mount
from agent.quality.api import add_quality
from agent.quality.measures import Period, as_csv, measures, scored_calls
from agent.quality.plots import SCALES
from agent.quality.plots import by_day as plot
from agent.quality.rubric import Prices, Rubrics
from agent.quality.service import Quality
from agent.records.contracts import CallOpened, TurnRecord
from agent.records.database import Database
from agent.records.writer import SqlRecords

MINE, THEIRS = "+12065550103", "+12065550104"


@dataclass
class Signed:
    name: str


@dataclass
class HeaderGuard:
    """Lets in who names themselves in a header, as the role the header says."""

    database: Database
    clock: DayClock
    audited: list[tuple[Any, ...]] = field(default_factory=list)

    def role(self, least: Any) -> Callable[[Request], Awaitable[Signed]]:
        async def asks(request: Request) -> Signed:
            if request.headers.get("role") != least:
                raise HTTPException(403, "not yours")
            return Signed("ann")

        return asks

    async def audit(self, who: str, what: str, about: str, data: Mapping[str, Any] | None = None) -> None:
        self.audited.append((who, what, about, dict(data or {})))


async def five_calls(records: SqlRecords, quality: Quality) -> None:
    """Day 0: a good call. Day 3: the same caller again, handed off. Day 9: another, talked long. Day 10: two more."""
    handed = [*good()[:3], replace(good()[3], text="A person, please."), agent(2, "Of course.", 13_000.0, 14_000.0)]
    human = TurnRecord(2, "human", "Hello, Bo here.", 20_000.0, 80_000.0)
    plan = (
        (0, "a", good(), "completed", MINE, "order_status"),
        (3, "b", handed, "handed_off", MINE, "order_status"),
        (9, "c", [*good(), human], "completed", THEIRS, "returns"),
        (10, "d", good(), "completed", None, "returns"),
        (10, "e", [greeting("Thanks for")], "caller_left", THEIRS, "none"),
    )
    for day, name, turns, outcome, number, topic in plan:
        records.clock.day = day  # type: ignore[attr-defined]
        await keep(records, name, turns, outcome, number, topic=topic)
        await quality.score_call(name)


@pytest.fixture
async def guard(records: SqlRecords, quality: Quality) -> HeaderGuard:
    await five_calls(records, quality)
    return HeaderGuard(records.database, records.clock)  # type: ignore[arg-type]


@pytest.fixture
async def web(guard: HeaderGuard, rubrics: Rubrics) -> AsyncIterator[httpx.AsyncClient]:
    app, router = FastAPI(), APIRouter(prefix="/console/api")
    add_quality(router, guard, rubrics)
    app.include_router(router)
    base = "http://test/console/api"
    headers = {"role": "supervisor"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base, headers=headers) as client:
        yield client


async def test_measures(records: SqlRecords, quality: Quality) -> None:
    await five_calls(records, quality)
    now = records.clock.wall()
    prices = Prices(currency="EUR", call=1.0, agent_minute=6.0, transfer=2.0, human_minute=60.0)
    period = Period.last(30, now)
    calls = await scored_calls(records.database, period, now, lambda _: prices, lambda _: 7)
    found = measures(calls, period)
    every = found["all"]
    assert (every["calls"], every["contained"], every["transferred"]) == (5, 0.4, 0.4)
    assert every["repeat_7d"] == 0.5, "only a and b are seven days old; a was followed by b"
    assert every["repeat_so_far"] == 0.5, "a by b, and c by e"
    assert every["human_minutes"] == 1.0
    orders, returns, none = found["intents"]
    assert (orders["intent"], orders["calls"], orders["reason"]) == ("order_status", 2, "unknown")
    assert (returns["intent"], none["intent"]) == ("returns", "none")
    assert returns["cost"] == pytest.approx(((1 + 2 + 60 + 6 * 20 / 60) + (1 + 6 * 15 / 60)) / 2)
    assert found["reasons"] == [{"reason": "unknown", "calls": 2}]
    assert [day["calls"] for day in found["days"] if day["calls"]] == [1, 1, 1, 2]
    assert len(found["days"]) == 30
    unpriced = await scored_calls(records.database, period, now, lambda _: Prices(), lambda _: 7, "shop")
    assert measures(unpriced, period)["all"]["cost"] is None
    assert await scored_calls(records.database, period, now, lambda _: prices, lambda _: 7, "bank") == []
    assert measures([], period)["all"]["contained"] is None
    with pytest.raises(ValueError, match="days 0 is out of range"):
        Period.last(0, NOON)


def test_csv_is_safe_for_spreadsheets() -> None:
    text = as_csv([{"intent": "=1+1", "n": -1.5, "x": None}, {"intent": ' @a,"b"', "n": 2, "x": "ok"}])
    assert list(csv.reader(io.StringIO(text))) == [
        ["intent", "n", "x"], ["'=1+1", "-1.5", ""], ["' @a,\"b\"", "2", "ok"],
    ]  # fmt: skip
    assert as_csv([]) == "\r\n"


def test_plots_are_svg_without_styles() -> None:
    days = [{"day": "2031-05-01", "calls": 2, "score": 50.0}, {"day": "<&>", "calls": 0, "score": None}]
    drawn = plot("score", [*days, {"day": "2031-05-03", "calls": 1, "score": 100.0}])
    root = ElementTree.fromstring(drawn)
    assert len([one for one in root.iter() if one.tag.endswith("circle")]) == 2
    (path,) = (one for one in root.iter() if one.tag.endswith("path"))
    assert path.get("d", "").count("M") == 2, "a day without calls breaks the line"
    assert "style" not in drawn
    assert "no calls" in plot("contained", [])
    assert set(SCALES) >= {"calls", "contained", "score", "satisfaction", "silence"}


async def test_behind_the_real_console(records: SqlRecords, quality: Quality, tmp_path: Path) -> None:
    await five_calls(records, quality)
    async with a_world(tmp_path / "records.db") as world:
        world.app = FastAPI()
        mount(world.app, world.console, (add_quality,))
        sue, al = await world.signed_in("sue", "supervisor"), await world.signed_in("al", "agent")
        assert (await sue.get("quality/calls/a")).json()["score"] == 100.0
        assert (await al.get("quality/calls/a")).status_code == 403
        assert (await sue.post("quality/calls/a/rating", score=50, items={"greeting": 1})).status_code == 200
        assert (await world.audited())[-1] == ("sue", "quality.rated", "a")
        del sue.http.headers["X-CSRF-Token"]
        assert (await sue.post("quality/calls/a/rating", score=0)).status_code == 403
        assert (await sue.get("measures/plot.svg")).headers["content-type"].startswith("image/svg+xml")


async def test_only_supervisors(web: httpx.AsyncClient) -> None:
    web.headers["role"] = "agent"
    for path in ("quality/calls", "quality/calls/a", "quality/compare?call=a&call=b", "quality/trends",
                 "quality/calibration", "measures", "measures.csv", "measures/plot.svg"):  # fmt: skip
        assert (await web.get(path)).status_code == 403, path
    assert (await web.post("quality/calls/a/rating", json={"score": 1})).status_code == 403


async def test_calls_over_http(web: httpx.AsyncClient) -> None:
    found = (await web.get("quality/calls")).json()
    assert [call["call_id"] for call in found["calls"]] == ["d", "e", "c", "b", "a"]
    assert found["unscored"] == 0
    low = (await web.get("quality/calls", params={"below": 60, "failed": "disclosure"})).json()["calls"]
    assert [call["call_id"] for call in low] == ["e"]
    day = {"from": "2031-05-04", "to": "2031-05-04", "text": "person", "intent": "order_status"}
    assert [call["call_id"] for call in (await web.get("quality/calls", params=day)).json()["calls"]] == ["b"]
    for wrong in ({"score": "low"}, {"emotion": "livid"}, {"text": '"'}, {"from": "9999"}, {"to": "9999-12-31"}):
        answer = await web.get("quality/calls", params=wrong)
        assert answer.status_code == 422, wrong
    assert (await web.get("quality/calls/nope")).status_code == 404
    beside = (await web.get("quality/compare?call=a&call=e")).json()
    assert len(beside["items"][0]["cells"]) == 2
    assert (await web.get("quality/compare?call=a")).status_code == 422
    assert (await web.get("quality/compare?call=a&call=nope")).status_code == 404


async def test_rating_over_http(web: httpx.AsyncClient, guard: HeaderGuard, records: SqlRecords) -> None:
    body = {"score": 55, "items": {"resolution": 0, "greeting": 1}, "note": "too short"}
    answer = (await web.post("quality/calls/a/rating", json=body)).json()
    assert answer["ratings"][0] | {"at": ""} == {
        "who": "ann", "score": 55, "items": {"resolution": 0, "greeting": 1}, "note": "too short", "at": "",
    }  # fmt: skip
    assert guard.audited == [("ann", "quality.rated", "a", {"score": 55})]
    await (await records.open_call(CallOpened("open", "twilio", "CA1", "shop"))).flush()
    for call, more, status in (
        ("a", {"score": 101}, 422), ("a", {"items": {"charm": True}}, 422), ("a", {"who": "bo"}, 422),
        ("nope", {}, 404), ("open", {}, 409),
    ):  # fmt: skip
        assert (await web.post(f"quality/calls/{call}/rating", json={"score": 1, **more})).status_code == status
    assert len(guard.audited) == 1, "what is refused is not in the trail"
    told = (await web.get("quality/calibration")).json()
    assert (told["pairs"], told["calls"][0]["call_id"]) == (1, "a")
    assert (await web.get("quality/calibration?rubric=x")).status_code == 422


async def test_trends_and_measures_over_http(web: httpx.AsyncClient) -> None:
    found = (await web.get("quality/trends?days=5")).json()
    assert [day["calls"] for day in found["days"]] == [0, 0, 0, 1, 2]
    disclosure = next(item for item in found["items"] if item["name"] == "disclosure")
    assert (disclosure["calls"], disclosure["passed"], disclosure["before"]) == (3, 0.6667, 1.0)
    assert (await web.get("quality/trends?days=0")).status_code == 422
    told = (await web.get("measures")).json()
    assert (told["currency"], told["repeat_days"], told["unscored"]) == ("USD", 7, 0)
    assert told["intents"][0]["intent"] == "order_status"
    sheet = await web.get("measures.csv")
    rows = list(csv.DictReader(io.StringIO(sheet.text.removeprefix("\ufeff"))))
    assert [row["intent"] for row in rows] == ["order_status", "returns", "none", "(all)"]
    assert sheet.headers["content-type"].startswith("text/csv")
    assert len((await web.get("measures.csv?by=day&days=7")).text.splitlines()) == 8
    image = await web.get("measures/plot.svg?of=containment&days=12")
    assert image.headers["content-type"].startswith("image/svg+xml")
    assert image.text.count("<circle") == 4
    assert (await web.get("measures/plot.svg?of=luck")).status_code == 422


async def test_command_line(guard: HeaderGuard, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records.db"

    async def run(app: Any, *arguments: str, status: int = 0) -> str:
        runner = CliRunner(env={"COLUMNS": "200"})
        result = await asyncio.to_thread(runner.invoke, app, [*arguments, "--database", url])
        assert result.exit_code == status, result.output
        return str(result.output)

    quality, records = quality_command.app, records_command.app
    shown = await run(records, "search", "delivery", "--score", ">90", "--outcome", "completed")
    assert "a" in shown
    assert "turn 1 agent: It is out for delivery." in shown
    found = json.loads(await run(records, "search", "--failed", "disclosure", "--json"))
    assert [call["call_id"] for call in found] == ["e"]
    assert "'x' is no range" in await run(records, "search", "--score", "x", status=1)
    assert "Disclosure heard" in await run(quality, "score", "e")
    assert "disclosure: turn 0 agent: Thanks for" in await run(quality, "show", "e")
    assert "Disclosure heard" in await run(quality, "compare", "a", "e")
    assert "ann gave 40" in await run(quality, "rate", "e", "40", "--as", "ann", "--missed", "disclosure")
    assert "no criterion" in await run(quality, "rate", "e", "40", "--as", "ann", "--met", "charm", status=1)
    assert "1 rated calls" in await run(quality, "calibrate")
    assert "rate more calls" in await run(quality, "calibrate", "--apply", status=1)
    assert "there is no call 'nope'" in await run(quality, "show", "nope", status=1)
    assert set(json.loads(await run(quality, "trends", "--json"))) >= {"days", "items", "score"}
    out = tmp_path / "out"
    await run(quality, "measures", "--csv", str(tmp_path / "m.csv"), "--plots", str(out))
    assert sorted(path.stem for path in out.iterdir()) == sorted(SCALES)


def test_the_rubrics_that_come_with_the_agent_are_right() -> None:
    result = CliRunner().invoke(quality_command.app, ["check"])
    assert result.exit_code == 0
    assert "default: 9 criteria" in result.output
    assert CONFIG.is_dir()


def test_periods() -> None:
    period = Period.last(7, NOON)
    assert period.until - period.since == timedelta(days=7)
    assert period.before.until == period.since
