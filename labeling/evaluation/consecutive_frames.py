"""Errors over time of teacher and student on labeled images that are consecutive frames of a video."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.evaluation.frames import EvaluatedImage
from labeling.evaluation.ignore_regions import leave_out_unlabeled
from labeling.evaluation.temporal_metrics import Error, Motion, TemporalErrors, TemporalMeter
from labeling.structures.masks import BoolArray, union_masks
from labeling.video.images import read_image
from labeling.video.optical_flow import SMALLEST_PX, follow_flow

LONGEST_STEP_MS = 1000
"""Frames that are further apart are no pair: people have moved too far."""
_SAME_STEP = 1.5
"""A step up to this many times the shortest one of the video is one step; a longer one has a frame missing."""


def add_errors_over_time(images: Sequence[EvaluatedImage]) -> list[EvaluatedImage]:
    """Return the images of a set in order; frames of a video with consecutive frames have errors over time.

    Frames that a filter rejected, and those with only boxes as ground truth, have none.

    Raises:
        SourceError: an image cannot be read.
    """
    videos: dict[str, list[int]] = defaultdict(list)
    for position, image in enumerate(images):
        if image.labeled.moment and image.frame.teacher_iou is not None:
            videos[image.labeled.moment[0]].append(position)
    result = list(images)
    for positions in videos.values():
        in_order = sorted(positions, key=lambda position: _time_ms(images[position]))
        found = _measure([images[position] for position in in_order])
        for position, (teacher, student) in zip(in_order, found, strict=False):  # none without a pair
            frame = replace(images[position].frame, teacher_over_time=teacher, student_over_time=student)
            result[position] = replace(images[position], frame=frame)
    return result


def _measure(video: Sequence[EvaluatedImage]) -> Iterator[tuple[TemporalErrors, TemporalErrors]]:
    """Yield the teacher's and the student's errors of each frame; nothing for a video without a pair."""
    steps_ms = [_time_ms(after) - _time_ms(before) for before, after in pairwise(video)]
    longest_ms = min(LONGEST_STEP_MS, _SAME_STEP * min(steps_ms, default=LONGEST_STEP_MS + 1))
    is_pair = [False, *(0 < step_ms <= longest_ms for step_ms in steps_ms)]
    if not any(is_pair):
        return
    teacher, student, last = TemporalMeter(), TemporalMeter(), None
    for image, is_successor in zip(video, is_pair, strict=True):
        now = cv2.cvtColor(read_image(image.labeled.path), cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
        motion = _follow(last, now) if is_successor else None
        errors, known = _errors_of(image)
        yield (
            teacher.update(errors["teacher"], known=known, motion=motion, is_successor=is_successor),
            student.update(errors["student"], known=known, motion=motion, is_successor=is_successor),
        )
        last = now


def _errors_of(image: EvaluatedImage) -> tuple[Mapping[str, Error], BoolArray]:
    """Return the error of each side's union, HxW, and the pixels whose ground truth is known."""
    sides = {"teacher": image.predicted.teacher, "student": image.predicted.student}
    masks = {name: [one.mask for one in instances] for name, instances in sides.items()}
    labeled = leave_out_unlabeled(image.labeled, masks["teacher"])
    truth = union_masks(labeled.people, labeled.size_hw).to_array().astype(np.float32)
    errors = {
        name: union_masks(some, labeled.size_hw).to_array().astype(np.float32) - truth
        for name, some in masks.items()
    }
    return errors, ~labeled.ignored.to_array()


def _follow(last: NDArray[np.uint8] | None, now: NDArray[np.uint8]) -> Motion | None:
    if last is None or last.shape != now.shape or min(now.shape) < SMALLEST_PX:
        return None
    return follow_flow(last, now)


def _time_ms(image: EvaluatedImage) -> int:
    return image.labeled.moment[1] if image.labeled.moment else 0
