"""What becomes of a picture that was sent: cleaned, read, described, and given to the call and to the human."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

from agent.chat.fields import Line, fields_of, words_of
from agent.chat.headers import PictureError
from agent.chat.ocr import Reader
from agent.chat.pictures import Picture, PictureRead, Shelf, clean
from agent.chat.settings import ChatSettings
from agent.chat.vision import Vision, VisionError
from agent.clock import Clock
from agent.records.redaction import redact, redact_json
from models.errors import Overloaded
from models.slots import SlotSpec

T = TypeVar("T")

MOST_WAITING = 4
"""Pictures that are worked on or wait; more are refused with 503."""
WORK_S = 30.0
"""Longest time from the whole upload to the answer; then the caller is asked to try again."""

log = logging.getLogger(__name__)


class Run(Protocol):
    """Runs blocking work on the pool, at the lowest priority."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class Feeds(Protocol):
    """Where the human's page is told: `agent.console.feed.Feed`."""

    def publish(self, kind: str, call_id: str | None, data: Mapping[str, Any]) -> None:
        """Tell all who look at the call."""


Deliver = Callable[[str, PictureRead, str], Awaitable[bool]]
"""Gives a call the words that a picture stands for: its id, what was read, the words. False where nobody takes them."""


class LineReader(Protocol):
    """Reads lines of text off a picture; blocking."""

    def read(self, jpeg: bytes) -> tuple[Line, ...]:
        """The lines in reading order."""
        ...


class PictureDesk:
    """Takes pictures, one at a time on the pool, so that calls keep the other workers."""

    def __init__(
        self,
        settings: ChatSettings,
        run: Run,
        clock: Clock,
        *,
        reader: LineReader | None = None,
        vision: Vision | None = None,
        slots: Callable[[str], Sequence[SlotSpec]] = lambda call_id: (),
        asked: Callable[[str], Sequence[str]] = lambda call_id: (),
        deliver: Deliver | None = None,
        feed: Callable[[], Feeds | None] = lambda: None,
    ) -> None:
        """Args:
        slots: what the domain of a call knows. asked: names of those it asks for at the moment.
        deliver: how words reach the dialogue; without one the page offers to send them.
        """
        self._settings = settings
        self._run = run
        self._reader = reader or Reader()
        self._vision = vision
        self._slots, self._asked = slots, asked
        self._deliver = deliver
        self._feed = feed
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0
        self.shelf = Shelf(clock.now_ms)

    async def take(self, call_id: str, data: bytes, language: str = "en") -> PictureRead:
        """Read a picture for a call.

        Raises:
            PictureError: it is not taken; code busy where another try helps.
        """
        if self._waiting >= MOST_WAITING:
            raise PictureError("busy", "too many pictures are being read; try again in a moment")
        self._waiting += 1
        try:
            async with asyncio.timeout(WORK_S):
                picture, lines = await self._worked(data)
                read = await self._understood(call_id, picture, lines, language)
        except TimeoutError as error:
            raise PictureError("busy", "reading the picture took too long; try again in a moment") from error
        finally:
            self._waiting -= 1
        words, names = words_of(read.fields, self._settings.sure, self._asked(call_id))
        if words and self._deliver is not None and await self._deliver(call_id, read, words):
            read = replace(read, delivered=names)
        feed = self._feed()
        if feed is not None:
            feed.publish("picture", call_id, {**redact_json(told(read)), "picture_id": read.picture_id})
        log.info("a picture was read: %d lines, fields %s", len(lines), [one.name for one in read.fields])
        return read

    async def _worked(self, data: bytes) -> tuple[Picture, tuple[Line, ...]]:
        megapixels = self._settings.picture_megapixels
        async with self._turn:
            try:
                picture = await self._run(partial(clean, data, megapixels))
                return picture, await self._run(partial(self._reader.read, picture.jpeg))
            except Overloaded as error:
                raise PictureError("busy", "there is too much to do right now; try again in a moment") from error

    async def _understood(self, call_id: str, picture: Picture, lines: tuple[Line, ...], language: str) -> PictureRead:
        asked = self._asked(call_id)
        specs = sorted(self._slots(call_id), key=lambda spec: spec.name not in asked)
        fields = fields_of(lines, specs)
        description = None
        if not fields and self._vision is not None:
            try:
                description = redact(await self._vision.describe(picture.jpeg, language))
            except VisionError as error:
                log.warning("a picture was not described: %s", error, extra={"code": f"vision_{error.code}"})
        picture_id = f"p-{secrets.token_hex(8)}"
        self.shelf.put(picture_id, call_id, picture.jpeg)
        shown = tuple(replace(line, text=redact(line.text)) for line in lines)
        return PictureRead(picture_id, picture.width, picture.height, fields, shown, description)

    async def aclose(self) -> None:
        """Close the connections of the vision model."""
        if self._vision is not None:
            await self._vision.aclose()


def told(read: PictureRead) -> dict[str, Any]:
    """What the caller's page and the human's are told of a picture, JSON-ready."""
    return {
        "picture_id": read.picture_id,
        "width": read.width,
        "height": read.height,
        "fields": [
            {
                "name": one.name,
                "value": one.value,
                "text": one.text,
                "confidence": one.confidence,
                "slot": one.slot,
                "delivered": one.name in read.delivered,
            }
            for one in read.fields
        ],
        "lines": [{"text": line.text, "confidence": line.confidence} for line in read.lines],
        "description": read.description,
    }
