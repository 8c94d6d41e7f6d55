"""Another version of understanding is chosen while calls go on, on real sockets and a real database."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from callfakes import FakeUnderstanding
from live import Live, healthy, live, scripted

from agent.clock import Clock
from agent.config import Settings
from agent.learning.live import LiveUnderstanding, Opened, VersionWatch
from agent.learning.shadow import Shadow
from agent.loading import Loaded
from models.registry import Registry, write_info, write_json
from models.text_model import Member, ModelInfo


def save(registry: Registry) -> str:
    with registry.draft("shop", "abcdef00") as draft:
        write_info(draft.folder, ModelInfo("shop", draft.version, "head", "", members=(Member("m"),)))
        (draft.folder / "m").write_bytes(b"weights")
    return draft.version


@asynccontextmanager
async def versioned(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Loaded]:
    """Scripted models, of which every version understands alike."""
    async with scripted(settings, clock) as loaded:
        services, registry = loaded.services, Registry(settings.understanding.versions)

        def load(version: str) -> Opened:
            registry.verify("shop", version)
            return Opened(FakeUnderstanding(), version)

        understanding = LiveUnderstanding(Opened(FakeUnderstanding(), "head"))
        shadow = Shadow(loaded.pool, services.metrics, services.clock, settle_ms=0.0)
        every_s = settings.understanding.watch_s
        watch = VersionWatch(
            registry, "shop", load, understanding, shadow, services.metrics, services.clock, every_s, "embedded"
        )
        try:
            yield replace(
                loaded, services=replace(services, understanding=understanding, shadow=shadow), versions=watch
            )
        finally:
            await shadow.aclose()


@pytest.fixture
async def server(monkeypatch, tmp_path: Path) -> AsyncIterator[tuple[Live, Registry]]:
    monkeypatch.setattr("agent.server.load", versioned)
    registry = Registry(tmp_path / "versions")
    async with live(tmp_path, understanding={"versions": str(registry.root), "watch_s": 0.1}) as up:
        yield up, registry


async def reported(up: Live, **wanted: Any) -> dict[str, Any]:
    """What /ready says of the versions, once it says `wanted`."""
    found: dict[str, Any] = {}
    for _ in range(200):
        found = (await up.http.get("/ready")).json()["understanding"]
        if wanted.items() <= found.items():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"/ready says {found}, not {wanted}")


async def complaining(up: Live) -> dict[str, Any]:
    """What /ready says of the versions, once it names a problem."""
    for _ in range(200):
        found: dict[str, Any] = (await up.http.get("/ready")).json()["understanding"]
        if found["problem"] is not None:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("/ready names no problem")


async def test_calls_go_on_over_a_swap_and_every_turn_says_its_version(server: tuple[Live, Registry]) -> None:
    up, registry = server
    version = save(registry)
    async with healthy(up, "one") as one, healthy(up, "two") as two:
        await one.answered("first of one")
        await two.answered("first of two")
        registry.use("shop", version)
        await reported(up, version=version, problem=None)
        await one.answered("second of one")
        registry.rollback("shop")
        await reported(up, version="embedded")
        await two.answered("second of two")
        await one.stop()
        await two.stop()
    for name, versions in (("one", ["head", version]), ("two", ["head", "embedded"])):
        turns = [turn for turn in (await up.record(name))["turns"] if turn["speaker"] == "caller"]
        assert [turn["model"] for turn in turns] == versions
    assert await up.counter("callagent_model_swaps_total", outcome="swapped") == 2


async def test_a_damaged_version_leaves_the_old_one_and_ready_says_why(server: tuple[Live, Registry]) -> None:
    up, registry = server
    good, bad = save(registry), save(registry)
    registry.use("shop", good)
    async with healthy(up, "call") as caller:
        await reported(up, version=good)
        weights = registry.path("shop", bad) / "m"
        state = (registry.folder("shop") / "current.json").read_text()
        weights.write_bytes(b"other")
        write_json(registry.folder("shop") / "current.json", {**json.loads(state), "current": bad})
        problem = (await complaining(up))["problem"]
        assert problem.startswith(f"version {bad} cannot be used: {weights} has SHA-256")
        assert (await up.http.get("/ready")).status_code == 200
        await caller.answered("still here")
        await caller.stop()
    assert (await up.record("call"))["turns"][-2]["model"] == good


async def test_a_candidate_reads_turns_in_the_shadow_and_its_readings_are_recorded(
    server: tuple[Live, Registry],
) -> None:
    up, registry = server
    version = save(registry)
    registry.shadow("shop", version)
    await reported(up, shadow=version)
    async with healthy(up, "call") as caller:
        await caller.answered("where is it")
        await caller.answered("and when")
        await asyncio.sleep(0.2)
        await caller.stop()
    events = [event["data"] for event in (await up.record("call"))["events"] if event["kind"] == "shadow"]
    assert [(data["turn"], data["agree"], data["candidate"]["version"]) for data in events] == [
        (1, True, version),
        (2, True, version),
    ]
