import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from learnfakes import Said, recorded

from agent.learning.labels import (
    LabelError,
    TurnLabel,
    export_rows,
    import_labels,
    labels_of,
    remove_label,
    save_labels,
)
from agent.learning.queue import rank, said_turns
from agent.records.database import Call
from models.training.readers import read_examples

NOW = datetime(2031, 5, 1, 12, tzinfo=UTC)
INTENTS = ("order_status", "cancel_order")
CALLS = {
    "c-1": [Said("um the other thing", decision="clarify"), Said("my card is 4111 1111 1111 1111", "out_of_scope")],
    "c-2": [Said("stop the parcel", decision="clarify")],
}


def label(call_id: str = "c-1", turn: int = 1, intent: str | None = "cancel_order", text: str = "x") -> TurnLabel:
    return TurnLabel(call_id, turn, "shop", text, intent, NOW)


async def test_labels_are_kept_replaced_and_forgotten(tmp_path: Path) -> None:
    async with recorded(tmp_path, CALLS) as database:
        await save_labels(database, [label(), label("c-2", intent=None)])
        await save_labels(database, [label(intent="order_status")])
        assert [(one.id, one.intent) for one in await labels_of(database, "shop")] == [
            (("c-1", 1), "order_status"),
            (("c-2", 1), None),
        ]
        assert await labels_of(database, "bank") == []
        assert [turn.turn for turn in await said_turns(database, ["shop"])] == [2]
        await remove_label(database, ("c-1", 1))
        await remove_label(database, ("c-1", 1))
        assert [one.id for one in await labels_of(database, "shop")] == [("c-2", 1)]


async def test_labels_go_with_their_call(tmp_path: Path) -> None:
    async with recorded(tmp_path, CALLS) as database:
        await save_labels(database, [label(), label("c-2")])
        async with database.engine.begin() as connection:
            await connection.execute(sa.delete(Call).where(Call.id == "c-1"))
        assert [one.id for one in await labels_of(database, "shop")] == [("c-2", 1)]


async def test_a_label_of_no_call_saves_none(tmp_path: Path) -> None:
    async with recorded(tmp_path, CALLS) as database:
        with pytest.raises(sa.exc.IntegrityError):
            await save_labels(database, [label(), label("c-9")])
        assert await labels_of(database, "shop") == []


async def test_a_team_labels_what_was_exported(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    async with recorded(tmp_path, CALLS) as database:
        rows = export_rows(rank(await said_turns(database, ["shop"]), None))
        assert len(rows) == 3
        assert "4111" not in json.dumps(rows)
        by_turn = {(row["call"], row["turn"]): row for row in rows}
        by_turn["c-1", 1]["intent"] = "cancel_order"
        by_turn["c-1", 2]["intent"] = "out_of_scope"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        taken = await import_labels(database, path, "shop", INTENTS, NOW)
        assert [(one.id, one.intent) for one in taken] == [(("c-1", 1), "cancel_order"), (("c-1", 2), "out_of_scope")]
        kept = {one.id: one for one in await labels_of(database, "shop")}
    assert set(kept) == {("c-1", 1), ("c-1", 2)}
    assert kept["c-1", 1].source == "labels.jsonl"
    assert kept["c-1", 1].understood == "order_status"
    assert kept["c-1", 1].model == "head"
    assert "[card]" in kept["c-1", 2].text
    examples = read_examples(path).train
    assert [example.intent for example in examples if example.intent] == ["cancel_order", "out_of_scope"]


async def test_every_problem_of_a_file_is_told_with_its_line_and_nothing_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    rows = [
        '{"call": "c-1", "turn": 1, "intent": "cancel_order"}',
        "",
        '{"call": "c-9", "turn": 1, "intent": "cancel_order"}',
        '{"call": "c-1", "turn": 7, "intent": "cancel_order"}',
        '{"call": "c-2", "turn": 1, "intent": "refund"}',
        '{"call": "c-1", "turn": 1, "intent": "order_status"}',
        "{not json",
        "[1]",
        '{"call": 3, "turn": 1, "intent": "order_status"}',
        '{"call": "c-2", "turn": "1", "intent": "order_status"}',
        '{"call": "c-2", "turn": 1, "intent": ["order_status"]}',
        '{"call": "c-1", "turn": 2, "intent": "no name!"}',
    ]
    path.write_text("\n".join(rows), encoding="utf-8")
    async with recorded(tmp_path, CALLS) as database:
        with pytest.raises(LabelError) as caught:
            await import_labels(database, path, "shop", INTENTS, NOW)
        assert await labels_of(database, "shop") == []
    lines = sorted(int(problem.removeprefix(f"{path}:").partition(":")[0]) for problem in caught.value.problems)
    assert lines == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    told = str(caught.value)
    assert f"{path}:3: the records have no caller turn 1 of call 'c-9'" in told
    assert f"{path}:5: intent 'refund' is not of this domain; use one of cancel_order, order_status" in told
    assert f"{path}:6: turn 1 of call 'c-1' stands on line 1 too; keep one" in told


async def test_new_intents_have_to_be_allowed(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"call": "c-2", "turn": 1, "intent": "refund"}', encoding="utf-8")
    async with recorded(tmp_path, CALLS) as database:
        (taken,) = await import_labels(database, path, "shop", INTENTS, NOW, new_intents=True)
        assert taken.intent == "refund"


async def test_many_problems_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text("x\n" * 50, encoding="utf-8")
    async with recorded(tmp_path, {}) as database:
        with pytest.raises(LabelError, match="and 30 more") as caught:
            await import_labels(database, path, "shop", INTENTS, NOW)
    assert len(caught.value.problems) == 50


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    async with recorded(tmp_path, {}) as database:
        with pytest.raises(LabelError, match=r"gone.jsonl: cannot be read: No such file"):
            await import_labels(database, tmp_path / "gone.jsonl", "shop", INTENTS, NOW)
        latin = tmp_path / "latin.jsonl"
        latin.write_bytes(b'{"call": "c-1"}\n{"call": "caf\xe9"}')
        with pytest.raises(LabelError, match=r"latin.jsonl:2: not UTF-8; save"):
            await import_labels(database, latin, "shop", INTENTS, NOW)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
async def test_no_bytes_do_anything_but_be_taken_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.jsonl"
    path.write_bytes(content)
    async with recorded(tmp_path, {}) as database:
        problems: tuple[str, ...] = ()
        try:
            assert await import_labels(database, path, "shop", INTENTS, NOW) == []
        except LabelError as error:
            problems = error.problems
        assert all(problem.startswith(str(path)) for problem in problems)
