"""When people are there: working hours of a week, days off, a time zone. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FURTHEST = 370
"""Days that `next_change` looks ahead; hours that do not change within a year never do."""

_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")

Span = tuple[time, time]
"""From, to; `to` at or before `from` is on the next day, 00:00 the end of this one."""


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """Spans by weekday (0 is Monday) in `zone`; on a date of `closed` none begins."""

    zone: ZoneInfo
    spans: Mapping[int, Sequence[Span]]
    closed: frozenset[date] = field(default=frozenset())

    def open_at(self, at: datetime) -> bool:
        """Whether somebody should be there at `at`, which has a time zone."""
        day = at.astimezone(self.zone).date()
        return any(begin <= at < end for one in (day - timedelta(1), day) for begin, end in self._of(one))

    def next_change(self, at: datetime) -> datetime | None:
        """When that changes next, in the zone; None where it never does."""
        now, day = self.open_at(at), at.astimezone(self.zone).date() - timedelta(1)
        for _ in range(FURTHEST):
            for edge in sorted(edge for span in self._of(day) for edge in span):
                if edge > at and self.open_at(edge) != now:
                    return edge
            day += timedelta(1)
        return None

    def _of(self, day: date) -> list[tuple[datetime, datetime]]:
        """The spans that begin on `day`; compared as instants, so that a change of the clocks moves nothing."""
        if day in self.closed:
            return []
        found = []
        for begin, end in self.spans.get(day.weekday(), ()):
            last = day + timedelta(1) if end <= begin else day
            found.append((datetime.combine(day, begin, self.zone), datetime.combine(last, end, self.zone)))
        return [(begin.astimezone(_UTC), end.astimezone(_UTC)) for begin, end in found]


def working_hours(given: Mapping[str, Any]) -> WorkingHours:
    """Hours as a settings file has them.

        zone: Europe/London
        monday: 09:00-12:30, 13:30-18:00
        friday: [09:00-12:30, 13:30-16:00]
        saturday: 22:00-04:00        # until Sunday
        closed: [2031-12-25]

    Raises:
        ValueError: naming the field, the value and what it must be.
    """
    unknown = sorted(set(given) - {*DAYS, "zone", "closed"})
    if unknown:
        raise ValueError(f"hours.{unknown[0]} is unknown; there are zone, closed, {', '.join(DAYS)}")
    zone = given.get("zone", "UTC")
    try:
        known = ZoneInfo(str(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"hours.zone is {zone!r}; give a name such as Europe/London (is tzdata installed?)") from error
    spans = {number: _spans(day, given[day]) for number, day in enumerate(DAYS) if given.get(day)}
    if not any(spans.values()):
        raise ValueError("hours name no day; give at least one, as monday: 09:00-17:00, or leave hours out")
    return WorkingHours(known, spans, frozenset(_date(one) for one in given.get("closed") or ()))


def _spans(day: str, text: Any) -> tuple[Span, ...]:
    found: list[Span] = []
    pieces = text if isinstance(text, list | tuple) else str(text).split(",")
    for piece in map(str, pieces):
        match = _SPAN.fullmatch(piece.strip())
        if match is None:
            raise ValueError(f"hours.{day} is {text!r}; give spans as 09:00-12:30, 13:30-18:00")
        begin = time(int(match[1]), int(match[2]))
        end = time(int(match[3]), int(match[4])) if match[3] else time(0)
        found.append((begin, end))
    return tuple(found)


def _date(given: Any) -> date:
    if isinstance(given, date) and not isinstance(given, datetime):
        return given
    try:
        return date.fromisoformat(str(given))
    except ValueError as error:
        raise ValueError(f"hours.closed has {given!r}; give dates as 2031-12-25") from error


_UTC = ZoneInfo("UTC")
