"""Who is calling, as far as the business knows, and what of it may be said when. Pure.

A number can be forged, so before the caller is verified nothing personal is said: not the name, not what is open, not
what the last call was about. Language and speaking rate may be used, since they tell nobody anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

PACES = (0.7, 1.3)
"""Slowest and fastest speaking rate that a profile may ask for."""
MOST_OPEN = 3
"""Open items that are spoken; more cannot be kept in mind while listening."""
LONGEST = 120
"""Characters of a name, an open item or a topic; a longer one is no such thing."""
LAST_DAYS = 30
"""Days for which an earlier call is referred to."""
UNRESOLVED = frozenset({"caller_left", "failed", "handed_off"})
"""Outcomes of a call after which the same thing is likely to be asked about again."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What the business knows of a caller. pace: speaking rate, 1 being normal. last_topic reads as in "about ...".

    last_days: days since then, None where unknown. open_items read as in "I see ...". The default is nobody known.
    """

    known: bool = False
    name: str | None = None
    language: str | None = None
    pace: float = 1.0
    last_topic: str | None = None
    last_days: int | None = None
    open_items: tuple[str, ...] = ()
    vip: bool = False
    no_offers: bool = False


NOBODY = Profile()


@dataclass(frozen=True, slots=True)
class Told:
    """A phrase of the domain to say, and the values of its holes."""

    phrase: str
    scope: Mapping[str, Any] = field(default_factory=dict)


def read_profile(result: Mapping[str, Any], languages: Sequence[str] = ()) -> tuple[Profile, list[str]]:
    """The profile in the result of a domain's profile action, and what was wrong with it, for the log.

    A result that cannot be about one known caller is nobody's; a single value that makes no sense is left out. Problems
    name fields and kinds, never values. `languages` are those the agent speaks; others are left out silently.
    """
    problems: list[str] = []
    known = result.get("known", bool(result))
    if not isinstance(known, bool):
        return NOBODY, [f"known is {_kind(known)}, not true or false; taken as an unknown caller"]
    if not known:
        return NOBODY, []
    pace = _pace(result.get("pace"), problems)
    language = _text(result, "language", problems)
    days = result.get("last_days")
    if days is not None and (isinstance(days, bool) or not isinstance(days, int) or days < 0):
        problems.append(f"last_days is {_kind(days)}, not a number of days; left out")
        days = None
    items = result.get("open_items")
    spoken: list[str] = []
    if items is not None and not isinstance(items, list | tuple):
        problems.append(f"open_items is {_kind(items)}, not a list; left out")
    else:
        spoken = [text for n, item in enumerate(items or ()) if (text := _spoken(item, f"open_items.{n}", problems))]
    topic = _text(result, "last_topic", problems)
    return (
        Profile(
            True,
            _text(result, "name", problems),
            language if language in languages else None,
            pace,
            topic if days is None or days <= LAST_DAYS else None,
            days,
            tuple(dict.fromkeys(spoken))[:MOST_OPEN],
            _flag(result, "vip", problems),
            _flag(result, "no_offers", problems),
        ),
        problems,
    )


def with_history(
    profile: Profile, calls: Sequence[Mapping[str, Any]], titles: Mapping[str, str], now: datetime
) -> Profile:
    """The profile with what the last calls were about, where the business itself said nothing of it.

    Args:
        calls: rows of `agent.records.history.calls_of`, the latest first.
        titles: how an intent is spoken of ("your return"); intents without a title are not referred to.
        now: the time, with its zone; calls of more than `LAST_DAYS` before do not count.

    A call that ended unresolved is preferred to a later one that was settled.
    """
    if profile.last_topic is not None:
        return profile
    found: list[tuple[bool, int, str]] = []
    for call in calls:
        days = (now - datetime.fromisoformat(str(call["opened_at"]))).days
        title = next((titles[intent] for intent in reversed(call["intents"]) if intent in titles), None)
        if title is not None and 0 <= days <= LAST_DAYS:
            found.append((call["outcome"] not in UNRESOLVED, days, title))
    if not found:
        return profile
    _, days, title = min(found)
    return replace(profile, last_topic=title, last_days=days)


def personal(profile: Profile, *, verified: bool, busy: bool, upset: bool, language: str = "en") -> list[Told]:
    """What to say to the caller because of who they are, in order; nothing before they are verified.

    busy: a task is being done, so only the name is said. upset: a caller who is gets neither. What is open comes first;
    the last call is referred to only where nothing is open.
    """
    if not (verified and profile.known):
        return []
    told = [Told("known_caller", {"name": profile.name})] if profile.name is not None and not upset else []
    if busy or upset:
        return told
    if profile.open_items:
        return [*told, Told("open_items", {"items": spoken_list(profile.open_items, language)})]
    if profile.last_topic is not None:
        return [*told, Told("last_topic", {"topic": profile.last_topic})]
    return told


def spoken_list(items: Sequence[str], language: str = "en") -> str:
    """ "a, b and c", or "a、b和c" in Chinese."""
    comma, last = ("、", "和") if language == "zh" else (", ", " and ")
    return last.join(part for part in (comma.join(items[:-1]), items[-1] if items else "") if part)


def _pace(value: Any, problems: list[str]) -> float:
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        problems.append(f"pace is {_kind(value)}, not a rate of {PACES[0]} to {PACES[1]}; left out")
        return 1.0
    return min(max(float(value), PACES[0]), PACES[1])


def _text(result: Mapping[str, Any], name: str, problems: list[str]) -> str | None:
    value = result.get(name)
    return None if value is None or value == "" else _spoken(value, name, problems)


def _spoken(value: Any, name: str, problems: list[str]) -> str | None:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text or len(text) > LONGEST or not text.isprintable() or any(mark in text for mark in "{}<>"):
        problems.append(f"{name} is {_kind(value)}, not a short text that can be spoken; left out")
        return None
    return text


def _flag(result: Mapping[str, Any], name: str, problems: list[str]) -> bool:
    value = result.get(name, False)
    if value is None or isinstance(value, bool):
        return bool(value)
    problems.append(f"{name} is {_kind(value)}, not true or false; left out")
    return name == "no_offers"


def _kind(value: Any) -> str:
    size = f" of {len(value)}" if isinstance(value, str | list | dict) else ""
    return f"a {type(value).__name__}{size}"
