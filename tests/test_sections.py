"""Settings of the human side, as the parts that use them take them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.config import load_settings
from agent.yamlfile import FileError


def test_working_hours_are_read_in_their_zone() -> None:
    settings = load_settings(
        None,
        {
            "CALLAGENT_QUEUE__ZONE": "Europe/Berlin",
            "CALLAGENT_QUEUE__HOURS": '{monday: ["09:00-12:00", "13:00-17:30"]}',
            "CALLAGENT_QUEUE__CLOSED": "[2026-12-28]",
        },
    )
    hours = settings.queue.chosen().hours
    assert hours is not None
    assert hours.open_at(datetime(2026, 11, 23, 8, 30, tzinfo=UTC))
    assert not hours.open_at(datetime(2026, 11, 23, 7, 30, tzinfo=UTC))
    assert not hours.open_at(datetime(2026, 12, 28, 8, 30, tzinfo=UTC))
    assert load_settings(None, {}).queue.chosen().hours is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("QUEUE__HOURS", "{monday: [nine]}", "no span of hours"),
        ("QUEUE__HOURS", '{someday: ["09:00-10:00"]}', "no weekday"),
        ("QUEUE__ZONE", "Mars/Olympus", "no time zone"),
        ("QUEUE__CALLBACK_KEY", "yes", "pattern"),
        ("PRIVACY__AUDIO_DAYS", "-1", "greater than or equal"),
        ("PRIVACY__DOMAINS", "{clinic: {everything: 3}}", "everything"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        load_settings(None, {f"CALLAGENT_{name}": value})


def test_what_is_kept_how_long() -> None:
    given = {"CALLAGENT_PRIVACY__AUDIO_DAYS": "30", "CALLAGENT_PRIVACY__DOMAINS": "{clinic: {audio: 7}}"}
    rules = load_settings(None, given).privacy.rules()
    assert rules.usual.audio == 30
    assert rules.domains["clinic"].audio == 7
    assert load_settings(None, {}).privacy.rules().keeps_all
