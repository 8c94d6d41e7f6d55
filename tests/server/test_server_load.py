"""What the server says of its own load, and that it takes no call when it is overloaded."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import httpx
import pytest
from live import TOKEN_KEY, healthy

from agent.metrics import Metrics
from agent.watch import LAG_MS, LAG_S, LEAST_WAITS, WAIT_MS, Watch, spread
from models.pool import KindLoad, PoolGauges, Priority


class FakePool:
    """A pool whose jobs waited as told."""

    workers = 2

    def __init__(self, waited: dict[Priority, tuple[float, ...]] | None = None) -> None:
        self.waited = waited or {}

    def gauges(self) -> PoolGauges:
        return PoolGauges(3, 2, 12.5, 40, 4)

    def load(self, last_s: float) -> dict[Priority, KindLoad]:
        return {priority: KindLoad(5, 1, 0.25, self.waited.get(priority, ())) for priority in Priority}


def watch(waited: dict[Priority, tuple[float, ...]] | None = None) -> Any:
    pool: Any = FakePool(waited)
    return Watch(Metrics(), pool)


def test_a_loop_that_lags_for_seconds_is_overloaded_and_one_hiccup_is_not() -> None:
    watched = watch()
    samples = round(LAG_S / 0.02)
    watched._lags.extend([1.0] * (samples - 3) + [900.0] * 3)
    assert not watched.overloaded()
    watched._lags.extend([LAG_MS + 1.0] * samples)
    assert watched.overloaded()


def test_urgent_jobs_that_wait_for_seconds_are_overload_and_guesses_that_wait_are_not() -> None:
    long = (WAIT_MS + 1.0,) * LEAST_WAITS
    assert watch({Priority.UNDERSTANDING: long}).overloaded()
    assert not watch({Priority.UNDERSTANDING: long[1:]}).overloaded()
    assert not watch({Priority.SPECULATION: long, Priority.EMOTION: long}).overloaded()


async def test_the_watch_notices_what_blocks_the_loop() -> None:
    watched = watch()
    task = asyncio.create_task(watched.run())
    await asyncio.sleep(0.05)
    time.sleep(0.12)  # noqa: ASYNC251
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert max(watched.lags_ms(60.0)) > 60.0


def test_parts_of_the_latency_are_counted_and_summed() -> None:
    watched = watch()
    for value in (0.2, 0.3):
        watched._metrics.latency.labels("recognition").observe(value)
    assert watched.report(60.0)["latency"] == {"recognition": {"count": 2.0, "total_ms": 500.0}}


def test_a_spread_of_nothing_has_only_a_count() -> None:
    assert spread([]) == {"count": 0}
    assert spread([1.0, 3.0]) == {"count": 2, "p50": 2.0, "p95": 2.9, "most": 3.0}


async def test_the_load_is_told_to_those_who_may_ask(serve: Any) -> None:
    up = await serve()
    async with healthy(up) as caller:
        await caller.answered("hello")
        found = (await up.http.get("/api/load", params={"last_s": 5})).json()
    assert found["calls"] == {"now": 1, "most": up.calls.settings.server.max_calls}
    assert found["cpu_s"] > 0
    assert found["rss_mb"] > 1
    assert (
        found["pool"]["kinds"]["understanding"]["waited_ms"]["count"]
        == found["pool"]["kinds"]["understanding"]["done"]
        == 1
    )
    assert (await up.http.get("/api/load", params={"last_s": 0})).status_code == httpx.codes.UNPROCESSABLE_ENTITY


async def test_the_load_is_not_told_to_others(serve: Any) -> None:
    up = await serve(insecure=False, secrets={"token_key": TOKEN_KEY})
    assert (await up.http.get("/api/load")).status_code == httpx.codes.UNAUTHORIZED


async def test_an_overloaded_server_refuses_one_more_call_and_keeps_those_it_has(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = await serve()
    async with healthy(up):
        monkeypatch.setattr(up.calls.watch, "overloaded", lambda: True)
        assert (await up.http.get("/ready")).status_code == httpx.codes.SERVICE_UNAVAILABLE
        with pytest.raises(Exception, match="503"):
            async with healthy(up):
                pass
        assert len(up.calls.sessions) == 1
        assert await up.refused("overloaded") == 1


async def test_frames_are_sent_at_once_and_not_gathered_by_the_system(serve: Any) -> None:
    up = await serve()
    async with healthy(up):
        sockets = [one.transport.get_extra_info("socket") for one in up.server.server_state.connections]
        assert sockets
        assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets)
