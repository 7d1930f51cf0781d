"""Charts as inline SVG. Horizontal places are percentages, so that text keeps its size on any screen."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from labeling.report.contents import AgreementHistogram, FrameCounts
from labeling.text.figures import count_of, spaced

_PLOT_PX = 168
_TOP_PX = 26
_AXIS_PX = 24
_BAR_PX = 16
_MOST_STEPS = 5
_HAIR = 0.15
"""Narrowest bar in percent: something is never drawn as nothing."""
_GAP = 0.12
"""Share of a histogram bin that stays free, half on each side."""


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """One line of the funnel."""

    label: str
    frames: int
    of_frames: int
    """What `frames` is a part of, for the percentage in words."""
    css_class: str
    after: int = 0
    """Frames that its bar begins behind."""
    is_part: bool = True
    """Indented: a part of what stands above."""


def funnel_rows(counts: FrameCounts) -> list[FunnelRow]:
    """Looked at, minus each rule's rejections, to compared, easy and hard, accepted and review.

    What goes away is drawn at the right end of what was left, so the eye follows what stays.
    """
    rows = [FunnelRow("looked at", counts.looked_at, counts.looked_at, "all", is_part=False)]
    left = counts.looked_at
    for rule, frames in counts.rejected:
        left = max(0, left - frames)
        rows.append(FunnelRow(spaced(rule), frames, counts.looked_at, "rejected", after=left))
    return [
        *rows,
        FunnelRow("compared", counts.compared, counts.looked_at, "all", is_part=False),
        FunnelRow("easy", counts.easy, counts.compared, "rejected", after=counts.hard),
        FunnelRow("hard", counts.hard, counts.compared, "hard", is_part=False),
        FunnelRow("accepted", counts.accepted, counts.hard, "accepted"),
        FunnelRow("review", counts.review, counts.hard, "review", after=counts.accepted),
    ]


def bar(start: float, share: float, css_class: str) -> Markup:
    """One horizontal bar from `start`, `share` long, both in [0, 1] of its track.

    It says nothing to a screen reader: its number stands beside it.
    """
    across = (100 * start, 100 * share)
    piece = _rect(css_class, across=across, down=(0, _BAR_PX)) if share > 0 else Markup("")
    track = Markup('<rect class="track" width="100%" height="{}"/>').format(_BAR_PX)
    return Markup('<svg class="bar" height="{}" aria-hidden="true">{}{}</svg>').format(_BAR_PX, track, piece)


def histogram_chart(histogram: AgreementHistogram) -> Markup:
    """Frames by union IoU; what is below `hard_below` has its own color, even within a bin."""
    step, top = _axis_steps(max(histogram.counts, default=0))
    parts = [
        *_grid(step, top),
        *_bins(histogram, top),
        *_threshold(histogram.hard_below),
        *_iou_axis(),
    ]
    compared = count_of(sum(histogram.counts), "frame")
    return Markup(
        '<svg class="histogram" height="{}" role="img" aria-label="Histogram of the union IoU of {}">{}</svg>'
    ).format(_TOP_PX + _PLOT_PX + _AXIS_PX, compared, Markup("").join(parts))


def _axis_steps(highest: int) -> tuple[int, int]:
    """A round step (1, 2 or 5 times a power of ten) that is at most _MOST_STEPS times in the axis, and
    the axis' top."""
    magnitude = 10 ** max(0, len(str(highest)) - 2)
    steps = (magnitude * factor for factor in (1, 2, 5, 10, 20, 50))
    step = next(step for step in steps if highest <= _MOST_STEPS * step)
    return step, step * max(1, math.ceil(highest / step))


def _grid(step: int, top: int) -> Iterator[Markup]:
    """Lines with their values in the margin on the left."""
    for value in range(0, top + 1, step):
        y = _TOP_PX + _PLOT_PX * (1 - value / top)
        yield Markup('<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>').format(y)
        yield Markup('<text x="0" dx="-8" y="{:.1f}" text-anchor="end">{}</text>').format(y + 4, f"{value:,}")


def _bins(histogram: AgreementHistogram, top: int) -> Iterator[Markup]:
    """The bin that the threshold falls into is drawn in two colors."""
    width = 100 / max(len(histogram.counts), 1)
    for place, frames in enumerate(histogram.counts):
        left, right = (place + _GAP / 2) * width, (place + 1 - _GAP / 2) * width
        split = min(max(100 * histogram.hard_below, left), right)
        height = max(1.0, _PLOT_PX * frames / top)
        low, high = place / len(histogram.counts), (place + 1) / len(histogram.counts)
        title = f"IoU {low:.2f} to {high:.2f}: {count_of(frames, 'frame')}"
        for start, end, css_class in ((left, split, "hard"), (split, right, "easy")):
            if frames and end > start:
                down = (_TOP_PX + _PLOT_PX - height, height)
                yield _rect(css_class, across=(start, end - start), down=down, title=title)


def _threshold(hard_below: float) -> Iterator[Markup]:
    """A line and its label, on that side where there is more room."""
    at = 100 * hard_below
    yield Markup('<line class="threshold" x1="{0:.3f}%" x2="{0:.3f}%" y1="6" y2="{1}"/>').format(
        at, _TOP_PX + _PLOT_PX
    )
    indent, anchor = (6, "start") if hard_below <= 1 / 2 else (-6, "end")
    yield Markup(
        '<text class="threshold-label" x="{:.3f}%" dx="{}" y="15" text-anchor="{}">hard below {}</text>'
    ).format(at, indent, anchor, f"{hard_below:.2f}")


def _iou_axis() -> Iterator[Markup]:
    anchors = ("start", "middle", "middle", "middle", "middle", "end")
    for fifth, anchor in enumerate(anchors):
        yield Markup('<text x="{}%" y="{}" text-anchor="{}">{}</text>').format(
            20 * fifth, _TOP_PX + _PLOT_PX + 17, anchor, f"{fifth / 5:.1f}"
        )


def _rect(
    css_class: str, *, across: tuple[float, float], down: tuple[float, float], title: str = ""
) -> Markup:
    """A rectangle: left and width in percent, top and height in pixels; at least a hair wide."""
    inside = Markup("<title>{}</title>").format(title) if title else Markup("")
    return Markup('<rect class="{}" x="{:.3f}%" width="{:.3f}%" y="{:.1f}" height="{:.1f}">{}</rect>').format(
        css_class, across[0], max(across[1], _HAIR), *down, inside
    )
