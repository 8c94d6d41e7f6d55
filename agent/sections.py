"""Settings of the human side: the console, the queue, and what is kept how long."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

from agent.handoff.hours import WorkingHours
from agent.handoff.line import QueueSettings
from agent.records.retention import Retention, RetentionRules

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class HumanSection(BaseModel):
    """A group of settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ConsoleSection(HumanSection):
    """The page at /console, where people take calls."""

    enabled: bool = True
    """Off serves no console. Nobody can sign in before `agent console add-user` made an account."""


class QueueSection(HumanSection):
    """How callers wait for our own people at the console."""

    enabled: bool = True
    """Off asks the webhook or `handoff.transfer_to` only, also while people are on duty."""
    ring_s: float = Field(20.0, ge=5, le=120)
    """One person is asked this long before the next is."""
    most_wait_s: float = Field(600.0, ge=30)
    """After this callers are told that nobody can come."""
    words_every_s: float = Field(45.0, ge=15)
    """Between announcements of position and estimated wait."""
    callback_wait_s: float = Field(120.0, ge=0)
    """An estimated wait, or a wait so far, from which a call-back is offered."""
    callback_key: str = Field("1", pattern=r"[0-9*#]")
    """The key that takes the offer."""
    hold: Literal["music", "silence"] = "music"
    """What waiting callers hear between the words."""
    wrap_up_s: float = Field(60.0, ge=0)
    """After a call a person gets no other until it is wrapped up, or for this long."""
    languages: tuple[str, ...] = ("en",)
    """What people speak who name no language."""
    skills: dict[str, str] = {}
    """The skill an intent needs, as {dispute_charge: cards}; others need none."""
    value_points: dict[str, float] = {}
    """More priority by intent, as {fraud: 5}: 10 come before 9, a minute of waiting gives 1."""
    zone: str = "UTC"
    """Time zone of `hours`, as Europe/Berlin."""
    hours: dict[str, list[str]] = {}
    """Working hours by weekday, as {monday: ["09:00-17:30"]}; empty: whenever somebody is on duty."""
    closed: list[date] = []
    """Dates without working hours."""

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value[:40]!r} is no time zone; give one as Europe/Berlin") from error
        return value

    @field_validator("hours")
    @classmethod
    def _readable(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        for day, spans in value.items():
            if day not in WEEKDAYS:
                raise ValueError(f"{day[:40]!r} is no weekday; give {', '.join(WEEKDAYS)}")
            for span in spans:
                _span(span)
        return value

    def chosen(self) -> QueueSettings:
        """These settings as the queue takes them."""
        spans = {WEEKDAYS.index(day): [_span(span) for span in given] for day, given in self.hours.items()}
        hours = WorkingHours(ZoneInfo(self.zone), spans, frozenset(self.closed)) if spans else None
        return QueueSettings(
            ring_s=self.ring_s,
            most_wait_s=self.most_wait_s,
            words_every_s=self.words_every_s,
            callback_wait_s=self.callback_wait_s,
            callback_key=self.callback_key,
            hold=self.hold,
            wrap_up_s=self.wrap_up_s,
            value_points=self.value_points,
            skills=self.skills,
            languages=self.languages,
            hours=hours,
        )


def _span(text: str) -> tuple[time, time]:
    begin, dash, end = text.partition("-")
    try:
        if not dash:
            raise ValueError
        return time.fromisoformat(begin.strip()), time.fromisoformat(end.strip())
    except ValueError as error:
        raise ValueError(f"{text[:40]!r} is no span of hours; write it as 09:00-17:30") from error


Days = float | None


class PrivacySection(HumanSection):
    """How long what calls leave behind is kept."""

    audio_days: Days = Field(None, ge=0)
    """Recordings; none keeps them."""
    words_days: Days = Field(None, ge=0)
    """What was said, values, actions, summaries and notes."""
    labels_days: Days = Field(None, ge=0)
    """What people say turns mean: what models are trained on."""
    numbers_days: Days = Field(None, ge=0)
    """Numbers of caller and called."""
    calls_days: Days = Field(None, ge=0)
    """Everything of a call."""
    domains: dict[str, dict[Literal["audio", "words", "labels", "numbers", "calls"], float]] = {}
    """The same for single domains, as {clinic: {audio: 30}}."""
    consent: Literal["none", "notice", "ask"] = "none"
    """Before the greeting: `notice` says that the call is recorded, `ask` records only after a yes; who refuses at any
    time is not recorded."""
    backups: list[Path] = []
    """Where copies of recordings and database lie: `agent records erase` lists what is left there."""

    def rules(self) -> RetentionRules:
        """The retention rules."""
        usual = Retention(self.audio_days, self.words_days, self.labels_days, self.numbers_days, self.calls_days)
        return RetentionRules(usual, {name: Retention(**days) for name, days in self.domains.items()})
