"""An event loop with virtual time: it jumps to the next timer, and keeps to the wall only while others work.

Code that takes its time from the loop (`agent.clock.LoopClock`, `asyncio.sleep`) runs as fast as the machine allows and
sees the same times as in a real call.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

SLICE_S = 0.001
"""How long the loop waits at most, by the wall's clock, before it looks again whether work is done elsewhere."""


class NothingToWaitFor(RuntimeError):
    """The loop would wait for ever: no timer is set, nothing is ready, and no work is done elsewhere."""


class _Jumping(selectors.DefaultSelector):
    """Waits in virtual time. `pace` is virtual seconds per second of work done elsewhere."""

    def __init__(self, pace: float) -> None:
        super().__init__()
        self.now = 0.0
        self.pace = pace
        self.outside = 0
        self.busy: Callable[[], bool] = lambda: False
        self._looked: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.outside or self.busy():
            return self._work(timeout)
        self._looked = None
        # A result that came from a thread woke the selector before that thread counted as idle: it goes first.
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise NothingToWaitFor("the loop would wait for ever: no timer is set and nothing is ready")
        self.now += max(0.0, timeout)
        return ready

    def _work(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        since = time.perf_counter() if self._looked is None else self._looked
        wait = SLICE_S if timeout is None or not self.pace else min(SLICE_S, max(0.0, timeout) / self.pace)
        ready = super().select(wait if timeout != 0 else 0)
        self._looked = time.perf_counter()
        self.now += (self._looked - since) * self.pace
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual and starts at 0 s.

    Work done elsewhere is what runs in executors, what is awaited inside `outside()`, and what `watch` finds. While
    there is any, virtual time passes `pace` times as fast as the wall's: 1 charges what work takes here, 0 nothing.
    """

    def __init__(self, pace: float = 1.0) -> None:
        self._jumping = _Jumping(pace)
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def watch(self, busy: Callable[[], bool]) -> None:
        """Ask `busy()` whether work is done elsewhere; it must stay true until the loop was told of the result."""
        self._jumping.busy = busy

    @contextmanager
    def outside(self) -> Iterator[None]:
        """What is awaited inside is done elsewhere, as by the thread of a database."""
        self._jumping.outside += 1
        try:
            yield
        finally:
            self._jumping.outside -= 1

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self._jumping.outside += 1
        future.add_done_callback(self._back)
        return future

    async def shutdown_default_executor(self) -> None:
        with self.outside():
            await super().shutdown_default_executor()

    def _back(self, _: asyncio.Future[Any]) -> None:
        self._jumping.outside -= 1


def run_in_virtual_time(main: Coroutine[Any, Any, T], pace: float = 1.0) -> T:
    """Run `main` to its end on a `VirtualLoop`."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(pace)) as runner:
        return runner.run(main)


@contextmanager
def done_elsewhere() -> Iterator[None]:
    """`VirtualLoop.outside` of the running loop; nothing on another loop."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        with loop.outside():
            yield
    else:
        yield
