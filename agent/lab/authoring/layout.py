"""Where the boxes of a diagram stand: layers from top to bottom, few crossings, arrows that bend round boxes.

The steps of Sugiyama, Tagawa and Toda (1981): turn arrows that go back, put every box below those before it, split long
arrows with points between, order each layer by the mean place of its neighbours, and then shift each layer as near to
its neighbours as the gaps allow (least squares under spacing, by pooling adjacent violators).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SWEEPS = 12
"""Times that layers are ordered, and placed, down and up."""
GAP_X = 26.0
GAP_Y = 54.0
"""Between boxes beside, and layers below each other, px."""
_POINT = 14.0
"""Room that an arrow takes between boxes, px."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Centres (x, y) of boxes by name, px; ways of arrows; the whole drawing's size.

    A way is the points from the edge of its source to that of its target. Between layers it goes sideways, through a
    layer straight down or up, so every other piece of it is vertical.
    """

    centres: Mapping[str, tuple[float, float]]
    ways: Sequence[Sequence[tuple[float, float]]]
    width: float
    height: float


def place(sizes: Mapping[str, tuple[float, float]], arrows: Sequence[tuple[str, str]]) -> Placed:
    """Place boxes of `sizes` (width, height, px), the first on top, joined by `arrows` (source, target)."""
    names = list(sizes)
    forward = _forward(names, arrows)
    layer = _layers(names, forward)
    chains: list[list[str]] = []
    widths = {name: size[0] for name, size in sizes.items()}
    level = dict(layer)
    for number, (source, target) in enumerate(forward):
        chain = [source]
        for between in range(layer[source] + 1, layer[target]):
            point = f"\0{number}.{between}"
            widths[point], level[point] = _POINT, between
            chain.append(point)
        chains.append([*chain, target])
    rows: list[list[str]] = [[] for _ in range(max(level.values()) + 1)]
    for name in _order_met(names, chains):
        rows[level[name]].append(name)
    above, below = _neighbours(chains)
    _uncross(rows, above, below)
    x = _across(rows, widths, above, below)
    heights = {name: size[1] for name, size in sizes.items()}
    edges = _down([max((heights[name] for name in row if name in heights), default=0.0) for row in rows])
    left = min(x[name] - widths[name] / 2 for name in x)
    right = max(x[name] + widths[name] / 2 for name in x)
    centres = {name: (x[name] - left, sum(edges[level[name]]) / 2) for name in names}
    ways = []
    for (source, _), (first, _), chain in zip(arrows, forward, chains, strict=True):
        points: list[tuple[float, float]] = []
        for n, name in enumerate(chain):
            top, bottom = edges[level[name]]
            middle, half = (top + bottom) / 2, heights.get(name, bottom - top) / 2
            points += [(x[name] - left, middle + half if n == 0 else top)]
            points += [(x[name] - left, middle - half if n == len(chain) - 1 else bottom)]
        ways.append(points if first == source else points[::-1])
    return Placed(centres, ways, right - left, edges[-1][1])


def _forward(names: Sequence[str], arrows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """`arrows`, those that go back to a box still open in a walk from the top turned round."""
    ways: dict[str, list[str]] = {}
    for source, target in arrows:
        ways.setdefault(source, []).append(target)
    back: set[tuple[str, str]] = set()
    done: set[str] = set()
    open_: set[str] = set()
    for root in names:
        work = [(root, iter(ways.get(root, ())))] if root not in done else []
        open_.update([root] if work else [])
        while work:
            node, targets = work[-1]
            following = next(targets, None)
            if following is None:
                work.pop()
                open_.discard(node)
                done.add(node)
            elif following in open_:
                back.add((node, following))
            elif following not in done:
                open_.add(following)
                work.append((following, iter(ways.get(following, ()))))
    return [(target, source) if (source, target) in back else (source, target) for source, target in arrows]


def _layers(names: Sequence[str], arrows: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Every box as far down as the longest way to it; arrows have no way round."""
    layer = dict.fromkeys(names, 0)
    for _ in names:
        moved = False
        for source, target in arrows:
            if source != target and layer[target] <= layer[source]:
                layer[target], moved = layer[source] + 1, True
        if not moved:
            break
    return layer


def _order_met(names: Sequence[str], chains: Sequence[Sequence[str]]) -> list[str]:
    """Boxes and points in the order in which a walk from the top meets them."""
    following: dict[str, list[str]] = {}
    for chain in chains:
        for one, other in itertools.pairwise(chain):
            following.setdefault(one, []).append(other)
    found: dict[str, None] = {}
    for root in names:
        stack = [root]
        while stack:
            name = stack.pop()
            if name not in found:
                found[name] = None
                stack += reversed(following.get(name, []))
    return list(found)


def _neighbours(chains: Sequence[Sequence[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for chain in chains:
        for one, other in itertools.pairwise(chain):
            below.setdefault(one, []).append(other)
            above.setdefault(other, []).append(one)
    return above, below


def _uncross(rows: list[list[str]], above: Mapping[str, list[str]], below: Mapping[str, list[str]]) -> None:
    """Order each row by the mean place of its neighbours; the order with the fewest crossings is kept."""
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        order = range(1, len(rows)) if down else range(len(rows) - 2, -1, -1)
        for n in order:
            beside, near = (rows[n - 1], above) if down else (rows[n + 1], below)
            at = {name: float(place) for place, name in enumerate(beside)}
            mean = {
                name: sum(at[one] for one in near[name]) / len(near[name]) if near.get(name) else float(place)
                for place, name in enumerate(rows[n])
            }
            rows[n].sort(key=lambda name: mean[name])
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _crossings(rows: Sequence[Sequence[str]], below: Mapping[str, list[str]]) -> int:
    count = 0
    for upper, lower in itertools.pairwise(rows):
        at = {name: place for place, name in enumerate(lower)}
        ends = [at[other] for name in upper for other in sorted(below.get(name, ()), key=lambda one: at[one])]
        count += sum(1 for n, end in enumerate(ends) for other in ends[n + 1 :] if other < end)
    return count


def _across(
    rows: Sequence[Sequence[str]],
    widths: Mapping[str, float],
    above: Mapping[str, list[str]],
    below: Mapping[str, list[str]],
) -> dict[str, float]:
    """Centres from left to right: in turn each row goes where its neighbours are, as near as its order and gaps let."""
    x: dict[str, float] = {}
    for row in rows:
        at = 0.0
        for name in row:
            x[name] = at + widths[name] / 2
            at += widths[name] + GAP_X
        for name in row:
            x[name] -= (at - GAP_X) / 2
    for sweep in range(SWEEPS * 2):
        down = sweep % 2 == 0
        for row in rows if down else list(reversed(rows)):
            near = above if down else below
            wanted = [
                sum(x[one] for one in near[name]) / len(near[name]) if near.get(name) else x[name] for name in row
            ]
            x |= zip(row, _spaced(wanted, [widths[name] for name in row]), strict=True)
    return x


def _spaced(wanted: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Centres nearest to `wanted`, in the same order and at least `GAP_X` apart (pooled adjacent violators)."""
    offsets = [0.0]
    for one, other in itertools.pairwise(widths):
        offsets.append(offsets[-1] + (one + other) / 2 + GAP_X)
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=False):
        mean, count = want - offset, 1
        while pools and pools[-1][0] > mean:
            before, size = pools.pop()
            mean, count = (mean * count + before * size) / (count + size), count + size
        pools.append((mean, count))
    means = [mean for mean, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]


def _down(heights: Sequence[float]) -> list[tuple[float, float]]:
    """The upper and the lower edge of each row."""
    found: list[tuple[float, float]] = []
    top = 0.0
    for height in heights:
        found.append((top, top + height))
        top += height + GAP_Y
    return found
