import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from agent.clock import RealClock
from agent.records import spill as spill_module
from agent.records.contracts import ActionRecord, CallFinished, CallOpened, CallRecord, Records, TurnRecord
from agent.records.database import Call, create_engine
from agent.records.queries import load_call
from agent.records.writer import SqlRecords

COMPLETED = CallFinished("completed", "goodbye", 4200.0, {"marks": 3})


def opened(call_id: str = "call-1") -> CallOpened:
    note = {"note": "mail jane@example.com"}
    return CallOpened(call_id, "twilio", "CA1", "shop", "+12125550123", "+12125550199", note, {"vad": "v6"})


def turn(number: int, text: str, speaker: str = "caller", **more: Any) -> TurnRecord:
    return TurnRecord(number, speaker, text, number * 1000.0, number * 1000.0 + 800, **more)


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder}/records.db"


@asynccontextmanager
async def running(folder: Path, **more: Any) -> AsyncIterator[SqlRecords]:
    async with SqlRecords.open(url_of(folder), folder / "recordings", RealClock(), **more) as records:
        yield records


def load(path: str) -> Any:
    return json.loads(Path(path).read_text())


def size(path: str) -> int:
    return Path(path).stat().st_size


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the writer has no event to wait for
            await asyncio.sleep(0.01)


async def execute(folder: Path, statement: str) -> None:
    engine = create_engine(url_of(folder))
    async with engine.begin() as connection:
        await connection.execute(sa.text(statement))
    await engine.dispose()


async def test_a_whole_call_is_kept_and_redacted(tmp_path: Path) -> None:
    async with running(tmp_path) as records:
        contract: Records = records
        call: CallRecord = await contract.open_call(opened())
        assert call.recording is not None
        call.recording.caller(np.full(800, 500, dtype=np.int16), 0)
        call.recording.agent(np.full(800, 700, dtype=np.int16), 100)
        call.event("state", 0.0, {"state": "LISTENING"})
        call.event("dtmf", 10.0, {"digit": "4"})
        call.turn(turn(0, "Hello, how can I help?", "agent", must_hear=True))
        call.turn(turn(1, "my card is 4111 1111 1111 1111", slots={"email": "jane@example.com", "order": "54321"}))
        call.action(ActionRecord(1, "order_status", {"order": "54321"}, True, {"phone": "+12125550123"}, "key-1"))
        call.turn(turn(0, "Hello, how can I help?", "agent", must_hear=True, heard="Hello, how"))
        left = await call.finish(COMPLETED)
        loaded = await load_call(records.database, "call-1")
    assert loaded["call"]["outcome"] == "completed"
    assert loaded["call"]["counters"] == {"marks": 3}
    assert loaded["call"]["parameters"] == {"note": "mail [email]"}
    assert [(row["speaker"], row["text"], row["heard"]) for row in loaded["turns"]] == [
        ("agent", "Hello, how can I help?", "Hello, how"),
        ("caller", "my card is [card]", None),
    ]
    assert loaded["turns"][1]["slots"] == {"email": "[email]", "order": "54321"}
    assert loaded["actions"][0]["result"] == {"phone": "[phone]"}
    assert [event["data"] for event in loaded["events"]] == [{"state": "LISTENING"}, {"digit": "[key]"}]
    assert left == {
        "recording": f"{tmp_path}/recordings/call-1.wav",
        "transcript": f"{tmp_path}/recordings/call-1.json",
    }
    document = load(left["transcript"])
    assert document["call"]["caller"] == "[phone]"
    assert document["call"]["recording"] == left["recording"]
    assert document["turns"][0]["heard"] == "Hello, how"
    assert document["events"] == {"dtmf": 1, "state": 1}
    assert "4111" not in json.dumps(document)
    assert size(left["recording"]) == 44 + 4 * 1600


async def test_flush_means_committed_and_calls_share_commits(tmp_path: Path) -> None:
    async with running(tmp_path, record_audio=False) as records:
        calls = [await records.open_call(opened(f"call-{number}")) for number in range(20)]
        for call in calls:
            call.turn(turn(0, "hello"))
            call.event("state", 0.0)
        await calls[0].flush()
        assert len((await load_call(records.database, "call-0"))["turns"]) == 1
        await asyncio.gather(*(call.flush() for call in calls))
        assert records.counters["commits"] <= 3


async def test_rows_are_committed_without_a_flush(tmp_path: Path) -> None:
    async with running(tmp_path, record_audio=False) as records:
        call = await records.open_call(opened())
        call.turn(turn(0, "hello"))
        await until(lambda: records.counters["commits"])
        assert (await load_call(records.database, "call-1"))["turns"][0]["text"] == "hello"


async def test_full_queue_drops_the_oldest_events_only(tmp_path: Path) -> None:
    async with SqlRecords.open(url_of(tmp_path), tmp_path, RealClock(), record_audio=False) as records:
        records.queue = 10
        call = await records.open_call(opened())
        for number in range(30):
            call.event("state", float(number))
            call.turn(turn(number, "hello"))
        assert (await call.finish(COMPLETED)).keys() == {"transcript"}
        loaded = await load_call(records.database, "call-1")
        assert len(loaded["turns"]) == 30
        assert len(loaded["events"]) < 30
        assert loaded["call"]["counters"]["dropped_events"] == 30 - len(loaded["events"])
        assert records.counters["dropped_events"] == 30 - len(loaded["events"])


async def test_database_that_fails_spills_and_catches_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path, record_audio=False) as records:
        call = await records.open_call(opened())
        call.turn(turn(0, "first"))
        await call.flush()
        await execute(tmp_path, "alter table turns rename to gone")
        call.turn(turn(0, "second"))
        call.turn(turn(1, "third"))
        await call.flush()
        assert records.counters["spilled_rows"] == 2
        assert call.spill.path.exists()
        assert "call-1" in caplog.text
        left = await call.finish(COMPLETED)
        assert [row["text"] for row in load(left["transcript"])["turns"]] == ["second", "third"]
        await execute(tmp_path, "alter table gone rename to turns")
        await until(lambda: not call.spill.path.exists())
        loaded = await load_call(records.database, "call-1")
    assert [row["text"] for row in loaded["turns"]] == ["second", "third"]
    assert loaded["call"]["outcome"] == "completed"


async def test_one_bad_row_does_not_hold_up_other_calls(tmp_path: Path) -> None:
    async with running(tmp_path, record_audio=False) as records:
        good, bad = await records.open_call(opened("good")), await records.open_call(opened("bad"))
        await asyncio.gather(good.flush(), bad.flush())
        bad.turn(turn(0, None))  # type: ignore[arg-type]
        good.turn(turn(0, "hello"))
        await asyncio.gather(good.flush(), bad.flush())
        assert len((await load_call(records.database, "good"))["turns"]) == 1
        assert bad.spill.path.exists()
        assert not good.spill.path.exists()


async def test_rows_wait_in_memory_when_the_disk_fails_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path, record_audio=False) as records:
        call = await records.open_call(opened())
        await call.flush()
        await execute(tmp_path, "alter table turns rename to gone")

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(spill_module.Spill, "append", full)
            call.turn(turn(0, "hello"))
            await until(lambda: records.counters["failed_commits"])
            await execute(tmp_path, "alter table gone rename to turns")
            await call.flush()
        assert [row["text"] for row in (await load_call(records.database, "call-1"))["turns"]] == ["hello"]


async def test_folder_that_cannot_be_written_costs_recording_and_transcript_only(tmp_path: Path) -> None:
    async with running(tmp_path) as records:
        records.folder = tmp_path / "missing"
        call = await records.open_call(opened())
        assert call.recording is None
        assert await call.finish(COMPLETED) == {}
        assert (await load_call(records.database, "call-1"))["call"]["outcome"] == "completed"
    assert records.counters["failed_recordings"] == 1
    assert records.counters["failed_transcripts"] == 1


async def test_finish_survives_its_caller_and_answers_twice(tmp_path: Path) -> None:
    async with running(tmp_path) as records:
        call = await records.open_call(opened())
        task = asyncio.create_task(call.finish(COMPLETED))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        left = await call.finish(CallFinished("failed", "again", 0.0))
        assert set(left) == {"recording", "transcript"}
        assert (await load_call(records.database, "call-1"))["call"]["outcome"] == "completed"


async def test_nothing_is_left_behind_by_many_calls(tmp_path: Path) -> None:
    async with running(tmp_path) as records:
        for batch in range(4):
            calls = [await records.open_call(opened(f"call-{batch}-{number}")) for number in range(10)]
            await asyncio.gather(*(call.finish(COMPLETED) for call in calls))
        assert not records._calls
        assert [task.get_name() for task in asyncio.all_tasks() if "records" in task.get_name()] == ["records-writer"]
    assert sorted(path.suffix for path in (tmp_path / "recordings").iterdir()) == [".json"] * 40 + [".wav"] * 40


async def test_leaving_finishes_open_calls(tmp_path: Path) -> None:
    async with running(tmp_path) as records:
        await records.open_call(opened())
    async with running(tmp_path) as records:
        row = (await load_call(records.database, "call-1"))["call"]
    assert (row["outcome"], row["reason"]) == ("failed", "server_stopped")


@pytest.mark.parametrize("call_id", ["", "../x", "a/b", "x" * 65, ".hidden"])
async def test_call_ids_that_are_no_names_are_refused(tmp_path: Path, call_id: str) -> None:
    async with running(tmp_path) as records:
        with pytest.raises(ValueError, match="no plain name"):
            await records.open_call(opened(call_id))


async def test_texts_no_database_takes_are_made_harmless(tmp_path: Path) -> None:
    async with running(tmp_path, record_audio=False) as records:
        call = await records.open_call(opened())
        call.turn(turn(0, "nul \x00 lone \ud800", intent="x" * 500))
        left = await call.finish(COMPLETED)
        loaded = await load_call(records.database, "call-1")
    assert loaded["turns"][0]["text"] == "nul \ufffd lone ?"
    assert loaded["turns"][0]["intent"] == "x" * 128
    assert load(left["transcript"])["turns"]


CRASH = """
import asyncio, os, sys, numpy
from pathlib import Path
import sqlalchemy
from agent.clock import RealClock
from agent.records.contracts import CallOpened, TurnRecord
from agent.records.writer import SqlRecords

async def main(folder):
    async with SqlRecords.open(f"sqlite:///{folder}/records.db", Path(folder) / "recordings", RealClock()) as records:
        call = await records.open_call(CallOpened("call-1", "twilio", "CA1", "shop"))
        for second in range(40):
            call.recording.caller(numpy.full(8000, 100, dtype=numpy.int16), second * 1000.0)
        call.turn(TurnRecord(0, "agent", "hello", 0.0, 900.0))
        await call.flush()
        async with records.database.engine.begin() as connection:
            await connection.execute(sqlalchemy.text("alter table turns rename to gone"))
        call.turn(TurnRecord(1, "caller", "spilled", 1000.0, 1900.0))
        await call.flush()
        await asyncio.sleep(1.6)  # a recording is written once a second
        async with records.database.engine.begin() as connection:
            await connection.execute(sqlalchemy.text("alter table gone rename to turns"))
        os._exit(9)

asyncio.run(main(sys.argv[1]))
"""


async def test_next_start_finishes_what_a_crash_left_open(tmp_path: Path) -> None:
    crashed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", CRASH, str(tmp_path)], timeout=60)
    assert crashed.returncode == 9
    async with running(tmp_path) as records:
        loaded = await load_call(records.database, "call-1")
    assert (loaded["call"]["outcome"], loaded["call"]["reason"]) == ("failed", "aborted")
    assert loaded["call"]["duration_ms"] == 1900.0
    assert [row["text"] for row in loaded["turns"]] == ["hello", "spilled"]
    assert load(loaded["call"]["transcript"])["turns"][1]["text"] == "spilled"
    assert size(loaded["call"]["recording"]) > 8000
    assert not list((tmp_path / "recordings").glob("*.spill.jsonl"))
    assert not list((tmp_path / "recordings").glob(".run-*"))


async def test_calls_of_a_living_run_are_left_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        await (await first.open_call(opened())).flush()
        async with running(tmp_path) as second:
            assert (await load_call(second.database, "call-1"))["call"]["finished_at"] is None


async def test_calls_of_unknown_runs_are_given_up_after_hours(tmp_path: Path) -> None:
    async with running(tmp_path) as records:
        now = RealClock().wall()
        for call_id, hours in (("old", 7), ("new", 5)):
            row = {"id": call_id, "owner": "elsewhere", "gateway": "plain", "gateway_call_id": "g", "domain": "shop"}
            row |= {"parameters": {}, "models": {}, "opened_at": now - timedelta(hours=hours)}  # type: ignore[dict-item]
            async with records.database.engine.begin() as connection:
                await connection.execute(sa.insert(Call), [row])
    async with running(tmp_path) as records:
        assert (await load_call(records.database, "old"))["call"]["reason"] == "aborted"
        assert (await load_call(records.database, "new"))["call"]["reason"] is None


def test_spill_file_is_bounded_by_leaving_events_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill_module, "SPILL_BYTES", 200)
    spill = spill_module.Spill(tmp_path, "call-1", "owner")
    left_out = spill.append([("event", {"n": number}) for number in range(100)] + [("turn", {"n": 100})])
    entries = spill.read()
    assert left_out > 50
    assert len(entries) == 101 - left_out
    assert entries[-1] == ("turn", {"n": 100})
    assert spill.path.stat().st_size == spill.size <= 230
    with spill.path.open("ab") as file:
        file.write(b'["turn", {"n"')
    assert spill.read() == entries
