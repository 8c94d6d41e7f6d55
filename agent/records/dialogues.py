"""Recorded calls as dialogues that a reply model learns from: what was heard, and only of calls that went well."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from agent.records.database import Action, Call, Database
from agent.records.queries import Row, turns_after
from agent.records.redaction import redact, redact_json
from models.training.reply.dialogues import AGENT, Dialogue, Message

REPAIRS = (
    "not understood", "not heard", "no answer", "clarify", "silence", "question was not heard", "keys mean nothing",
    "wrong number of keys",
)  # fmt: skip
"""How the dialogue's reasons for a reply begin where it only asks again: nothing to learn."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Which calls are good enough to learn from.

    outcomes: how they may have ended. least_turns: caller turns. most_repairs, most_interrupted: the share of replies
    that may have asked again, or been broken off by the caller.
    """

    outcomes: tuple[str, ...] = ("completed",)
    least_turns: int = 2
    most_repairs: float = 0.25
    most_interrupted: float = 0.5


async def heard_dialogues(
    database: Database,
    quality: Quality,
    domain: str | None = None,
    knowledge: Mapping[str, str] | None = None,
) -> tuple[list[Dialogue], Counter[str]]:
    """Dialogues of finished calls, oldest first, and how many calls were left out for which reason.

    An agent turn says what the caller heard of it. One that was broken off, that only asked again or that failed is
    context and not learnt; one of which nothing was heard was not said. Results of actions come before the reply that
    tells them. `knowledge` gives the text of each source that replies may name. All texts are redacted.
    """
    query = select(Call.id, Call.outcome).where(Call.finished_at.is_not(None)).order_by(Call.opened_at, Call.id)
    if domain is not None:
        query = query.where(Call.domain == domain)
    async with database.engine.connect() as connection:
        calls = list((await connection.execute(query)).all())
    dialogues: list[Dialogue] = []
    left_out: Counter[str] = Counter()
    for call_id, outcome in calls:
        if outcome not in quality.outcomes:
            left_out[f"ended as {outcome}"] += 1
            continue
        turns = await turns_after(database, call_id, -1)
        why = _refused(turns, quality)
        if why is None:
            dialogue = _dialogue(call_id, turns, await _results(database, call_id), knowledge or {})
            why = None if dialogue.targets else "no reply to learn was heard"
            if why is None:
                dialogues.append(dialogue)
        if why is not None:
            left_out[why] += 1
    return dialogues, left_out


def _refused(turns: Sequence[Row], quality: Quality) -> str | None:
    said = sum(turn["speaker"] == "caller" and bool(turn["text"].strip()) for turn in turns)
    if said < quality.least_turns:
        return f"fewer than {quality.least_turns} caller turns"
    replies = [turn for turn in turns if turn["speaker"] == "agent" and (turn["heard"] or "").strip()]
    if not replies:
        return "no reply to learn was heard"
    if any(turn["reasons"].get("rule") == "part_failed" for turn in replies):
        return "a part of the agent failed"
    if sum(map(_repair, replies)) > quality.most_repairs * len(replies):
        return "asked again too often"
    if sum(bool(turn["interrupted"]) for turn in replies) > quality.most_interrupted * len(replies):
        return "interrupted too often"
    return None


def _dialogue(
    call_id: str, turns: Sequence[Row], results: Mapping[int, Sequence[str]], knowledge: Mapping[str, str]
) -> Dialogue:
    messages: list[Message] = []
    facts: dict[str, None] = {}
    for turn in turns:
        if turn["speaker"] == "caller":
            words = redact(turn["text"]).strip()
            messages += [Message("user", words)] if words else []
            continue
        words = redact(turn["heard"] or "").strip()
        if not words:
            continue
        messages += [Message("tool", result) for result in results.get(turn["number"], ())]
        source = (turn["reasons"].get("knowledge") or {}).get("source")
        if isinstance(source, str) and source in knowledge:
            facts[knowledge[source]] = None
        messages.append(Message(AGENT, words, not turn["interrupted"] and not _repair(turn)))
    return Dialogue(tuple(messages), tuple(facts), f"call {call_id}")


def _repair(turn: Row) -> bool:
    return str(turn["reasons"].get("decision") or "").startswith(REPAIRS)


async def _results(database: Database, call_id: str) -> dict[int, list[str]]:
    """What actions gave, as compact JSON, by the turn they ran in."""
    query = select(Action.turn, Action.name, Action.ok, Action.result)
    found: dict[int, list[str]] = {}
    async with database.engine.connect() as connection:
        rows = await connection.execute(query.where(Action.call_id == call_id).order_by(Action.sequence))
        for turn, name, ok, result in rows.all():
            told = redact_json({"action": name, "ok": ok, "result": result})
            found.setdefault(turn, []).append(json.dumps(told, ensure_ascii=False))
    return found
