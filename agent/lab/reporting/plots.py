"""Plots as SVG text: how often which latency was measured, and how many answers came by when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 640, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 30, 44
_BINS = 24
_SHOWN = 4.0
"""The axis ends at so many medians, or the slowest, or `_LEAST_MS`; what is slower is counted in the last bar."""
_LEAST_MS = 1000.0
_STEPS_MS = (50, 100, 250, 500, 1000, 2500, 5000, 10_000)


def histogram(series: Mapping[str, Sequence[float]]) -> str:
    """Bars side by side for each series of times in ms; empty text where nothing was measured."""
    shown = {name: np.asarray(values) for name, values in series.items() if len(values)}
    if not shown:
        return ""
    end = _end(shown)
    counts = {
        name: np.histogram(np.clip(values, 0.0, end), bins=_BINS, range=(0.0, end))[0] for name, values in shown.items()
    }
    most = max(int(found.max()) for found in counts.values())
    wide = (WIDTH - _LEFT - _RIGHT) / _BINS
    each = (wide - 2) / len(shown)
    parts = []
    for n, (name, found) in enumerate(counts.items()):
        for place, count in enumerate(int(value) for value in found):
            if not count:
                continue
            height = (HEIGHT - _TOP - _BOTTOM) * count / most
            low, high = end * place / _BINS, end * (place + 1) / _BINS
            beyond = " and more" if place == _BINS - 1 else ""
            parts.append(
                f'<rect class="series{n}" x="{_LEFT + place * wide + 1 + n * each:.1f}" '
                f'y="{HEIGHT - _BOTTOM - height:.1f}" width="{each:.1f}" height="{height:.1f}">'
                f"<title>{escape(name)}: {count} from {low:.0f} to {high:.0f} ms{beyond}</title></rect>"
            )
    levels = {f"{most * share:.0f}": share for share in ((0.0, 1.0) if most < 4 else (0.0, 0.5, 1.0))}
    return _frame("Latency histogram", list(shown), end, levels, parts)


def shares_by_time(series: Mapping[str, Sequence[float]]) -> str:
    """Share of the values that lie below each time in ms, a line a series; empty text where nothing was measured."""
    shown = {name: np.sort(np.asarray(values)) for name, values in series.items() if len(values)}
    if not shown:
        return ""
    end = _end(shown)
    high = HEIGHT - _TOP - _BOTTOM
    parts = []
    for n, (name, values) in enumerate(shown.items()):
        path, reached = [f"M{_LEFT},{HEIGHT - _BOTTOM}"], 0.0
        for place, value in enumerate(values, 1):
            if value > end:
                break
            reached = place / len(values)
            path.append(f"H{_x(float(value), end):.1f}V{HEIGHT - _BOTTOM - high * reached:.1f}")
        path.append(f"H{WIDTH - _RIGHT}")
        parts.append(
            f'<path class="line series{n}" d="{"".join(path)}">'
            f"<title>{escape(name)}: {len(values)} values, {reached:.0%} up to {end:.0f} ms</title></path>"
        )
    return _frame("Share of answers by time", list(shown), end, {"0 %": 0.0, "50 %": 0.5, "95 %": 0.95}, parts)


def _frame(title: str, names: Sequence[str], end: float, levels: Mapping[str, float], parts: Sequence[str]) -> str:
    bottom, high = HEIGHT - _BOTTOM, HEIGHT - _TOP - _BOTTOM
    lines = []
    for text, share in levels.items():
        y = bottom - high * share
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    step = next((step for step in _STEPS_MS if end / step <= 8), _STEPS_MS[-1])
    for at in np.arange(0, end + 1, step):
        x = _x(float(at), end)
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom + 4}"/>')
        lines.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{at:.0f}</text>')
    lines.append(f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 6}" text-anchor="end">ms</text>')
    for n, name in enumerate(names):
        x = _LEFT + 200 * n
        lines.append(f'<rect class="series{n}" x="{x}" y="6" width="12" height="12"/>')
        lines.append(f'<text x="{x + 17}" y="16">{escape(name)}</text>')
    label = escape(title, quote=True)
    body = "".join((*lines, *parts))
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{body}</svg>'


def _end(series: Mapping[str, np.ndarray]) -> float:
    values = np.concatenate(list(series.values()))
    far = min(float(values.max()), _SHOWN * float(np.median(values)))
    return float(np.ceil(max(_LEAST_MS, far) / 100.0) * 100.0)


def _x(at: float, end: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * at / end
