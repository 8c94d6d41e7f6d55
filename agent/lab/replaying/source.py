"""Recorded calls to replay: their audio, and what was written down about them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from agent.config import Settings
from agent.records.database import Database, DatabaseError
from agent.records.queries import TRANSCRIPT_VERSION, CallNotFound, list_calls, load_call
from audio.codec import Pcm16
from audio.resample import resample, to_pcm16
from audio.wav import read_wav

RATE = 8000
"""Hz of recordings, and of the line that replays them."""

Record = Mapping[str, Any]
"""A call as `agent.records.queries.load_call` gives it; `events` is None where only their counts were kept."""


class ReplayError(Exception):
    """A call cannot be replayed; the message says why and what to do."""


@dataclass(frozen=True)
class Source:
    """One recording, and the record of its call where there is one."""

    call_id: str
    recording: Path
    record: Record | None


@dataclass(frozen=True)
class CallerAudio:
    """The caller's channel, int16[n] at `RATE`; `agent` says whether the agent's channel has any sound."""

    samples: Pcm16
    agent: bool

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return len(self.samples) / RATE


async def find_sources(target: str, settings: Settings) -> list[Source]:
    """The calls that `target` names: a recording, a folder of recordings, or the id of a call in the records.

    A folder's recordings are its *.wav files and the call.wav files one level below, as `agent records export` writes
    them. The record of a recording is looked up in the database by the file's name, then in the .json file beside it.

    Raises:
        ReplayError: no such call, file or recording, or a record that cannot be read.
        DatabaseError, SQLAlchemyError, OSError: the database cannot be read.
    """
    path = Path(target)
    async with AsyncExitStack() as stack:
        database = await _database(settings, stack)
        if await asyncio.to_thread(path.is_dir):
            files = await asyncio.to_thread(lambda: sorted([*path.glob("*.wav"), *path.glob("*/call.wav")]))
            if not files:
                raise ReplayError(f"{path} has no recordings; give a folder with *.wav files, caller left, agent right")
            return [await _beside(file, database) for file in files]
        if path.suffix.lower() == ".wav":
            if not await asyncio.to_thread(path.is_file):
                raise ReplayError(f"there is no recording {path}; give the path of a stereo WAV file")
            return [await _beside(path, database)]
        if database is None:
            raise ReplayError(
                f"there is no call {target!r}: the records database {_shown(settings)} does not exist; give --config "
                "with the settings of the server that took the call, or the path of a recording"
            )
        return [await _by_id(target, database, settings)]


def read_caller(source: Source) -> CallerAudio:
    """The caller's side of a recording; blocks on the disk.

    Raises:
        ReplayError: the file cannot be read, is damaged or has not two channels.
    """
    try:
        wav = read_wav(source.recording)
    except (OSError, ValueError) as error:
        raise ReplayError(f"the recording cannot be read: {error}") from error
    if wav.channels != 2:
        raise ReplayError(
            f"{source.recording} has {wav.channels} channel{'s' if wav.channels != 1 else ''}; give a stereo recording "
            "with the caller on the left and the agent on the right"
        )
    caller = to_pcm16(wav.samples[:, 0] if wav.rate == RATE else resample(wav.samples[:, 0].copy(), wav.rate, RATE))
    if not len(caller) and (source.record is None or not source.record["turns"]):
        raise ReplayError(f"{source.recording} holds no audio; there is nothing to replay")
    return CallerAudio(caller, bool(wav.samples[:, 1].any()))


async def _database(settings: Settings, stack: AsyncExitStack) -> Database | None:
    """The records database; None where it is a SQLite file that is not there, which is then not created."""
    url = settings.records.database_url
    try:
        parsed = make_url(url)
    except ArgumentError:
        return await stack.enter_async_context(Database.open(url))
    if parsed.get_backend_name() == "sqlite" and not await asyncio.to_thread(Path(parsed.database or "").is_file):
        return None
    return await stack.enter_async_context(Database.open(url))


async def _by_id(call_id: str, database: Database, settings: Settings) -> Source:
    try:
        record = await load_call(database, call_id)
    except CallNotFound as error:
        latest = [row["id"] for row in await list_calls(database, 3)]
        known = f"the latest are {', '.join(latest)}" if latest else "it has none"
        raise ReplayError(
            f"there is no call {call_id!r} in {_shown(settings)} ({known}), and no file or folder of that name; "
            "see `agent records list`"
        ) from error
    named = record["call"]["recording"]
    if record["call"]["outcome"] is None:
        raise ReplayError(f"call {call_id} is still open; replay it when it is over")
    if named is None:
        raise ReplayError(f"no recording of call {call_id} was kept (records.record_audio was off, or the disk failed)")
    for path in (Path(named), settings.records.recordings / Path(named).name):
        if await asyncio.to_thread(path.is_file):
            return Source(call_id, path, record)
    raise ReplayError(
        f"the recording of call {call_id} is not at {named} any more; set records.recordings to the folder that has it"
    )


async def _beside(path: Path, database: Database | None) -> Source:
    call_id = path.parent.name if path.name == "call.wav" else path.stem
    if database is not None:
        try:
            return Source(call_id, path, await load_call(database, call_id))
        except CallNotFound:
            pass
    record = await asyncio.to_thread(_transcript, path.with_suffix(".json"))
    return Source(call_id, path, record)


def _transcript(path: Path) -> Record | None:
    """The record in a transcript or an exported call; None where there is no such file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ReplayError(f"{path} is no transcript that can be read: {error}; move it away or restore it") from error
    version = document.get("version") if isinstance(document, dict) else None
    if version != TRANSCRIPT_VERSION or not {"call", "turns", "actions", "handoffs"} <= set(document):
        raise ReplayError(
            f"{path} is no transcript of version {TRANSCRIPT_VERSION} (version: {version!r}); move it away, or export "
            "the call again with `agent records export`"
        )
    events = document.get("events")
    return {**document, "events": events if isinstance(events, list) else None}


def _shown(settings: Settings) -> str:
    try:
        return make_url(settings.records.database_url).render_as_string(hide_password=True)
    except ArgumentError:
        return "records.database_url"


@dataclass(frozen=True, slots=True)
class Step:
    """Something the caller did besides speaking: `keys` pressed or `text` typed at `at_ms` of the call."""

    at_ms: float
    key: str = ""
    text: str = ""


_KEYS = re.compile(r"\[keys (.*)\]", re.DOTALL)
_PLAYABLE = re.compile(r"[0-9A-D*#]+")


def steps_of(record: Record, notes: list[str]) -> list[Step]:
    """The keys and the typed turns of a call, in order. What was redacted cannot be entered again; `notes` says so.

    Which keys of an event is not recorded: the keys of a turn go to the key events before it, and one more event than
    keys was the '#' that ended them. Without events all keys come at the time the turn was entered, '#' last.
    """
    events: Sequence[Mapping[str, Any]] = record["events"] or ()
    pressed = [float(event["at_ms"]) for event in events if event["kind"] == "key"]
    steps: list[Step] = []
    for turn in caller_turns(record):
        at, text = float(turn["started_ms"]), str(turn["text"])
        entered = _KEYS.fullmatch(text)
        if entered is None:
            if typed(record, turn):
                steps.append(Step(at, text=text))
            continue
        mine = [time for time in pressed if time <= at + 1.0]
        pressed = pressed[len(mine) :]
        keys = entered.group(1)
        if not _PLAYABLE.fullmatch(keys):
            notes.append(f"the keys of turn {turn['number']} were redacted and are not pressed again")
            continue
        if not mine:
            mine = [at] * (len(keys) + 1)
        steps += [Step(time, key=key) for time, key in zip(mine, keys + "#", strict=False)]
    return sorted(steps, key=lambda step: step.at_ms)


def caller_turns(record: Record) -> list[Mapping[str, Any]]:
    """The caller's turns that count, in order; one that was only the beginning of the next does not."""
    return [turn for turn in record["turns"] if turn["speaker"] == "caller" and turn["text"]]


def typed(record: Record, turn: Mapping[str, Any]) -> bool:
    """Whether a turn of the caller was typed: its answer waited for no recognition, and its voice was not read."""
    if record["call"]["gateway"] != "plain" or "voice" in turn["emotion"]:
        return False
    answer = next(
        (one for one in record["turns"] if one["speaker"] == "agent" and one["number"] == turn["number"]), None
    )
    return answer is not None and "recognition" not in answer["latency"] and "endpoint_wait" in answer["latency"]


READING = (ReplayError, DatabaseError, SQLAlchemyError, OSError)
"""What keeps records from being read."""
