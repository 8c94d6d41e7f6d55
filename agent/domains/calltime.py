"""The day and the time of a call as records of the demo businesses keep them: local, without a time zone."""

from __future__ import annotations

from datetime import date, datetime

from agent.dialogue.actions import ActionContext


def today(context: ActionContext) -> date:
    """The day of the call."""
    return context.clock.wall().date()


def now(context: ActionContext) -> datetime:
    """The time of the call."""
    return context.clock.wall().replace(tzinfo=None)
