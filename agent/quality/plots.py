"""A measure by day as SVG. Colours are attributes, so it needs no style that a page's security policy would refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 30, 34
_INK, _GRID, _LINE = "#777c85", "#9aa0a833", "#2f7de1"
"""Colours that can be read on white and on black."""
SCALES: Mapping[str, tuple[str, float | None]] = {
    "calls": ("Calls a day", None),
    "contained": ("Containment", 1.0),
    "score": ("Score", 100.0),
    "satisfaction": ("Satisfaction (1 to 5)", 5.0),
    "silence": ("Silence", 1.0),
    "anger": ("Anger", 1.0),
    "cost": ("Cost of a call", None),
}
"""Title and end of the axis of each measure; None: its greatest value."""
_SHARES = frozenset({"contained", "silence"})


def by_day(measure: str, days: Sequence[Mapping[str, Any]]) -> str:
    """A line over days; a day without a value breaks it."""
    title, end = SCALES[measure]
    points = [(n, float(day[measure])) for n, day in enumerate(days) if day.get(measure) is not None]
    end = end or max((value for _, value in points), default=0.0) or 1.0
    parts = [_text(_LEFT, 18, title, "start", 13)]
    for share in (0.0, 0.5, 1.0):
        y = _y(share)
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GRID}"/>')
        parts.append(_text(_LEFT - 8, y + 4, _shown(measure, end * share), "end"))
    last = len(days) - 1
    for n in sorted({0, last // 2, last} if days else ()):
        anchor = "start" if n == 0 else "end" if n == last else "middle"
        parts.append(_text(_x(n, last), HEIGHT - 10, str(days[n]["day"]), anchor))
    path, previous = [], -2
    for n, value in points:
        path.append(f"{'L' if n == previous + 1 else 'M'}{_x(n, last):.1f},{_y(value / end):.1f}")
        previous = n
    if path:
        parts.append(f'<path d="{"".join(path)}" fill="none" stroke="{_LINE}" stroke-width="2"/>')
    else:
        parts.append(_text(WIDTH / 2, HEIGHT / 2, "no calls", "middle"))
    for n, value in points:
        label = escape(f"{days[n]['day']}: {_shown(measure, value)}, {days[n]['calls']} calls")
        parts.append(
            f'<circle cx="{_x(n, last):.1f}" cy="{_y(value / end):.1f}" r="3" fill="{_LINE}">'
            f"<title>{label}</title></circle>"
        )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    return f'{head} aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg>'


def _shown(measure: str, value: float) -> str:
    return f"{value:.0%}" if measure in _SHARES else f"{value:.3g}"


def _text(x: float, y: float, text: str, anchor: str, size: int = 11) -> str:
    look = f'font-family="sans-serif" font-size="{size}" fill="{_INK}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(text)}</text>'


def _x(n: int, last: int) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * (n / last if last > 0 else 0.5)


def _y(share: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share
