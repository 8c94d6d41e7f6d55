"""A recorded caller on a line in virtual time: the voice, keys and typed turns come when they came."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from callfakes import FakeCall, FakeDesk
from virtual_time import run_virtual

from agent.call.session import Session
from agent.clock import LoopClock
from agent.config import Settings
from agent.gateways.plain import PlainProtocol
from agent.handoff.contracts import HandoffResult
from agent.lab.replay import harmless
from agent.lab.replaying.line import PATIENCE_MS, RecordedCaller, plan_of
from agent.lab.replaying.source import RATE, CallerAudio, ReplayError, Step, steps_of
from agent.lab.replaying.stand_ins import HeldRecords


def record(*turns: dict[str, Any], events: Any = (), **call: Any) -> dict[str, Any]:
    head = {"gateway": "plain", "outcome": "caller_left", "reason": "stop", "duration_ms": 9000.0, "caller": None}
    kept = None if events is None else [{"kind": kind, "at_ms": at, "data": {}} for kind, at in events]
    return {"call": head | call, "turns": list(turns), "events": kept, "actions": [], "handoffs": []}


def entered(number: int, text: str, at: float) -> list[dict[str, Any]]:
    return [
        {"number": number, "speaker": "caller", "text": text, "started_ms": at, "ended_ms": at, "emotion": {}},
        {"number": number, "speaker": "agent", "text": "Good.", "started_ms": at, "latency": {"endpoint_wait": 0.0}},
    ]


def spoken(call: FakeCall, *lines: tuple[float, str], seconds: float = 9.0) -> CallerAudio:
    """Each line for 0.9 s at its time in seconds, as the fakes' recognizer reads it."""
    samples = np.zeros(int(seconds * RATE), dtype=np.int16)
    for at, text in lines:
        samples[int(at * RATE) : int((at + 0.9) * RATE)] = int(call.lines.level(text) * 32767)
    return CallerAudio(samples, True)


async def replayed(call: FakeCall, audio: CallerAudio, recorded: dict[str, Any] | None) -> tuple[Any, RecordedCaller]:
    caller = RecordedCaller(plan_of(audio, recorded, []), LoopClock())
    records = HeldRecords()
    session = Session(replace(call.services, records=records), PlainProtocol("s-1"), caller, "c-replay")
    speaking = asyncio.create_task(caller.run())
    await session.run()
    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
    assert records.last is not None
    return records.last.as_record([]), caller


def caller_turns(found: Any) -> list[tuple[str, float]]:
    return [(turn["text"], turn["started_ms"]) for turn in found["turns"] if turn["speaker"] == "caller"]


def test_the_voice_is_heard_at_its_time():
    async def main() -> None:
        call = FakeCall()
        found, caller = await replayed(call, spoken(call, (4.0, "hello there")), record(events=[("state", 12.5)]))
        ((text, at),) = caller_turns(found)
        assert text == "hello there"
        assert at == pytest.approx(4000.0, abs=100.0)
        assert (found["call"]["outcome"], found["call"]["reason"]) == ("caller_left", "stop")
        assert found["call"]["duration_ms"] == pytest.approx(9000.0, abs=40.0)
        assert not caller.wrongs
        assert not caller.patience_over

    run_virtual(main())


def test_keys_and_typed_turns_come_at_their_times():
    turns = [*entered(1, "[keys 42]", 4400.0), *entered(2, "typed words", 7000.0)]

    async def main() -> None:
        call = FakeCall()
        keys = [("state", 3.0), ("key", 4000.0), ("key", 4200.0), ("key", 4400.0)]
        found, _ = await replayed(call, spoken(call), record(*turns, events=keys))
        (first, second) = caller_turns(found)
        assert first == ("[keys 42]", pytest.approx(4400.0, abs=40.0))
        assert second == ("typed words", pytest.approx(7000.0, abs=60.0))
        assert [turn.dtmf for turn in call.dialogue.turns] == ["42", None]

    run_virtual(main())


def test_a_call_that_was_only_typed_has_no_voice_and_no_sound():
    async def main() -> None:
        call = FakeCall()
        recorded = record(*entered(1, "typed words", 3000.0), events=[("state", 3.0)], duration_ms=5000.0)
        found, _ = await replayed(call, CallerAudio(np.zeros(0, dtype=np.int16), False), recorded)
        assert [text for text, _ in caller_turns(found)] == ["typed words"]
        assert call.recognizer.calls == 0

    run_virtual(main())


def test_a_caller_who_dropped_the_line_drops_it_again(tmp_path):
    async def main() -> None:
        call = FakeCall(settings=harmless(Settings(), tmp_path))
        found, _ = await replayed(call, spoken(call, (4.0, "hello")), record(reason="socket_closed_1006"))
        assert (found["call"]["outcome"], found["call"]["reason"]) == ("caller_left", "socket_closed_1006")

    run_virtual(main())


def test_an_agent_that_ended_the_call_may_end_it_later_than_then():
    async def main() -> None:
        call = FakeCall()
        recorded = record(outcome="completed", reason="goodbye", duration_ms=5000.0)
        found, caller = await replayed(call, spoken(call, (4.0, "bye now"), seconds=5.0), recorded)
        assert (found["call"]["outcome"], found["call"]["reason"]) == ("completed", "goodbye")
        assert found["call"]["duration_ms"] > 5000.0
        assert not caller.patience_over

    run_virtual(main())


def test_an_agent_that_does_not_end_the_call_any_more_is_not_waited_for_for_ever():
    async def main() -> None:
        call = FakeCall()
        recorded = record(outcome="completed", reason="goodbye", duration_ms=5000.0)
        found, caller = await replayed(call, spoken(call, (3.0, "hello"), seconds=5.0), recorded)
        assert caller.patience_over or found["call"]["reason"] == "silence"
        assert found["call"]["duration_ms"] < 5000.0 + PATIENCE_MS + 1000.0

    run_virtual(main())


def test_a_caller_is_handed_over_as_then():
    async def main() -> None:
        call = FakeCall(desk=FakeDesk(HandoffResult("accepted", "+15550100")))
        recorded = record(outcome="handed_off", reason="transferred", duration_ms=8000.0)
        found, _ = await replayed(call, spoken(call, (3.0, "person please")), recorded)
        assert found["call"]["outcome"] == "handed_off"

    run_virtual(main())


def test_without_a_record_the_whole_recording_is_played():
    async def main() -> None:
        call = FakeCall()
        found, _ = await replayed(call, spoken(call, (4.0, "hello there")), None)
        assert [text for text, _ in caller_turns(found)] == ["hello there"]
        assert found["call"]["duration_ms"] == pytest.approx(9000.0, abs=40.0)

    run_virtual(main())


def test_a_silent_channel_without_a_record_is_refused():
    with pytest.raises(ReplayError, match="wrong way round"):
        plan_of(CallerAudio(np.zeros(RATE, dtype=np.int16), True), None, [])


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([("key", 4000.0), ("key", 4200.0)], [Step(4000.0, "4"), Step(4200.0, "2")]),
        (
            [("key", 4000.0), ("key", 4200.0), ("key", 4399.0)],
            [Step(4000.0, "4"), Step(4200.0, "2"), Step(4399.0, "#")],
        ),
        (None, [Step(4400.0, "4"), Step(4400.0, "2"), Step(4400.0, "#")]),
    ],
)
def test_keys_go_to_the_events_they_made(events, expected):
    assert steps_of(record(*entered(1, "[keys 42]", 4400.0), events=events), []) == expected


def test_redacted_keys_are_told_and_not_pressed():
    notes: list[str] = []
    assert steps_of(record(*entered(1, "[keys [phone]]", 4400.0), events=[("key", 4000.0)]), notes) == []
    assert notes == ["the keys of turn 1 were redacted and are not pressed again"]


def test_spoken_turns_are_not_typed():
    turns = entered(1, "hello", 4000.0)
    turns[1]["latency"] = {"endpoint_wait": 300.0, "recognition": 2.0}
    assert steps_of(record(*turns), []) == []
    assert steps_of(record(*entered(1, "hello", 4000.0), gateway="twilio"), []) == []
