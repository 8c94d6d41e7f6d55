"""Who computes when: worker threads that take blocking model jobs by priority and deadline.

The models used release the GIL, so threads are enough on one machine. Voice activity has a thread of its own: a frame
takes 80 us and must not wait behind a recognition that takes 300 ms.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, TypeVar

from models.errors import Overloaded

T = TypeVar("T")


class Priority(IntEnum):
    """Lower runs first (design: final words before a first sentence before guesses)."""

    VOICE_ACTIVITY = 0
    FINAL_RECOGNITION = 1
    UNDERSTANDING = 2
    FIRST_SENTENCE = 3
    SPECULATION = 4
    LATER_SENTENCE = 5
    PARTIAL = 6
    EMOTION = 7
    BACKGROUND = 8


DROPPABLE = Priority.SPECULATION
"""Jobs from this priority on are dropped when the queue is full; earlier ones are refused only at twice the bound."""


@dataclass(order=True)
class _Job(Generic[T]):
    rank: tuple[int, float, int]
    work: Callable[[], T] = field(compare=False)
    future: asyncio.Future[T] = field(compare=False)
    loop: asyncio.AbstractEventLoop = field(compare=False)
    queued_s: float = field(compare=False)
    deadline_s: float | None = field(compare=False)


@dataclass(frozen=True, slots=True)
class PoolGauges:
    """The pool now: jobs waiting and running, age of the oldest in ms, and totals since the start."""

    waiting: int
    running: int
    oldest_ms: float
    done: int
    dropped: int


class Pool:
    """Runs blocking jobs on worker threads, most urgent first.

    workers: threads for models. bound: jobs waiting beyond which droppable ones are refused or displaced.
    """

    def __init__(self, workers: int = 2, bound: int = 64) -> None:
        self._bound = bound
        self._ready = threading.Condition()
        self._jobs: list[_Job[Any]] = []
        self._fast: list[_Job[Any]] = []
        self._order = itertools.count()
        self._closed = False
        self._running = 0
        self._done = 0
        self._dropped = 0
        self._threads = [
            threading.Thread(target=self._work, args=(self._jobs,), name=f"model-{n}", daemon=True)
            for n in range(workers)
        ]
        self._threads.append(threading.Thread(target=self._work, args=(self._fast,), name="model-vad", daemon=True))
        for thread in self._threads:
            thread.start()

    async def run(self, priority: Priority, work: Callable[[], T], *, within_ms: float | None = None) -> T:
        """Run `work` on a worker and return its result.

        within_ms: how long it may wait in the queue; a job that would start later is dropped. Cancelling drops a
        waiting job; a running one finishes and its result is thrown away.

        Raises:
            Overloaded: the job was refused or dropped.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        future: asyncio.Future[T] = loop.create_future()
        deadline = None if within_ms is None else now + within_ms / 1000.0
        rank = (int(priority), deadline if deadline is not None else float("inf"), next(self._order))
        job = _Job(rank, work, future, loop, now, deadline)
        queue = self._fast if priority is Priority.VOICE_ACTIVITY else self._jobs
        with self._ready:
            if self._closed:
                raise Overloaded("the model pool is closed")
            self._make_room(queue, priority)
            heapq.heappush(queue, job)
            self._ready.notify_all()
        return await future

    def _make_room(self, queue: list[_Job[Any]], priority: Priority) -> None:
        if len(queue) < self._bound:
            return
        queue[:] = [job for job in queue if not job.future.cancelled()]
        heapq.heapify(queue)
        waiting = len(queue)
        if waiting < self._bound:
            return
        worst = max(queue)
        if worst.rank[0] > priority and worst.rank[0] >= DROPPABLE:
            queue.remove(worst)
            heapq.heapify(queue)
            self._drop(worst, "displaced by more urgent work")
        elif priority >= DROPPABLE or waiting >= 2 * self._bound:
            self._dropped += 1
            raise Overloaded(f"{waiting} jobs wait for a model; raise pool.workers or lower server.max_calls")

    def _drop(self, job: _Job[Any], why: str) -> None:
        self._dropped += 1
        _settle(job, error=Overloaded(f"model job dropped: {why}"))

    def gauges(self) -> PoolGauges:
        """How busy the pool is."""
        now = time.monotonic()
        with self._ready:
            waiting = [job for job in (*self._jobs, *self._fast) if not job.future.cancelled()]
            oldest = max((now - job.queued_s for job in waiting), default=0.0)
            return PoolGauges(len(waiting), self._running, oldest * 1000.0, self._done, self._dropped)

    def close(self) -> None:
        """Drop what waits, let what runs finish, end the threads."""
        with self._ready:
            self._closed = True
            waiting = [*self._jobs, *self._fast]
            self._jobs.clear()
            self._fast.clear()
            self._ready.notify_all()
        for job in waiting:
            self._drop(job, "the agent is stopping")
        for thread in self._threads:
            thread.join(timeout=10.0)

    def _work(self, queue: list[_Job[Any]]) -> None:
        while True:
            with self._ready:
                while not queue and not self._closed:
                    self._ready.wait()
                if self._closed and not queue:
                    return
                job = heapq.heappop(queue)
                if job.future.cancelled():
                    continue
                if job.deadline_s is not None and time.monotonic() > job.deadline_s:
                    self._drop(job, "its deadline passed while it waited")
                    continue
                self._running += 1
            try:
                result = job.work()
            except BaseException as error:
                _settle(job, error=error)
            else:
                _settle(job, result=result)
            finally:
                with self._ready:
                    self._running -= 1
                    self._done += 1


def _settle(job: _Job[Any], result: Any = None, error: BaseException | None = None) -> None:
    if isinstance(error, StopIteration):  # a future refuses it, and whoever waits would wait for ever
        error = RuntimeError(f"a model job raised {error!r}")

    def settle() -> None:
        if job.future.done():
            return
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)

    try:
        job.loop.call_soon_threadsafe(settle)
    except RuntimeError:
        return
