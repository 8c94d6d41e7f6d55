"""What a reply model may learn from recorded calls."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.clock import RealClock
from agent.records.contracts import ActionRecord, CallFinished, CallOpened, TurnRecord
from agent.records.dialogues import Quality, heard_dialogues
from agent.records.writer import SqlRecords


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[SqlRecords]:
    url = f"sqlite:///{tmp_path}/records.db"
    async with SqlRecords.open(url, tmp_path / "recordings", RealClock(), record_audio=False) as records:
        yield records


def caller(number: int, text: str) -> TurnRecord:
    return TurnRecord(number, "caller", text, number * 1000.0, number * 1000.0 + 400)


def agent(number: int, text: str, heard: str | None = None, **rest: Any) -> TurnRecord:
    heard = text if heard is None else heard
    return TurnRecord(number, "agent", text, number * 1000.0 + 500, number * 1000.0 + 900, heard=heard, **rest)


GOOD = (
    agent(0, "Hello, how can I help?"),
    caller(1, "where is my order"),
    agent(1, "What's the number?"),
    caller(2, "four two seven one nine"),
    agent(2, "It is on its way."),
)


async def make_call(
    records: SqlRecords,
    call_id: str,
    turns: Sequence[TurnRecord],
    outcome: str = "completed",
    actions: Sequence[ActionRecord] = (),
    domain: str = "shop",
) -> None:
    call = await records.open_call(CallOpened(call_id, "plain", call_id, domain))
    for turn in turns:
        call.turn(turn)
    for action in actions:
        call.action(action)
    await call.finish(CallFinished(outcome, "goodbye", 9000.0))


def said(dialogue: Any) -> list[tuple[str, str, bool]]:
    return [(message.role, message.content, message.learn) for message in dialogue.messages]


async def test_a_call_becomes_a_dialogue(records: SqlRecords) -> None:
    found_order = ActionRecord(
        2, "find_order", {"order": "42719"}, True, {"status": "sent", "phone": "2125550123"}, "k"
    )
    await make_call(records, "c1", GOOD, actions=[found_order])
    [dialogue], left_out = await heard_dialogues(records.database, Quality())
    assert not left_out
    assert dialogue.origin == "call c1"
    assert said(dialogue)[:4] == [
        ("assistant", "Hello, how can I help?", True),
        ("user", "where is my order", True),
        ("assistant", "What's the number?", True),
        ("user", "four two seven one nine", True),
    ]
    role, result, _ = said(dialogue)[4]
    assert (role, json.loads(result)["action"], json.loads(result)["result"]["status"]) == (
        "tool",
        "find_order",
        "sent",
    )
    assert "2125550123" not in result
    assert said(dialogue)[5] == ("assistant", "It is on its way.", True)


async def test_only_what_was_heard_was_said(records: SqlRecords) -> None:
    turns = (
        *GOOD,
        caller(3, "and the refund"),
        agent(3, "It takes five days. Anything else?", heard="It takes", interrupted=True),
        caller(4, "no thanks"),
        agent(4, "Goodbye!", heard=""),
    )
    await make_call(records, "c1", turns)
    [dialogue], _ = await heard_dialogues(records.database, Quality())
    assert said(dialogue)[-3:] == [
        ("user", "and the refund", True),
        ("assistant", "It takes", False),
        ("user", "no thanks", True),
    ]
    assert dialogue.targets == 3


async def test_asking_again_is_context_and_not_learnt(records: SqlRecords) -> None:
    again = agent(3, "Sorry, could you say that again?", reasons={"decision": "not understood"})
    await make_call(records, "c1", (*GOOD, caller(3, "mumble"), again, caller(4, "thanks"), agent(4, "Welcome.")))
    [dialogue], _ = await heard_dialogues(records.database, Quality())
    assert ("assistant", "Sorry, could you say that again?", False) in said(dialogue)
    assert dialogue.targets == 4


async def test_texts_are_redacted(records: SqlRecords) -> None:
    turns = (*GOOD, caller(3, "write to jane at example dot com"), agent(3, "I will write to jane@example.com."))
    await make_call(records, "c1", turns)
    [dialogue], _ = await heard_dialogues(records.database, Quality())
    assert [text for _, text, _ in said(dialogue)][-2:] == ["write to [email]", "I will write to [email]."]


async def test_facts_that_replies_rest_on_come_along(records: SqlRecords) -> None:
    told = agent(3, "Thirty days.", reasons={"knowledge": {"source": "returns.md#policy"}})
    missing = agent(4, "We do.", reasons={"knowledge": {"source": "gone.md#x"}})
    await make_call(records, "c1", (*GOOD, caller(3, "return policy"), told, caller(4, "do you ship"), missing))
    [dialogue], _ = await heard_dialogues(records.database, Quality(), knowledge={"returns.md#policy": "30 days."})
    assert dialogue.knowledge == ("30 days.",)


def changed(**agent_turns: Any) -> tuple[TurnRecord, ...]:
    return tuple(replace(turn, **agent_turns) if turn.speaker == "agent" else turn for turn in GOOD)


FAILED = (*GOOD, caller(3, "x"), agent(3, "Sorry.", reasons={"rule": "part_failed"}))


@pytest.mark.parametrize(
    ("turns", "outcome", "why"),
    [
        (GOOD, "caller_left", "ended as caller_left"),
        (GOOD[:3], "completed", "fewer than 2 caller turns"),
        (changed(heard=""), "completed", "no reply to learn was heard"),
        (changed(interrupted=True), "completed", "interrupted too often"),
        (FAILED, "completed", "a part of the agent failed"),
        (
            (*GOOD[:3], caller(2, "x"), agent(2, "Sorry?", reasons={"decision": "silence: asked again"})),
            "completed",
            "asked again too often",
        ),
    ],
)
async def test_calls_that_went_badly_are_left_out(
    records: SqlRecords, turns: Sequence[TurnRecord], outcome: str, why: str
) -> None:
    await make_call(records, "bad", turns, outcome)
    await make_call(records, "good", GOOD)
    dialogues, left_out = await heard_dialogues(records.database, Quality())
    assert [dialogue.origin for dialogue in dialogues] == ["call good"]
    assert left_out == {why: 1}


async def test_a_call_that_goes_on_is_left_alone_and_domains_are_kept_apart(records: SqlRecords) -> None:
    await make_call(records, "bank", GOOD, domain="bank")
    call = await records.open_call(CallOpened("open", "plain", "open", "shop"))
    for turn in GOOD:
        call.turn(turn)
    await call.flush()
    assert await heard_dialogues(records.database, Quality(), domain="shop") == ([], {})
    assert len((await heard_dialogues(records.database, Quality()))[0]) == 1
