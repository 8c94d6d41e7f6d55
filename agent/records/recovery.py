"""Finishes what a run that died left open."""

from __future__ import annotations

import asyncio
import fcntl
import logging
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from agent.records.database import Call, Database
from agent.records.muting import silence_secrets
from agent.records.queries import load_call, transcript, write_transcript
from agent.records.rows import store
from agent.records.spill import Spill, read_spill

log = logging.getLogger(__name__)

ABANDONED = timedelta(hours=6)
"""A call that nobody here can tell the owner of is given up after this; the longest call lasts one hour."""


class OwnerLock:
    """A locked file that shows, while it is locked, that the run named `owner` lives; the system frees it at death.

    `living` and `dead` are the other runs that used the folder.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        """Lock, and look at the locks of others; blocks on the disk.

        Raises:
            OSError: the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.owner = owner
        self.living: set[str] = set()
        self.dead: set[str] = set()
        self._folder = folder
        self._file = self._path(owner).open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in folder.glob(".run-*.lock"):
            other = path.name.removeprefix(".run-").removesuffix(".lock")
            if other != owner:
                (self.living if _locked(path) else self.dead).add(other)

    def forget_dead(self) -> None:
        """Remove the files of dead runs, once their calls are finished."""
        for owner in self.dead:
            self._path(owner).unlink(missing_ok=True)

    def release(self) -> None:
        """Give up the lock."""
        self._path(self.owner).unlink(missing_ok=True)
        self._file.close()

    def _path(self, owner: str) -> Path:
        return self._folder / f".run-{owner}.lock"


async def recover(database: Database, folder: Path, lock: OwnerLock, now: datetime) -> list[str]:
    """Bring in spill files and mark open calls of dead runs as failed / aborted, with a transcript; returns their ids.

    Calls of living runs are left alone, also where several servers share the database.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be used.
    """
    for path, owner in await asyncio.to_thread(Spill.found, folder):
        if owner not in lock.living:
            await _bring_in(database, path)
    open_calls = select(Call.id, Call.owner, Call.opened_at).where(Call.finished_at.is_(None))
    async with database.engine.connect() as connection:
        found = (await connection.execute(open_calls)).all()
    aborted = [
        call_id
        for call_id, owner, opened_at in found
        if owner in lock.dead or (owner not in lock.living and opened_at < now - ABANDONED)
    ]
    for call_id in aborted:
        await _abort(database, folder, call_id, now)
    await asyncio.to_thread(lock.forget_dead)
    return aborted


async def _bring_in(database: Database, path: Path) -> None:
    try:
        entries = await asyncio.to_thread(read_spill, path)
        async with database.engine.begin() as connection:
            await store(connection, entries, again=True)
        await asyncio.to_thread(path.unlink)
    except (SQLAlchemyError, OSError) as error:
        log.error("rows in %s could not be brought in: %s; they stay there for the next start", path, error)


async def _abort(database: Database, folder: Path, call_id: str, now: datetime) -> None:
    loaded = await load_call(database, call_id)
    times = [turn["ended_ms"] for turn in loaded["turns"]] + [event["at_ms"] for event in loaded["events"]]
    recording, path = folder / f"{call_id}.wav", folder / f"{call_id}.json"
    closing: dict[str, Any] = {
        "outcome": "failed",
        "reason": "aborted",
        "duration_ms": max(times, default=0.0),
        "counters": {},
        "recording": str(recording) if recording.exists() else None,
    }
    if recording.exists():
        try:
            await asyncio.to_thread(silence_secrets, recording, loaded["turns"])
        except (OSError, ValueError) as error:
            log.error("the recording %s may still hold secrets: %s; remove it, or free the disk", recording, error)
    loaded["call"] |= closing | {"finished_at": now.isoformat()}
    document = transcript(loaded, Counter(event["kind"] for event in loaded["events"]))
    written: str | None = str(path)
    try:
        await asyncio.to_thread(write_transcript, path, document)
    except OSError as error:
        written = None
        log.error("no transcript of call %s: %s; free or repair the disk", call_id, error)
    values = closing | {"finished_at": now, "transcript": written}
    async with database.engine.begin() as connection:
        await connection.execute(update(Call).where(Call.id == call_id).values(values))
    log.warning("call %s was left open by a run that died; marked failed / aborted", call_id)


def _locked(path: Path) -> bool:
    """Whether a living process holds the lock on `path`."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
