"""Two students on the same frames, by group, and whether the first may replace the second."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from labeling.students.bootstrap import DRAWS, bootstrap_intervals
from labeling.students.groups import ALL
from labeling.students.interval import Interval
from labeling.students.scores import ScoreTable

MAX_INT8_DROP = 0.01
"""Largest loss of mean IoU by 8-bit numbers."""


@dataclass(frozen=True, slots=True)
class GroupComparison:
    """Two students on the frames of one group. Differences are the first minus the second."""

    frames: int
    videos: int
    iou: tuple[float, float]
    boundary_iou: tuple[float, float]
    iou_difference: Interval
    boundary_difference: Interval


@dataclass(frozen=True, slots=True)
class StudentComparison:
    """What `maskmill student compare` found."""

    first: str
    second: str
    on: str
    """Version and splits."""
    groups: Mapping[str, GroupComparison]
    """All frames first."""
    int8_iou: float | None = None
    """Mean IoU of the first student's int8 file on all frames; None: it was not measured."""
    unreadable: int = 0
    """Frames that were left out because their image cannot be read."""
    learned: int = 0
    """Frames that were left out because a student was trained on their video."""
    draws: int = DRAWS

    @property
    def total(self) -> GroupComparison:
        return self.groups[ALL]


def compare_scores(
    table: ScoreTable, on: str, *, unreadable: int = 0, learned: int = 0, seed: int = 0
) -> StudentComparison:
    """Compare the first two students of a table; the third, if there is one, is the first one's int8 file."""
    scores, videos, groups = table.scores, table.videos, table.groups
    members = np.zeros((len(groups), len(videos)), dtype=bool)
    for row, frames in zip(members, groups.values(), strict=True):
        row[frames] = True
    intervals = bootstrap_intervals(scores[:, 0] - scores[:, 1], videos, members, seed=seed)
    found = {}
    for (name, frames), (iou, boundary) in zip(groups.items(), intervals, strict=True):
        means = scores[frames].mean(axis=0)
        found[name] = GroupComparison(
            frames=len(frames),
            videos=len(np.unique(videos[frames])),
            iou=(float(means[0, 0]), float(means[1, 0])),
            boundary_iou=(float(means[0, 1]), float(means[1, 1])),
            iou_difference=iou,
            boundary_difference=boundary,
        )
    int8 = float(scores[:, 2, 0].mean()) if len(table.students) > 2 else None  # noqa: PLR2004 - see the docstring
    return StudentComparison(table.students[0], table.students[1], on, found, int8, unreadable, learned)


def find_refusals(found: StudentComparison) -> Iterator[str]:
    """Yield why the first student may not replace the second, a sentence for each reason."""
    total = found.total
    if total.iou_difference.low is None:
        yield (
            f"all {total.frames} frames of {found.on} are of one video, which does not tell how the student does on "
            "others: compare on a set of several videos"
        )
    if total.iou_difference.mean < 0:
        yield (
            f"its mean IoU on {found.on} is {total.iou[0]:.3f}, that of {found.second} {total.iou[1]:.3f}: it is worse"
        )
    for name, group in found.groups.items():
        measured = {"IoU": group.iou_difference, "boundary IoU": group.boundary_difference}
        worse = [f"its {what} is {_below(one)}" for what, one in measured.items() if _is_worse(one)]
        if worse:
            yield f"{name}: {' and '.join(worse)} that of {found.second}"
    yield from _int8_refusals(found)


def _is_worse(difference: Interval) -> bool:
    """Return whether the whole interval is below 0."""
    return difference.high is not None and difference.high < 0


def _below(difference: Interval) -> str:
    return f"{-difference.mean:.3f} (interval {difference.low:+.3f} to {difference.high:+.3f}) below"


def _int8_refusals(found: StudentComparison) -> Iterator[str]:
    if found.int8_iou is None:
        return
    drop = found.total.iou[0] - found.int8_iou
    if drop > MAX_INT8_DROP:
        yield (
            f"its int8 file has a mean IoU of {found.int8_iou:.3f} on {found.on}, {drop:.3f} less than its ONNX file "
            f"(at most {MAX_INT8_DROP}): quantization broke it; train with more calibration_frames, and with --base or frames that show people"
        )
