"""Who computes when: worker threads that take blocking model jobs by priority and deadline.

The models used release the GIL, so threads are enough on one machine. Voice activity has a thread of its own: a frame
takes 80 us and must not wait behind a recognition that takes 300 ms. It takes everything that waits at a time, since
waking a thread and telling the loop cost more than a frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
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
    SHADOW = 9


job_tag: ContextVar[object | None] = ContextVar("job_tag", default=None)
"""What the jobs of this task belong to, for `Pool.promote`."""
DROPPABLE = Priority.SPECULATION
"""Jobs from this priority on are dropped when the queue is full; earlier ones are refused only at twice the bound."""


NICE = 5
"""How much lower than the event loop's the priority of model threads is, in the system's steps: on full cores audio
keeps its pace, and models still get a third as much time as the loop asks for."""
REMEMBERED = 1024
"""Jobs of a kind whose waits are remembered; at 16 calls those of the last half minute, for the most frequent kind."""


@dataclass(order=True)
class _Job(Generic[T]):
    rank: tuple[int, float, int]
    work: Callable[[], T] = field(compare=False)
    future: asyncio.Future[T] = field(compare=False)
    loop: asyncio.AbstractEventLoop = field(compare=False)
    queued_s: float = field(compare=False)
    deadline_s: float | None = field(compare=False)
    tag: object | None = field(compare=False)


@dataclass(frozen=True, slots=True)
class PoolGauges:
    """The pool now: jobs waiting and running, age of the oldest in ms, and totals since the start."""

    waiting: int
    running: int
    oldest_ms: float
    done: int
    dropped: int


@dataclass(frozen=True, slots=True)
class KindLoad:
    """Jobs of one priority: totals since the start, and how long those that began lately waited, in ms.

    busy_s: wall time workers spent on them.
    """

    done: int
    dropped: int
    busy_s: float
    waited_ms: tuple[float, ...]


@dataclass(slots=True)
class _Kind:
    done: int = 0
    dropped: int = 0
    busy_s: float = 0.0
    waits: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


class Pool:
    """Runs blocking jobs on worker threads, most urgent first.

    workers: threads for models. bound: jobs waiting beyond which droppable ones are refused or displaced. gather_ms:
    voice activity that comes within so long of the last is collected and done together.
    """

    def __init__(self, workers: int = 2, bound: int = 64, gather_ms: float = 0.0) -> None:
        self.workers = workers
        self._bound = bound
        self._gather_s = gather_ms / 1000.0
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._fast_ready = threading.Condition(self._lock)
        self._jobs: list[_Job[Any]] = []
        self._fast: list[_Job[Any]] = []
        self._order = itertools.count()
        self._closed = False
        self._running = 0
        self._kinds = {priority: _Kind() for priority in Priority}
        self._threads = [threading.Thread(target=self._work, name=f"model-{n}", daemon=True) for n in range(workers)]
        self._threads.append(threading.Thread(target=self._work_fast, name="model-vad", daemon=True))
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
        job = _Job(rank, work, future, loop, now, deadline, job_tag.get())
        fast = priority is Priority.VOICE_ACTIVITY
        queue = self._fast if fast else self._jobs
        with self._lock:
            if self._closed:
                raise Overloaded("the model pool is closed")
            self._make_room(queue, priority)
            heapq.heappush(queue, job)
            (self._fast_ready if fast else self._ready).notify()
        return await future

    def promote(self, tag: object, priority: Priority) -> None:
        """Give guesses of the tasks under `tag` (see `job_tag`) that still wait the rank of `priority`: they count now.

        A deadline of theirs stays.
        """
        with self._lock:
            for job in self._jobs:
                if job.tag == tag and job.rank[0] == Priority.SPECULATION:
                    job.rank = (int(priority), *job.rank[1:])
            heapq.heapify(self._jobs)

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
            self._kinds[priority].dropped += 1
            raise Overloaded(f"{waiting} jobs wait for a model; raise pool.workers or lower server.max_calls")

    def _drop(self, job: _Job[Any], why: str) -> None:
        self._kinds[Priority(job.rank[0])].dropped += 1
        _settle([(job, None, Overloaded(f"model job dropped: {why}"))])

    def gauges(self) -> PoolGauges:
        """How busy the pool is."""
        now = time.monotonic()
        with self._lock:
            waiting = [job for job in (*self._jobs, *self._fast) if not job.future.cancelled()]
            oldest = max((now - job.queued_s for job in waiting), default=0.0)
            done = sum(kind.done for kind in self._kinds.values())
            dropped = sum(kind.dropped for kind in self._kinds.values())
            return PoolGauges(len(waiting), self._running, oldest * 1000.0, done, dropped)

    def load(self, last_s: float = 60.0) -> dict[Priority, KindLoad]:
        """What each priority had to do, and how long its jobs that began in the `last_s` seconds had waited."""
        since = time.monotonic() - last_s
        with self._lock:
            return {
                priority: KindLoad(
                    kind.done, kind.dropped, kind.busy_s, tuple(waited for at, waited in kind.waits if at >= since)
                )
                for priority, kind in self._kinds.items()
            }

    def close(self) -> None:
        """Drop what waits, let what runs finish, end the threads."""
        with self._lock:
            self._closed = True
            waiting = [*self._jobs, *self._fast]
            self._jobs.clear()
            self._fast.clear()
            self._ready.notify_all()
            self._fast_ready.notify_all()
            for job in waiting:
                self._drop(job, "the agent is stopping")
        for thread in self._threads:
            thread.join(timeout=10.0)

    def _work(self) -> None:
        give_way()
        while True:
            with self._lock:
                while not self._jobs and not self._closed:
                    self._ready.wait()
                if self._closed and not self._jobs:
                    return
                job = heapq.heappop(self._jobs)
                if not self._begins(job):
                    continue
                self._running += 1
            began = time.monotonic()
            _settle([_done(job)])
            self._ended(job.rank[0], 1, began)

    def _work_fast(self) -> None:
        while True:
            with self._lock:
                while not self._fast and not self._closed:
                    self._fast_ready.wait()
                if self._closed and not self._fast:
                    return
                jobs, self._fast[:] = sorted(self._fast), []
                jobs = [job for job in jobs if self._begins(job)]
                self._running += len(jobs)
            began = time.monotonic()
            _settle([_done(job) for job in jobs])
            self._ended(Priority.VOICE_ACTIVITY, len(jobs), began)
            rest = began + self._gather_s - time.monotonic()
            if rest > 0:
                time.sleep(rest)

    def _begins(self, job: _Job[Any]) -> bool:
        """Whether a job taken from its queue is to be run; counts how long it waited."""
        if job.future.cancelled():
            return False
        now = time.monotonic()
        self._kinds[Priority(job.rank[0])].waits.append((now, (now - job.queued_s) * 1000.0))
        if job.deadline_s is not None and now > job.deadline_s:
            self._drop(job, "its deadline passed while it waited")
            return False
        return True

    def _ended(self, priority: int, jobs: int, began: float) -> None:
        with self._lock:
            self._running -= jobs
            kind = self._kinds[Priority(priority)]
            kind.done += jobs
            kind.busy_s += time.monotonic() - began


def give_way() -> None:
    """Lower the priority of this thread, and of those it will start, by `NICE`; does nothing but on Linux."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)


_Outcome = tuple[_Job[Any], Any, BaseException | None]


def _done(job: _Job[Any]) -> _Outcome:
    """Run a job."""
    try:
        return job, job.work(), None
    except StopIteration as error:  # a future refuses it, and whoever waits would wait for ever
        return job, None, RuntimeError(f"a model job raised {error!r}")
    except BaseException as error:
        return job, None, error


def _settle(outcomes: Iterable[_Outcome]) -> None:
    """Tell those who wait, with one message to each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome[0].loop, []).append(outcome)
    for loop, its in loops.items():
        with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_tell, its)


def _tell(outcomes: Iterable[_Outcome]) -> None:
    for job, result, error in outcomes:
        if job.future.done():
            continue
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)
