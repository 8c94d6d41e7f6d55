"""Erases a caller: recordings, words, labels and whatever else hangs on their calls; says which copies remain."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.clock import Clock
from agent.records.audit import AuditTrail, caller_mark
from agent.records.database import Database
from agent.records.related import Tables, calls_from, forms_of, number_of, tables_of
from agent.records.spill import SUFFIX

BATCH = 100
"""Calls erased in one transaction: the server's writer waits no longer than that takes."""
LEDGER = "erasures.jsonl"
"""Beside the recordings: the ids of erased calls, so that a restored backup can be erased again."""
MOST_FILES = 200_000
"""Files looked at in one folder of backups."""
COPIES = (".db", ".sqlite", ".sqlite3", ".sql", ".dump", ".bak", ".gz", ".xz", ".zst", ".bz2", ".tar", ".tgz", ".zip")
"""How files end that may be backups."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A file elsewhere that has, or may have, what was erased."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased, or with a dry run would be. rows: by table; open: calls that go on and were left alone.

    copies: what remains elsewhere, for somebody to see to. remarks: what else there is to know.
    """

    calls: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    copies: tuple[Copy, ...] = ()
    remarks: tuple[str, ...] = ()


class Eraser:
    """Erases calls from one database and one folder of recordings."""

    def __init__(
        self, database: Database, folder: Path, clock: Clock, trail: AuditTrail, backups: Sequence[Path] = ()
    ) -> None:
        """`backups`: folders that are searched for copies; nothing in them is changed."""
        self._database = database
        self._folder = folder
        self._clock = clock
        self._trail = trail
        self._backups = backups

    async def erase_caller(self, caller: str, who: str, dry_run: bool = False) -> Erased:
        """Erase all finished calls of a caller. Files go before their rows: where it stops half-way, do it again.

        The trail tells of it before and after, by a mark that stands for the number.

        Raises:
            ValueError: no caller is given.
            sqlalchemy.exc.SQLAlchemyError, OSError: something could not be erased; the rest may be.
        """
        mark = caller_mark(number_of(caller))
        async with self._database.engine.connect() as connection:
            tables = await tables_of(connection)
            ids = await calls_from(connection, tables, caller)
            open_ids, oldest = await self._open(connection, tables, ids)
        ids = [one for one in ids if one not in open_ids]
        if dry_run:
            return await self._dry(tables, ids, open_ids, caller, oldest)
        await self._trail.append(who, "erasing_begun", mark, {"calls": len(ids), "open": len(open_ids)})
        rows, files = await self._erase(tables, ids, caller, mark)
        remarks = await self.wipe()
        counts = {"calls": len(ids), "rows": sum(rows.values()), "files": len(files), "open": len(open_ids)}
        await self._trail.append(who, "erased", mark, counts)
        copies = await asyncio.to_thread(copies_of, self._backups, ids, oldest)
        return Erased(tuple(ids), tuple(open_ids), dict(rows), tuple(files), tuple(copies), tuple(remarks))

    async def erase_again(self, who: str, dry_run: bool = False) -> Erased:
        """Erase once more what was erased before and is here again, as after a backup was restored.

        Raises:
            OSError, ValueError: the list of erased calls cannot be read.
            sqlalchemy.exc.SQLAlchemyError: as `erase_caller`.
        """
        known = await asyncio.to_thread(_read_ledger, self._folder / LEDGER)
        async with self._database.engine.connect() as connection:
            tables = await tables_of(connection)
            here: list[str] = []
            for some in _batches(known):
                here += (
                    await connection.execute(select(tables.calls.c.id).where(tables.calls.c.id.in_(some)))
                ).scalars()
        files = [one for one in known if one not in here and _files(self._folder, one, None)]
        ids = here + files
        if dry_run:
            return Erased(tuple(ids), remarks=("nothing was erased",))
        if not ids:
            return Erased()
        await self._trail.append(who, "erasing_begun", "again", {"calls": len(ids)})
        rows, gone = await self._erase(tables, ids, None, None)
        remarks = await self.wipe()
        await self._trail.append(who, "erased", "again", {"calls": len(ids), "rows": sum(rows.values())})
        return Erased(tuple(ids), (), dict(rows), tuple(gone), (), tuple(remarks))

    async def erase_calls(self, ids: Sequence[str]) -> tuple[Counter[str], list[str]]:
        """Erase these calls, as retention does: rows by table, and files. Tells the trail nothing.

        Raises:
            sqlalchemy.exc.SQLAlchemyError, OSError: something could not be erased; the rest may be.
        """
        async with self._database.engine.connect() as connection:
            tables = await tables_of(connection)
        return await self._erase(tables, ids, None, None)

    async def _open(
        self, connection: AsyncConnection, tables: Tables, ids: Sequence[str]
    ) -> tuple[list[str], datetime | None]:
        """Those that go on, and when the first of all began."""
        going: list[str] = []
        times: list[datetime] = []
        for some in _batches(ids):
            columns = tables.calls.c
            query = select(columns.id, columns.opened_at, columns.finished_at).where(columns.id.in_(some))
            for row in (await connection.execute(query)).all():
                times.append(row.opened_at)
                if row.finished_at is None:
                    going.append(row.id)
        return going, min(times, default=None)

    async def _dry(
        self, tables: Tables, ids: Sequence[str], open_ids: Sequence[str], caller: str, oldest: datetime | None
    ) -> Erased:
        rows: Counter[str] = Counter()
        files: list[str] = []
        async with self._database.engine.connect() as connection:
            transaction = await connection.begin()
            for some in _batches(ids) or [[]]:
                files += await self._paths(connection, tables, some)
                rows += await _delete(connection, tables, some)
            rows += await _delete_caller(connection, tables, caller, open_ids)
            await transaction.rollback()
        copies = await asyncio.to_thread(copies_of, self._backups, ids, oldest)
        return Erased(tuple(ids), tuple(open_ids), dict(rows), tuple(files), tuple(copies), ("nothing was erased",))

    async def _erase(
        self, tables: Tables, ids: Sequence[str], caller: str | None, mark: str | None
    ) -> tuple[Counter[str], list[str]]:
        rows: Counter[str] = Counter()
        files: list[str] = []
        for some in _batches(ids):
            if mark is not None:
                await asyncio.to_thread(self._write_down, some, mark)
            async with self._database.engine.connect() as connection:
                paths = await self._paths(connection, tables, some)
            await asyncio.to_thread(unlink, paths)
            files += paths
            async with self._database.engine.begin() as connection:
                await secure(connection)
                rows += await _delete(connection, tables, some)
        if caller is not None:
            async with self._database.engine.connect() as connection:
                still = await calls_from(connection, tables, caller)
            async with self._database.engine.begin() as connection:
                await secure(connection)
                rows += await _delete_caller(connection, tables, caller, still)
        return rows, files

    async def _paths(self, connection: AsyncConnection, tables: Tables, ids: Sequence[str]) -> list[str]:
        columns = tables.calls.c
        query = select(columns.id, columns.recording, columns.transcript).where(columns.id.in_(list(ids)))
        named = {row.id: [row.recording, row.transcript] for row in (await connection.execute(query)).all()}
        return await asyncio.to_thread(
            lambda: [path for one in ids for path in _files(self._folder, one, named.get(one))]
        )

    def _write_down(self, ids: Sequence[str], mark: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"at": self._clock.wall().isoformat(), "caller": mark, "calls": list(ids)})
        with (self._folder / LEDGER).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    async def wipe(self) -> list[str]:
        """Bring deletions from SQLite's log into its file, so that the old pages are gone from both."""
        if self._database.engine.dialect.name != "sqlite":
            return ["the database may keep deleted rows on disk until it reuses the space (PostgreSQL: VACUUM)"]
        try:
            async with self._database.engine.connect() as connection:
                outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
                busy = (await outside.execute(text("pragma wal_checkpoint(TRUNCATE)"))).first()
        except SQLAlchemyError as error:
            return [f"the database's log could not be emptied: {type(error).__name__}; restart the server to empty it"]
        if busy is not None and busy[0]:
            return ["the database's log is in use and still has old pages; they go when it is next emptied"]
        return []


def copies_of(folders: Iterable[Path], ids: Collection[str], since: datetime | None) -> list[Copy]:
    """Files below `folders` that are named after one of the calls, or may be backups made `since` the first of them."""
    wanted = set(ids)
    found: list[Copy] = []
    for folder in folders:
        if not folder.is_dir():
            found.append(Copy(str(folder), "is no folder that can be looked into; look for copies there yourself"))
            continue
        for count, path in enumerate(path for path in folder.rglob("*") if path.is_file()):
            if count >= MOST_FILES:
                found.append(Copy(str(folder), f"has more than {MOST_FILES} files; look at the rest yourself"))
                break
            if wanted & {path.stem, path.name.partition(".")[0], path.parent.name}:
                found.append(Copy(str(path), "is named after an erased call"))
            elif path.suffix.lower() in COPIES and wanted:
                changed = path.stat().st_mtime
                if since is None or changed >= since.timestamp():
                    found.append(Copy(str(path), "may be a backup made since their first call"))
    return found


async def delete_written(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Delete what people wrote of calls, and whatever else hangs on them but their own rows and scores."""
    tables = await tables_of(connection)
    handoffs = await _handoffs(connection, tables, tables.handoffs.c.call_id.in_(list(ids)))
    for table in tables.extra:
        mine = table.c.call_id.in_(list(ids)) if "call_id" in table.c else table.c.handoff_id.in_(handoffs)
        if not table.name.startswith("quality_"):
            await connection.execute(delete(table).where(mine))
        elif "note" in table.c:
            await connection.execute(update(table).where(mine).values(note=""))


async def _delete(connection: AsyncConnection, tables: Tables, ids: Sequence[str]) -> Counter[str]:
    """Delete the rows of calls, counted by table; those that hang on others first."""
    rows = await _delete_handoffs(connection, tables, tables.handoffs.c.call_id.in_(list(ids)))
    for table in tables.by_call:
        done = await connection.execute(delete(table).where(table.c.call_id.in_(list(ids))))
        rows[table.name] += done.rowcount
    done = await connection.execute(delete(tables.calls).where(tables.calls.c.id.in_(list(ids))))
    rows["calls"] += done.rowcount
    return +rows


async def _delete_caller(
    connection: AsyncConnection, tables: Tables, caller: str, keep: Collection[str]
) -> Counter[str]:
    """Delete what has the caller's number and is not of a call in `keep`."""
    forms, kept = forms_of(caller), list(keep)
    handoffs = tables.handoffs.c
    rows = await _delete_handoffs(connection, tables, and_(handoffs.caller.in_(forms), handoffs.call_id.not_in(kept)))
    for table in tables.by_caller:
        if table.name in ("calls", "handoffs"):
            continue
        mine: ColumnElement[bool] = table.c.caller.in_(forms)
        if "call_id" in table.c:
            mine &= table.c.call_id.not_in(kept) | table.c.call_id.is_(None)
        rows[table.name] += (await connection.execute(delete(table).where(mine))).rowcount
    return +rows


async def _delete_handoffs(connection: AsyncConnection, tables: Tables, which: ColumnElement[bool]) -> Counter[str]:
    rows: Counter[str] = Counter()
    for some in _batches(await _handoffs(connection, tables, which)):
        for table in tables.by_handoff:
            done = await connection.execute(delete(table).where(table.c.handoff_id.in_(some)))
            rows[table.name] += done.rowcount
        done = await connection.execute(delete(tables.handoffs).where(tables.handoffs.c.id.in_(some)))
        rows["handoffs"] += done.rowcount
    return rows


async def _handoffs(connection: AsyncConnection, tables: Tables, which: ColumnElement[bool]) -> list[str]:
    return list((await connection.execute(select(tables.handoffs.c.id).where(which))).scalars())


async def secure(connection: AsyncConnection) -> None:
    """Have SQLite overwrite what it deletes; otherwise the words stay in the file's free pages."""
    if connection.dialect.name == "sqlite":
        await connection.execute(text("pragma secure_delete = on"))


def _files(folder: Path, call_id: str, named: Sequence[str | None] | None) -> list[str]:
    """The files of a call that exist: where its row says, and where they are now."""
    paths = [Path(name) for name in named or () if name]
    paths += [folder / Path(name).name for name in named or () if name]
    paths += [folder / f"{call_id}{ending}" for ending in (".wav", ".json", ".json.part", ".wav.part")]
    paths += folder.glob(f"{call_id}.*{SUFFIX}")
    return [str(path) for path in dict.fromkeys(path.absolute() for path in paths) if path.is_file()]


def unlink(paths: Iterable[str]) -> None:
    """Remove files; those that are gone already do not matter."""
    for path in paths:
        Path(path).unlink(missing_ok=True)


def _read_ledger(path: Path) -> list[str]:
    known: dict[str, None] = {}
    if not path.exists():
        return []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            row: Any = json.loads(line)
            known |= dict.fromkeys(str(one) for one in row["calls"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number} cannot be read ({error}); repair or remove that line") from error
    return list(known)


def _batches(ids: Sequence[str]) -> list[list[str]]:
    return [list(ids[first : first + BATCH]) for first in range(0, len(ids), BATCH)]
