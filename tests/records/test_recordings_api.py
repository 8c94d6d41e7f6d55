"""Recordings over HTTP: ranges, silence in place of private words, who may hear them, and the audit trail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request

from agent.clock import RealClock
from agent.records import api
from agent.records.api import Unsatisfiable, add_recordings, byte_range
from agent.records.audit import AuditTrail
from agent.records.contracts import CallFinished, CallOpened, TurnRecord
from agent.records.writer import SqlRecords


class TickingClock(RealClock):
    ms = 0.0

    def now_ms(self) -> float:
        return self.ms


class Guard:
    """Lets in whom the header `X-Who` names; `bo` may hear nothing."""

    def __init__(self, records: SqlRecords) -> None:
        self.database = records.database
        self.settings: Any = SimpleNamespace(records=SimpleNamespace(recordings=records.folder))
        self.clock = TickingClock()
        self.trail = AuditTrail(records.database, RealClock())
        self.fails = False

    def role(self, least: Any) -> Any:
        async def asks(request: Request) -> Any:
            if "x-who" not in request.headers:
                raise HTTPException(401, "sign in first")
            return SimpleNamespace(name=request.headers["x-who"])

        return asks

    async def may_see(self, person: Any, call_id: str) -> bool:
        return bool(person.name != "bo")

    async def audit(self, who: str, what: str, about: str, data: Mapping[str, Any] | None = None) -> None:
        if self.fails:
            raise HTTPException(503, "not written")
        await self.trail.append(who, what, about, data)


@pytest.fixture
async def guard(tmp_path: Path) -> AsyncIterator[Guard]:
    async with SqlRecords.open(f"sqlite:///{tmp_path}/records.db", tmp_path / "recordings", RealClock()) as records:
        for call_id, ends in (("c-1", True), ("c-2", False)):
            call = await records.open_call(CallOpened(call_id, "plain", "g", "shop"))
            assert call.recording is not None
            call.recording.caller(np.full(16_000, 500, dtype=np.int16), 0)
            call.recording.agent(np.full(16_000, 500, dtype=np.int16), 0)
            spans = {"private": [{"from_ms": 500, "to_ms": 1000, "kind": "card"}]}
            call.turn(TurnRecord(1, "caller", "card [card]", 0, 1500, reasons=spans))
            await call.flush()
            if ends:
                await call.finish(CallFinished("completed", "goodbye", 2000.0))
        yield Guard(records)


@pytest.fixture
async def http(guard: Guard) -> AsyncIterator[httpx.AsyncClient]:
    app, router = FastAPI(), APIRouter(prefix="/console/api")
    add_recordings(router, guard)
    app.include_router(router)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://here/console/api", headers={"X-Who": "jane"}
    ) as client:
        yield client


async def test_a_recording_is_played_with_private_words_silent(http: httpx.AsyncClient, guard: Guard) -> None:
    answer = await http.get("/recordings/c-1.wav")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["content-length"]) == len(answer.content) == 64_044
    samples = np.frombuffer(answer.content[44:], dtype="<i2").reshape(-1, 2)
    assert not samples[4000:8000].any()
    assert samples[:4000].all()
    assert samples[8000:].all()
    part = await http.get("/recordings/c-1.wav", headers={"Range": "bytes=16040-20000"})
    assert part.status_code == 206
    assert part.headers["content-range"] == "bytes 16040-20000/64044"
    assert part.content == answer.content[16_040:20_001]
    assert (await http.get("/recordings/c-1.wav", headers={"Range": "bytes=-4"})).content == answer.content[-4:]
    beyond = await http.get("/recordings/c-1.wav", headers={"Range": "bytes=64044-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */64044")
    head = await http.head("/recordings/c-1.wav")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "64044", b"")


async def test_a_listening_is_noted_once_while_it_lasts(http: httpx.AsyncClient, guard: Guard) -> None:
    for _ in range(3):
        await http.get("/recordings/c-1.wav", headers={"Range": "bytes=0-99"})
    await http.get("/recordings/c-1.wav", headers={"X-Who": "ann", "Range": "bytes=0-99"})
    assert [(row.who, row.what, row.about) for row in await guard.trail.entries()] == [
        ("ann", "recording_played", "c-1"),
        ("jane", "recording_played", "c-1"),
    ]
    guard.clock.ms = api.NOTED_MS
    await http.get("/recordings/c-1.wav")
    assert await guard.trail.count() == 3
    guard.fails, guard.clock.ms = True, 2 * api.NOTED_MS
    refused = await http.get("/recordings/c-1.wav")
    assert refused.status_code == 503


async def test_listenings_remembered_are_bounded(
    http: httpx.AsyncClient, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MOST_NOTED", 1)
    for who in ("jane", "ann", "jane"):
        await http.get("/recordings/c-1.wav", headers={"X-Who": who})
    assert await guard.trail.count() == 3


async def test_the_waveform(http: httpx.AsyncClient, guard: Guard) -> None:
    shown = (await http.get("/recordings/c-1/peaks", params={"count": 4})).json()
    assert shown["duration_s"] == 2.0
    assert shown["channels"][0] == [0.015, 0.0, 0.015, 0.015]
    assert shown["muted"] == [[0.5, 1.0, "card"]]
    for count in ("0", "4001", "x", "-1", "²", "99999999999"):
        assert (await http.get("/recordings/c-1/peaks", params={"count": count})).status_code == 422
    assert await guard.trail.count() == 0


async def test_a_call_under_way_has_a_recording_too(http: httpx.AsyncClient) -> None:
    assert (await http.get("/recordings/c-2.wav")).status_code == 200


@pytest.mark.parametrize("path", ["/recordings/{}.wav", "/recordings/{}/peaks"])
async def test_who_may_not_hear_it_does_not(http: httpx.AsyncClient, guard: Guard, path: str) -> None:
    assert (await http.get(path.format("c-1"), headers={"X-Who": "bo"})).status_code == 403
    del http.headers["X-Who"]
    assert (await http.get(path.format("c-1"))).status_code == 401
    http.headers["X-Who"] = "jane"
    assert (await http.get(path.format("c-9"))).status_code == 404
    assert (await http.get(path.format("..%2f..%2frecords"))).status_code == 404
    wav = guard.settings.records.recordings / "c-1.wav"
    await asyncio.to_thread(wav.write_bytes, b"no recording")
    assert (await http.get(path.format("c-1"))).status_code == 409
    await asyncio.to_thread(wav.unlink)
    answer = await http.get(path.format("c-1"))
    assert (answer.status_code, answer.json()["detail"]) == (404, "no recording of this call is kept")
    assert await guard.trail.count() == 0


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=90-500", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=5-4", None),
        ("bytes=0-1,5-6", None),
        ("bytes=-", None),
        ("lines=1-2", None),
        ("bytes=1-" + "9" * 30, None),
    ],
)
def test_ranges(header: str | None, wanted: tuple[int, int] | None) -> None:
    assert byte_range(header, 100) == wanted


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_ranges_beyond_the_end(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        byte_range(header, 100)
