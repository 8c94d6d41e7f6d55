"""Counters and histograms for `/metrics`."""

from __future__ import annotations

from typing import Any, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)

LAG_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)

MOST_REASONS = 100
"""Reasons of a call's end that are told apart: clients may send their own. Ours are about 30."""


class Endings(Counter):
    """Calls ended; reasons beyond `MOST_REASONS` are counted as `other`."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._reasons: set[str] = set()

    def labels(self, gateway: str, outcome: str, reason: str) -> Self:  # type: ignore[override]
        if reason not in self._reasons:
            if len(self._reasons) < MOST_REASONS:
                self._reasons.add(reason)
            else:
                reason = "other"
        return super().labels(gateway, outcome, reason)


class Metrics:
    """All metrics of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.calls = Gauge("callagent_calls", "Calls in progress", ["gateway"], registry=r)
        self.ended = Endings("callagent_calls_ended", "Calls ended", ["gateway", "outcome", "reason"], registry=r)
        self.refused = Counter("callagent_calls_refused", "Calls refused at the door", ["code"], registry=r)
        self.faults = Counter("callagent_faults", "Bad input and failing parts", ["code"], registry=r)
        self.turns = Counter("callagent_turns", "Caller turns answered", ["intent"], registry=r)
        self.latency = Histogram(
            "callagent_latency_seconds", "Parts of a reply's latency", ["part"], buckets=SECONDS, registry=r
        )
        self.floor = Counter(
            "callagent_floor", "Floor decisions: pause, resume, interrupt, retract, prompt", ["decision"], registry=r
        )
        self.handoffs = Counter("callagent_handoffs", "Handoffs", ["rule", "outcome"], registry=r)
        self.actions = Counter("callagent_actions", "Actions run", ["name", "ok"], registry=r)
        self.topic_calls = Counter("callagent_topic_calls", "Calls ended", ["topic", "negative"], registry=r)
        self.negative_rate = Gauge(
            "callagent_negative_rate", "Share of negative calls in the last window", ["topic"], registry=r
        )
        self.negative_baseline = Gauge(
            "callagent_negative_baseline", "Share of negative calls before it", ["topic"], registry=r
        )
        self.negative_surges = Counter("callagent_negative_surges", "Surges of negative calls", ["topic"], registry=r)
        self.loop_lag = Histogram(
            "callagent_loop_lag_seconds", "Lag of the event loop, every 20 ms", buckets=LAG_SECONDS, registry=r
        )
        self.loop_lag_p95 = Gauge("callagent_loop_lag_p95_seconds", "p95 of that in the last minute", registry=r)
        self.pool_waiting = Gauge("callagent_pool_waiting", "Model jobs waiting", registry=r)
        self.pool_oldest = Gauge("callagent_pool_oldest_seconds", "Age of the oldest waiting model job", registry=r)
        self.pool_wait = Gauge(
            "callagent_pool_wait_p95_seconds", "p95 wait of model jobs begun in the last minute", ["kind"], registry=r
        )
        self.pool_busy = Gauge("callagent_pool_busy_seconds", "Time workers spent on it so far", ["kind"], registry=r)
        self.pool_dropped = Gauge("callagent_pool_dropped", "Model jobs dropped since the start", registry=r)
        self.written = Counter("callagent_llm", "What language models worded", ["use", "outcome", "reason"], registry=r)
        self.model_swaps = Counter(
            "callagent_model_swaps", "New versions of understanding: swapped, failed", ["outcome"], registry=r
        )
        self.shadow = Counter(
            "callagent_shadow_turns",
            "Turns beside a candidate: agreed, disagreed, dropped, failed",
            ["outcome"],
            registry=r,
        )
        self.lost_audio = Counter("callagent_lost_audio_messages", "Gaps in gateway sequence numbers", registry=r)

    def latency_totals(self) -> dict[str, dict[str, float]]:
        """For each latency part, how often it was observed (`count`) and its sum in ms (`total_ms`)."""
        found: dict[str, dict[str, float]] = {}
        for metric in self.latency.collect():
            for sample in metric.samples:
                part = found.setdefault(sample.labels["part"], {"count": 0.0, "total_ms": 0.0})
                if sample.name.endswith("_count"):
                    part["count"] = sample.value
                elif sample.name.endswith("_sum"):
                    part["total_ms"] = round(sample.value * 1000.0, 1)
        return found
