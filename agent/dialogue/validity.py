"""Whether a slot's value keeps the rules a flow gives for it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from agent.dialogue.steps import Valid


def unfitting(valid: Valid, value: Any, today: date) -> str | None:
    """What is said of a value that breaks a rule of `valid`; None where it keeps all of them."""
    number: Any = value.get("minor") if isinstance(value, Mapping) else value
    if valid.least is not None or valid.most is not None:
        try:
            size = float(number)
        except (TypeError, ValueError):
            return valid.wrong
        if (valid.least is not None and size < valid.least) or (valid.most is not None and size > valid.most):
            return valid.wrong
    if valid.after is not None or valid.before is not None:
        try:
            day = date.fromisoformat(str(value)[:10])
        except ValueError:
            return valid.wrong
        if valid.after is not None and day < day_of(valid.after, today):
            return valid.wrong
        if valid.before is not None and day > day_of(valid.before, today):
            return valid.wrong
    if valid.pattern is not None and re.fullmatch(valid.pattern, str(value)) is None:
        return valid.wrong
    return None


def day_of(text: str, today: date) -> date:
    """The day that "today", "+90d", "-18y" or an ISO date means."""
    if text == "today":
        return today
    if text[0] not in "+-":
        return date.fromisoformat(text)
    count = int(text[:-1])
    if text.endswith("d"):
        return today + timedelta(days=count)
    leap = today.month == 2 and today.day == 29
    return today.replace(year=today.year + count, day=28 if leap else today.day)
