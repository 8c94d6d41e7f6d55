"""Finds calls by what was said, how the caller felt and how they scored; shows one, or some side by side."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select

from agent.quality.evidence import excerpt
from agent.quality.tables import QualityRating, QualityScore
from agent.records.database import Call, Database, Turn
from agent.records.queries import MOST_ROWS, CallNotFound, Row

EMOTIONS = ("neutral", "happy", "sad", "angry")
MOST_WORDS = 10
MOST_MATCHES = 5
"""Turns of one call that are shown for the words searched for."""
MOST_BESIDE = 4
_RANGE = re.compile(r"\s*(?:(<=|>=|<|>|=)?\s*(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)\s*(?:-|\.\.)\s*(\d+(?:\.\d+)?))\s*")

SCORE = func.coalesce(QualityScore.calibrated, QualityScore.score)
"""The score that counts: the corrected one where there is one."""


class SearchError(ValueError):
    """A search that cannot be made; the message says what to give instead."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`; `above`, `below` leave out the limit itself."""

    low: float | None = None
    high: float | None = None
    above: bool = False
    below: bool = False

    @classmethod
    def read(cls, text: str) -> Range:
        """Read "<60", ">=80", "40-60" or "75".

        Raises:
            SearchError: it is none of these.
        """
        match = _RANGE.fullmatch(text)
        if match is None:
            raise SearchError(f"'{text}' is no range; write it as '<60', '>=80', '40-60' or '75'")
        sign, number, low, high = match.groups()
        if number is None:
            if float(low) > float(high):
                raise SearchError(f"'{text}' goes from the greater number to the lesser; turn it round")
            return cls(float(low), float(high))
        value = float(number)
        match sign:
            case "<":
                return cls(high=value, below=True)
            case "<=":
                return cls(high=value)
            case ">":
                return cls(low=value, above=True)
            case ">=":
                return cls(low=value)
        return cls(value, value)

    def holds(self, column: Any) -> ColumnElement[bool]:
        """The condition on a column."""
        found = [column.is_not(None)]
        if self.low is not None:
            found.append(column > self.low if self.above else column >= self.low)
        if self.high is not None:
            found.append(column < self.high if self.below else column <= self.high)
        return and_(*found)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for; everything given must hold.

    text: words that all stand in one turn, "in quotes" together; whatever the case. emotion: that of a caller's turn.
    failed: a criterion that was not met. human: who rated it.
    """

    text: str = ""
    emotion: str | None = None
    score: Range | None = None
    satisfaction: Range | None = None
    domain: str | None = None
    topic: str | None = None
    outcome: str | None = None
    failed: str | None = None
    rated: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50


async def search_calls(database: Database, wanted: Wanted) -> list[Row]:
    """Finished calls that fit, the latest first.

    Raises:
        SearchError: something wanted is out of range.
    """
    words = _words(wanted.text)
    if not 1 <= wanted.limit <= MOST_ROWS:
        raise SearchError(f"limit {wanted.limit} is out of range; give 1 to {MOST_ROWS}")
    if wanted.emotion is not None and wanted.emotion not in EMOTIONS:
        raise SearchError(f"emotion '{wanted.emotion}' is not known; use one of {', '.join(EMOTIONS)}")
    query = _calls().where(Call.finished_at.is_not(None)).order_by(Call.opened_at.desc(), Call.id)
    for condition in _conditions(wanted, words):
        query = query.where(condition)
    found: list[Row] = []
    async with database.engine.connect() as connection:
        # Whether a criterion failed stands inside JSON, and is looked at here.
        stream = await connection.stream(query if wanted.failed else query.limit(wanted.limit))
        async for row in stream.mappings():
            plain = _row(row)
            if wanted.failed is None or wanted.failed in plain["failed"]:
                found.append(plain)
            if len(found) >= wanted.limit:
                break
        await stream.close()
        ids = [row["call_id"] for row in found]
        ratings = await connection.execute(
            select(QualityRating.call_id, func.avg(QualityRating.score))
            .where(QualityRating.call_id.in_(ids))
            .group_by(QualityRating.call_id)
        )
        human = {call_id: round(float(score), 1) for call_id, score in ratings.all()}
        matches: dict[str, list[Row]] = {}
        if words and ids:
            turns = select(Turn.call_id, Turn.number, Turn.speaker, _sounded().label("said"), Turn.started_ms)
            turns = turns.where(Turn.call_id.in_(ids), _says(words)).order_by(Turn.call_id, Turn.started_ms)
            for turn in (await connection.execute(turns)).all():
                shown = matches.setdefault(turn.call_id, [])
                if len(shown) < MOST_MATCHES:
                    text = excerpt(turn.said)
                    shown.append({"turn": turn.number, "speaker": turn.speaker, "at_ms": turn.started_ms, "text": text})
    return [
        row | {"human_score": human.get(row["call_id"]), "matches": matches.get(row["call_id"], [])} for row in found
    ]


async def unscored_calls(database: Database) -> int:
    """How many finished calls have no score."""
    query = select(func.count()).select_from(Call).outerjoin(QualityScore, QualityScore.call_id == Call.id)
    async with database.engine.connect() as connection:
        query = query.where(Call.finished_at.is_not(None), QualityScore.call_id.is_(None))
        return int((await connection.execute(query)).scalar_one())


async def load_quality(database: Database, call_id: str) -> Row:
    """The score of one call with its items, and all ratings; score None and no items where it is not scored yet.

    Raises:
        CallNotFound: no such call.
    """
    async with database.engine.connect() as connection:
        query = _calls().add_columns(QualityScore.items, QualityScore.rubric, QualityScore.scored_at)
        row = (await connection.execute(query.where(Call.id == call_id))).mappings().one_or_none()
        if row is None:
            raise CallNotFound(f"there is no call {call_id!r}; list the calls to find its id")
        rated = select(QualityRating.__table__).where(QualityRating.call_id == call_id)
        ratings = (await connection.execute(rated.order_by(QualityRating.rated_at))).mappings().all()
    shown = [
        {"who": one["rater"], "score": one["score"], "items": one["items"], "note": one["note"],
         "at": one["rated_at"].isoformat()}
        for one in ratings
    ]  # fmt: skip
    human = round(sum(one["score"] for one in shown) / len(shown), 1) if shown else None
    scored_at = row["scored_at"].isoformat() if row["scored_at"] is not None else None
    more = {"items": row["items"] or [], "ratings": shown, "human_score": human}
    return _row(row) | more | {"rubric": row["rubric"], "scored_at": scored_at}


async def side_by_side(database: Database, call_ids: Sequence[str]) -> Row:
    """Some calls beside each other: `calls`, and for each criterion of any a cell a call, None where it has none.

    Raises:
        SearchError: fewer than two calls, or too many.
        CallNotFound: one is not there.
    """
    if not 2 <= len(call_ids) <= MOST_BESIDE or len(set(call_ids)) < len(call_ids):
        raise SearchError(f"give 2 to {MOST_BESIDE} different calls")
    calls = [await load_quality(database, call_id) for call_id in call_ids]
    by_name = [{item["name"]: item for item in call["items"]} for call in calls]
    names = dict.fromkeys(name for items in by_name for name in items)
    rows = []
    for name in names:
        title = next(items[name]["title"] for items in by_name if name in items)
        rows.append({"name": name, "title": title, "cells": [items.get(name) for items in by_name]})
    return {"calls": [{key: call[key] for key in call if key != "items"} for call in calls], "items": rows}


def _calls() -> Select[Any]:
    query: Any = select(
        Call.id.label("call_id"), Call.opened_at, Call.domain, Call.outcome, Call.reason, Call.duration_ms,
        QualityScore.topic, SCORE.label("score"), QualityScore.score.label("raw_score"), QualityScore.emotion,
        QualityScore.satisfaction, QualityScore.surveyed, QualityScore.items, QualityScore.contained,
        QualityScore.transferred,
    )  # fmt: skip
    joined: Select[Any] = query.outerjoin_from(Call, QualityScore, QualityScore.call_id == Call.id)
    return joined


def _row(row: Mapping[Any, Any]) -> Row:
    items = row["items"] or []
    return {
        "call_id": row["call_id"],
        "opened_at": row["opened_at"].isoformat(),
        "domain": row["domain"],
        "intent": row["topic"],
        "outcome": row["outcome"],
        "reason": row["reason"],
        "duration_s": None if row["duration_ms"] is None else round(row["duration_ms"] / 1000.0, 1),
        "score": row["score"],
        "raw_score": row["raw_score"],
        "emotion": row["emotion"],
        "satisfaction": row["satisfaction"],
        "surveyed": row["surveyed"],
        "contained": row["contained"],
        "transferred": row["transferred"],
        "failed": [item["name"] for item in items if item["passed"] is False],
    }


def _conditions(wanted: Wanted, words: Sequence[str]) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    of_call = Turn.call_id == Call.id
    if words:
        found.append(exists().where(of_call, _says(words)))
    if wanted.emotion is not None:
        both, by_words = Turn.emotion["both"].as_string(), Turn.emotion["words"].as_string()
        felt = or_(both == wanted.emotion, and_(both.is_(None), by_words == wanted.emotion))
        found.append(exists().where(of_call, Turn.speaker == "caller", Turn.text != "", felt))
    if wanted.score is not None:
        found.append(wanted.score.holds(SCORE))
    if wanted.satisfaction is not None:
        found.append(wanted.satisfaction.holds(QualityScore.satisfaction))
    equal = {Call.domain: wanted.domain, QualityScore.topic: wanted.topic, Call.outcome: wanted.outcome}
    found += [column == value for column, value in equal.items() if value is not None]
    if wanted.rated is not None:
        rated = exists().where(QualityRating.call_id == Call.id)
        found.append(rated if wanted.rated else ~rated)
    if wanted.since is not None:
        found.append(Call.opened_at >= wanted.since)
    if wanted.until is not None:
        found.append(Call.opened_at < wanted.until)
    return found


def _sounded() -> Any:
    """What was heard; a caller's words as they are."""
    return func.coalesce(Turn.heard, Turn.text)


def _says(words: Sequence[str]) -> ColumnElement[bool]:
    return and_(*(_sounded().icontains(word, autoescape=True) for word in words))


def _words(text: str) -> list[str]:
    try:
        # Only double quotes bind: an apostrophe is part of a word.
        lexer = shlex.shlex(text, posix=True)
        lexer.whitespace_split, lexer.quotes, lexer.commenters, lexer.escape = True, '"', "", ""
        words = [word for word in lexer if word.strip()]
    except ValueError as error:
        raise SearchError(f"{text!r} has a quotation mark without its other; add it or leave it out") from error
    if len(words) > MOST_WORDS or len(text) > 500:
        raise SearchError(f"{len(words)} words are too many; give up to {MOST_WORDS}, of 500 characters in all")
    return words
