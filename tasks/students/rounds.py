"""The rounds of the circle as a table: for `maskmill student rounds`, `maskmill status` and the report."""

from collections.abc import Mapping, Sequence

from db.students.rounds import CircleRound
from labeling.students.interval import Interval
from labeling.text.figures import count, duration

ROUND_COLUMNS = (
    *("round", "student", "dataset", "frames", "machine", "people"),
    *("on", "IoU", "IoU, random frames", "boundary IoU", ""),
)
"""`machine` and `people` are times; gains have an interval of 95 %."""


def round_rows(rounds: Sequence[CircleRound]) -> list[tuple[str, ...]]:
    """Return a row for each promotion, oldest first."""
    return [
        (
            *(
                str(number),
                one.student_id[:12],
                one.dataset,
                "-" if one.frames is None else count(one.frames),
            ),
            *(_duration(one.machine_s), _duration(one.human_s), one.on),
            *(_format_gain(gain) for gain in (one.iou_gain, one.random_iou_gain, one.boundary_gain)),
            "taken back" if one.is_taken_back else "",
        )
        for number, one in enumerate(rounds, start=1)
    ]


def format_interval(interval: Interval) -> str:
    """Format a difference.

    >>> format_interval(Interval(0.0312, 0.01, 0.05)), format_interval(Interval(-0.02, None, None))
    ('+0.031 (+0.010 to +0.050)', '-0.020 (one video)')
    """
    if interval.low is None or interval.high is None:
        return f"{interval.mean:+.3f} (one video)"
    return f"{interval.mean:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else duration(round(seconds))


def _format_gain(gain: Mapping[str, float | None]) -> str:
    mean = gain.get("mean")
    return "-" if mean is None else format_interval(Interval(mean, gain.get("low"), gain.get("high")))
