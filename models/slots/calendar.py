"""Days of the calendar from their numbers, for dates in every language."""

from __future__ import annotations

from datetime import date


def day_of(year: int, month: int, day: int) -> date | None:
    """The day; None where the calendar has no such day."""
    try:
        return date(year, month, day)
    except ValueError:
        return None


def day_of_some_year(month: int, day: int, today: date, prefer: str) -> date | None:
    """The day of the year that is meant where none is named: the nearest, or the nearest `past` or `future` one."""
    near = [made for year in (-1, 0, 1) if (made := day_of(today.year + year, month, day))]
    if prefer == "past":
        near = [made for made in near if made <= today]
    if prefer == "future":
        near = [made for made in near if made >= today]
    return min(near, key=lambda made: abs((made - today).days), default=None)
