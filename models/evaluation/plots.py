"""Pictures of a report as SVG text: the confusion matrix, the reliability of confidences, and bars with intervals.

Colours are classes of agent/lab/reporting/page.css; `standalone` gives a picture colours of its own, for documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from models.evaluation.calibration import Reliability
from models.evaluation.confusion import Confusion
from models.evaluation.figures import Figure, amount

LARGEST_SQUARE = 40
"""Classes of a confusion matrix; of more the commonest mistakes are drawn instead."""
_NUMBERED = 12
"""Classes up to which a cell also says its count."""
_SIDE = 440.0
_PAIRS = 25
_LETTER = 6.4
"""Width of a letter of 11 px, roughly."""

_STYLE = """svg{background:#fff}svg text{font:11px system-ui,sans-serif;fill:#5c6570}
.label{fill:#1b1f24}.grid{stroke:#d5d9de;stroke-width:1}.first{fill:#2563c9}.second{fill:#c2570c}
.dashed{stroke:#8a94a0;stroke-dasharray:4 3;fill:none}.range{stroke:#1b1f24;stroke-width:1.5}.light{fill:#ffffff}"""


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture: what it shows, and SVG text."""

    title: str
    svg: str


def standalone(plot: Plot) -> str:
    """The picture as a file of its own."""
    return plot.svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        ">", f"><style>{_STYLE}</style>", 1
    )


def confusion_plot(found: Confusion, title: str = "Confusion") -> Plot:
    """The matrix, a row for what was meant; of more than `LARGEST_SQUARE` classes the commonest mistakes."""
    if len(found.labels) > LARGEST_SQUARE:
        return _pairs(found, title)
    size = _SIDE / max(1, len(found.labels))
    margin = 16 + _LETTER * max((len(label) for label in found.labels), default=0)
    wide, high = margin + _SIDE + 8, margin + _SIDE + 22
    parts = [f'<text x="{margin:.0f}" y="12">meant in rows, understood in columns; shade: share of the row</text>']
    totals = found.counts.sum(axis=1)
    for row, label in enumerate(found.labels):
        y = 22 + row * size
        parts.append(
            f'<text class="label" x="{margin - 6:.1f}" y="{y + size / 2 + 4:.1f}" text-anchor="end">'
            f"{escape(label)}</text>"
        )
        x = margin + (row + 0.5) * size + 4
        below = 22 + _SIDE + 6
        parts.append(
            f'<text class="label" x="{x:.1f}" y="{below:.1f}" text-anchor="end" '
            f'transform="rotate(-90 {x:.1f} {below:.1f})">{escape(label)}</text>'
        )
        for column, other in enumerate(found.labels):
            count = int(found.counts[row, column])
            if not count:
                continue
            share = count / max(1, int(totals[row]))
            ink = "first" if row == column else "second"
            left = margin + column * size
            parts.append(
                f'<rect class="{ink}" x="{left:.1f}" y="{y:.1f}" width="{size - 1:.1f}" height="{size - 1:.1f}" '
                f'fill-opacity="{0.08 + 0.92 * share:.2f}"><title>{escape(label)} understood as {escape(other)}: '
                f"{count} of {int(totals[row])}</title></rect>"
            )
            if len(found.labels) <= _NUMBERED:
                kind = "light" if share > 0.5 else "label"
                parts.append(
                    f'<text class="{kind}" x="{left + size / 2:.1f}" y="{y + size / 2 + 4:.1f}" text-anchor="middle">'
                    f"{count}</text>"
                )
    frame = f'<rect class="dashed" x="{margin:.1f}" y="22" width="{_SIDE:.1f}" height="{_SIDE:.1f}"/>'
    return Plot(title, _svg(title, wide, high, [frame, *parts]))


def _pairs(found: Confusion, title: str) -> Plot:
    rows = [(f"{meant} → {said}", count / of, f"{count} of {of}") for meant, said, count, of in found.confused(_PAIRS)]
    return Plot(title, _bars(f"{title}: the commonest mistakes, meant → understood", rows))


def reliability_plot(found: Reliability, title: str = "Reliability") -> Plot:
    """The share that was right against the confidence, and how many examples had which."""
    left, top, side, floor = 48.0, 26.0, 300.0, 64.0
    bottom = top + side
    head = f"right, against confidence; {found.count} examples, ECE {100 * found.error:.1f} %"
    parts = [
        f'<line class="dashed" x1="{left}" y1="{bottom}" x2="{left + side}" y2="{top}"/>',
        f'<text x="{left}" y="14">{head}</text>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = left + side * share, bottom - side * share
        parts.append(f'<line class="grid" x1="{left}" x2="{left + side}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + floor + 22:.1f}" text-anchor="middle">{share:.0%}</text>')
    most = max((one.count for one in found.bins), default=1)
    for one in found.bins:
        x, wide = left + side * one.low + 1, side * (one.high - one.low) - 2
        words = (
            f"confidence {one.low:.0%} to {one.high:.0%}, on average {one.confidence:.1%}: {one.right:.1%} "
            f"of {one.count} right"
        )
        height = side * one.right
        parts.append(
            f'<rect class="first" x="{x:.1f}" y="{bottom - height:.1f}" width="{wide:.1f}" height="{height:.1f}" '
            f'fill-opacity="0.75"><title>{words}</title></rect>'
        )
        level = bottom - side * one.confidence
        parts.append(
            f'<line class="range" x1="{x:.1f}" x2="{x + wide:.1f}" y1="{level:.1f}" y2="{level:.1f}">'
            f"<title>{words}</title></line>"
        )
        many = floor * one.count / most
        parts.append(
            f'<rect class="second" x="{x:.1f}" y="{bottom + 6:.1f}" width="{wide:.1f}" height="{many:.1f}" '
            f'fill-opacity="0.6"><title>{words}</title></rect>'
        )
    parts.append(
        f'<text x="{left}" y="{bottom + floor + 38:.1f}">blue: right; lines: mean confidence; below: how many</text>'
    )
    return Plot(title, _svg(title, left + side + 16, bottom + floor + 44, parts))


def interval_plot(figures: Sequence[Figure], title: str) -> Plot:
    """Bars of percentages with their intervals."""
    rows = [(one.words, one.value / 100.0, one.shown()) for one in figures]
    ranges = [one.interval for one in figures]
    return Plot(title, _bars(title, rows, [None if one is None else (one[0] / 100, one[1] / 100) for one in ranges]))


def _bars(
    title: str,
    rows: Sequence[tuple[str, float, str]],
    ranges: Sequence[tuple[float, float] | None] | None = None,
) -> str:
    """Horizontal bars of shares in [0, 1]: (label, share, what to write beside it), each with a range."""
    left = 12 + _LETTER * max((len(label) for label, _, _ in rows), default=0)
    side, step = 320.0, 20.0
    parts = []
    for number, (label, share, words) in enumerate(rows):
        y = 6 + number * step
        parts.append(
            f'<text class="label" x="{left - 6:.1f}" y="{y + 12:.1f}" text-anchor="end">{escape(label)}</text>'
        )
        wide = side * min(max(share, 0.0), 1.0)
        parts.append(f'<rect class="first" x="{left:.1f}" y="{y:.1f}" width="{wide:.1f}" height="14"/>')
        end = wide
        between = None if ranges is None else ranges[number]
        if between is not None:
            low, high = (side * min(max(one, 0.0), 1.0) for one in between)
            end = max(wide, high)
            parts.append(
                f'<line class="range" x1="{left + low:.1f}" x2="{left + high:.1f}" y1="{y + 7:.1f}" y2="{y + 7:.1f}">'
                f"<title>{amount(100 * between[0])} to {amount(100 * between[1])}</title></line>"
            )
        parts.append(f'<text x="{left + end + 6:.1f}" y="{y + 12:.1f}">{escape(words)}</text>')
    return _svg(title, left + side + 80, 12 + step * len(rows), parts)


def _svg(label: str, wide: float, high: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="drawn" viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" role="img" '
        f'aria-label="{escape(label, quote=True)}">{"".join(parts)}</svg>'
    )
