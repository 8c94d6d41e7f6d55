"""Counters and histograms for `/metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)


class Metrics:
    """All metrics of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.calls = Gauge("callagent_calls", "Calls in progress", ["gateway"], registry=r)
        self.ended = Counter("callagent_calls_ended", "Calls ended", ["gateway", "outcome", "reason"], registry=r)
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
        self.loop_lag = Gauge("callagent_loop_lag_seconds", "Lag of the event loop, last second", registry=r)
        self.pool_waiting = Gauge("callagent_pool_waiting", "Model jobs waiting", registry=r)
        self.pool_oldest = Gauge("callagent_pool_oldest_seconds", "Age of the oldest waiting model job", registry=r)
        self.pool_dropped = Gauge("callagent_pool_dropped", "Model jobs dropped since the start", registry=r)
        self.lost_audio = Counter("callagent_lost_audio_messages", "Gaps in gateway sequence numbers", registry=r)
