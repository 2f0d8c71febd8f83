"""Plots as shapes in a box of 100 by 100 that is stretched to its place; a table tells the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GAP = 0.18
"""Of a bar's place, as much is left free beside it."""


@dataclass(frozen=True)
class Shape:
    """One part of a bar."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Bars:
    """Stacked bars; `top` is the value at the upper edge."""

    shapes: tuple[Shape, ...]
    top: float


@dataclass(frozen=True)
class Line:
    """One line in pieces, broken where there is no value."""

    kind: str
    pieces: tuple[str, ...]


def bars(values: Sequence[Mapping[str, float]], kinds: Sequence[str], *, also_top: float = 0.0) -> Bars:
    """A stack of *kinds*, from below, for each of *values*; *also_top*: a value that must fit in."""
    top = max([also_top, *(sum(value.get(kind, 0) for kind in kinds) for value in values)], default=0.0)
    place, shapes = 100 / max(1, len(values)), []
    for n, value in enumerate(values):
        low = 100.0
        for kind in kinds:
            height = 100 * value.get(kind, 0) / top if top else 0.0
            if height:
                low -= height
                x = place * (n + GAP / 2)
                shapes.append(Shape(kind, round(x, 2), round(low, 2), round(place * (1 - GAP), 2), round(height, 2)))
    return Bars(tuple(shapes), top)


def line(kind: str, values: Sequence[float | None], top: float) -> Line:
    """*values* from left to right; points alone are drawn as short strokes."""
    place, pieces, piece = 100 / max(1, len(values)), [], list[str]()
    for n, value in enumerate([*values, None]):
        if value is not None:
            y = round(100 - 100 * value / top, 2) if top else 100.0
            piece.append(f"{round(place * (n + 0.5), 2)},{y}")
        elif piece:
            if len(piece) == 1:
                x, _, height = piece[0].partition(",")
                piece.append(f"{float(x) + place * 0.4:.2f},{height}")
            pieces.append(" ".join(piece))
            piece = []
    return Line(kind, tuple(pieces))
