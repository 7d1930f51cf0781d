"""Charts as inline SVG. Horizontal positions are percentages, so that text keeps its size on any screen."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from labeling.text.figures import count_of, spaced

_PLOT_PX = 168
_TOP_PX = 26
_AXIS_PX = 24
_BAR_PX = 16
_SQUARE_PX = 260
_MARGIN_PX = 26
_FIFTHS = 5
_MOST_STEPS = 5
_HAIR = 0.15
"""Narrowest bar in percent, so that a small number stays visible."""
_GAP = 0.12
"""Share of a histogram bin that stays empty, half on each side."""


@dataclass(frozen=True, slots=True)
class AgreementHistogram:
    """Compared frames by union IoU."""

    counts: tuple[int, ...]
    """Frames in each of equally wide bins over [0, 1], without those in which neither model found a person."""
    both_empty: int
    """Frames in which neither model found a person."""
    hard_below: float
    """The run's threshold."""


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """One line of the funnel."""

    label: str
    frames: int
    of_frames: int
    """The whole for the percentage."""
    css_class: str
    after: int = 0
    """Frames before the start of its bar."""
    is_part: bool = True
    """A part of the row above, indented."""


def funnel_rows(counts: Mapping[str, int]) -> list[FunnelRow]:
    """Return the rows from sampled frames, minus each rule's rejections, to accepted and review.

    Removed frames are drawn at the right end of the frames that were left; the rule that rejected most comes first.
    """
    names = ("sampled", "compared", "easy", "hard", "accepted", "review")
    sampled, compared, easy, hard, accepted, review = (counts.get(name, 0) for name in names)
    prefix = "rejected:"
    rejected = [
        (frames, name.removeprefix(prefix)) for name, frames in counts.items() if name.startswith(prefix)
    ]
    rows, left = [FunnelRow("sampled", sampled, sampled, "all", is_part=False)], sampled
    for frames, rule in sorted(rejected, key=lambda pair: (-pair[0], pair[1])):
        left = max(0, left - frames)
        rows.append(FunnelRow(spaced(rule), frames, sampled, "rejected", after=left))
    return [
        *rows,
        FunnelRow("compared", compared, sampled, "all", is_part=False),
        FunnelRow("easy", easy, compared, "rejected", after=hard),
        FunnelRow("hard", hard, compared, "hard", is_part=False),
        FunnelRow("accepted", accepted, hard, "accepted"),
        FunnelRow("review", review, hard, "review", after=accepted),
    ]


def element(name: str, content: str = "", **attributes: object) -> Markup:
    """Return an SVG element; `css_class` becomes `class`, and other underscores become hyphens."""
    names = {key: "class" if key == "css_class" else key.replace("_", "-") for key in attributes}
    written = Markup("").join(Markup(' {}="{}"').format(names[key], attributes[key]) for key in attributes)
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, content)


def grid_line(y: float) -> Markup:
    return element("line", css_class="grid", x1="0", x2="100%", y1=f"{y:.1f}", y2=f"{y:.1f}")


def value_label(y: float, text: str) -> Markup:
    """Return the label of a grid line, in the left margin."""
    return element("text", text, x="0", dx="-8", y=f"{y + 4:.1f}", text_anchor="end")


def bar(start: float, share: float, css_class: str) -> Markup:
    """Draw one horizontal bar from `start`, `share` long, both in [0, 1] of its track.

    It is hidden from screen readers, because its number is beside it.
    """
    across = (100 * start, 100 * share)
    filled = _rect(css_class, across=across, down=(0, _BAR_PX)) if share > 0 else Markup("")
    track = element("rect", css_class="track", width="100%", height=_BAR_PX)
    return element("svg", track + filled, css_class="bar", height=_BAR_PX, aria_hidden="true")


def histogram_chart(histogram: AgreementHistogram) -> Markup:
    """Draw frames by union IoU; those below `hard_below` have their own color, even within a bin."""
    step, top = _axis_steps(max(histogram.counts, default=0))
    parts = [*_grid(step, top), *_bins(histogram, top), *_threshold(histogram.hard_below), *_iou_axis()]
    return element(
        "svg",
        Markup("").join(parts),
        css_class="histogram",
        height=_TOP_PX + _PLOT_PX + _AXIS_PX,
        role="img",
        aria_label=f"Histogram of the union IoU of {count_of(sum(histogram.counts), 'frame')}",
    )


def _axis_steps(highest: int) -> tuple[int, int]:
    """Return a round step (1, 2 or 5 times a power of ten) for at most `_MOST_STEPS` steps, and the axis' top."""
    magnitude = 10 ** max(0, len(str(highest)) - 2)
    steps = (magnitude * factor for factor in (1, 2, 5, 10, 20, 50))
    step = next(step for step in steps if highest <= _MOST_STEPS * step)
    return step, step * max(1, math.ceil(highest / step))


def _grid(step: int, top: int) -> Iterator[Markup]:
    for value in range(0, top + 1, step):
        y = _TOP_PX + _PLOT_PX * (1 - value / top)
        yield grid_line(y) + value_label(y, f"{value:,}")


def _bins(histogram: AgreementHistogram, top: int) -> Iterator[Markup]:
    """Yield the bars; the bin of the threshold has two colors."""
    width = 100 / max(len(histogram.counts), 1)
    for number, frames in enumerate(histogram.counts):
        left, right = (number + _GAP / 2) * width, (number + 1 - _GAP / 2) * width
        split = min(max(100 * histogram.hard_below, left), right)
        height = max(1.0, _PLOT_PX * frames / top)
        low, high = number / len(histogram.counts), (number + 1) / len(histogram.counts)
        title = f"IoU {low:.2f} to {high:.2f}: {count_of(frames, 'frame')}"
        for start, end, css_class in ((left, split, "hard"), (split, right, "easy")):
            if frames and end > start:
                down = (_TOP_PX + _PLOT_PX - height, height)
                yield _rect(css_class, across=(start, end - start), down=down, title=title)


def _threshold(hard_below: float) -> Iterator[Markup]:
    """Yield a line and its label, on the side with more room."""
    x = f"{100 * hard_below:.3f}%"
    yield element("line", css_class="threshold", x1=x, x2=x, y1="6", y2=_TOP_PX + _PLOT_PX)
    indent, anchor = (6, "start") if hard_below <= 1 / 2 else (-6, "end")
    label = f"hard below {hard_below:.2f}"
    yield element("text", label, css_class="threshold-label", x=x, dx=indent, y="15", text_anchor=anchor)


def _iou_axis() -> Iterator[Markup]:
    anchors = ("start", "middle", "middle", "middle", "middle", "end")
    for fifth, anchor in enumerate(anchors):
        y = _TOP_PX + _PLOT_PX + 17
        yield element("text", f"{fifth / 5:.1f}", x=f"{20 * fifth}%", y=y, text_anchor=anchor)


def _rect(
    css_class: str, *, across: tuple[float, float], down: tuple[float, float], title: str = ""
) -> Markup:
    """Draw a rectangle: left and width in percent, top and height in pixels; at least `_HAIR` wide."""
    x, width = f"{across[0]:.3f}%", f"{max(across[1], _HAIR):.3f}%"
    content = element("title", title) if title else ""
    y, height = f"{down[0]:.1f}", f"{down[1]:.1f}"
    return element("rect", content, css_class=css_class, x=x, width=width, y=y, height=height)


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
    return _chart([*_axes(), *thresholds, *drawn], f"{what} of {count_of(len(dots), 'frame')}")


def line_chart(points: Sequence[tuple[float, float]], *, what: str, diagonal: bool = False) -> Markup:
    """Draw a line through points in order, with a dot at each; `diagonal` marks equal numbers."""
    ideal = [_line("threshold", (0, 0), (1, 1))] if diagonal else []
    lines = [_line("curve", first, second) for first, second in pairwise(points)]
    dots = [_dot(Dot(x, y, "accepted", ""), f"{x:.2f}, {y:.2f}") for x, y in points]
    return _chart([*_axes(), *ideal, *lines, *dots], f"{what}: {count_of(len(points), 'point')}")


def _chart(parts: Iterable[Markup], label: str) -> Markup:
    height = _SQUARE_PX + 2 * _MARGIN_PX
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
    return _MARGIN_PX + _SQUARE_PX * (1 - value)
