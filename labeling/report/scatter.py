"""Scatter and line charts of two numbers in [0, 1], as inline SVG."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from labeling.report.charts import element, grid_line, value_label

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
    """Draw a dot per frame, and a line at each threshold; `what` names the two numbers for screen readers."""
    thresholds = [
        _line("threshold", (split_x, 1), (split_x, 0)),
        _line("threshold", (0, split_y), (1, split_y)),
    ]
    drawn = [_dot(dot, f"{dot.title}, {dot.css_class}: {dot.x:.2f}, {dot.y:.2f}") for dot in dots]
    return _chart([*_axes(), *thresholds, *drawn], f"{what} of {len(dots)} frames")


def line_chart(points: Sequence[tuple[float, float]], *, what: str, diagonal: bool = False) -> Markup:
    """Draw a line through points in order, with a dot at each; `diagonal` marks equal numbers."""
    ideal = [_line("threshold", (0, 0), (1, 1))] if diagonal else []
    lines = [_line("curve", first, second) for first, second in pairwise(points)]
    dots = [_dot(Dot(x, y, "accepted", ""), f"{x:.2f}, {y:.2f}") for x, y in points]
    return _chart([*_axes(), *ideal, *lines, *dots], f"{what}: {len(points)} points")


def _chart(parts: Iterable[Markup], label: str) -> Markup:
    height = _PLOT_PX + 2 * _MARGIN_PX
    content = Markup("").join(parts)
    return element("svg", content, css_class="histogram scatter", height=height, role="img", aria_label=label)


def _axes() -> Iterator[Markup]:
    for fifth in range(_FIFTHS + 1):
        value = fifth / _FIFTHS
        yield grid_line(_y(value)) + value_label(_y(value), f"{value:.1f}")
        yield element(
            "text", f"{value:.1f}", x=f"{100 * value:.0f}%", y=f"{_y(0) + 17:.1f}", text_anchor="middle"
        )


def _line(css_class: str, start: tuple[float, float], end: tuple[float, float]) -> Markup:
    (x1, y1), (x2, y2) = ((f"{100 * x:.2f}%", f"{_y(y):.1f}") for x, y in (start, end))
    return element("line", css_class=css_class, x1=x1, x2=x2, y1=y1, y2=y2)


def _dot(dot: Dot, title: str) -> Markup:
    x, y = f"{100 * dot.x:.2f}%", f"{_y(dot.y):.1f}"
    return element("circle", element("title", title), css_class=dot.css_class, cx=x, cy=y, r="4")


def _y(value: float) -> float:
    return _MARGIN_PX + _PLOT_PX * (1 - value)
