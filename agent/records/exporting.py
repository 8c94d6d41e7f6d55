"""Exports a call, or all calls of a caller, with private words taken out of the text and out of the sound."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from agent.clock import Clock
from agent.records.audit import AuditTrail, caller_mark
from agent.records.database import Database, OpenDialogue
from agent.records.muting import Span, spans_of_call, write_muted
from agent.records.queries import Row, load_call, transcript, write_transcript
from agent.records.redaction import redact_json
from agent.records.related import calls_from, forms_of, number_of, tables_of

INDEX = "index.json"
_SKIPPED = ("call_id",)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written below `folder`; silent: calls that are to have a recording of which no file was found."""

    folder: Path
    calls: tuple[str, ...]
    files: tuple[str, ...]
    missing: tuple[str, ...]


class Exporter:
    """Exports from a database and a folder of recordings. `unmuted` leaves the sound as it is; the trail says so."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        clock: Clock,
        trail: AuditTrail,
        unmuted: bool = False,
        only_here: bool = False,
    ) -> None:
        """`only_here`: recordings are looked for in `folder` alone, not where they were written."""
        self._database = database
        self._folder = folder
        self._clock = clock
        self._trail = trail
        self._unmuted = unmuted
        self._only_here = only_here

    async def export_call(self, call_id: str, target: Path, who: str) -> dict[str, str]:
        """Write a call below `target`/`call_id`: call.json and, if kept, call.wav; the paths by `json`, `recording`.

        Raises:
            CallNotFound: no such call.
            sqlalchemy.exc.SQLAlchemyError, OSError, ValueError: it cannot be read or written, or noted in the trail.
        """
        loaded = await load_call(self._database, call_id)
        await self._trail.append(who, "exported", call_id, {"muted": not self._unmuted})
        return await self._write(loaded, target / call_id)

    async def export_caller(self, caller: str, target: Path, who: str) -> Exported:
        """Write all calls of a caller below `target`: a folder a call, and `index.json` that lists them with checksums.

        A call's `call.json` has what `agent records export` gives, and under `other` what other parts keep of it. The
        folder is for its owner's eyes only (mode 0700).

        Raises:
            ValueError: no caller is given, or `target` is there and not empty.
            sqlalchemy.exc.SQLAlchemyError, OSError: something cannot be read or written, or noted in the trail.
        """
        mark = caller_mark(number_of(caller))
        await asyncio.to_thread(_fresh, target)
        async with self._database.engine.connect() as connection:
            ids = await calls_from(connection, await tables_of(connection), caller)
            here = set((await connection.execute(select(OpenDialogue.domain).where(
                OpenDialogue.caller.in_(forms_of(caller))
            ))).scalars())  # fmt: skip
        await self._trail.append(who, "exported", mark, {"calls": len(ids), "muted": not self._unmuted})
        listed: list[Row] = []
        missing: list[str] = []
        for call_id in ids:
            try:
                loaded = await load_call(self._database, call_id)
            except LookupError:  # only a handoff has it
                continue
            written = await self._write(loaded, target / call_id, await self._other(call_id))
            if loaded["call"]["recording"] is not None and "recording" not in written:
                missing.append(call_id)
            files = [await asyncio.to_thread(_described, Path(path), target) for path in written.values()]
            listed.append({"call": call_id, "opened_at": loaded["call"]["opened_at"], "files": files})
        index = {
            "version": 1,
            "caller": number_of(caller),
            "exported_at": self._clock.wall().isoformat(),
            "muted": not self._unmuted,
            "calls": listed,
            "recordings_missing": missing,
            "left_open_in": sorted(here),
        }
        await asyncio.to_thread(write_transcript, target / INDEX, index)
        names = [file["name"] for one in listed for file in one["files"]]
        return Exported(target, tuple(one["call"] for one in listed), (INDEX, *names), tuple(missing))

    async def _write(
        self, loaded: Row, folder: Path, other: Mapping[str, Sequence[Row]] | None = None
    ) -> dict[str, str]:
        document = transcript(loaded, {})
        document["events"] = [{n: v for n, v in event.items() if n not in _SKIPPED} for event in loaded["events"]]
        if other:
            document["other"] = other
        recording = recording_of(loaded["call"], self._folder, self._only_here)
        spans = () if self._unmuted else call_spans(loaded)
        return await asyncio.to_thread(_export, document, recording, spans, folder)

    async def _other(self, call_id: str) -> dict[str, list[Row]]:
        """Rows of other parts' tables about a call, redacted."""
        found: dict[str, list[Row]] = {}
        async with self._database.engine.connect() as connection:
            tables = await tables_of(connection)
            for table in tables.by_call:
                if table not in tables.extra:
                    continue
                rows = (await connection.execute(select(table).where(table.c.call_id == call_id))).mappings().all()
                if rows:
                    found[table.name] = [
                        redact_json({name: value for name, value in row.items() if name not in _SKIPPED})
                        for row in rows
                    ]
        return found


def call_spans(loaded: Mapping[str, Any]) -> tuple[Span, ...]:
    """What is not to be heard of a call as `load_call` gives it."""
    return spans_of_call(loaded["turns"], loaded["events"], loaded["call"]["duration_ms"])


def recording_of(call: Mapping[str, Any], folder: Path, only_here: bool = False) -> Path | None:
    """The recording of a call's row: where it was written, or in `folder`, where recordings lie now. None: not kept.

    The file of a call that goes on is in `folder` under its id.
    """
    name = call["recording"]
    if name is None and call["finished_at"] is not None:
        return None
    paths = (
        [folder / f"{call['id']}.wav"]
        if name is None
        else [folder / Path(name).name, *([] if only_here else [Path(name)])]
    )
    return next((path for path in paths if path.is_file()), None)


def _export(document: Row, recording: Path | None, spans: Sequence[Span], folder: Path) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    written = {"json": str(folder / "call.json")}
    if recording is not None:
        write_muted(recording, spans, folder / "call.wav")
        written["recording"] = str(folder / "call.wav")
    write_transcript(folder / "call.json", document)
    return written


def _fresh(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already and not empty; give --to another folder")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def _described(path: Path, below: Path) -> Row:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return {"name": str(path.relative_to(below)), "bytes": path.stat().st_size, "sha256": digest.hexdigest()}
