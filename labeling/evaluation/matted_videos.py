"""Evaluation of videos' mattes and background plates, and means over videos. The fields are the keys of the JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from configs.errors import ConfigError
from configs.ground_truth import MattedVideo
from labeling.evaluation.mask_sweep import MaskMeter
from labeling.evaluation.matte_files import (
    MatchedFrames,
    MatteReader,
    match_frames,
    read_rgb,
)
from labeling.evaluation.matte_metrics import MatteMeter
from labeling.evaluation.matte_motion import MotionReader
from labeling.evaluation.matte_summary import MatteFrameScore, MatteSummary
from labeling.evaluation.plate_metrics import PlateMetrics, plate_metrics
from labeling.evaluation.summary import POOLED

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Row = TypeVar("Row", bound=DataclassInstance)


def evaluate_matte(video: MattedVideo) -> MatteSummary:
    """Compare a video's matte with its ground truth, frame by frame.

    Raises:
        ConfigError: a folder or file is missing, unreadable or of another size, or no frame is decided.
    """
    matched, reader = match_frames(video), MatteReader(video)
    matte, masks, motion = MatteMeter(), MaskMeter(), MotionReader()
    scores: list[MatteFrameScore] = []
    last = None
    for frame in matched.frames:
        pair = reader.read(frame)
        if not pair.known.any():
            continue
        iou, mad = masks.update(pair.alpha, pair.person, pair.known), None
        if video.alpha:
            is_successor = frame.number - 1 == last
            steps = motion.follow(frame, pair.alpha.shape, is_successor=is_successor)
            mad = matte.update(pair.alpha, pair.truth, motion=steps, is_successor=is_successor).mad
        last = frame.number
        scores.append(MatteFrameScore(frame.number, iou, mad))
    if not scores:
        raise ConfigError(
            f"matte: no pixel of {video.cdnet} is decided in the frames of {video.matte}; check roi and offset"
        )
    return _summarize(video, matched, matte, masks, scores)


def _summarize(
    video: MattedVideo,
    matched: MatchedFrames,
    matte: MatteMeter,
    masks: MaskMeter,
    scores: Sequence[MatteFrameScore],
) -> MatteSummary:
    return MatteSummary(
        frames=len(scores),
        missing=matched.missing,
        offset=matched.offset,
        is_offset_inferred=video.offset is None,
        alpha=matte.compute(),
        masks=masks.compute(),
        sweep=masks.sweep(),
        scores=tuple(scores),
    )


def evaluate_plate(plate: Path, background: Path) -> PlateMetrics:
    """Compare a background plate with the true background.

    Raises:
        ConfigError: an image is missing or unreadable, or their sizes differ.
    """
    first, second = read_rgb(plate, "plate"), read_rgb(background, "background")
    if first.shape != second.shape:
        sizes = [f"{side.shape[1]}x{side.shape[0]} px" for side in (first, second)]
        raise ConfigError(
            f"plate: {plate} is {sizes[0]}, {background} {sizes[1]}: compare images of the same size"
        )
    return plate_metrics(first, second)


def with_mean_of_mattes(videos: Mapping[str, MatteSummary]) -> dict[str, MatteSummary]:
    """Return the videos and `POOLED`: the mean of each metric over the videos that have it."""
    if not videos:
        return {}
    several = list(videos.values())
    exact = [one.alpha for one in several if one.alpha]
    thresholds = zip(*(one.sweep for one in several), strict=True)
    pooled = MatteSummary(
        frames=sum(one.frames for one in several),
        missing=sum(one.missing for one in several),
        offset=None,
        is_offset_inferred=False,
        alpha=replace(_mean(exact), frames=sum(one.frames for one in exact)) if exact else None,
        masks=replace(_mean([one.masks for one in several]), best_threshold=None),
        sweep=tuple(replace(_mean(scores), threshold=scores[0].threshold) for scores in thresholds),
    )
    return {**videos, POOLED: pooled}


def with_mean_of_plates(plates: Mapping[str, PlateMetrics]) -> dict[str, PlateMetrics]:
    """Return the plates and `POOLED`: the mean of each metric over the plates that have it."""
    return {**plates, POOLED: _mean(list(plates.values()))} if plates else {}


def _mean(rows: "Sequence[Row]") -> "Row":
    """Return the mean of each field over the rows in which it is not None."""
    means = {}
    for field in fields(rows[0]):
        known = [value for row in rows if (value := getattr(row, field.name)) is not None]
        means[field.name] = float(np.mean(known)) if known else None
    return replace(rows[0], **means)
