"""Turns queued entries into rows of the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import String, Table, and_, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.records.database import Action, Base, Call, Event, Turn, UtcDateTime
from agent.records.spill import Entry, Kind

MODELS: Mapping[Kind, type[Base]] = {"open": Call, "turn": Turn, "event": Event, "action": Action, "finish": Call}
"""Where each kind of entry goes."""


def fit(model: type[Base], row: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `row` that any database takes: texts without NUL and lone surrogates, cut to their columns' lengths."""
    columns = model.__table__.columns
    fitted: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, str):
            value = value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
            kept = columns[name].type
            if isinstance(kept, String) and kept.length is not None:
                value = value[: kept.length]
        fitted[name] = value
    return fitted


async def store(connection: AsyncConnection, entries: Sequence[Entry], again: bool = False) -> None:
    """Write entries in one transaction, the later turn of the same number and speaker winning.

    `again` says that some of them may be in the database already, as after a commit whose answer was lost.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database refused.
    """
    rows: dict[Kind, dict[tuple[Any, ...], dict[str, Any]]] = {kind: {} for kind in MODELS}
    for kind, row in entries:
        keys = tuple(row[column.name] for column in _table(kind).primary_key.columns)
        rows[kind][keys] = {name: _value(kind, name, value) for name, value in row.items()}
    opened = list(rows["open"].values())
    if opened and again:
        known = set(
            (await connection.execute(select(Call.id).where(Call.id.in_([row["id"] for row in opened])))).scalars()
        )
        opened = [row for row in opened if row["id"] not in known]
    if opened:
        await connection.execute(insert(Call), opened)
    for kind in ("turn", "event", "action"):
        if not (new := rows[kind]):
            continue
        table = _table(kind)
        keys_of = list(table.primary_key.columns)
        if again or kind == "turn":
            same = and_(*(column == bindparam(f"key_{column.name}") for column in keys_of))
            await connection.execute(
                delete(table).where(same),
                [{f"key_{column.name}": value for column, value in zip(keys_of, key, strict=True)} for key in new],
            )
        await connection.execute(insert(table), list(new.values()))
    for row in rows["finish"].values():
        values = {name: value for name, value in row.items() if name != "id"}
        await connection.execute(update(Call).where(Call.id == row["id"]).values(values))


def _table(kind: Kind) -> Table:
    table = MODELS[kind].__table__
    assert isinstance(table, Table)
    return table


def _value(kind: Kind, name: str, value: Any) -> Any:
    if value is not None and isinstance(_table(kind).columns[name].type, UtcDateTime):
        return datetime.fromisoformat(value)
    return value
