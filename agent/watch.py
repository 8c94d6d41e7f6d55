"""How hard the process is working right now: event loop, model pool, calls, processor and memory."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.metrics import Metrics
from models.pool import Pool, Priority

EVERY_S = 0.02
"""How often the event loop's lag is sampled: as often as audio is due."""
KEPT_S = 60.0
"""How long lag samples are kept."""
LAG_S, LAG_MS = 5.0, 150.0
"""A p95 lag over the last seconds above this is overload: replies are sent 160 ms ahead, and more cannot be made up."""
WAIT_S, WAIT_MS, LEAST_WAITS = 10.0, 2000.0, 5
"""So is a p95 wait of urgent model jobs above this, in ms, where there were so many: callers wait longer than for a
slow person."""
URGENT = (Priority.FINAL_RECOGNITION, Priority.UNDERSTANDING, Priority.FIRST_SENTENCE)


class Watch:
    """Samples the event loop's lag and reads what else tells the load. `run` is a task of the server's."""

    def __init__(self, metrics: Metrics, pool: Pool) -> None:
        self._metrics = metrics
        self._pool = pool
        self._lags: deque[float] = deque(maxlen=round(KEPT_S / EVERY_S))
        self._began = time.monotonic()

    async def run(self) -> None:
        """Sample until cancelled."""
        loop, lag_seconds = asyncio.get_running_loop(), self._metrics.loop_lag
        while True:
            asked = loop.time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            lag = max(0.0, loop.time() - asked)
            lag_seconds.observe(lag)
            self._lags.append(lag * 1000.0)

    def lags_ms(self, last_s: float) -> list[float]:
        """The loop's lag in ms, sampled over about the last `last_s` seconds."""
        lags = list(self._lags)
        return lags[-max(1, round(last_s / EVERY_S)) :]

    def overloaded(self) -> bool:
        """Whether one more call would harm those that run."""
        lags = self.lags_ms(LAG_S)
        if len(lags) >= LAG_S / EVERY_S / 2 and float(np.percentile(lags, 95)) > LAG_MS:
            return True
        load = self._pool.load(WAIT_S)
        waits = [wait for priority in URGENT for wait in load[priority].waited_ms]
        return len(waits) >= LEAST_WAITS and float(np.percentile(waits, 95)) > WAIT_MS

    def publish(self) -> None:
        """Bring the gauges of /metrics up to date."""
        gauges, metrics = self._pool.gauges(), self._metrics
        metrics.loop_lag_p95.set(spread(self.lags_ms(KEPT_S)).get("p95", 0.0) / 1000.0)
        metrics.pool_waiting.set(gauges.waiting)
        metrics.pool_oldest.set(gauges.oldest_ms / 1000.0)
        metrics.pool_dropped.set(gauges.dropped)
        for priority, kind in self._pool.load(KEPT_S).items():
            name = priority.name.lower()
            metrics.pool_wait.labels(name).set(spread(kind.waited_ms).get("p95", 0.0) / 1000.0)
            metrics.pool_busy.labels(name).set(kind.busy_s)

    def report(self, last_s: float) -> dict[str, Any]:
        """The load, JSON-ready: spreads over about the last `last_s` seconds, `KEPT_S` at most, totals since the start.

        cpu_s: processor time of this process. rss_mb: resident memory, 10^6 bytes. pool.kinds.NAME.busy_s: wall time of
        workers. latency: for each part, how often and how many ms in total; and for replies, the part `total`.
        """
        gauges = self._pool.gauges()
        kinds = {
            priority.name.lower(): {
                "done": kind.done,
                "dropped": kind.dropped,
                "busy_s": round(kind.busy_s, 3),
                "waited_ms": spread(kind.waited_ms),
            }
            for priority, kind in self._pool.load(min(last_s, KEPT_S)).items()
        }
        return {
            "up_s": round(time.monotonic() - self._began, 3),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "cpu_s": round(time.process_time(), 3),
            "rss_mb": round(_resident() / 1e6, 1),
            "loop_lag_ms": spread(self.lags_ms(last_s)),
            "pool": {
                "workers": self._pool.workers,
                "waiting": gauges.waiting,
                "oldest_ms": round(gauges.oldest_ms, 1),
                "dropped": gauges.dropped,
                "kinds": kinds,
            },
            "latency": self._metrics.latency_totals(),
            "overloaded": self.overloaded(),
        }


def spread(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, most and count of `values`; only the count where empty."""
    if not values:
        return {"count": 0}
    p50, p95 = (round(float(value), 2) for value in np.percentile(values, (50, 95)))
    return {"count": len(values), "p50": p50, "p95": p95, "most": round(max(values), 2)}


def _resident() -> float:
    """Resident memory of this process in bytes; the most so far where the system does not tell the present."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(most if sys.platform == "darwin" else most * 1024)
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
