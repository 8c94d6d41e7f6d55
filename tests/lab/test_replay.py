"""Which calls a replay finds, with which settings it runs, and what answers in place of the outside."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from virtual_time import run_virtual

from agent.clock import LoopClock, RealClock
from agent.config import RecordSettings, Secrets, Settings
from agent.dialogue.loader import load_domain
from agent.handoff.contracts import HandoffRequest
from agent.lab.replay import changed_settings, harmless, pace_of
from agent.lab.replaying.source import ReplayError, Source, find_sources, read_caller
from agent.lab.replaying.stand_ins import NO_ANSWER_MS, HeldRecord, RecordedActions, RecordedDesk, ReplayClock
from agent.lab.virtual import run_in_virtual_time
from agent.records.contracts import CallFinished, CallOpened, TurnRecord
from agent.records.queries import load_call
from agent.records.writer import SqlRecords
from audio.wav import write_wav


@pytest.fixture
def settings(tmp_path):
    kept = RecordSettings(database_url=f"sqlite+aiosqlite:///{tmp_path / 'records.db'}", recordings=tmp_path / "kept")
    return Settings(records=kept)


def stereo(path, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.zeros((int(8000 * seconds), 2), dtype=np.int16)
    samples[:, 0] = 1000
    write_wav(path, samples, 8000)


def take(settings: Settings, call_id: str = "c-1", audio: bool = True, over: bool = True) -> None:
    """A call in the records, with a turn and a recording."""

    async def main() -> None:
        kept = settings.records
        async with SqlRecords.open(kept.database_url, kept.recordings, RealClock(), audio) as records:
            call = await records.open_call(CallOpened(call_id, "plain", "g-1", "shop"))
            if call.recording is not None:
                call.recording.caller(np.full(4000, 900, dtype=np.int16), 3.0)
            call.event("state", 3.0, {"phase": "listening"})
            call.turn(TurnRecord(1, "caller", "Where is my order?", 100.0, 400.0, intent="order_status"))
            if over:
                await call.finish(CallFinished("caller_left", "stop", 500.0))
            else:
                await call.flush()
                records._calls.clear()

    asyncio.run(main())


def find(what: object, settings: Settings) -> list[Source]:
    return asyncio.run(find_sources(str(what), settings))


def test_a_call_is_found_by_its_id_with_its_events(settings):
    take(settings)
    (source,) = find("c-1", settings)
    assert source.record is not None
    assert [event["kind"] for event in source.record["events"]] == ["state"]
    audio = read_caller(source)
    assert audio.samples[24:4024].tolist() == [900] * 4000
    assert not audio.agent


def test_a_recording_that_was_moved_is_found_in_the_configured_folder(settings, tmp_path):
    take(settings)
    (tmp_path / "kept").rename(tmp_path / "moved")
    with pytest.raises(ReplayError, match=r"records\.recordings"):
        find("c-1", settings)
    moved = settings.model_copy(
        update={"records": settings.records.model_copy(update={"recordings": tmp_path / "moved"})}
    )
    assert find("c-1", moved)[0].recording == tmp_path / "moved" / "c-1.wav"


def test_a_recording_brings_its_record_from_the_database_or_from_beside_it(settings, tmp_path):
    take(settings)
    recording = tmp_path / "kept" / "c-1.wav"
    (with_events,) = find(recording, settings)
    assert with_events.record is not None
    assert with_events.record["events"]
    (beside,) = find(recording, Settings(records=RecordSettings(database_url="sqlite+aiosqlite:///none.db")))
    assert beside.record is not None
    assert beside.record["events"] is None
    assert beside.record["turns"][0]["text"] == "Where is my order?"
    recording.with_suffix(".json").unlink()
    (alone,) = find(recording, Settings(records=RecordSettings(database_url="sqlite+aiosqlite:///none.db")))
    assert alone.record is None


def test_a_folder_gives_its_recordings_and_exported_calls(settings, tmp_path):
    stereo(tmp_path / "b.wav")
    stereo(tmp_path / "a.wav")
    stereo(tmp_path / "c-9" / "call.wav")
    assert [source.call_id for source in find(tmp_path, settings)] == ["a", "b", "c-9"]


def test_looking_for_a_call_creates_no_database(settings, tmp_path):
    with pytest.raises(ReplayError, match="does not exist"):
        find("c-1", settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("keeping", "what", "words"),
    [
        ({}, "c-2", "there is no call 'c-2'.*the latest are c-1"),
        ({}, "none.wav", "there is no recording none.wav"),
        ({"audio": False}, "c-1", "no recording of call c-1 was kept"),
        ({"over": False}, "c-1", "call c-1 is still open"),
    ],
)
def test_what_cannot_be_replayed_is_said(settings, keeping, what, words):
    take(settings, **keeping)
    with pytest.raises(ReplayError, match=words):
        find(what, settings)


def test_an_empty_folder_and_a_wrong_transcript_are_said(settings, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReplayError, match="has no recordings"):
        find(tmp_path / "empty", settings)
    stereo(tmp_path / "a.wav")
    for text in ("{", "[]", '{"version": 99}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ReplayError, match=r"a\.json is no transcript"):
            find(tmp_path / "a.wav", settings)


def test_damaged_mono_and_empty_recordings_are_said(tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF1234WAVEjunk")
    write_wav(tmp_path / "mono.wav", np.zeros(800, dtype=np.int16), 8000)
    write_wav(tmp_path / "empty.wav", np.zeros((0, 2), dtype=np.int16), 8000)
    for name, words in (
        ("bad", "damaged"),
        ("mono", "1 channel;.*stereo"),
        ("empty", "holds no audio"),
        ("no", "No such"),
    ):
        with pytest.raises(ReplayError, match=words):
            read_caller(Source(name, tmp_path / f"{name}.wav", None))


def test_a_wide_recording_is_brought_to_the_rate_of_the_line(tmp_path):
    write_wav(tmp_path / "wide.wav", np.full((16_000, 2), 500, dtype=np.int16), 16_000)
    assert read_caller(Source("wide", tmp_path / "wide.wav", None)).seconds == pytest.approx(1.0, abs=0.01)


def test_settings_are_changed_by_name():
    changed = changed_settings(Settings(), ["recognizer.context_s=10", "floor.speculate=off", "recognizer.model=base"])
    assert (changed.recognizer.context_s, changed.recognizer.model) == (10.0, "base")
    assert changed.floor.speculate == "off"
    assert changed.voice == Settings().voice


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("recognizer.context_s", "SECTION.KEY=VALUE"),
        ("context_s=10", "SECTION.KEY=VALUE"),
        ("server.port=1", "SECTION one of vad"),
        ("recognizer.contxt_s=10", "no such setting; recognizer has model"),
        ("recognizer.context_s=1", "greater than or equal to 5"),
    ],
)
def test_wrong_changes_are_said(change, words):
    with pytest.raises(ReplayError, match=words):
        changed_settings(Settings(), [change])


def test_paces():
    assert [pace_of(word) for word in ("measured", "instant", "0.5")] == [1.0, 0.0, 0.5]
    for word in ("fast", "-1", "0", "nan", "inf", ""):
        with pytest.raises(ReplayError, match="--compute"):
            pace_of(word)


def test_a_replay_has_no_way_out(tmp_path):
    given = Settings(secrets=Secrets(token_key="0123456789abcdef", webhook_key="0123456789abcdef"))
    given = given.model_copy(
        update={"handoff": given.handoff.model_copy(update={"webhook_url": "https://example.com/hook"})}
    )
    safe = harmless(given, tmp_path)
    assert safe.handoff.webhook_url is None
    assert safe.secrets == Secrets()
    assert str(tmp_path) in safe.dialogue.database_url
    assert str(tmp_path) in safe.records.database_url
    assert safe.dialogue.domain == given.dialogue.domain


def handoff(
    outcome: str | None, *steps: tuple[str, float], created: str = "2026-11-22T01:00:00+00:00"
) -> dict[str, Any]:
    begun = datetime.fromisoformat(created).timestamp()
    shown = [
        {"state": state, "at": datetime.fromtimestamp(begun + after, UTC).isoformat(), "detail": ""}
        for state, after in steps
    ]
    return {"outcome": outcome, "transfer_to": None, "detail": "", "created_at": created, "rule": "r", "steps": shown}


def request(number: int) -> HandoffRequest:
    return HandoffRequest(f"h-{number}", "c-1", "plain", "g-1", "asked", "asked_for_person")


def test_the_desk_answers_as_it_did_after_as_long():
    declined = handoff("declined", ("offered", 0.0), ("ringing", 1.0), ("declined", 3.5))
    later = handoff("accepted", ("offered", 0.0), ("briefing", 0.5), created="2026-11-22T01:05:00+00:00")

    async def main() -> None:
        clock = LoopClock()
        desk = RecordedDesk(clock, {"handoffs": [later, declined]})
        assert (await desk.request(request(1))).outcome == "declined"
        assert clock.now_ms() == pytest.approx(3500.0)
        assert (await desk.request(request(2))).outcome == "accepted"
        assert clock.now_ms() == pytest.approx(4000.0)
        assert (await desk.request(request(3))).outcome == "unavailable"
        assert [asked["outcome"] for asked in desk.asked] == ["declined", "accepted", "unavailable"]

    run_virtual(main())


def test_a_desk_that_never_answered_does_not_answer_now():
    async def main() -> None:
        clock = LoopClock()
        desk = RecordedDesk(clock, {"handoffs": [handoff(None, ("offered", 0.0))]})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(NO_ANSWER_MS / 1000.0 - 1.0):
                await desk.request(request(1))
        assert desk.asked[0]["outcome"] is None

    run_virtual(main())


ORDER = {"order_number": "42719"}


def done(name: str, result: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "arguments": ORDER, "ok": True, "result": result, "took_ms": 40.0} | more


def acting(folder: Any, record: dict[str, Any] | None, *asked: tuple[str, dict[str, Any]], pace: float = 1.0) -> Any:
    """Run actions of the shop as a replayed call would; gives results, the stand-in and the time it took, ms."""

    async def main() -> Any:
        clock = LoopClock()
        actions = RecordedActions(load_domain(Settings().domain_path()), clock, folder, pace)
        await actions.begin(record)
        mine = actions.actions().for_call("c-1")
        results = [await mine.start(name, arguments)[0] for name, arguments in asked]
        await actions.close()
        return results, actions, clock.now_ms()

    return run_in_virtual_time(main())


@pytest.mark.parametrize(("pace", "took"), [(1.0, 40.0), (0.0, 0.0), (2.0, 80.0)])
def test_an_action_answers_as_recorded_after_as_long(tmp_path, pace, took):
    record = {"actions": [done("find_order", {"status": "as recorded"})]}
    results, actions, ms = acting(tmp_path, record, ("find_order", ORDER), pace=pace)
    assert results[0].ok
    assert results[0].result == {"status": "as recorded"}
    assert ms == pytest.approx(took)
    assert (actions.on_demo, actions.unanswered) == ([], [])


def test_what_an_action_answers_depends_on_what_was_done_before(tmp_path):
    record = {
        "actions": [
            done("find_order", {"status": "processing"}),
            done("cancel_order", {"cancelled": True}),
            done("find_order", {"status": "cancelled"}),
        ]
    }
    # A read may be done more often than it was then: it is repeated for turns that may go on.
    asked = [("find_order", ORDER)] * 3 + [("cancel_order", ORDER), ("find_order", ORDER)]
    results, _, _ = acting(tmp_path, record, *asked)
    assert [one.result.get("status") for one in results] == ["processing"] * 3 + [None, "cancelled"]


def test_an_action_that_failed_then_fails_now(tmp_path):
    record = {"actions": [done("find_order", {"error": "timeout"}, ok=False)]}
    results, _, _ = acting(tmp_path, record, ("find_order", ORDER))
    assert not results[0].ok


def test_an_action_that_is_not_in_the_record_runs_on_a_fresh_demo_shop(tmp_path):
    results, actions, _ = acting(tmp_path, None, ("find_order", {"order_number": "42720"}))
    assert results[0].ok
    assert results[0].result["status"] == "shipped"
    assert actions.on_demo == ["find_order"]
    assert list(tmp_path.glob("shop-*.db"))


def test_in_another_domain_it_fails_and_nothing_is_done(tmp_path):
    async def main() -> None:
        domain = load_domain(Settings().domain_path())
        manner = domain.manner.model_copy(update={"database": "somewhere.else:open"})
        other = replace(domain, manner=manner)
        actions = RecordedActions(other, LoopClock(), tmp_path, 1.0)
        await actions.begin(None)
        acted = await actions.actions().for_call("c-1").start("find_order", ORDER)[0]
        assert not acted.ok
        assert actions.unanswered == ["find_order"]

    run_virtual(main())
    assert list(tmp_path.iterdir()) == []


def test_the_time_of_day_is_that_of_the_call():
    async def main() -> None:
        clock = ReplayClock()
        await asyncio.sleep(100.0)
        clock.begin(datetime(2026, 3, 1, 23, 59, 30, tzinfo=UTC))
        await asyncio.sleep(60.0)
        assert clock.wall() == datetime(2026, 3, 2, 0, 0, 30, tzinfo=UTC)

    run_virtual(main())


def test_a_held_record_is_as_the_database_would_give_it(settings):
    """The same turn, written both ways, reads the same: private numbers are out of both."""
    turn = TurnRecord(1, "caller", "My card is 4111 1111 1111 1111.", 1.0, 2.0, slots={"phone": "+1 503 555 0101"})
    opened = CallOpened("c-1", "plain", "g-1", "shop")

    async def main() -> tuple[Any, Any]:
        kept = settings.records
        async with SqlRecords.open(kept.database_url, kept.recordings, RealClock(), False) as records:
            call = await records.open_call(opened)
            call.turn(turn)
            await call.finish(CallFinished("caller_left", "stop", 5.0))
            held = HeldRecord(opened)
            held.turn(turn)
            await held.finish(CallFinished("caller_left", "stop", 5.0))
            return await load_call(records.database, "c-1"), held.as_record([])

    stored, held = asyncio.run(main())
    (one,), (other,) = stored["turns"], held["turns"]
    assert {name: one[name] for name in other} == json.loads(json.dumps(other))
    assert "4111" not in other["text"]
    assert held["call"]["outcome"] == stored["call"]["outcome"]
