"""Diagrams as one SVG that needs nothing else, readable in a browser."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from html import escape

from agent.lab.authoring.diagram import Box, Diagram, Shape
from agent.lab.authoring.layout import place

_CHARACTER = 6.7
"""Mean width of a character of 12 px, px; of Chinese ones nearly twice as much."""
_WIDE = 12.5
_LINE = 16.0
_WRAP = 32
"""Characters of a line in a box."""
_PAD = 10.0
_LABELLED = 0.7
"""Where on a piece of an arrow its label stands, of its curve's parameter."""
_MARGIN = 28.0
_TITLE = 44.0

_COLOURS: dict[Shape, tuple[str, str]] = {
    "start": ("#1f3a5f", "#1f3a5f"),
    "say": ("#eef4fb", "#6d94c0"),
    "ask": ("#fff6dd", "#c79a2a"),
    "confirm": ("#fff0e2", "#d0803a"),
    "call": ("#e7f5ec", "#4f9a6b"),
    "branch": ("#f3eefb", "#8b6bbf"),
    "answer": ("#e6f6f6", "#3f9597"),
    "note": ("#f4f4f4", "#a0a0a0"),
    "flow": ("#e9ebff", "#5a63c7"),
    "done": ("#ffffff", "#777777"),
    "person": ("#fde8ea", "#c0505c"),
    "hang_up": ("#eeeeee", "#555555"),
}
"""Fill and line by what a box is."""
_STYLE = """
svg { background: #ffffff; font: 12px "Helvetica Neue", Arial, "Noto Sans CJK SC", sans-serif; fill: #1c1c1c; }
.title { font-size: 18px; font-weight: 600; } .about { fill: #666; } .head { font-size: 10.5px; fill: #5c5c5c; }
.light { fill: #ffffff; } .way { fill: none; stroke: #6a6a6a; stroke-width: 1.3; }
.label { font-size: 11px; fill: #3c3c3c; paint-order: stroke; stroke: #fff; stroke-width: 4px; }
"""


def svg(diagrams: Sequence[Diagram], heading: str) -> str:
    """All `diagrams`, one below the other."""
    drawn = [_drawn(diagram) for diagram in diagrams]
    width = max((one[1] for one in drawn), default=400.0) + 2 * _MARGIN
    parts, y = [], _MARGIN
    for body, _, height in drawn:
        parts.append(f'<g transform="translate({_MARGIN:.0f},{y:.0f})">{body}</g>')
        y += height + _MARGIN * 1.6
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {y:.0f}" width="{width:.0f}" '
        f'height="{y:.0f}" role="img"><title>{escape(heading)}</title><style>{_STYLE}</style>'
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z" fill="#6a6a6a"/></marker></defs>'
        + "\n".join(parts)
        + "</svg>\n"
    )


def _drawn(diagram: Diagram) -> tuple[str, float, float]:
    lines = {box.name: _lines(box) for box in diagram.boxes}
    sizes = {box.name: _size(box, lines[box.name]) for box in diagram.boxes}
    found = place(sizes, [(arrow.source, arrow.target) for arrow in diagram.arrows])
    parts = [f'<text class="title" y="14">{escape(diagram.name)}</text>']
    parts.append(f'<text class="about" y="32">{escape(diagram.title)}</text><g transform="translate(0,{_TITLE})">')
    labels = []
    for arrow, way in zip(diagram.arrows, found.ways, strict=True):
        points = way if arrow.source != arrow.target else _round(*found.centres[arrow.source], sizes[arrow.source])
        parts.append(f'<path class="way" marker-end="url(#tip)" d="{_curve(points)}"/>')
        if arrow.label:
            labels.append(_label(arrow.label, points))
    for box in diagram.boxes:
        x, y = found.centres[box.name]
        parts.append(_boxed(box, x, y, sizes[box.name], lines[box.name]))
    return "".join([*parts, *labels, "</g>"]), found.width, found.height + _TITLE


def _round(x: float, y: float, size: tuple[float, float]) -> list[tuple[float, float]]:
    """An arrow from a box to itself, by its right side."""
    right = x + size[0] / 2
    return [(right, y + 6.0), (right + 34.0, y), (right, y - 6.0)]


def _curve(points: Sequence[tuple[float, float]]) -> str:
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 == x1:
            path += f" L{x1:.1f},{y1:.1f}"
        else:
            middle = (y0 + y1) / 2
            path += f" C{x0:.1f},{middle:.1f} {x1:.1f},{middle:.1f} {x1:.1f},{y1:.1f}"
    return path


def _label(text: str, points: Sequence[tuple[float, float]]) -> str:
    """On the first piece between two layers, near its end, where it has left the other arrows from the same box."""
    (x0, y0), (x1, y1) = points[1:3] if len(points) > 3 else (points[0], points[-1])
    t = _LABELLED
    across, along = t * t * (3 - 2 * t), 1.5 * t * (1 - t) + t**3
    x, y = x0 + (x1 - x0) * across, y0 + (y1 - y0) * along
    return f'<text class="label" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{escape(text)}</text>'


def _boxed(box: Box, x: float, y: float, size: tuple[float, float], lines: Sequence[str]) -> str:
    width, height = size
    fill, line = _COLOURS[box.shape]
    left, top = x - width / 2, y - height / 2
    look = f'fill="{fill}" stroke="{line}" stroke-width="1.3"'
    if box.shape == "branch":
        slant = 14.0
        corners = [
            (left, y),
            (left + slant, top),
            (left + width - slant, top),
            (left + width, y),
            (left + width - slant, top + height),
            (left + slant, top + height),
        ]
        shape = f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in corners)}" {look}/>'
    else:
        round_ = {"start": height / 2, "done": height / 2, "person": height / 2, "hang_up": height / 2, "call": 0}
        radius = min(16.0, round_.get(box.shape, 6.0))
        shape = (
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.0f}" {look}/>'
        )
    text, at = [], top + _PAD + 10.0
    if box.head:
        tint = "light" if box.shape == "start" else "head"
        text.append(f'<text class="{tint}" x="{x:.1f}" y="{at:.1f}" text-anchor="middle">{escape(box.head)}</text>')
        at += _LINE
    tint = ' class="light"' if box.shape == "start" else ""
    for row in lines:
        text.append(f'<text{tint} x="{x:.1f}" y="{at:.1f}" text-anchor="middle">{escape(row)}</text>')
        at += _LINE
    told = f"<title>{escape(box.where)}</title>" if box.where else ""
    return f"<g>{told}{shape}{''.join(text)}</g>"


def _lines(box: Box) -> list[str]:
    if any(ord(letter) > 0x2E80 for letter in box.text):
        return textwrap.wrap(box.text, _WRAP // 2) or [""]
    return textwrap.wrap(box.text, _WRAP) or [""]


def _size(box: Box, lines: Sequence[str]) -> tuple[float, float]:
    widest = max(_width(line) for line in [*lines, box.head])
    height = (len(lines) + bool(box.head)) * _LINE + 2 * _PAD - 4.0
    return widest + 2 * _PAD + (20.0 if box.shape == "branch" else 4.0), height


def _width(text: str) -> float:
    return sum(_WIDE if ord(letter) > 0x2E80 else _CHARACTER for letter in text)
