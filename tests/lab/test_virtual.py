"""Virtual time: jumps while nothing is done, keeps to the wall while a thread works."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from agent.lab.virtual import NothingToWaitFor, VirtualLoop, done_elsewhere, run_in_virtual_time
from models.pool import Pool, Priority


def test_a_sleep_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3600.0)
        return asyncio.get_running_loop().time()

    began = time.perf_counter()
    assert run_in_virtual_time(main()) == pytest.approx(3600.0)
    assert time.perf_counter() - began < 60.0


def test_a_loop_that_would_wait_for_ever_says_so() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingToWaitFor):
        run_in_virtual_time(main())


def test_time_does_not_jump_over_what_an_executor_does() -> None:
    fired: list[str] = []

    async def main() -> None:
        asyncio.get_running_loop().call_later(3600.0, fired.append, "timer")
        await asyncio.to_thread(time.sleep, 0.02)
        fired.append("thread")
        await asyncio.sleep(7200.0)

    run_in_virtual_time(main())
    assert fired == ["thread", "timer"]


@pytest.mark.parametrize(("pace", "least", "most"), [(0.0, 0.0, 0.0), (1.0, 0.02, 30.0), (50.0, 1.0, 1500.0)])
def test_a_models_work_takes_as_long_as_the_pace_says(pace: float, least: float, most: float) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        pool = Pool(workers=1)
        loop.watch(lambda: pool.gauges().running + pool.gauges().waiting > 0)
        try:
            await pool.run(Priority.FINAL_RECOGNITION, lambda: time.sleep(0.02))
            return loop.time()
        finally:
            pool.close()

    assert least <= run_in_virtual_time(main(), pace) <= most


def test_no_result_of_a_thread_is_seen_late() -> None:
    """Many short jobs: at none of them may time jump to the far timer before the result is seen."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        pool = Pool(workers=2)
        loop.watch(lambda: pool.gauges().running + pool.gauges().waiting > 0)
        far = loop.call_later(3600.0, lambda: None)
        try:
            for _ in range(300):
                await pool.run(Priority.VOICE_ACTIVITY, lambda: None)
            return loop.time()
        finally:
            far.cancel()
            pool.close()

    assert run_in_virtual_time(main()) < 3600.0


def test_what_another_thread_answers_is_waited_for() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        threading.Timer(0.02, lambda: loop.call_soon_threadsafe(answer.set_result, None)).start()
        with done_elsewhere():
            await answer
        return loop.time()

    assert 0.0 < run_in_virtual_time(main()) < 60.0
