import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.cli.records import app
from agent.clock import RealClock
from agent.handoff.contracts import HandoffRequest
from agent.handoff.queue import Desk
from agent.records.audit import AuditTrail
from agent.records.contracts import ActionRecord, CallFinished, CallOpened, TurnRecord
from agent.records.exporting import Exporter
from agent.records.queries import CallNotFound, list_calls, load_call, turns_after
from agent.records.writer import SqlRecords


class SteppingClock(RealClock):
    """Each look at the wall clock is a minute after the last."""

    minutes = 0

    def wall(self) -> datetime:
        self.minutes += 1
        return datetime.fromisoformat("2031-05-01T12:00:00+00:00") + timedelta(minutes=self.minutes)


async def make_call(records: SqlRecords, call_id: str) -> None:
    call = await records.open_call(CallOpened(call_id, "twilio", "CA1", "shop", "+12125550123"))
    assert call.recording is not None
    call.recording.caller(np.full(800, 500, dtype=np.int16), 0)
    call.event("state", 0.0, {"state": "LISTENING"})
    call.turn(TurnRecord(0, "agent", "Hello, how can I help?", 0, 900, heard="Hello, how"))
    call.turn(
        TurnRecord(1, "caller", "cancel 54321, I am jane@example.com", 950, 1900, intent="cancel_order", confidence=0.9)
    )
    call.turn(TurnRecord(1, "agent", "Done.", 2500, 2900, heard="Done.", latency={"total": 512.0}))
    call.action(ActionRecord(1, "cancel_order", {"order": "54321"}, True, {"status": "cancelled"}, "k"))
    desk = Desk(records.database, None, None, records.clock)
    request = HandoffRequest(f"h-{call_id}", call_id, "twilio", "CA1", "asked", "asked", caller="+12125550123")
    await desk.request(request)
    await call.finish(CallFinished("completed", "goodbye", 3000.0))


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[SqlRecords]:
    url = f"sqlite:///{tmp_path}/records.db"
    async with SqlRecords.open(url, tmp_path / "recordings", SteppingClock()) as records:
        for call_id in ("call-1", "call-2", "call-3"):
            await make_call(records, call_id)
        yield records


async def test_pages_of_calls_newest_first(records: SqlRecords) -> None:
    calls = await list_calls(records.database, limit=2)
    assert [call["id"] for call in calls] == ["call-3", "call-2"]
    rest = await list_calls(records.database, before=datetime.fromisoformat(calls[-1]["opened_at"]))
    assert [call["id"] for call in rest] == ["call-1"]


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_limits(records: SqlRecords, limit: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        await list_calls(records.database, limit=limit)


async def test_load_call(records: SqlRecords) -> None:
    loaded = await load_call(records.database, "call-2")
    json.dumps(loaded)
    assert [(turn["number"], turn["speaker"]) for turn in loaded["turns"]] == [
        (0, "agent"),
        (1, "caller"),
        (1, "agent"),
    ]
    assert loaded["handoffs"][0]["state"] == "callback"
    assert loaded["actions"][0]["result"] == {"status": "cancelled"}
    with pytest.raises(CallNotFound, match="'nope'"):
        await load_call(records.database, "nope")


async def test_turns_after(records: SqlRecords) -> None:
    assert [turn["text"] for turn in await turns_after(records.database, "call-1", 0)] == [
        "cancel 54321, I am [email]",
        "Done.",
    ]
    assert await turns_after(records.database, "call-1", 1) == []


async def test_export(records: SqlRecords, tmp_path: Path) -> None:
    def exporter(folder: Path) -> Exporter:
        trail = AuditTrail(records.database, records.clock)
        return Exporter(records.database, folder, records.clock, trail, only_here=True)

    written = await exporter(records.folder).export_call("call-1", tmp_path / "out", "jane")
    assert written == {"json": f"{tmp_path}/out/call-1/call.json", "recording": f"{tmp_path}/out/call-1/call.wav"}
    document = await asyncio.to_thread(lambda: json.loads(Path(written["json"]).read_text()))
    assert document["call"]["caller"] == document["handoffs"][0]["caller"] == "[phone]"
    assert document["events"] == [{"sequence": 1, "kind": "state", "at_ms": 0.0, "data": {"state": "LISTENING"}}]
    moved = await exporter(tmp_path / "empty").export_call("call-1", tmp_path / "out2", "jane")
    assert set(moved) == {"json"}


async def command(*arguments: str) -> Any:
    return await asyncio.to_thread(CliRunner(env={"COLUMNS": "200"}).invoke, app, list(arguments))


async def test_command_line(records: SqlRecords, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records.db"
    listed = await command("list", "--database", url)
    assert listed.exit_code == 0
    assert listed.output.index("call-3") < listed.output.index("call-1")
    shown = await command("show", "call-1", "--database", url)
    for text in (
        "cancel_order 0.90",
        "I am [email]",
        "512 ms",
        "Hello, how (meant: Hello, how can I help?)",
        "-> callback",
    ):
        assert text in shown.output
    assert json.loads((await command("show", "call-1", "--json", "--database", url)).output)["call"]["id"] == "call-1"
    exported = await command("export", "call-1", "--database", url, "--to", str(tmp_path / "out"))
    assert exported.output.split() == [f"{tmp_path}/out/call-1/call.json", f"{tmp_path}/out/call-1/call.wav"]


async def test_command_line_errors(records: SqlRecords, tmp_path: Path) -> None:
    missing = await command("list", "--database", f"sqlite:///{tmp_path}/missing.db")
    assert missing.exit_code == 1
    assert "there is no database at" in missing.output
    unknown = await command("show", "nope", "--database", f"sqlite:///{tmp_path}/records.db")
    assert unknown.exit_code == 1
    assert "there is no call 'nope'" in unknown.output
