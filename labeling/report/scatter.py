"""Two numbers in [0, 1] of many frames, as inline SVG."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

_PLOT_PX = 260
_MARGIN_PX = 26
_FIFTHS = 5


@dataclass(frozen=True, slots=True)
class Dot:
    """One frame."""

    x: float
    y: float
    css_class: str
    title: str


def scatter_chart(dots: Sequence[Dot], *, split_x: float, split_y: float, what: str) -> Markup:
    """A dot a frame, and a line at either threshold. Horizontal places are percentages, as in `charts`.

    Args:
        what: for those who cannot see it: which two numbers these are.
    """
    parts = [*_axes(), *_thresholds(split_x, split_y), *map(_draw, dots)]
    return Markup(
        '<svg class="histogram scatter" height="{}" role="img" aria-label="{} of {} frames">{}</svg>'
    ).format(_PLOT_PX + 2 * _MARGIN_PX, what, len(dots), Markup("").join(parts))


def line_chart(points: Sequence[tuple[float, float]], *, what: str, diagonal: bool = False) -> Markup:
    """A line through points in order, and a dot at each; `diagonal` draws where both numbers are equal."""
    ideal = Markup('<line class="threshold" x1="0" x2="100%" y1="{:.1f}" y2="{:.1f}"/>').format(_y(0), _y(1))
    parts = [*_axes(), *([ideal] if diagonal else []), *_connect(points), *map(_draw_point, points)]
    return Markup(
        '<svg class="histogram scatter" height="{}" role="img" aria-label="{}: {} points">{}</svg>'
    ).format(_PLOT_PX + 2 * _MARGIN_PX, what, len(points), Markup("").join(parts))


def _connect(points: Sequence[tuple[float, float]]) -> Iterator[Markup]:
    for (x0, y0), (x1, y1) in pairwise(points):
        yield Markup('<line class="curve" x1="{:.2f}%" x2="{:.2f}%" y1="{:.1f}" y2="{:.1f}"/>').format(
            100 * x0, 100 * x1, _y(y0), _y(y1)
        )


def _draw_point(point: tuple[float, float]) -> Markup:
    x, y = point
    return Markup(
        '<circle class="accepted" cx="{:.2f}%" cy="{:.1f}" r="4"><title>{}</title></circle>'
    ).format(100 * x, _y(y), f"{x:.2f}, {y:.2f}")


def _y(value: float) -> float:
    return _MARGIN_PX + _PLOT_PX * (1 - value)


def _axes() -> Iterator[Markup]:
    for fifth in range(_FIFTHS + 1):
        value = fifth / _FIFTHS
        yield Markup('<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>').format(_y(value))
        yield Markup('<text x="0" dx="-8" y="{:.1f}" text-anchor="end">{:.1f}</text>').format(
            _y(value) + 4, value
        )
        yield Markup('<text x="{:.0f}%" y="{:.1f}" text-anchor="middle">{:.1f}</text>').format(
            100 * value, _y(0) + 17, value
        )


def _thresholds(split_x: float, split_y: float) -> Iterator[Markup]:
    yield Markup('<line class="threshold" x1="{0:.1f}%" x2="{0:.1f}%" y1="{1:.1f}" y2="{2:.1f}"/>').format(
        100 * split_x, _y(1), _y(0)
    )
    yield Markup('<line class="threshold" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>').format(_y(split_y))


def _draw(dot: Dot) -> Markup:
    title = f"{dot.title}, {dot.css_class}: {dot.x:.2f}, {dot.y:.2f}"
    return Markup('<circle class="{}" cx="{:.2f}%" cy="{:.1f}" r="4"><title>{}</title></circle>').format(
        dot.css_class, 100 * dot.x, _y(dot.y), title
    )
