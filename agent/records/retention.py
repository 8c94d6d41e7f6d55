"""How long each class of what calls leave behind is kept, and the job that removes what is older."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from sqlalchemy import delete, exists, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from agent.clock import Clock
from agent.records.audit import AuditTrail
from agent.records.database import Action, Call, Database, Event, Handoff, HandoffStep, Label, Turn
from agent.records.erasing import Eraser, delete_written, secure, unlink

log = logging.getLogger(__name__)

Class = Literal["audio", "words", "labels", "numbers", "calls"]
CLASSES: tuple[Class, ...] = get_args(Class)
"""audio: recordings. words: what was said, values, events, arguments and results of actions, summaries, notes,
transcripts. labels: what people say turns mean. numbers: of caller and called. calls: everything, with the row."""
EVERY_S = 6 * 3600.0
"""How often the job looks."""
BATCH = 100
REST_S = 0.05
"""Between two batches, so that calls under way can write theirs."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Days after its end that a call's classes are kept; None keeps them. See `CLASSES`."""

    audio: float | None = None
    words: float | None = None
    labels: float | None = None
    numbers: float | None = None
    calls: float | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            days = getattr(self, one.name)
            if days is not None and not 0 <= days <= 36_500:
                raise ValueError(f"retention.{one.name} is {days} days; give 0 to 36500, or nothing to keep it")

    def before(self, kind: Class, now: datetime) -> datetime | None:
        """Calls that ended earlier have lost this class; None where it is kept."""
        days: float | None = getattr(self, kind)
        return None if days is None else now - timedelta(days=days)


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """What holds for all domains, and in its place what holds for some."""

    usual: Retention = Retention()
    domains: Mapping[str, Retention] = field(default_factory=dict)

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is ever removed."""
        return all(rule == Retention() for rule in (self.usual, *self.domains.values()))


class RetentionJob:
    """Removes what is older than its class is kept. Calls under way are left alone."""

    def __init__(
        self, database: Database, folder: Path, rules: RetentionRules, clock: Clock, trail: AuditTrail
    ) -> None:
        self._database = database
        self._folder = folder
        self._rules = rules
        self._clock = clock
        self._trail = trail
        self._eraser = Eraser(database, folder, clock, trail)

    async def run(self) -> None:
        """Look now and every `EVERY_S` until cancelled; what fails is logged and tried again the next time."""
        while not self._rules.keeps_all:
            try:
                await self.once()
            except (SQLAlchemyError, OSError, ValueError) as error:
                log.error(
                    "retention stopped: %s: %s; it goes on in %g h", type(error).__name__, error, EVERY_S / 3600.0
                )
            await self._clock.sleep_until(self._clock.now_ms() + EVERY_S * 1000.0)

    async def once(self, who: str = "retention") -> Counter[str]:
        """Remove what is too old now; how many calls lost which class. The trail tells of it, where there was any.

        Raises:
            sqlalchemy.exc.SQLAlchemyError, OSError: something could not be removed; the rest may be.
        """
        now = self._clock.wall()
        done: Counter[str] = Counter()
        try:
            for kind in reversed(CLASSES):  # whole calls first: nothing of theirs needs to be looked at
                for domain in (None, *self._rules.domains):
                    rule = self._rules.usual if domain is None else self._rules.domains[domain]
                    before = rule.before(kind, now)
                    if before is not None:
                        done[kind] += await self._remove(kind, domain, before)
        finally:
            done = +done
            if done:
                for remark in await self._eraser.wipe():
                    log.info("retention: %s", remark)
                await self._trail.append(who, "retention", "", dict(done))
        return done

    async def _remove(self, kind: Class, domain: str | None, before: datetime) -> int:
        count = 0
        while ids := await self._due(kind, domain, before):
            await _REMOVE[kind](self, ids)
            count += len(ids)
            await self._clock.sleep_until(self._clock.now_ms() + REST_S * 1000.0)
        return count

    async def _due(self, kind: Class, domain: str | None, before: datetime) -> list[str]:
        """Calls that ended before `before` and still have the class."""
        query = select(Call.id).where(Call.finished_at < before, _HAS[kind]())
        own = list(self._rules.domains)
        query = query.where(Call.domain == domain) if domain is not None else query.where(Call.domain.not_in(own))
        async with self._database.engine.connect() as connection:
            return list((await connection.execute(query.order_by(Call.finished_at).limit(BATCH))).scalars())

    async def _audio(self, ids: Sequence[str]) -> None:
        async with self._database.engine.connect() as connection:
            paths = (await connection.execute(select(Call.recording).where(Call.id.in_(ids)))).scalars().all()
        await asyncio.to_thread(unlink, self._everywhere(paths))
        async with self._database.engine.begin() as connection:
            await connection.execute(update(Call).where(Call.id.in_(ids)).values(recording=None))

    async def _words(self, ids: Sequence[str]) -> None:
        async with self._database.engine.connect() as connection:
            paths = (await connection.execute(select(Call.transcript).where(Call.id.in_(ids)))).scalars().all()
        await asyncio.to_thread(unlink, self._everywhere(paths))
        async with self._database.engine.begin() as connection:
            await secure(connection)
            empty: dict[str, Any] = {"slots": {}, "reasons": {}}
            await connection.execute(update(Turn).where(Turn.call_id.in_(ids)).values(text="", heard=None, **empty))
            await connection.execute(update(Event).where(Event.call_id.in_(ids)).values(data={}))
            await connection.execute(update(Action).where(Action.call_id.in_(ids)).values(arguments={}, result={}))
            handoffs = select(Handoff.id).where(Handoff.call_id.in_(ids)).scalar_subquery()
            await connection.execute(update(HandoffStep).where(HandoffStep.handoff_id.in_(handoffs)).values(detail=""))
            await connection.execute(
                update(Handoff).where(Handoff.call_id.in_(ids)).values(summary="", reason="", detail="", context={})
            )
            await delete_written(connection, ids)
            await connection.execute(update(Call).where(Call.id.in_(ids)).values(transcript=None, parameters={}))

    async def _labels(self, ids: Sequence[str]) -> None:
        async with self._database.engine.begin() as connection:
            await secure(connection)
            await connection.execute(delete(Label).where(Label.call_id.in_(ids)))

    async def _numbers(self, ids: Sequence[str]) -> None:
        async with self._database.engine.begin() as connection:
            await secure(connection)
            for table, key in ((Call, Call.id), (Handoff, Handoff.call_id)):
                await connection.execute(update(table).where(key.in_(ids)).values(caller=None, called=None))

    async def _calls(self, ids: Sequence[str]) -> None:
        await self._eraser.erase_calls(ids)

    def _everywhere(self, paths: Sequence[str | None]) -> list[str]:
        """The files where their rows say, and where recordings lie now."""
        return [str(at) for path in paths if path for at in (Path(path), self._folder / Path(path).name)]


_HAS: Mapping[Class, Callable[[], Any]] = {
    "audio": lambda: Call.recording.is_not(None),
    "words": lambda: or_(
        Call.transcript.is_not(None), exists().where(Turn.call_id == Call.id, func.length(Turn.text) > 0)
    ),
    "labels": lambda: exists().where(Label.call_id == Call.id),
    "numbers": lambda: or_(Call.caller.is_not(None), Call.called.is_not(None)),
    "calls": lambda: Call.id.is_not(None),
}
"""Whether a call still has a class."""
_REMOVE: Mapping[Class, Callable[[RetentionJob, Sequence[str]], Coroutine[Any, Any, None]]] = {
    "audio": RetentionJob._audio,
    "words": RetentionJob._words,
    "labels": RetentionJob._labels,
    "numbers": RetentionJob._numbers,
    "calls": RetentionJob._calls,
}
