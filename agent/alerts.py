"""A surge of negative calls on a topic: the rolling rate against a baseline, told to metrics, the log and a webhook.

A topic's calls of the last `window_s` are compared with its baseline: the share of negative calls before that window,
forgotten with the half-life `half_life_s` (an exponentially weighted mean: Roberts 1959, Technometrics 1(3)) and drawn
towards the share over all topics by `PRIOR` calls, so that a new topic has one too. With k of n calls negative and a
baseline p, a surge is when

    P(X >= k) < ALPHA for X ~ Binomial(n, p),  k >= least,  and  k / n >= RATIO * p

which is the exact one-sided binomial test. The test is made after each call, so ALPHA is much stricter than the 0.05 of
a single test; docs/emotion.md says how many false alerts that gives. After an alert a topic is quiet for `cool_down_s`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import uuid
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from agent.clock import Clock
from agent.config import AlertSettings
from agent.metrics import Metrics
from agent.outbound import OutboundError, SignedPost
from agent.yamlfile import FileError

log = logging.getLogger(__name__)

ALPHA = 1e-4
RATIO = 1.5
"""A difference that is certain but small is no surge."""
PRIOR, USUAL = 20.0, 0.1
"""Calls that pull a topic's baseline to that of all topics, and share of negative calls where nothing is known."""
BUCKETS = 12
"""Parts of the window; calls leave it a part at a time."""
MOST_TOPICS = 200
"""Topics kept; those without calls for longest go first."""
MOST_WAITING = 32
"""Alerts waiting for the webhook; the oldest goes first."""
MOST_BYTES = 4096
"""Longest answer of the webhook that is read."""
TICK_MS = 60_000.0
"""How often the gauges are brought up to date while no call ends."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A topic now: its calls in the window, how many were negative, their share and the baseline's."""

    calls: int
    negative: int
    rate: float
    baseline: float


@dataclass(frozen=True, slots=True)
class Surge:
    """An alert. `chance` is P(so many negative calls or more) had nothing changed; `at` is ISO 8601."""

    id: str
    domain: str
    topic: str
    calls: int
    negative: int
    rate: float
    baseline: float
    chance: float
    window_s: float
    at: str


@dataclass
class _Topic:
    """Counts of a topic: buckets of the window as [number, calls, negative], and the baseline as of `aged_s`."""

    buckets: deque[list[int]] = field(default_factory=deque)
    calls: float = 0.0
    negative: float = 0.0
    aged_s: float = 0.0
    quiet_until_s: float = -math.inf


class NegativeCalls:
    """Counts calls by topic and finds surges. Pure: the time in seconds is given, and may not go back far."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings
        self._width_s = settings.window_s / BUCKETS
        self._topics: OrderedDict[str, _Topic] = OrderedDict()

    @property
    def topics(self) -> list[str]:
        """Those that are kept."""
        return list(self._topics)

    def add(self, topic: str, negative: bool, at_s: float) -> None:
        """Count a call that ended at `at_s`."""
        counts = self._topics.setdefault(topic, _Topic(aged_s=at_s))
        self._topics.move_to_end(topic)
        while len(self._topics) > MOST_TOPICS:
            self._topics.popitem(last=False)
        self._age(counts, at_s)
        number = math.floor(at_s / self._width_s)
        if not counts.buckets or counts.buckets[-1][0] < number:
            counts.buckets.append([number, 0, 0])
        counts.buckets[-1][1] += 1
        counts.buckets[-1][2] += negative

    def surge(self, topic: str, at_s: float) -> tuple[Standing, float] | None:
        """The topic's standing and chance if its calls are a surge now that is not yet told; it then counts as told."""
        counts = self._topics.get(topic)
        now = self.standing(topic, at_s)
        if counts is None or at_s < counts.quiet_until_s or now.negative < self._settings.least:
            return None
        if now.rate < RATIO * now.baseline:
            return None
        chance = binomial_tail(now.negative, now.calls, now.baseline)
        if chance >= ALPHA:
            return None
        counts.quiet_until_s = at_s + self._settings.cool_down_s
        return now, chance

    def standing(self, topic: str, at_s: float) -> Standing:
        """The topic's calls in the window that ends at `at_s`, against its baseline."""
        for counts in self._topics.values():
            self._age(counts, at_s)
        everywhere = self._share(
            sum(one.negative for one in self._topics.values()), sum(one.calls for one in self._topics.values()), USUAL
        )
        counts = self._topics.get(topic, _Topic())
        calls, negative = (sum(bucket[n] for bucket in counts.buckets) for n in (1, 2))
        baseline = self._share(counts.negative, counts.calls, everywhere)
        return Standing(calls, negative, negative / calls if calls else 0.0, baseline)

    def _age(self, counts: _Topic, at_s: float) -> None:
        """Move what has left the window into the baseline, and let that fade."""
        if at_s > counts.aged_s:
            kept = 0.5 ** ((at_s - counts.aged_s) / self._settings.half_life_s)
            counts.calls, counts.negative, counts.aged_s = counts.calls * kept, counts.negative * kept, at_s
        first = math.floor(at_s / self._width_s) - BUCKETS + 1
        while counts.buckets and counts.buckets[0][0] < first:
            _, calls, negative = counts.buckets.popleft()
            counts.calls += calls
            counts.negative += negative

    @staticmethod
    def _share(negative: float, calls: float, towards: float) -> float:
        return (negative + PRIOR * towards) / (calls + PRIOR)


class Alerts:
    """Takes ended calls and tells of surges. `run` is a task of the server's; nothing else here waits or raises."""

    def __init__(
        self, domain: str, clock: Clock, metrics: Metrics, settings: AlertSettings, post: SignedPost | None = None
    ) -> None:
        """`post` tells the outside; None where nobody wants to know."""
        self._domain = domain
        self._clock = clock
        self._metrics = metrics
        self._settings = settings
        self._post = post
        self._counts = NegativeCalls(settings)
        self._waiting: deque[Surge] = deque(maxlen=MOST_WAITING)
        self._woken = asyncio.Event()

    def call_over(self, topic: str, negative: bool) -> Surge | None:
        """A call about `topic` ended, well or not. Gives the alert that it led to, which is told by then or soon."""
        now = self._clock.wall()
        at_s = now.timestamp()
        self._metrics.topic_calls.labels(topic, "yes" if negative else "no").inc()
        self._counts.add(topic, negative, at_s)
        found = self._counts.surge(topic, at_s)
        self._show(topic, at_s)
        if found is None:
            return None
        standing, chance = found
        surge = Surge(
            str(uuid.uuid4()),
            self._domain,
            topic,
            standing.calls,
            standing.negative,
            round(standing.rate, 4),
            round(standing.baseline, 4),
            chance,
            self._settings.window_s,
            now.astimezone(UTC).isoformat(timespec="seconds"),
        )
        self._metrics.negative_surges.labels(topic).inc()
        log.warning(
            "negative calls on %s: %d of %d in %.0f min, %.0f %% where %.0f %% is usual",
            topic, surge.negative, surge.calls, surge.window_s / 60.0, 100 * surge.rate, 100 * surge.baseline,
            extra={"code": "negative_surge"},
        )  # fmt: skip
        if self._post is not None:
            if len(self._waiting) == MOST_WAITING:
                log.error(
                    "alerts wait for a webhook that does not answer; the one on %s is dropped", self._waiting[0].topic
                )
            self._waiting.append(surge)
            self._woken.set()
        return surge

    def since(self) -> datetime:
        """The end of a call from which on it still has weight: four half-lives before the window."""
        earlier = 4.0 * self._settings.half_life_s + self._settings.window_s
        return self._clock.wall() - timedelta(seconds=earlier)

    def restore(self, calls: Iterable[tuple[datetime, str, bool]]) -> int:
        """Count calls that ended before this process began: (end, topic, negative), oldest first. Tells nothing."""
        now = self._clock.wall().timestamp()
        count = 0
        for ended, topic, negative in calls:
            at_s = min(ended.timestamp(), now)
            self._counts.add(topic, negative, at_s)
            self._counts.surge(topic, at_s)
            count += 1
        for topic in self._counts.topics:
            self._show(topic, now)
        return count

    async def run(self) -> None:
        """Send alerts, and bring the gauges up to date, until cancelled."""
        while True:
            while self._waiting:
                await self._send(self._waiting.popleft())
            await self._clock.wait(self._woken, self._clock.now_ms() + TICK_MS)
            at_s = self._clock.wall().timestamp()
            for topic in self._counts.topics:
                self._show(topic, at_s)

    async def _send(self, surge: Surge) -> None:
        if self._post is None:
            return
        body = json.dumps(
            {"type": "calls.negative_surge", "version": 1, "alert": asdict(surge)}, separators=(",", ":")
        ).encode()
        try:
            await self._post.post(body, surge.id)
        except OutboundError as error:
            self._metrics.faults.labels("alert_not_sent").inc()
            log.error("alert %s on %s was not taken: %s: %s", surge.id, surge.topic, error.code, error)

    def _show(self, topic: str, at_s: float) -> None:
        standing = self._counts.standing(topic, at_s)
        self._metrics.negative_rate.labels(topic).set(standing.rate)
        self._metrics.negative_baseline.labels(topic).set(standing.baseline)


def new_alerts(domain: str, clock: Clock, metrics: Metrics, settings: AlertSettings, key: str | None) -> Alerts:
    """Alerts as configured; `key` signs the webhook.

    Raises:
        FileError: the webhook's URL or the key cannot be used.
    """
    post: SignedPost | None = None
    if settings.webhook_url is not None and key is not None:
        remedy = "set alerts.allow_private to allow it"
        try:
            post = SignedPost(
                "alert webhook",
                settings.webhook_url,
                key,
                clock,
                MOST_BYTES,
                10.0,
                60.0,
                settings.allow_private,
                remedy,
            )
        except ValueError as error:
            raise FileError([f"alerts.webhook_url: {error}"]) from error
    elif settings.webhook_url is not None:
        log.warning("alerts.webhook_url is set but CALLAGENT_WEBHOOK_KEY is not: no alert is sent")
    return Alerts(domain, clock, metrics, settings, post)


def binomial_tail(least: int, calls: int, share: float) -> float:
    """P(X >= `least`) for X ~ Binomial(`calls`, `share`), summed from its largest term outwards in logarithms."""
    if least <= 0:
        return 1.0
    if least > calls or share <= 0.0:
        return 0.0
    if share >= 1.0:
        return 1.0
    yes, no = math.log(share), math.log1p(-share)
    terms = [
        math.lgamma(calls + 1) - math.lgamma(k + 1) - math.lgamma(calls - k + 1) + k * yes + (calls - k) * no
        for k in range(least, calls + 1)
    ]
    highest = max(terms)
    return min(1.0, math.exp(highest) * math.fsum(math.exp(term - highest) for term in terms))
