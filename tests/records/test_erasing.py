"""Export and erasing of a caller, retention by class, and their command line."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
import typer
from typer.testing import CliRunner

from agent.cli import privacy
from agent.clock import RealClock
from agent.handoff.contracts import HandoffRequest
from agent.handoff.queue import Desk
from agent.learning.labels import TurnLabel, save_labels
from agent.records import database as tables
from agent.records.audit import AuditTrail, caller_mark
from agent.records.contracts import ActionRecord, CallFinished, CallOpened, TurnRecord
from agent.records.erasing import LEDGER, Eraser, copies_of
from agent.records.exporting import Exporter
from agent.records.keeping import SqlKeeper
from agent.records.queries import CallNotFound, load_call
from agent.records.related import forms_of, number_of
from agent.records.retention import EVERY_S, Retention, RetentionJob, RetentionRules
from agent.records.writer import SqlRecords
from audio.wav import read_wav

JOE, ANN = "+12065550142", "+12065550143"
SECRET = "the marmalade is missing"
NOON = datetime(2031, 5, 1, 12, tzinfo=UTC)


class WallClock(RealClock):
    def __init__(self) -> None:
        self.now = NOON

    def wall(self) -> datetime:
        return self.now


async def make_call(records: SqlRecords, call_id: str, caller: str, domain: str = "shop", ends: bool = True) -> None:
    call = await records.open_call(CallOpened(call_id, "plain", f"g-{call_id}", domain, caller, "+12125550100"))
    assert call.recording is not None
    call.recording.caller(np.full(16_000, 500, dtype=np.int16), 0)
    call.recording.agent(np.full(16_000, 500, dtype=np.int16), 0)
    call.event("key", 1800.0)
    private = [{"from_ms": 500, "to_ms": 1000, "kind": "card"}]
    text = f"{SECRET}, card 4111 1111 1111 1111"
    call.turn(TurnRecord(1, "caller", text, 0, 1500, intent="complaint", reasons={"private": private}))
    call.turn(TurnRecord(1, "agent", "I see.", 1600, 2000, heard="I see."))
    call.action(ActionRecord(1, "look_up", {"what": SECRET}, True, {"found": SECRET}, "k"))
    await call.flush()
    desk = Desk(records.database, None, None, records.clock)
    await desk.request(
        HandoffRequest(f"h-{call_id}", call_id, "plain", "g", "asked", "asked", caller=caller, summary=SECRET)
    )
    await save_labels(records.database, [TurnLabel(call_id, 1, "shop", SECRET, "complaint", NOON)])
    if ends:
        await call.finish(CallFinished("completed", "goodbye", 2000.0))


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
async def records(tmp_path: Path, clock: WallClock) -> AsyncIterator[SqlRecords]:
    async with SqlRecords.open(f"sqlite:///{tmp_path}/records.db", tmp_path / "recordings", clock) as records:
        for call_id, caller in (("joe-1", JOE), ("ann-1", ANN), ("joe-2", "12065550142")):
            await make_call(records, call_id, caller)
        await SqlKeeper(records.database, clock).keep("shop", JOE, f'{{"words": "{SECRET}"}}')
        yield records


@pytest.fixture
def trail(records: SqlRecords, clock: WallClock) -> AuditTrail:
    return AuditTrail(records.database, clock)


@pytest.fixture
def eraser(records: SqlRecords, clock: WallClock, trail: AuditTrail) -> Eraser:
    return Eraser(records.database, records.folder, clock, trail)


async def counts(records: SqlRecords) -> dict[str, int]:
    found: dict[str, int] = {}
    async with records.database.engine.connect() as connection:
        for name in ("calls", "turns", "events", "actions", "handoffs", "handoff_steps", "labels", "open_dialogues"):
            found[name] = (await connection.execute(sa.text(f"select count(*) from {name}"))).scalar_one()
    return found


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def silent(path: Path) -> list[tuple[float, float]]:
    """Stretches of silence on both channels, in ms."""
    quiet = ~read_wav(path).samples.any(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(int)))
    return [(start / 8.0, stop / 8.0) for start, stop in edges.reshape(-1, 2).tolist()]


@pytest.mark.parametrize("written", [JOE, "12065550142", "0012065550142", " +1 (206) 555-0142 ", "tel:+12065550142"])
def test_a_number_is_known_however_it_is_written(written: str) -> None:
    assert {JOE, "12065550142"} <= set(forms_of(written))
    assert number_of(written) == JOE


def test_other_callers_are_taken_as_they_are() -> None:
    assert forms_of("sip:joe@example.com") == ["sip:joe@example.com"]
    assert number_of("anonymous") == "anonymous"
    with pytest.raises(ValueError, match="no caller given"):
        forms_of(" ")


async def test_erasing_a_caller_leaves_nothing_of_them_and_all_of_others(
    records: SqlRecords, eraser: Eraser, trail: AuditTrail, tmp_path: Path
) -> None:
    before = await counts(records)
    ann = await load_call(records.database, "ann-1")
    dry = await eraser.erase_caller(JOE, "jane", dry_run=True)
    assert await counts(records) == before
    assert await trail.count() == 0
    erased = await eraser.erase_caller(JOE, "jane")
    assert (dry.calls, dry.rows, dry.files) == (erased.calls, erased.rows, erased.files)
    assert erased.calls == ("joe-1", "joe-2")
    assert erased.open == erased.remarks == ()
    assert erased.rows == {
        "calls": 2, "turns": 4, "events": 2, "actions": 2, "labels": 2, "handoffs": 2,
        "handoff_steps": 2 * before["handoff_steps"] // 3, "open_dialogues": 1,
    }  # fmt: skip
    assert {Path(path).name for path in erased.files} == {"joe-1.wav", "joe-1.json", "joe-2.wav", "joe-2.json"}
    assert files(records.folder) == {"ann-1.wav", "ann-1.json", LEDGER}
    assert await load_call(records.database, "ann-1") == ann
    entries = await trail.entries()
    assert [entry.what for entry in entries] == ["erased", "erasing_begun"]
    assert {entry.about for entry in entries} == {caller_mark(JOE)}
    assert await trail.verify() is None
    assert (await eraser.erase_caller(JOE, "jane")).calls == ()


async def test_erased_words_are_not_in_the_database_file(records: SqlRecords, eraser: Eraser, tmp_path: Path) -> None:
    def found() -> int:
        return sum(path.read_bytes().count(SECRET.encode()) for path in tmp_path.glob("records.db*"))

    assert await asyncio.to_thread(found)
    for caller in (JOE, ANN):
        await eraser.erase_caller(caller, "jane")
    assert await asyncio.to_thread(found) == 0


async def test_calls_under_way_are_left_alone_and_told(records: SqlRecords, eraser: Eraser) -> None:
    await make_call(records, "joe-3", JOE, ends=False)
    erased = await eraser.erase_caller(JOE, "jane")
    assert (erased.calls, erased.open) == (("joe-1", "joe-2"), ("joe-3",))
    assert (await load_call(records.database, "joe-3"))["handoffs"][0]["summary"] == SECRET


async def test_a_restored_backup_is_erased_again(
    records: SqlRecords, eraser: Eraser, trail: AuditTrail, tmp_path: Path
) -> None:
    copy = await asyncio.to_thread((records.folder / "joe-1.wav").read_bytes)
    assert await eraser.erase_again("jane") == await eraser.erase_again("jane")
    await eraser.erase_caller(JOE, "jane")
    await make_call(records, "joe-2", JOE)  # as if the database came back
    await asyncio.to_thread((records.folder / "joe-1.wav").write_bytes, copy)
    dry = await eraser.erase_again("jane", dry_run=True)
    assert set(dry.calls) == {"joe-1", "joe-2"}
    again = await eraser.erase_again("jane")
    assert again.calls == ("joe-2", "joe-1")
    assert again.rows["calls"] == 1
    assert files(records.folder) == {"ann-1.wav", "ann-1.json", LEDGER}
    await asyncio.to_thread((records.folder / LEDGER).write_text, "not json\n")
    with pytest.raises(ValueError, match=r"erasures\.jsonl:1 cannot be read"):
        await eraser.erase_again("jane")


async def test_copies_elsewhere_are_named_and_not_touched(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    (backups / "export" / "joe-1").mkdir(parents=True)
    for name in ("export/joe-1/call.json", "joe-1.wav", "ann-1.wav", "nightly.db", "notes.txt"):
        (backups / name).write_text("x")
    old = backups / "old.tar.gz"
    old.write_text("x")
    os.utime(old, (NOON.timestamp() - 9e8, NOON.timestamp() - 9e8))
    since = datetime(2020, 1, 1, tzinfo=UTC)
    found = copies_of([backups, tmp_path / "gone"], ["joe-1"], since)
    assert sorted((Path(copy.path).name, copy.why) for copy in found) == [
        ("call.json", "is named after an erased call"),
        ("gone", "is no folder that can be looked into; look for copies there yourself"),
        ("joe-1.wav", "is named after an erased call"),
        ("nightly.db", "may be a backup made since their first call"),
    ]
    assert len(list(backups.rglob("*"))) == 8


async def test_tables_of_other_parts_are_erased_and_exported_too(
    records: SqlRecords, eraser: Eraser, trail: AuditTrail, clock: WallClock, tmp_path: Path
) -> None:
    async with records.database.engine.begin() as connection:
        await connection.execute(sa.text("create table remarks (id integer primary key, call_id text, words text)"))
        await connection.execute(sa.text("create table rings (handoff_id text, who text)"))
        await connection.execute(sa.text("create table waiting (caller text, words text)"))
        await connection.execute(
            sa.text("insert into remarks values (1, 'joe-1', 'mail a@example.com'), (2, 'ann-1', 'b')")
        )
        await connection.execute(sa.text("insert into rings values ('h-joe-1', 'bo'), ('h-ann-1', 'bo')"))
        await connection.execute(sa.text(f"insert into waiting values ('{JOE}', 'a'), ('{ANN}', 'b')"))
    exporter = Exporter(records.database, records.folder, clock, trail)
    await exporter.export_caller(JOE, tmp_path / "out", "jane")
    document = await asyncio.to_thread(lambda: json.loads((tmp_path / "out/joe-1/call.json").read_text()))
    assert document["other"] == {"remarks": [{"id": 1, "words": "mail [email]"}]}
    erased = await eraser.erase_caller(JOE, "jane")
    assert {name: erased.rows[name] for name in ("remarks", "rings", "waiting")} == dict.fromkeys(
        ("remarks", "rings", "waiting"), 1
    )


async def test_export_of_a_caller_has_all_their_calls_with_private_words_silent(
    records: SqlRecords, trail: AuditTrail, clock: WallClock, tmp_path: Path
) -> None:
    exporter = Exporter(records.database, records.folder, clock, trail)
    await asyncio.to_thread((records.folder / "joe-2.wav").unlink)
    done = await exporter.export_caller(JOE, tmp_path / "out", "jane")
    assert (done.calls, done.missing) == (("joe-1", "joe-2"), ("joe-2",))
    index = json.loads(await asyncio.to_thread((tmp_path / "out/index.json").read_text))
    assert index["caller"] == JOE
    assert index["left_open_in"] == ["shop"]
    assert [len(call["files"]) for call in index["calls"]] == [2, 1]
    assert len(index["calls"][0]["files"][0]["sha256"]) == 64
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    samples = read_wav(tmp_path / "out/joe-1/call.wav").samples
    assert not samples[4000:8000].any()
    assert not samples[11_200:].any()  # the key at 1.8 s
    assert samples[:4000].all()
    assert samples[8000:11_200].all()
    text = await asyncio.to_thread((tmp_path / "out/joe-1/call.json").read_text)
    assert "card [card]" in text
    with pytest.raises(ValueError, match="not empty"):
        await exporter.export_caller(JOE, tmp_path / "out", "jane")
    with pytest.raises(CallNotFound):
        await exporter.export_call("nope", tmp_path / "out", "jane")
    raw = Exporter(records.database, records.folder, clock, trail, unmuted=True)
    written = await raw.export_call("joe-1", tmp_path / "raw", "jane")
    assert silent(Path(written["recording"])) == [(500, 1000)]  # the card number is not in the file at all
    assert [entry.data for entry in await trail.entries()] == [{"muted": False}, {"calls": 2, "muted": True}]
    moved = Exporter(records.database, tmp_path / "empty", clock, trail, only_here=True)
    assert set(await moved.export_call("joe-1", tmp_path / "moved", "jane")) == {"json"}


async def test_each_class_is_kept_as_long_as_its_rule_says(
    records: SqlRecords, clock: WallClock, trail: AuditTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.records.retention.REST_S", 0.0)
    await make_call(records, "bank-1", ANN, "bank")
    await make_call(records, "open-1", ANN, ends=False)
    rules = RetentionRules(Retention(10, 20, 30, 40, 50), {"bank": Retention(calls=15)})
    job = RetentionJob(records.database, records.folder, rules, clock, trail)
    clock.now = NOON + timedelta(days=9)
    assert await job.once() == {}
    assert await trail.count() == 0

    clock.now = NOON + timedelta(days=11)
    assert await job.once() == {"audio": 3}
    assert files(records.folder) == {
        "ann-1.json", "joe-1.json", "joe-2.json", "bank-1.json", "bank-1.wav", "open-1.wav",
    }  # fmt: skip
    assert await job.once() == {}

    clock.now = NOON + timedelta(days=21)
    assert await job.once() == {"words": 3, "calls": 1}
    joe = await load_call(records.database, "joe-1")
    assert SECRET not in json.dumps(joe)
    assert [turn["intent"] for turn in joe["turns"]] == ["complaint", None]
    assert joe["call"]["caller"] == JOE
    with pytest.raises(CallNotFound):
        await load_call(records.database, "bank-1")
    assert files(records.folder) == {"open-1.wav"}

    clock.now = NOON + timedelta(days=31)
    assert await job.once() == {"labels": 3}
    clock.now = NOON + timedelta(days=41)
    assert await job.once("jane") == {"numbers": 3}
    assert (await load_call(records.database, "joe-1"))["handoffs"][0]["caller"] is None
    clock.now = NOON + timedelta(days=51)
    assert await job.once() == {"calls": 3}
    assert (await load_call(records.database, "open-1"))["turns"][0]["text"].startswith(SECRET)
    assert [entry.what for entry in await trail.entries()] == ["retention"] * 5
    assert await trail.verify() is None


async def test_the_job_looks_again_and_outlives_failures(
    records: SqlRecords, clock: WallClock, trail: AuditTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = RetentionJob(records.database, records.folder, RetentionRules(Retention(audio=1)), clock, trail)
    looked, slept = list[int](), list[float]()

    async def once(who: str = "") -> dict[str, int]:
        looked.append(1)
        if len(looked) == 1:
            raise OSError("disk gone")
        return {}

    async def sleep_until(at_ms: float) -> None:
        slept.append(at_ms - clock.now_ms())
        if len(slept) == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(job, "once", once)
    monkeypatch.setattr(clock, "sleep_until", sleep_until)
    with pytest.raises(asyncio.CancelledError):
        await job.run()
    assert len(looked) == 2
    assert slept == [pytest.approx(EVERY_S * 1000, abs=1000)] * 2
    await RetentionJob(records.database, records.folder, RetentionRules(), clock, trail).run()  # keeps all: ends


@pytest.mark.parametrize("days", [-1, 40_000])
def test_bad_retention_is_refused(days: float) -> None:
    with pytest.raises(ValueError, match=r"retention\.words"):
        Retention(words=days)


async def command(*arguments: object, input: str | None = None) -> Any:
    app = typer.Typer()
    privacy.register(app)
    texts = [str(argument) for argument in arguments]
    return await asyncio.to_thread(CliRunner(env={"COLUMNS": "200"}).invoke, app, texts, input)


async def test_command_line(records: SqlRecords, tmp_path: Path) -> None:
    at = ("--database", f"sqlite:///{tmp_path}/records.db", "--recordings", records.folder, "--who", "jane")
    database = at[:2]
    whole = await command("audit", "verify", *database)
    assert whole.output.startswith("whole: 0 rows; end 0:000")
    exported = await command("export", "ann-1", "--to", tmp_path / "out", *at)
    assert exported.output.split() == [f"{tmp_path}/out/ann-1/call.json", f"{tmp_path}/out/ann-1/call.wav"]
    exported = await command("export", JOE, "--to", tmp_path / "out", *at)
    assert exported.output.splitlines()[0] == f"{tmp_path}/out/{caller_mark(JOE)}/index.json"
    assert len(exported.output.splitlines()) == 5
    unknown = await command("export", "nope", "--to", tmp_path / "out", *at)
    assert (unknown.exit_code, "there is no call 'nope'" in unknown.output) == (1, True)

    dry = await command("erase", JOE, "--dry-run", *at)
    assert "calls would be erased: 2" in dry.output
    assert (await command("erase", JOE, *at, input="n\n")).exit_code == 1
    assert (await counts(records))["calls"] == 3
    erased = await command("erase", JOE, "--backups", tmp_path / "out", *at, input="y\n")
    assert erased.exit_code == 0
    assert f"copy remains: {tmp_path}/out/{caller_mark(JOE)}/joe-1/call.json is named" in erased.output
    told = json.loads((await command("erase", ANN, "--yes", "--json", *at)).output)
    assert told["calls"] == ["ann-1"]
    assert "calls erased: 0" in (await command("erase", "--again", "--yes", *at)).output
    assert (await command("erase", "--yes", *at)).exit_code == 2
    await make_call(records, "joe-9", JOE, ends=False)
    left = await command("erase", JOE, "--yes", *at)
    assert (left.exit_code, "call joe-9 goes on" in left.output) == (1, True)
    assert (await command("prune", "--audio", "0", *at)).output == "nothing is too old\n"
    await make_call(records, "ann-2", ANN)
    async with records.database.engine.begin() as connection:
        await connection.execute(sa.text("update calls set finished_at = '2020-05-01' where id = 'ann-2'"))
    config = tmp_path / "settings.yaml"
    await asyncio.to_thread(config.write_text, f"privacy:\n  labels_days: 9\n  backups: [{tmp_path}/out]\n")
    assert (await command("prune", "--config", config, *at)).output == "labels: 1 calls\n"
    assert (await command("prune", "--words", "9", "--config", config, *at)).output == "words: 1 calls\n"
    listed = await command("erase", ANN, "--config", config, "--dry-run", *at)
    assert "calls would be erased: 1" in listed.output

    rows = json.loads((await command("audit", "list", "--json", "--about", JOE, *database)).output)
    assert [row["what"] for row in rows] == ["erased", "erasing_begun"] * 2 + ["exported"]
    assert "erasing_begun" in (await command("audit", "list", "--who", "jane", *database)).output
    whole = await command("audit", "verify", *database)
    end = whole.output.split()[-1]
    assert (await command("audit", "verify", "--expect", end, *database)).exit_code == 0
    assert (await command("audit", "verify", "--expect", "nonsense", *database)).exit_code == 1
    async with records.database.engine.begin() as connection:
        await connection.execute(sa.delete(tables.Base.metadata.tables["audit_trail"]).where(sa.text("sequence = 3")))
    broken = await command("audit", "verify", *database)
    assert (broken.exit_code, "broken at row 3: row 3 is missing" in broken.output) == (1, True)


async def test_secrets_are_not_in_the_file_of_a_finished_call(records: SqlRecords) -> None:
    assert silent(records.folder / "joe-1.wav") == [(500, 1000)]  # the key is silent only when it is played


async def test_secrets_are_not_in_the_file_of_a_call_whose_server_died(tmp_path: Path, clock: WallClock) -> None:
    url, folder = f"sqlite:///{tmp_path}/records.db", tmp_path / "recordings"
    async with tables.Database.open(url) as database:
        dead = await SqlRecords(database, folder, clock).__aenter__()
        call = await dead.open_call(CallOpened("joe-1", "plain", "g", "shop", JOE))
        assert call.recording is not None
        call.recording.caller(np.full(32_000, 500, dtype=np.int16), 0)
        call.turn(TurnRecord(1, "caller", "it is 4111 1111 1111 1111", 1000, 2000))
        await call.flush()
        await asyncio.to_thread(call.recording.close)  # type: ignore[attr-defined]
        assert dead._writer is not None
        dead._writer.cancel()
        await asyncio.gather(dead._writer, return_exceptions=True)
        assert dead._lock is not None
        dead._lock._file.close()  # as the system does when a process dies
        async with SqlRecords(database, folder, clock):
            pass
    assert silent(folder / "joe-1.wav") == [(500, 2200)]
