"""Surges of negative calls: what is one, what is not, and who is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from agent.alerts import MOST_TOPICS, MOST_WAITING, Alerts, NegativeCalls, binomial_tail, new_alerts
from agent.config import AlertSettings
from agent.metrics import Metrics
from agent.outbound import SignedPost, sign
from agent.yamlfile import FileError

KEY = "a-key-for-tests-0123456789"
HOUR = 3600.0


class Clock:
    """Time that a test moves, for waits and for the day."""

    def __init__(self) -> None:
        self.ms = 0.0

    def now_ms(self) -> float:
        return self.ms

    def wall(self) -> datetime:
        return datetime(2031, 5, 1, 12, tzinfo=UTC) + timedelta(milliseconds=self.ms)

    async def sleep_until(self, at_ms: float) -> None:
        await asyncio.sleep(0)

    async def wait(self, event: asyncio.Event, until_ms: float | None) -> None:
        await event.wait()
        event.clear()


def history(counts: NegativeCalls, topic: str = "billing", hours: int = 100, calls: int = 20, every: int = 10) -> float:
    """`hours` of `calls` each, every `every`-th negative; gives the time after it."""
    at_s = 1_000_000.0
    for hour in range(hours):
        for n in range(calls):
            counts.add(topic, n % every == 0, at_s + hour * HOUR + n * HOUR / calls)
    return at_s + hours * HOUR


@settings(max_examples=60)
@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.001, 0.999))
def test_the_tail_is_that_of_the_binomial_distribution(least: int, calls: int, share: float) -> None:
    assert binomial_tail(least, calls, share) == pytest.approx(binom.sf(least - 1, calls, share), rel=1e-6, abs=1e-300)


def test_the_tail_at_its_ends() -> None:
    assert binomial_tail(0, 5, 0.1) == 1.0
    assert binomial_tail(6, 5, 0.1) == 0.0
    assert binomial_tail(1, 5, 0.0) == 0.0
    assert binomial_tail(5, 5, 1.0) == 1.0
    assert binomial_tail(5000, 10_000, 0.1) < 1e-300


def test_a_surge_is_found_once_until_it_is_quiet_again() -> None:
    counts = NegativeCalls(AlertSettings())
    at_s = history(counts)
    told = []
    for n in range(40):
        counts.add("billing", n % 2 == 0, at_s + n * 60)
        told.append(counts.surge("billing", at_s + n * 60) is not None)
    assert told.count(True) == 1
    assert told.index(True) < 30
    for n in range(40):
        counts.add("billing", n % 2 == 0, at_s + 2 * HOUR + n * 60)
    assert counts.surge("billing", at_s + 2 * HOUR + 2400) is not None


def test_what_is_usual_is_no_surge() -> None:
    counts = NegativeCalls(AlertSettings())
    at_s = history(counts, every=2)
    for n in range(40):
        counts.add("billing", n % 2 == 0, at_s + n * 60)
        assert counts.surge("billing", at_s + n * 60) is None
    standing = counts.standing("billing", at_s + 2400)
    assert standing.rate == pytest.approx(0.5, abs=0.05)
    assert standing.baseline == pytest.approx(0.5, abs=0.05)


def test_a_few_negative_calls_are_no_surge() -> None:
    counts = NegativeCalls(AlertSettings(least=5))
    at_s = history(counts, every=100)
    for n in range(4):
        counts.add("new", True, at_s + n)
        assert counts.surge("new", at_s + n) is None
    counts.add("new", True, at_s + 4)
    assert counts.surge("new", at_s + 4) is not None
    assert counts.surge("unknown", at_s) is None


def test_calls_leave_the_window_and_then_the_memory() -> None:
    counts = NegativeCalls(AlertSettings(half_life_s=24 * HOUR))
    for n in range(30):
        counts.add("billing", True, 1_000_000.0 + n)
    assert counts.standing("billing", 1_000_100.0).calls == 30
    later = counts.standing("billing", 1_000_000.0 + 2 * HOUR)
    assert (later.calls, later.rate) == (0, 0.0)
    assert later.baseline > 0.5
    assert counts.standing("billing", 1_000_000.0 + 2000 * HOUR).baseline == pytest.approx(0.1, abs=0.01)


def test_memory_is_bounded() -> None:
    counts = NegativeCalls(AlertSettings())
    for n in range(MOST_TOPICS + 5):
        counts.add(f"t{n}", False, 1_000_000.0)
    assert len(counts.topics) == MOST_TOPICS
    assert counts.topics[0] == "t5"
    history(counts, "t9", hours=30)
    assert len(counts._topics["t9"].buckets) <= 12


def test_false_alerts_are_rare_and_real_ones_quick() -> None:
    rng, counts, false = random.Random(5), NegativeCalls(AlertSettings()), 0
    at_s = 1_000_000.0
    for _ in range(6 * 24 * 20):
        at_s += rng.expovariate(20 / HOUR)
        for topic in ("billing", "delivery"):
            counts.add(topic, rng.random() < 0.15, at_s)
            false += counts.surge(topic, at_s) is not None
    assert false <= 1
    needed = 0
    while needed < 60:
        needed += 1
        at_s += HOUR / 20
        counts.add("billing", rng.random() < 0.7, at_s)
        if counts.surge("billing", at_s):
            break
    assert needed <= 25


@asynccontextmanager
async def telling(post: SignedPost | None = None) -> AsyncIterator[tuple[Alerts, Metrics]]:
    metrics = Metrics()
    alerts = Alerts("shop", Clock(), metrics, AlertSettings(), post)
    task = asyncio.create_task(alerts.run())
    try:
        yield alerts, metrics
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


async def test_a_surge_shows_in_the_metrics_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with telling() as (alerts, metrics):
        surges = [alerts.call_over("billing", True) for _ in range(8)]
        alerts.call_over("delivery", False)
    found = [surge for surge in surges if surge is not None]
    assert len(found) == 1
    assert (found[0].topic, found[0].domain, found[0].calls, found[0].rate) == ("billing", "shop", 5, 1.0)
    assert found[0].at == "2031-05-01T12:00:00+00:00"
    assert "negative calls on billing: 5 of 5" in caplog.text
    assert value(metrics, "callagent_negative_surges_total", topic="billing") == 1
    assert value(metrics, "callagent_negative_rate", topic="billing") == 1.0
    assert value(metrics, "callagent_negative_baseline", topic="billing") == pytest.approx(0.1)
    assert value(metrics, "callagent_topic_calls_total", topic="billing", negative="yes") == 8
    assert value(metrics, "callagent_topic_calls_total", topic="delivery", negative="no") == 1


async def test_a_surge_is_posted_signed() -> None:
    seen: list[tuple[dict[str, str], bytes]] = []
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in head[1:] if line)}
        seen.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 204 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/alerts"
    post = SignedPost("alert webhook", url, KEY, Clock(), 4096, allow_private=True)
    async with telling(post) as (alerts, _):
        for _ in range(6):
            alerts.call_over("billing", True)
        await asyncio.wait_for(done.wait(), 5)
    server.close()
    headers, body = seen[0]
    document = json.loads(body)
    assert (document["type"], document["version"]) == ("calls.negative_surge", 1)
    assert document["alert"]["topic"] == "billing"
    assert headers["idempotency-key"] == document["alert"]["id"]
    assert headers["x-callagent-signature"] == sign(KEY.encode(), headers["x-callagent-timestamp"], body)


async def test_a_webhook_that_does_not_answer_costs_only_old_alerts(caplog: pytest.LogCaptureFixture) -> None:
    metrics, server = Metrics(), await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    post = SignedPost("alert webhook", url, KEY, Clock(), 4096, budget_s=0.01, allow_private=True)
    alerts = Alerts("shop", Clock(), metrics, AlertSettings(least=1), post)
    for n in range(MOST_WAITING + 3):
        for _ in range(6):
            alerts.call_over(f"t{n}", True)
    assert len(alerts._waiting) == MOST_WAITING
    assert caplog.text.count("is dropped") == 3
    task = asyncio.create_task(alerts.run())
    for _ in range(200):
        await asyncio.sleep(0.01)
        if value(metrics, "callagent_faults_total", code="alert_not_sent"):
            break
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    server.close()
    assert value(metrics, "callagent_faults_total", code="alert_not_sent")


async def test_counts_come_back_after_a_restart_without_alerts() -> None:
    async with telling() as (alerts, metrics):
        now = Clock().wall()
        calls = [(now - timedelta(hours=50 - n / 20), "billing", n % 10 == 0) for n in range(900)]
        calls += [(now - timedelta(minutes=10), "billing", True)] * 8
        assert alerts.restore(calls) == 908
        assert value(metrics, "callagent_negative_surges_total", topic="billing") in (None, 0.0)
        assert value(metrics, "callagent_negative_baseline", topic="billing") == pytest.approx(0.1, abs=0.02)
        assert alerts.call_over("billing", True) is None


@pytest.mark.parametrize(
    ("written", "key", "problem"),
    [
        ({"webhook_url": "http://a.example"}, KEY, "must use https"),
        ({"webhook_url": "https://a.example"}, "short", "at least 16"),
    ],
)
def test_a_webhook_that_cannot_be_used(written: dict[str, Any], key: str, problem: str) -> None:
    with pytest.raises(FileError, match=r"alerts\.webhook_url: .*" + problem):
        new_alerts("shop", Clock(), Metrics(), AlertSettings(**written), key)


def test_without_a_key_nothing_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    alerts = new_alerts("shop", Clock(), Metrics(), AlertSettings(webhook_url="https://a.example"), None)
    assert alerts._post is None
    assert "CALLAGENT_WEBHOOK_KEY" in caplog.text
