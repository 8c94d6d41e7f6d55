from datetime import UTC, datetime
from typing import Any

import pytest

from agent.handoff.hours import working_hours

HOURS = working_hours(
    {
        "zone": "Europe/London",
        **dict.fromkeys(("monday", "tuesday", "wednesday", "thursday"), "09:00-12:30, 13:30-18:00"),
        "friday": ["09:00-12:30", "13:30-18:00"],
        "saturday": "22:00-04:00",
        "closed": ["2031-12-25"],
    }
)


@pytest.mark.parametrize(
    ("at", "is_open", "change"),
    [
        ("2031-05-05T07:59", False, "2031-05-05T08:00"),  # Monday, summer time
        ("2031-05-05T08:00", True, "2031-05-05T11:30"),
        ("2031-05-05T12:00", False, "2031-05-05T12:30"),
        ("2031-05-09T12:00", False, "2031-05-09T12:30"),
        ("2031-05-09T17:00", False, "2031-05-10T21:00"),  # Friday evening until Saturday night
        ("2031-05-11T02:59", True, "2031-05-11T03:00"),
        ("2031-12-24T18:00", False, "2031-12-26T09:00"),  # no Christmas Day
        ("2031-10-25T23:30", True, "2031-10-26T04:00"),  # the clocks go back in that night
    ],
)
def test_open_and_next_change(at: str, is_open: bool, change: str) -> None:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert HOURS.open_at(now) is is_open
    assert HOURS.next_change(now) == datetime.fromisoformat(change).replace(tzinfo=UTC)


def test_always_open_never_changes() -> None:
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    always = working_hours(dict.fromkeys(days, "00:00-24:00"))
    assert always.open_at(datetime(2031, 5, 5, tzinfo=UTC))
    assert always.next_change(datetime(2031, 5, 5, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"zone": "Mars/Olympus", "monday": "09:00-17:00"}, "hours.zone is 'Mars/Olympus'"),
        ({"monday": "9-17"}, "hours.monday is '9-17'"),
        ({"monday": "09:00-25:00"}, "hours.monday"),
        ({"moonday": "09:00-17:00"}, "hours.moonday is unknown"),
        ({"monday": "09:00-17:00", "closed": ["Christmas"]}, "hours.closed has 'Christmas'"),
        ({"zone": "UTC"}, "name no day"),
    ],
)
def test_bad_hours_are_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        working_hours(given)
