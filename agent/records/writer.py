"""Takes calls as they happen and writes them to the database, grouped, without ever holding a call up."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from agent.clock import Clock
from agent.records.contracts import ActionRecord, CallFinished, CallOpened, Recording, TurnRecord
from agent.records.database import Database
from agent.records.muting import silence_secrets
from agent.records.queries import list_handoffs, transcript, write_transcript
from agent.records.recording import StereoRecording
from agent.records.recovery import OwnerLock, recover
from agent.records.redaction import redact_json
from agent.records.rows import MODELS, fit, store
from agent.records.spill import Entry, Kind, Spill

log = logging.getLogger(__name__)

QUEUE = 1000
"""Rows of one call waiting for the writer; beyond it the oldest event goes. A call makes a few rows a second."""
LINGER_MS = 100.0
"""Rows of all calls that come within this time share a commit; a flush does not wait for it."""
FIRST_RETRY_MS, LAST_RETRY_MS = 500.0, 30_000.0
COMMIT_S = 10.0
"""A commit slower than this counts as failed; SQLite waits 5 s for another writer."""
FLUSH_S = 15.0
"""A call does not wait longer for its rows, whatever the disk does."""
_CALL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class SqlRecords:
    """Records kept in a SQL database, recordings and transcripts in a folder; see `agent.records.contracts.Records`.

    One task writes for all calls. A row that the database refuses goes to a spill file beside the recordings and is
    tried again, 0.5 s to 30 s apart, and at the next start. Use it as an async context manager: entering finishes
    what a dead run left open, leaving finishes calls that are still open as failed / server_stopped.
    """

    def __init__(
        self, database: Database, folder: Path, clock: Clock, record_audio: bool = True, queue: int = QUEUE
    ) -> None:
        self.database = database
        self.folder = folder
        self.clock = clock
        self.queue = queue
        self.counters: Counter[str] = Counter()
        """commits, failed_commits, spilled_rows, dropped_events, failed_recordings, failed_transcripts."""
        self._record_audio = record_audio
        self._lock: OwnerLock | None = None
        self._calls: dict[str, SqlCallRecord] = {}
        self._wake, self._urgent = asyncio.Event(), asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._stopping = False

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, folder: Path, clock: Clock, record_audio: bool = True) -> AsyncIterator[SqlRecords]:
        """Open the database at `url` (migrating it) and keep recordings in `folder`.

        Raises:
            DatabaseError, SQLAlchemyError, OSError: the database or the folder cannot be used.
        """
        async with Database.open(url) as database, cls(database, folder, clock, record_audio) as records:
            yield records

    async def __aenter__(self) -> Self:
        self._lock = await asyncio.to_thread(OwnerLock, self.folder, secrets.token_hex(8))
        try:
            await recover(self.database, self.folder, self._lock, self.clock.wall())
        except BaseException:
            self._lock.release()
            raise
        self._writer = asyncio.create_task(self._write(), name="records-writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._lock is not None
        assert self._writer is not None
        stopped = CallFinished("failed", "server_stopped", 0.0)
        await asyncio.gather(*(call.finish(stopped) for call in list(self._calls.values())))
        self._stopping = True
        self.wake(urgent=True)
        await self._writer
        await self._settle(last=True)
        for call in self._calls.values():
            if lost := call.take():
                log.critical("%d rows of call %s are lost: no disk took them", len(lost), call.call_id)
        self._lock.release()

    async def open_call(self, call: CallOpened) -> SqlCallRecord:
        """Begin the record of a call; a recording that cannot be created is logged and left out.

        Raises:
            ValueError: the call id is used already, or cannot name a file.
        """
        assert self._lock is not None, "enter SqlRecords with `async with` first"
        if not _CALL_ID.fullmatch(call.call_id) or call.call_id in self._calls:
            raise ValueError(
                f"call_id {call.call_id!r} is in use or no plain name; use up to 64 of letters, digits, '_', '.', '-'"
            )
        recording: StereoRecording | None = None
        if self._record_audio:
            try:
                recording = await asyncio.to_thread(StereoRecording, self.folder / f"{call.call_id}.wav")
            except OSError as error:
                self.counters["failed_recordings"] += 1
                log.error("call %s is not recorded: %s; free or repair the disk", call.call_id, error)
        record = SqlCallRecord(self, call, recording, self._lock.owner)
        self._calls[call.call_id] = record
        self.wake()
        return record

    def wake(self, urgent: bool = False) -> None:
        """Tell the writer that rows wait; `urgent` ones do not wait for others."""
        self._wake.set()
        if urgent:
            self._urgent.set()

    def forget(self, call: SqlCallRecord) -> None:
        """Drop a call that is finished and written."""
        if call.done:
            self._calls.pop(call.call_id, None)

    async def _write(self) -> None:
        while not self._stopping:
            retries = [call.retry_at for call in self._calls.values() if call.waits]
            await self._until(self._wake, min(retries, default=None))
            await self._until(self._urgent, self.clock.now_ms() + LINGER_MS)
            self._wake.clear()
            self._urgent.clear()
            await self._settle()

    async def _until(self, event: asyncio.Event, at_ms: float | None) -> None:
        """Wait for `event`, no longer than `at_ms`."""
        waits: list[Awaitable[object]] = [event.wait()]
        if at_ms is not None:
            waits.append(self.clock.sleep_until(at_ms))
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _settle(self, last: bool = False) -> None:
        """Commit what waits, or put it into spill files; `last` tries everything once more."""
        now = self.clock.now_ms()
        fresh: dict[SqlCallRecord, list[Entry]] = {}
        for call in list(self._calls.values()):
            if not call.spill.size and (last or now >= call.retry_at) and (entries := call.take()):
                fresh[call] = entries
        if fresh:
            await self._commit_group(fresh)
        for call in list(self._calls.values()):
            if call.spill.size and (last or now >= call.retry_at):
                await self._commit_spilled(call)
            elif call.spill.size and (entries := call.take()):
                await self._spill(call, entries)
            self.forget(call)

    async def _commit_group(self, group: Mapping[SqlCallRecord, list[Entry]]) -> None:
        try:
            await self._commit([entry for entries in group.values() for entry in entries])
        except Exception as error:  # whatever it is, the rows are kept
            whole = isinstance(error, OperationalError | InterfaceError | OSError) or len(group) == 1
            for call, entries in group.items():
                if whole:
                    await self._failed(call, entries, error)
                else:  # one call's rows are bad: the others must not suffer
                    await self._commit_group({call: entries})
        else:
            for call, entries in group.items():
                call.settled(len(entries))

    async def _commit_spilled(self, call: SqlCallRecord) -> None:
        entries = call.take()
        try:
            await self._commit([*await asyncio.to_thread(call.spill.read), *entries], again=True)
            await asyncio.to_thread(call.spill.clear)
        except Exception as error:  # whatever it is, the rows are kept
            await self._failed(call, entries, error)
        else:
            call.retry_ms = FIRST_RETRY_MS
            call.settled(len(entries))

    async def _commit(self, entries: Sequence[Entry], again: bool = False) -> None:
        async with asyncio.timeout(COMMIT_S), self.database.engine.begin() as connection:
            await store(connection, entries, again)
        self.counters["commits"] += 1

    async def _failed(self, call: SqlCallRecord, entries: Sequence[Entry], error: Exception) -> None:
        self.counters["failed_commits"] += 1
        log.error(
            "records of call %s could not be committed: %s: %s; rows are kept in %s and tried again",
            *(call.call_id, type(error).__name__, str(error).partition("\n")[0], call.spill.path),
        )
        call.retry_at = self.clock.now_ms() + call.retry_ms
        call.retry_ms = min(call.retry_ms * 2, LAST_RETRY_MS)
        if entries:
            await self._spill(call, entries)

    async def _spill(self, call: SqlCallRecord, entries: Sequence[Entry]) -> None:
        try:
            left_out = await asyncio.to_thread(call.spill.append, entries)
        except OSError as error:
            log.error("rows of call %s stay in memory: %s; free or repair the disk", call.call_id, error)
            call.put_back(entries)
            return
        self.counters["spilled_rows"] += len(entries) - left_out
        self.counters["dropped_events"] += left_out
        call.settled(len(entries))


class SqlCallRecord:
    """The open record of one call; see `agent.records.contracts.CallRecord`.

    Turns and actions are also kept in memory until the end, so that the transcript needs no database: about 1 kB each.
    """

    def __init__(self, records: SqlRecords, call: CallOpened, recording: StereoRecording | None, owner: str) -> None:
        self.call_id = call.call_id
        self.recording: Recording | None = recording
        self._stereo = recording
        self.spill = Spill(records.folder, call.call_id, owner)
        self.retry_at = 0.0
        self.retry_ms = FIRST_RETRY_MS
        self._records = records
        self._row = self._opened(call, owner)
        self._queue: deque[Entry] = deque()
        self._events_queued = 0
        self._sequence = 0
        self._turns: dict[tuple[int, str], dict[str, Any]] = {}
        self._actions: list[dict[str, Any]] = []
        self._event_kinds: Counter[str] = Counter()
        self._dropped_events = 0
        self._count_queued = self._count_settled = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._finishing: asyncio.Task[Mapping[str, str]] | None = None
        self._put("open", self._row)

    @property
    def waits(self) -> bool:
        """Whether rows wait for the writer, in memory or in the spill file."""
        return bool(self._queue) or self.spill.size > 0

    @property
    def done(self) -> bool:
        """Whether the call is finished and everything is in the database."""
        finished = self._finishing is not None and self._finishing.done()
        return finished and not self.waits

    def event(self, kind: str, at_ms: float, data: Mapping[str, Any] | None = None) -> None:
        """Something that happened; keys pressed are masked, since single digits add up to a card number."""
        plain = redact_json(data or {})
        if kind.startswith("dtmf"):
            plain = {name: "[key]" if isinstance(value, str | int) else value for name, value in plain.items()}
        self._sequence += 1
        row = {"call_id": self.call_id, "sequence": self._sequence, "kind": kind, "at_ms": at_ms, "data": plain}
        self._put("event", row)

    def turn(self, turn: TurnRecord) -> None:
        """A turn is complete; the same number and speaker again replaces it."""
        row = {"call_id": self.call_id} | redact_json(asdict(turn))
        self._turns[turn.number, turn.speaker] = row
        self._put("turn", row)

    def action(self, action: ActionRecord) -> None:
        """An action ran."""
        self._sequence += 1
        row = {"call_id": self.call_id, "sequence": self._sequence} | redact_json(asdict(action))
        self._actions.append(row)
        self._put("action", row)

    async def flush(self) -> None:
        """Wait until everything queued so far is committed or, where the database fails, in the spill file.

        Gives up after `FLUSH_S` with an error in the log.
        """
        if self._count_settled >= self._count_queued:
            return
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._count_queued, settled))
        self._records.wake(urgent=True)
        try:
            async with asyncio.timeout(FLUSH_S):
                await settled
        except TimeoutError:
            log.error("records of call %s are still unwritten after %g s", self.call_id, FLUSH_S)

    async def finish(self, end: CallFinished) -> Mapping[str, str]:
        """Close the record and the recording; returns the paths left behind, by `recording` and `transcript`.

        A second call gives the first one's result. Cancelling the caller does not stop it: `SqlRecords` awaits it.
        """
        if self._finishing is None:
            self._finishing = asyncio.create_task(self._finish(end), name=f"records-finish-{self.call_id}")
            self._finishing.add_done_callback(lambda _: self._records.forget(self))
        return await asyncio.shield(self._finishing)

    def take(self) -> list[Entry]:
        """Hand all waiting rows to the writer."""
        entries = list(self._queue)
        self._queue.clear()
        self._events_queued = 0
        return entries

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Take back rows that could not be written; the queue's bound holds for them too."""
        self._queue.extendleft(reversed(entries))
        self._events_queued = sum(kind == "event" for kind, _ in self._queue)
        while len(self._queue) > self._records.queue and self._events_queued:
            self._drop_oldest_event()

    def settled(self, count: int) -> None:
        """The first `count` rows handed over are safe."""
        self._count_settled += count
        ready = [future for upto, future in self._waiting if upto <= self._count_settled]
        self._waiting = [(upto, future) for upto, future in self._waiting if upto > self._count_settled]
        for future in ready:
            if not future.done():
                future.set_result(None)

    def _put(self, kind: Kind, row: dict[str, Any]) -> None:
        if kind == "event":
            self._event_kinds[row["kind"]] += 1
            self._events_queued += 1
        self._queue.append((kind, fit(MODELS[kind], row)))
        self._count_queued += 1
        if len(self._queue) > self._records.queue and self._events_queued:
            self._drop_oldest_event()
        self._records.wake()

    def _drop_oldest_event(self) -> None:
        oldest = next(index for index, (kind, _) in enumerate(self._queue) if kind == "event")
        del self._queue[oldest]
        self._events_queued -= 1
        self._dropped_events += 1
        self._records.counters["dropped_events"] += 1
        self.settled(1)

    async def _finish(self, end: CallFinished) -> Mapping[str, str]:
        left: dict[str, str] = {}
        counters = dict(end.counters)
        if self._stereo is not None:
            await asyncio.to_thread(self._stereo.close)
            left["recording"] = str(self._stereo.path)
            try:
                await asyncio.to_thread(silence_secrets, self._stereo.path, list(self._turns.values()))
            except (OSError, ValueError) as error:
                self._records.counters["failed_recordings"] += 1
                log.error(
                    "the recording %s may still hold secrets: %s; remove it, or free the disk", self._stereo.path, error
                )
            if self._stereo.error is not None:
                self._records.counters["failed_recordings"] += 1
            if self._stereo.lost_samples:
                counters["recording_lost_samples"] = self._stereo.lost_samples
        if self._dropped_events:
            counters["dropped_events"] = self._dropped_events
        closing = {
            "finished_at": self._records.clock.wall().isoformat(),
            "outcome": end.outcome,
            "reason": end.reason,
            "duration_ms": end.duration_ms,
            "counters": counters,
            "recording": left.get("recording"),
        }
        path = self._records.folder / f"{self.call_id}.json"
        try:
            document = await self._transcript(closing)
            await asyncio.to_thread(write_transcript, path, document)
            left["transcript"] = str(path)
        except OSError as error:
            self._records.counters["failed_transcripts"] += 1
            log.error("no transcript of call %s: %s; free or repair the disk", self.call_id, error)
        self._put("finish", {"id": self.call_id} | closing | {"transcript": left.get("transcript")})
        self._turns.clear()
        self._actions.clear()
        await self.flush()
        return left

    async def _transcript(self, closing: Mapping[str, Any]) -> dict[str, Any]:
        try:
            handoffs = await list_handoffs(self._records.database, call_id=self.call_id)
        except (SQLAlchemyError, OSError) as error:
            log.error("the transcript of call %s lacks its handoffs: %s", self.call_id, type(error).__name__)
            handoffs = []
        return transcript(
            {
                "call": self._row | dict(closing),
                "turns": [self._turns[key] for key in sorted(self._turns, key=self._order)],
                "actions": self._actions,
                "handoffs": handoffs,
            },
            self._event_kinds,
        )

    def _order(self, key: tuple[int, str]) -> tuple[int, float]:
        return key[0], self._turns[key]["started_ms"]

    def _opened(self, call: CallOpened, owner: str) -> dict[str, Any]:
        return {
            "id": call.call_id,
            "owner": owner,
            "gateway": call.gateway,
            "gateway_call_id": call.gateway_call_id,
            "domain": call.domain,
            "caller": call.caller,
            "called": call.called,
            "parameters": redact_json(call.parameters),
            "models": dict(call.models),
            "opened_at": self._records.clock.wall().isoformat(),
        }
