"""The understanding that calls use, and the watch that swaps it when another version is chosen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.clock import Clock
from agent.learning.shadow import Shadow
from agent.metrics import Metrics
from models.contracts import Understanding, UnderstandingContext, Understood
from models.errors import ModelError
from models.pool import give_way
from models.registry import Registry

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """A version ready to understand. version: what it really is, as turns are to say."""

    understanding: Understanding
    version: str


class LiveUnderstanding:
    """Implements `models.contracts.Understanding` by the version in force, and says which that was.

    A swap is one assignment: a text whose understanding has begun is finished by the model it began with.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    @property
    def version(self) -> str:
        """The version that the next turn is understood by."""
        return self._opened.version

    def swap(self, opened: Opened) -> None:
        """Understand by `opened` from now on."""
        self._opened = opened

    def understand(self, text: str, context: UnderstandingContext = UnderstandingContext()) -> Understood:  # noqa: B008
        """Understand one caller turn; `Understood.model` is the version that did."""
        opened = self._opened
        return replace(opened.understanding.understand(text, context), model=opened.version)


class VersionWatch:
    """Looks at which version is chosen and brings it into service while calls go on. `run` is a task of the server's.

    A version that cannot be loaded leaves the one in force; `problem` says why until another choice is made, and it is
    not tried again until then.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        open_version: Callable[[str], Opened],
        live: LiveUnderstanding,
        shadow: Shadow,
        metrics: Metrics,
        clock: Clock,
        every_s: float,
        chosen: str,
        problem: str | None = None,
    ) -> None:
        """`open_version` loads a version of the domain `name` and may block for seconds.

        chosen: what was chosen when `live` was loaded; problem: why `live` is not exactly that.
        """
        self._registry = registry
        self._name = name
        self._open = open_version
        self._live = live
        self._shadow = shadow
        self._metrics = metrics
        self._clock = clock
        self._every_s = every_s
        self._seen: tuple[int, int, int] | None = None
        self._chosen = chosen
        self._accompanied: str | None = None
        self._problems: dict[str, str] = {} if problem is None else {"current": problem}

    @property
    def version(self) -> str:
        """The version in force."""
        return self._live.version

    @property
    def problem(self) -> str | None:
        """Why what was chosen is not in force; None where it is."""
        return "; ".join(self._problems.values()) or None

    def report(self) -> dict[str, str | None]:
        """For /ready, JSON-ready: the version in force, the one in the shadow, and what is wrong."""
        return {"version": self.version, "shadow": self._shadow.version, "problem": self.problem}

    async def run(self) -> None:
        """Look every so often until cancelled."""
        while True:
            await self._clock.sleep_until(self._clock.now_ms() + self._every_s * 1000.0)
            await self.look()

    async def look(self) -> None:
        """Bring into service what is chosen, if that changed since the last look."""
        seen = await asyncio.to_thread(self._registry.signature, self._name)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            state = await asyncio.to_thread(self._registry.state, self._name)
        except ModelError as error:
            self._failed("state", str(error))
            return
        except OSError as error:
            self._seen = None
            self._failed("state", f"the chosen version cannot be looked up: {error}")
            return
        self._problems.pop("state", None)
        if state.current != self._chosen:
            await self._swap(state.current)
        if state.shadow != self._accompanied:
            await self._accompany(state.shadow)

    async def _swap(self, version: str) -> None:
        self._chosen = version
        self._problems.pop("current", None)
        before = self._live.version
        opened = await self._opened("current", version)
        if opened is not None:
            self._live.swap(opened)
            self._metrics.model_swaps.labels("swapped").inc()
            log.info("turns are understood by version %s from now on, by %s until now", opened.version, before)

    async def _accompany(self, version: str | None) -> None:
        self._accompanied = version
        self._problems.pop("shadow", None)
        self._shadow.stop()
        if version is None:
            log.info("no version runs in the shadow any more")
            return
        opened = await self._opened("shadow", version)
        if opened is not None:
            self._shadow.start(opened.understanding, opened.version)
            log.info("version %s reads turns in the shadow from now on", opened.version)

    async def _opened(self, part: str, version: str) -> Opened | None:
        try:
            return await giving_way(lambda: self._open(version))
        except Exception as error:
            # A version may fail in any way; calls go on with the one they have.
            self._failed(part, f"version {version} cannot be used: {error}")
            return None

    def _failed(self, part: str, problem: str) -> None:
        if self._problems.get(part) == problem:
            return
        self._problems[part] = problem
        self._metrics.model_swaps.labels("failed").inc()
        log.error("%s; %s stays in force", problem, self._live.version, extra={"code": "model_swap_failed"})


async def giving_way(load: Callable[[], T]) -> T:
    """Load a model off the event loop in a thread of low priority, which threads that the model starts inherit."""
    executor = ThreadPoolExecutor(1, "loading", initializer=give_way)
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, load)
    finally:
        executor.shutdown(wait=False)
