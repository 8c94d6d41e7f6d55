"""Which tables hold something of a call, found by their columns: erasing and export must miss none, whoever made it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, MetaData, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

AUDIT = "audit_trail"
"""Never erased: its rows name calls and people who work here, not callers."""
CORE = ("calls", "turns", "events", "actions", "handoffs", "handoff_steps", "labels", "open_dialogues")
_NUMBER = re.compile(r"(?:tel:|sip:)?(\+|00)?([\d\s().-]{5,30})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a database by what ties them to a call: its id, a handoff's id, a caller's number."""

    by_call: Sequence[Table]
    by_handoff: Sequence[Table]
    by_caller: Sequence[Table]
    calls: Table
    handoffs: Table

    @property
    def extra(self) -> list[Table]:
        """Tables of a call that `agent.records.queries.load_call` does not read."""
        return [table for table in (*self.by_call, *self.by_handoff) if table.name not in CORE]


async def tables_of(connection: AsyncConnection) -> Tables:
    """Look at the tables of a database."""
    return await connection.run_sync(_tables)


def forms_of(caller: str) -> list[str]:
    """How a caller's number may be written in the records: as given, and with and without `+` and `00`.

    Raises:
        ValueError: nothing is given.
    """
    bare = caller.strip()
    if not bare:
        raise ValueError("no caller given; give the number as the records have it, as +12065550142")
    forms = [bare]
    number = _NUMBER.fullmatch(bare)
    if number is not None:
        digits = re.sub(r"\D", "", number[2])
        forms += [f"+{digits}", digits, f"00{digits}", f"tel:+{digits}"]
    return list(dict.fromkeys(forms))


def number_of(caller: str) -> str:
    """One way to write a caller's number, whichever of `forms_of` was given.

    Raises:
        ValueError: nothing is given.
    """
    return next((form for form in forms_of(caller) if re.fullmatch(r"\+\d+", form)), caller.strip())


async def calls_from(connection: AsyncConnection, tables: Tables, caller: str) -> list[str]:
    """The ids of all calls of a caller, the oldest first; also those of which only another table has the number."""
    forms = forms_of(caller)
    query = select(tables.calls.c.id).where(tables.calls.c.caller.in_(forms))
    ids = list((await connection.execute(query.order_by(tables.calls.c.opened_at, tables.calls.c.id))).scalars())
    for table in tables.by_caller:
        if table.name != "calls" and "call_id" in table.c:
            found = await connection.execute(select(table.c.call_id).where(table.c.caller.in_(forms)).distinct())
            ids += [one for one in found.scalars() if one is not None]
    return list(dict.fromkeys(ids))


def _tables(connection: Connection) -> Tables:
    metadata = MetaData()
    metadata.reflect(connection)
    tables = [table for table in reversed(metadata.sorted_tables) if table.name != AUDIT]
    return Tables(
        [table for table in tables if "call_id" in table.c],
        [table for table in tables if "handoff_id" in table.c and "call_id" not in table.c],
        [table for table in tables if "caller" in table.c],
        metadata.tables["calls"],
        metadata.tables["handoffs"],
    )
