"""Who computes when: order, bounds, deadlines, and nobody left waiting."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from models.errors import Overloaded
from models.pool import NICE, Pool, Priority, job_tag


class Busy:
    """A pool with one worker, which is kept busy until `free`."""

    def __init__(self, bound: int) -> None:
        self.pool = Pool(workers=1, bound=bound)
        self.done: list[str] = []
        self._gate = threading.Event()

    async def hold(self) -> None:
        started = threading.Event()

        def block() -> None:
            started.set()
            assert self._gate.wait(10)

        self.blocking = asyncio.create_task(self.pool.run(Priority.FINAL_RECOGNITION, block))
        await asyncio.to_thread(started.wait, 10)

    def job(self, priority: Priority, name: str = "", within_ms: float | None = None) -> asyncio.Task[None]:
        work: Callable[[], None] = lambda: self.done.append(name)  # noqa: E731
        return asyncio.create_task(self.pool.run(priority, work, within_ms=within_ms))

    def free(self) -> None:
        self._gate.set()


@pytest.fixture
async def busy() -> AsyncIterator[Busy]:
    busy = Busy(bound=2)
    await busy.hold()
    yield busy
    busy.free()
    busy.pool.close()
    with contextlib.suppress(Overloaded):
        await busy.blocking


async def test_the_most_urgent_job_runs_first(busy: Busy) -> None:
    late = busy.job(Priority.LATER_SENTENCE, "late")
    first = busy.job(Priority.UNDERSTANDING, "first")
    await asyncio.sleep(0)
    busy.free()
    async with asyncio.timeout(5):
        await asyncio.gather(late, first)
    assert busy.done == ["first", "late"]


async def test_a_full_queue_gives_up_the_least_urgent_job(busy: Busy) -> None:
    emotion, guess = busy.job(Priority.EMOTION), busy.job(Priority.SPECULATION, "guess")
    await asyncio.sleep(0)
    words = busy.job(Priority.FINAL_RECOGNITION, "words")
    with pytest.raises(Overloaded, match="displaced"):
        await emotion
    refused = busy.job(Priority.EMOTION)
    with pytest.raises(Overloaded, match="jobs wait"):
        await refused
    busy.free()
    async with asyncio.timeout(5):
        await asyncio.gather(guess, words)
    assert busy.done == ["words", "guess"]


async def test_a_cancelled_job_is_neither_run_nor_counted_nor_displaced_instead_of_a_live_one(busy: Busy) -> None:
    live, gone = [busy.job(Priority.SPECULATION, "one")], busy.job(Priority.BACKGROUND, "gone")
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    live.append(busy.job(Priority.SPECULATION, "two"))
    await asyncio.sleep(0)
    assert busy.pool.gauges().waiting == 2
    refused = busy.job(Priority.SPECULATION, "three")
    await asyncio.sleep(0)
    busy.free()
    with pytest.raises(Overloaded):
        await refused
    async with asyncio.timeout(5):
        await asyncio.gather(*live)
    assert busy.done == ["one", "two"]


async def test_cancelled_jobs_do_not_pile_up(busy: Busy) -> None:
    for _ in range(50):
        job = busy.job(Priority.SPECULATION)
        await asyncio.sleep(0)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
    assert len(busy.pool._jobs) <= 2


async def test_a_job_that_would_start_after_its_deadline_is_dropped(busy: Busy) -> None:
    late = busy.job(Priority.EMOTION, "late", within_ms=1.0)
    await asyncio.sleep(0.05)
    busy.free()
    with pytest.raises(Overloaded, match="deadline"):
        async with asyncio.timeout(5):
            await late
    assert busy.done == []


async def test_closing_answers_everyone_who_waits(busy: Busy) -> None:
    waiting = busy.job(Priority.UNDERSTANDING)
    await asyncio.sleep(0)
    closing = asyncio.create_task(asyncio.to_thread(busy.pool.close))
    with pytest.raises(Overloaded, match="stopping"):
        async with asyncio.timeout(5):
            await waiting
    busy.free()
    await closing
    await busy.blocking
    with pytest.raises(Overloaded, match="closed"):
        await busy.pool.run(Priority.UNDERSTANDING, lambda: None)


@pytest.mark.parametrize("error", [ValueError("bad"), StopIteration(), KeyError("k")])
async def test_whatever_a_job_raises_reaches_who_waits(error: Exception) -> None:
    pool = Pool(workers=1)

    def work() -> None:
        raise error

    try:
        with pytest.raises(Exception, match=r"StopIteration|bad|k"):
            async with asyncio.timeout(2):
                await pool.run(Priority.UNDERSTANDING, work)
        async with asyncio.timeout(2):
            assert await pool.run(Priority.UNDERSTANDING, lambda: 7) == 7
    finally:
        pool.close()


def test_a_job_whose_loop_is_closed_does_not_end_its_worker() -> None:
    pool = Pool(workers=1)
    gate, started = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        assert gate.wait(10)

    async def leave() -> None:
        job = asyncio.create_task(pool.run(Priority.UNDERSTANDING, work))
        await asyncio.to_thread(started.wait, 10)
        job.cancel()

    try:
        asyncio.run(leave())
        gate.set()
        assert asyncio.run(asyncio.wait_for(pool.run(Priority.UNDERSTANDING, lambda: 7), 5)) == 7
    finally:
        pool.close()


async def test_no_wake_up_is_lost() -> None:
    pool = Pool(workers=3, bound=10_000)
    try:
        async with asyncio.timeout(20):
            kinds = [Priority.VOICE_ACTIVITY, Priority.UNDERSTANDING, Priority.EMOTION]
            jobs = [pool.run(kinds[n % 3], lambda n=n: n) for n in range(3000)]  # type: ignore[misc]
            assert await asyncio.gather(*jobs) == list(range(3000))
    finally:
        pool.close()


async def test_voice_activity_that_waits_is_done_together_and_in_order() -> None:
    pool = Pool(workers=1, gather_ms=100.0)
    threads: list[int] = []
    done: list[int] = []

    def judge(number: int) -> int:
        threads.append(threading.get_ident())
        done.append(number)
        if number == 2:
            raise ValueError("bad frame")
        return number

    try:
        async with asyncio.timeout(5):
            await pool.run(Priority.VOICE_ACTIVITY, lambda: judge(0))
            jobs = [pool.run(Priority.VOICE_ACTIVITY, functools.partial(judge, number)) for number in (1, 2, 3)]
            found = await asyncio.gather(*jobs, return_exceptions=True)
    finally:
        pool.close()
    assert done == [0, 1, 2, 3]
    assert len(set(threads)) == 1
    assert (found[0], str(found[1]), found[2]) == (1, "bad frame", 3)


async def test_the_load_tells_what_each_kind_of_job_cost_and_how_long_it_waited(busy: Busy) -> None:
    waiting = busy.job(Priority.UNDERSTANDING)
    late = busy.job(Priority.EMOTION, within_ms=1.0)
    await asyncio.sleep(0.05)
    busy.free()
    async with asyncio.timeout(5):
        await asyncio.gather(waiting, late, return_exceptions=True)
        await asyncio.to_thread(busy.pool.close)
    load = busy.pool.load()
    assert load[Priority.FINAL_RECOGNITION].busy_s >= 0.04
    assert load[Priority.UNDERSTANDING].done == 1
    assert load[Priority.UNDERSTANDING].waited_ms[0] >= 40.0
    assert (load[Priority.EMOTION].done, load[Priority.EMOTION].dropped) == (0, 1)
    assert busy.pool.load(last_s=0.0)[Priority.UNDERSTANDING].waited_ms == ()


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
async def test_workers_give_way_to_the_loop() -> None:
    def priority_here() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    pool = Pool(workers=1)
    try:
        models = await pool.run(Priority.UNDERSTANDING, priority_here)
        voice = await pool.run(Priority.VOICE_ACTIVITY, priority_here)
    finally:
        pool.close()
    assert models == min(19, priority_here() + NICE)
    assert voice == priority_here()


async def test_a_guess_that_counts_now_goes_before_what_is_more_urgent_than_guesses() -> None:
    pool = Pool(workers=1)
    began, release = threading.Event(), threading.Event()
    order: list[str] = []

    def block() -> None:
        began.set()
        release.wait(5)

    async def guess(tag: str) -> None:
        job_tag.set(tag)
        await pool.run(Priority.SPECULATION, lambda: order.append(tag))

    try:
        running = asyncio.create_task(pool.run(Priority.FINAL_RECOGNITION, block))
        await asyncio.to_thread(began.wait, 5)
        waiting = [asyncio.create_task(guess("one")), asyncio.create_task(guess("two"))]
        waiting.append(asyncio.create_task(pool.run(Priority.FIRST_SENTENCE, lambda: order.append("sentence"))))
        await asyncio.sleep(0)
        pool.promote("two", Priority.FINAL_RECOGNITION)
        release.set()
        await asyncio.gather(running, *waiting)
        assert order == ["two", "sentence", "one"]
    finally:
        release.set()
        pool.close()
