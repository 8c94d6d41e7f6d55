"""Limits that a run must keep: how many faults of a kind are let pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.lab.summary import SHARES, Share, Summary

_ALSO = {"false_interruptions": ("unprovoked_interruptions",)}
"""Figures that one name stands for besides itself."""
_NAMES = tuple(figure.name for figure in SHARES if figure.name != "resumed")
_FORM = re.compile(r"([a-z_]+)(?::(\d+(?:\.\d+)?)(%?))?")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` faults of the kind `name`, in percent or counted."""

    name: str
    most: float = 0.0
    percent: bool = False

    def passed(self, summary: Summary) -> Iterator[str]:
        """What went over it, a line each."""
        for name in (self.name, *_ALSO.get(self.name, ())):
            share = summary.shares[name]
            faults = Share(share.of - share.count, share.of) if name == "tasks" else share
            found = faults.percent or 0.0 if self.percent else faults.count
            if found > self.most:
                what = "calls that did not go as expected" if name == "tasks" else name.replace("_", " ")
                yield f"{what}: {faults.count} of {faults.of}, more than {self.most:g}{' %' if self.percent else ''}"


def parse_limits(text: str) -> list[Limit]:
    """`cut_offs,restarts:2%,unanswered:1` as limits: a name alone allows none; `none` alone is no limit at all.

    Raises:
        ValueError: a name or a number is wrong.
    """
    if text.strip() == "none":
        return []
    return [_limit(part.strip()) for part in text.split(",")]


def over(limits: Sequence[Limit], summary: Summary) -> list[str]:
    """Every limit that was passed, and by how much."""
    return [line for limit in limits for line in limit.passed(summary)]


def _limit(text: str) -> Limit:
    found = _FORM.fullmatch(text)
    if found is None or found[1] not in _NAMES:
        raise ValueError(
            f"--fail-on has {text!r}; give NAME, NAME:COUNT or NAME:PERCENT% of {', '.join(_NAMES)}, or none"
        )
    return Limit(found[1], float(found[2] or 0), bool(found[3]))
