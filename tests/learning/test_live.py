import asyncio
import logging
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from callfakes import FakeCall
from virtual_time import run_virtual

from agent.clock import LoopClock, RealClock
from agent.learning.live import LiveUnderstanding, Opened, VersionWatch
from agent.learning.shadow import Shadow
from agent.metrics import Metrics
from models.contracts import UnderstandingContext, Understood
from models.errors import ModelDamaged, ModelError
from models.pool import Pool, Priority
from models.registry import HEAD, Registry, write_info
from models.text_model import Member, ModelInfo


class Named:
    """Understands everything as its own name; `gate` holds it up until it is set."""

    def __init__(self, name: str, gate: threading.Event | None = None) -> None:
        self.name = name
        self.gate = gate
        self.began = threading.Event()

    def understand(self, text: str, context: UnderstandingContext = UnderstandingContext()) -> Understood:  # noqa: B008
        self.began.set()
        if self.gate is not None:
            self.gate.wait(10)
        return Understood(self.name, 0.9, ((self.name, 0.9),), complete=0.95)


def opened(version: str) -> Opened:
    return Opened(Named(version), version)


async def until(happened: Callable[[], bool], every_s: float) -> None:
    for _ in range(1000):
        if happened():
            return
        await asyncio.sleep(every_s)
    raise TimeoutError


def save(registry: Registry) -> str:
    with registry.draft("shop", "00000000") as draft:
        write_info(draft.folder, ModelInfo("shop", draft.version, "head", "", members=(Member("m"),)))
        (draft.folder / "m").write_bytes(b"weights")
    return draft.version


class Watched:
    """A watch on a registry, which opens whatever verifies."""

    def __init__(self, folder: Path, open_version: Callable[[str], Opened] | None = None) -> None:
        self.registry = Registry(folder)
        self.live = LiveUnderstanding(opened(HEAD))
        self.metrics = Metrics()
        self.opened: list[str] = []
        clock = LoopClock()
        self.shadow = Shadow(Pool(1), self.metrics, clock)

        def load(version: str) -> Opened:
            self.opened.append(version)
            self.registry.verify("shop", version)
            return opened(version)

        self.watch = VersionWatch(
            self.registry, "shop", open_version or load, self.live, self.shadow, self.metrics, clock, 2.0, "embedded"
        )

    def swaps(self, outcome: str) -> float:
        return self.metrics.model_swaps.labels(outcome)._value.get()


async def test_a_text_is_finished_by_the_model_it_began_with() -> None:
    gate = threading.Event()
    old = Named("old", gate)
    live = LiveUnderstanding(Opened(old, "v1"))
    reading = asyncio.create_task(asyncio.to_thread(live.understand, "hello"))
    await asyncio.to_thread(old.began.wait, 10)
    live.swap(Opened(Named("new"), "v2"))
    assert live.understand("hello").model == "v2"
    gate.set()
    understood = await reading
    assert (understood.intent, understood.model) == ("old", "v1")


async def test_swaps_during_many_turns_drop_none_and_each_says_its_version() -> None:
    pool, live = Pool(4, 1000), LiveUnderstanding(opened("v0"))
    try:
        turns: list[asyncio.Task[Understood]] = []
        for number in range(400):
            if number % 40 == 20:
                live.swap(opened(f"v{number}"))
            turns.append(asyncio.create_task(pool.run(Priority.UNDERSTANDING, lambda: live.understand("hello"))))
            if number >= 10:
                await turns[number - 10]
        found = await asyncio.gather(*turns)
    finally:
        pool.close()
    assert len(found) == 400
    assert all(understood.model == understood.intent for understood in found)
    assert len({understood.model for understood in found}) > 3
    assert found[-1].model == "v380"


def test_a_running_call_goes_on_with_the_new_version_and_records_both() -> None:
    async def main() -> None:
        call = FakeCall()
        live = LiveUnderstanding(opened("v0001-aaaaaaaa"))
        object.__setattr__(call.services, "understanding", live)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("first words", 600)
        await phone.wait_for_agent()
        live.swap(opened("v0002-bbbbbbbb"))
        await phone.say("second words", 600)
        await phone.wait_for_agent()
        phone.hang_up()
        assert (await call.ended()).outcome == "caller_left"
        assert call.turn(1, "caller").model == "v0001-aaaaaaaa"
        assert call.turn(2, "caller").model == "v0002-bbbbbbbb"
        assert call.turn(1, "agent").model is None
        assert call.turn(2, "agent").heard == "You said second words."

    run_virtual(main())


async def test_a_choice_made_while_the_server_runs_is_brought_into_service(tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    watched = Watched(tmp_path)
    await watched.watch.look()
    assert watched.opened == []
    first = save(watched.registry)
    watched.registry.use("shop", first)
    await watched.watch.look()
    assert watched.live.understand("hello").model == first
    assert watched.watch.report() == {"version": first, "shadow": None, "problem": None}
    assert caplog.messages == [f"turns are understood by version {first} from now on, by head until now"]
    assert watched.swaps("swapped") == 1
    watched.registry.rollback("shop")
    await watched.watch.look()
    await watched.watch.look()
    assert watched.opened == [first, "embedded"]


async def test_a_version_that_cannot_be_loaded_leaves_the_old_one_and_is_tried_once(tmp_path: Path, caplog) -> None:
    def broken(version: str) -> Opened:
        tried.append(version)
        if version == bad:
            raise ModelDamaged("weights.onnx has another SHA-256")
        return opened(version)

    tried: list[str] = []
    watched = Watched(tmp_path, broken)
    bad, good = save(watched.registry), save(watched.registry)
    watched.registry.use("shop", bad)
    for _ in range(5):
        await watched.watch.look()
    assert tried == [bad]
    assert watched.live.version == HEAD
    problem = f"version {bad} cannot be used: weights.onnx has another SHA-256"
    assert watched.watch.report() == {"version": HEAD, "shadow": None, "problem": problem}
    assert caplog.messages == [f"{problem}; head stays in force"]
    assert watched.swaps("failed") == 1
    watched.registry.use("shop", good)
    await watched.watch.look()
    assert watched.watch.report() == {"version": good, "shadow": None, "problem": None}


async def test_a_damaged_choice_leaves_the_version_in_force(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    version = save(watched.registry)
    (watched.registry.folder("shop") / "current.json").write_text("{")
    for _ in range(3):
        await watched.watch.look()
    assert watched.watch.problem is not None
    assert "current.json" in watched.watch.problem
    assert watched.swaps("failed") == 1
    (watched.registry.folder("shop") / "current.json").unlink()
    watched.registry.use("shop", version)
    await watched.watch.look()
    assert watched.watch.report() == {"version": version, "shadow": None, "problem": None}


async def test_a_candidate_chosen_before_the_start_or_later_runs_in_the_shadow(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    version = save(watched.registry)
    watched.registry.shadow("shop", version)
    await watched.watch.look()
    assert watched.shadow.version == version
    assert watched.live.version == HEAD
    watched.registry.use("shop", version)
    await watched.watch.look()
    assert watched.shadow.version is None
    assert watched.live.version == version
    assert watched.opened == [version, version]


async def test_a_candidate_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    def broken(version: str) -> Opened:
        raise ModelError("it knows other intents")

    watched = Watched(tmp_path, broken)
    version = save(watched.registry)
    watched.registry.shadow("shop", version)
    await watched.watch.look()
    assert watched.watch.problem == f"version {version} cannot be used: it knows other intents"
    assert watched.shadow.version is None
    watched.registry.shadow("shop", None)
    await watched.watch.look()
    assert watched.watch.problem is None


def test_the_watch_looks_as_often_as_it_is_told_and_ends_when_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        watched = Watched(tmp_path)
        version = save(watched.registry)
        looks: list[float] = []
        look = watched.watch.look

        async def counted() -> None:
            looks.append(asyncio.get_running_loop().time())
            await look()

        watched.watch.look = counted  # type: ignore[method-assign]
        task = asyncio.create_task(watched.watch.run())
        await asyncio.sleep(5)
        assert watched.live.version == HEAD
        watched.registry.use("shop", version)
        await until(lambda: watched.live.version == version, 0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gaps = [after - before for before, after in pairwise(looks)]
        assert min(gaps) >= 2.0

    run_virtual(main())


async def test_a_disk_that_fails_is_reported_and_looked_at_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    version = save(watched.registry)
    watched.watch._clock = RealClock()
    watched.watch._every_s = 0.01
    fails = 3
    state = watched.registry.state

    def failing(name: str):
        nonlocal fails
        if fails:
            fails -= 1
            raise OSError("the disk is gone")
        return state(name)

    watched.registry.use("shop", version)
    watched.registry.state = failing  # type: ignore[method-assign]
    task = asyncio.create_task(watched.watch.run())
    await until(lambda: watched.live.version == version, 0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert watched.swaps("failed") == 1
