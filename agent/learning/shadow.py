"""A candidate model that reads what callers said beside the live one, and says where it disagrees."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from agent.clock import Clock
from agent.metrics import Metrics
from models.contracts import Understanding, UnderstandingContext, Understood
from models.errors import Overloaded
from models.pool import Priority

T = TypeVar("T")

SETTLE_MS = 1000.0
"""How long after a turn was settled it is read: the reply is on its way by then, and few turns are taken back later."""
PATIENCE_MS = 50.0
"""How long a reading may wait for a worker; one that no worker is free for is dropped."""
MOST_WAITING = 32
"""Turns of all calls waiting to be read; more are dropped. 16 calls settle at most a handful a second."""
EVENT = "shadow"
"""Kind of the records' events that hold readings."""

log = logging.getLogger(__name__)


class Compute(Protocol):
    """Where the candidate runs; see `models.pool.Pool`."""

    async def run(self, priority: Priority, work: Callable[[], T], *, within_ms: float | None = None) -> T:
        """Run `work` off the event loop."""
        ...


@dataclass(frozen=True, slots=True)
class SettledTurn:
    """A turn that counts, as the live model understood it.

    stands: whether it still counts when it is read. note: takes the outcome, JSON-ready, into the call's record.
    """

    number: int
    text: str
    context: UnderstandingContext
    understood: Understood
    stands: Callable[[], bool]
    note: Callable[[Mapping[str, Any]], None]


class Shadow:
    """Reads settled turns by a candidate, after everything else and only where a worker is free.

    It owns its tasks; `aclose` ends them.
    """

    def __init__(self, pool: Compute, metrics: Metrics, clock: Clock, settle_ms: float = SETTLE_MS) -> None:
        self._pool = pool
        self._metrics = metrics
        self._clock = clock
        self._settle_ms = settle_ms
        self._candidate: tuple[Understanding, str] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed = False

    @property
    def version(self) -> str | None:
        """The version of the candidate; None where there is none."""
        return self._candidate[1] if self._candidate is not None else None

    def start(self, candidate: Understanding, version: str) -> None:
        """Read the turns from now on by `candidate`."""
        self._candidate, self._failed = (candidate, version), False

    def stop(self) -> None:
        """Read no turn any more."""
        self._candidate = None

    def read(self, turn: SettledTurn) -> None:
        """Read `turn` some time; never blocks, and drops it where too many wait."""
        if self._candidate is None or not turn.text.strip():
            return
        if len(self._tasks) >= MOST_WAITING:
            self._metrics.shadow.labels("dropped").inc()
            return
        task = asyncio.create_task(self._read(turn, *self._candidate), name=f"shadow-{turn.number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Give up what waits."""
        self.stop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, turn: SettledTurn, candidate: Understanding, version: str) -> None:
        await self._clock.sleep_until(self._clock.now_ms() + self._settle_ms)
        if not turn.stands():
            return
        try:
            read = await self._pool.run(
                Priority.SHADOW, lambda: candidate.understand(turn.text, turn.context), within_ms=PATIENCE_MS
            )
        except Overloaded:
            self._metrics.shadow.labels("dropped").inc()
            return
        except Exception as error:
            self._metrics.shadow.labels("failed").inc()
            if not self._failed:
                self._failed = True
                log.error("version %s fails in the shadow: %s: %s", version, type(error).__name__, error)
            return
        live = turn.understood
        agree = read.intent == live.intent
        self._metrics.shadow.labels("agreed" if agree else "disagreed").inc()
        outcome: dict[str, Any] = {
            "turn": turn.number,
            "agree": agree,
            "live": {"version": live.model, "intent": live.intent, "confidence": round(live.confidence, 3)},
            "candidate": {"version": version, "intent": read.intent, "confidence": round(read.confidence, 3)},
        }
        turn.note(outcome if agree else {**outcome, "text": turn.text})


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """What the shadow found of one pair of versions.

    disagreements: (live intent, candidate's intent, how often, examples), the most frequent first.
    """

    live: str
    candidate: str
    turns: int
    agreed: int
    disagreements: tuple[tuple[str, str, int, tuple[str, ...]], ...]


def reports(events: Sequence[Mapping[str, Any]], examples: int = 3) -> list[ShadowReport]:
    """What `events`, the `data` of shadow events, say of each pair of versions, the pair with most turns first."""
    totals: Counter[tuple[str, str]] = Counter()
    agreed: Counter[tuple[str, str]] = Counter()
    apart: dict[tuple[str, str], dict[tuple[str, str], list[str]]] = {}
    for event in events:
        live, candidate = event["live"], event["candidate"]
        pair = (str(live["version"]), str(candidate["version"]))
        totals[pair] += 1
        if event["agree"]:
            agreed[pair] += 1
        else:
            texts = apart.setdefault(pair, {}).setdefault((live["intent"], candidate["intent"]), [])
            texts.append(str(event.get("text", "")))
    found = []
    for pair, turns in totals.most_common():
        rows = sorted(apart.get(pair, {}).items(), key=lambda row: (-len(row[1]), row[0]))
        disagreements = tuple((a, b, len(texts), tuple(dict.fromkeys(texts))[:examples]) for (a, b), texts in rows)
        found.append(ShadowReport(*pair, turns, agreed[pair], disagreements))
    return found
