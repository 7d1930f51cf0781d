"""How good masks of people are on labeled frames."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from labeling.comparison.boundary_iou import boundary_iou
from labeling.comparison.iou import union_iou
from labeling.structures.frames import RgbImage
from labeling.structures.masks import Mask
from labeling.students.groups import ALL

PersonMask = Callable[[RgbImage], Mask]
"""Takes an image, HxWx3, and returns the mask of all people in it."""


@dataclass(slots=True)
class ScoreTable:
    """Scores of several students on the same frames; keeps some 40 bytes per frame and student."""

    students: tuple[str, ...]
    _scores: "array[float]" = field(default_factory=lambda: array("d"))
    _videos: "array[int]" = field(default_factory=lambda: array("q"))
    _video_numbers: dict[str, int] = field(default_factory=dict)
    _groups: "dict[str, array[int]]" = field(default_factory=dict)

    def add(self, video_id: str, groups: Sequence[str], truth: Mask, found: Sequence[Mask]) -> None:
        """Add a frame with the mask of each student, in their order."""
        frame = len(self._videos)
        self._videos.append(self._video_numbers.setdefault(video_id, len(self._video_numbers)))
        for group in (ALL, *groups):
            self._groups.setdefault(group, array("q")).append(frame)
        for mask in found:
            self._scores.extend((union_iou(mask, truth), boundary_iou(mask, truth)))

    def __len__(self) -> int:
        return len(self._videos)

    @property
    def videos(self) -> NDArray[np.int64]:
        """The number of each frame's video, from 0."""
        return np.array(self._videos, dtype=np.int64)

    @property
    def scores(self) -> NDArray[np.float64]:
        """IoU and boundary IoU, frames x students x 2."""
        return np.array(self._scores, dtype=np.float64).reshape(len(self), len(self.students), 2)

    @property
    def groups(self) -> Mapping[str, NDArray[np.int64]]:
        """The positions of each group's frames: all of them first, the others by name."""
        names = sorted(self._groups, key=lambda name: (name != ALL, name))
        return {name: np.array(self._groups[name], dtype=np.int64) for name in names}

    def means(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return frames, and mean IoU and boundary IoU of each student, by group."""
        scores = self.scores
        return {
            group: {
                student: {
                    "frames": len(frames),
                    "iou": round(float(scores[frames, column, 0].mean()), 4),
                    "boundary_iou": round(float(scores[frames, column, 1].mean()), 4),
                }
                for column, student in enumerate(self.students)
            }
            for group, frames in self.groups.items()
        }
