"""Recordings for the console: the sound with private words silent, in ranges, and its waveform. Each listening is noted
in the audit trail before the first byte goes out.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from agent.clock import Clock
from agent.config import Settings
from agent.records.database import Database
from agent.records.exporting import call_spans, recording_of
from agent.records.muting import MutedWav, Span
from agent.records.peaks import MOST_PEAKS, USUAL_PEAKS, peaks
from agent.records.queries import CallNotFound, load_call

log = logging.getLogger(__name__)

NOTED_MS = 600_000.0
"""Within this time one person's listening to one call is noted once: a player asks for many ranges."""
MOST_NOTED = 1000
"""Listenings remembered; beyond it the oldest is forgotten, and noted once more where it goes on."""
AT_ONCE = 2
"""Waveforms made at a time; others wait."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Accept-Ranges": "bytes"}


class Person(Protocol):
    """Who asks."""

    @property
    def name(self) -> str: ...


class Doorkeeper(Protocol):
    """What is needed of `agent.console.guard.Guard`."""

    @property
    def database(self) -> Database: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def role(self) -> Callable[[Any], Callable[[Request], Awaitable[Any]]]: ...
    @property
    def may_see(self) -> Callable[[Any, str], Awaitable[bool]]: ...
    async def audit(self, who: str, what: str, about: str, data: Mapping[str, Any] | None = None) -> None: ...


class Unsatisfiable(ValueError):
    """A range that begins beyond the end."""


def add_recordings(router: APIRouter, guard: Doorkeeper) -> None:
    """Add GET /recordings/{id}.wav and /recordings/{id}/peaks for those who may see the call."""
    asks = guard.role("agent")
    heard = _Listenings(guard)
    drawing = asyncio.Semaphore(AT_ONCE)

    async def found(person: Person, call_id: str) -> tuple[Path, tuple[Span, ...]]:
        if not await guard.may_see(person, call_id):
            raise HTTPException(403, "this call is not yours to hear; ask a supervisor")
        try:
            loaded = await load_call(guard.database, call_id)
        except CallNotFound as error:
            raise HTTPException(404, "there is no such call") from error
        path = await asyncio.to_thread(recording_of, loaded["call"], guard.settings.records.recordings)
        if path is None:
            raise HTTPException(404, "no recording of this call is kept")
        return path, call_spans(loaded)

    async def wav(request: Request, call_id: str) -> Response:
        person: Person = await asks(request)
        path, spans = await found(person, call_id)
        sound = await _opened(MutedWav, path, spans)
        try:
            wanted = byte_range(request.headers.get("range"), sound.size)
        except Unsatisfiable:
            return Response(status_code=416, headers={**_HEADERS, "Content-Range": f"bytes */{sound.size}"})
        if request.method == "GET":
            await heard.note(person.name, call_id)
        start, stop = wanted or (0, sound.size)
        headers = {**_HEADERS, "Content-Length": str(stop - start)}
        if wanted is not None:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{sound.size}"
        status = 200 if wanted is None else 206
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type="audio/wav")
        return StreamingResponse(sound.chunks(start, stop), status, headers, "audio/wav")

    async def waveform(request: Request, call_id: str) -> Response:
        person: Person = await asks(request)
        count = request.query_params.get("count", str(USUAL_PEAKS))
        if not (count.isascii() and count.isdigit() and len(count) < 6 and 1 <= int(count) <= MOST_PEAKS):
            raise HTTPException(422, f"count {count[:20]!r} is out of range; give 1 to {MOST_PEAKS}")
        path, spans = await found(person, call_id)
        async with drawing:
            shown = await _opened(peaks, path, spans, int(count))
        return JSONResponse(shown, headers={"Cache-Control": "no-store"})

    router.add_api_route("/recordings/{call_id}.wav", wav, methods=["GET", "HEAD"], include_in_schema=False)
    router.add_api_route("/recordings/{call_id}/peaks", waveform, methods=["GET"], include_in_schema=False)


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """[start, stop) that a Range header asks for (RFC 9110, 14.2); None for the whole: no range, several, or nonsense.

    Raises:
        Unsatisfiable: it begins beyond the end.
    """
    match = None if header is None else _RANGE.fullmatch(header.strip().replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        return None
    if not match[1]:
        if int(match[2]) == 0:
            raise Unsatisfiable(header)
        return max(0, size - int(match[2])), size
    start = int(match[1])
    stop = int(match[2]) + 1 if match[2] else size
    if match[2] and stop <= start:
        return None
    if start >= size:
        raise Unsatisfiable(header)
    return start, min(stop, size)


class _Listenings:
    """Notes who listens to what."""

    def __init__(self, guard: Doorkeeper) -> None:
        self._guard = guard
        self._at: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def note(self, who: str, call_id: str) -> None:
        now = self._guard.clock.now_ms()
        last = self._at.get((who, call_id))
        if last is not None and now - last < NOTED_MS:
            return
        await self._guard.audit(who, "recording_played", call_id, {})
        self._at[who, call_id] = now
        self._at.move_to_end((who, call_id))
        while len(self._at) > MOST_NOTED:
            self._at.popitem(last=False)


async def _opened(work: Callable[..., Any], *arguments: Any) -> Any:
    """Read a recording in a thread; what is wrong with it is an answer."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except OSError as error:
        log.error("a recording cannot be read: %s", error)
        raise HTTPException(404, "the recording cannot be read") from error
    except ValueError as error:
        raise HTTPException(409, str(error)) from error
