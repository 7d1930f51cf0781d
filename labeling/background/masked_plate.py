"""The background plate of a clip, from frames and person masks.

Each pixel is combined from the samples in which no person covers it, after the samples are brought to one
brightness and, if the camera shakes, to one position. The samples lie in a temporary file.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from configs.matting import PlateBlock
from labeling.background.alignment import Aligner, align_samples
from labeling.background.coverage import Coverage, MaskedPlate
from labeling.background.disk_stack import DiskStack
from labeling.background.labgen import KEPT_SAMPLES, least_motion, motion_scores
from labeling.background.masked_samples import FindPeople, find_background, gather_with_masks
from labeling.background.plate import masked_mean, masked_median
from labeling.background.sample_store import SampleStore
from labeling.background.samples import sample_frames
from labeling.background.unseen_pixels import Combine, fill_from_frames, fill_inpainted, fill_least_motion
from labeling.structures.frames import Clip, RgbImage
from labeling.structures.masks import BoolArray

MAX_UNSEEN_SHARE = 0.01
"""A larger share of pixels that no sample shows gives a warning."""


def build_plate(clip: Clip, find_people: FindPeople, settings: PlateBlock) -> MaskedPlate:
    """Compute the background plate of a clip from a still or shaking camera.

    `find_people` is called with up to eight frames at a time. Its masks are dilated by 0.5 % of the
    diagonal, at least 3 pixels. The result depends on the clip, the masks and the settings only.

    Raises:
        SourceError: the clip cannot be read or has no image; `CameraMoves`: more than 20 % of the samples
            cannot be aligned.
        ModelOutputWrong: an image or a mask has another size than the first image.
        DiskFull: the temporary folder cannot hold the samples.
    """
    combine = masked_median if settings.statistic == "median" else masked_mean
    with gather_with_masks(clip, find_people, settings.samples) as samples:
        aligner, shift_px = align_samples(samples)
        if settings.method == "masked":
            rgb, coverage = _combine_seen(samples, combine)
            others = _other_frames(clip, find_people, samples, aligner, settings.search_frames)
            _fill_unseen(rgb, coverage, samples, others, combine)
        else:
            rgb, coverage = _combine_still(samples, combine)
    warnings = _warnings(coverage, shift_px, is_stabilized=aligner.is_stabilizing)
    return MaskedPlate(rgb, coverage, settings, warnings, shift_px, aligner.is_stabilizing)


def _combine_seen(samples: SampleStore, combine: Combine) -> tuple[RgbImage, NDArray[np.uint8]]:
    """Combine the samples outside their masks; pixels that no sample shows are coded INPAINTED for now."""
    rgb = np.empty((*samples.size_hw, 3), dtype=np.uint8)
    coverage = np.empty(samples.size_hw, dtype=np.uint8)
    for rows, stack, seen in samples.bands():
        rgb[rows] = combine(stack, seen)
        coverage[rows] = np.where(seen.any(axis=0), Coverage.SEEN, Coverage.INPAINTED)
    return rgb, coverage


def _combine_still(samples: SampleStore, combine: Combine) -> tuple[RgbImage, NDArray[np.uint8]]:
    """Combine the samples with the least motion; a pixel is seen if most of them show it outside their masks."""
    rgb = np.empty((*samples.size_hw, 3), dtype=np.uint8)
    coverage = np.empty(samples.size_hw, dtype=np.uint8)
    with DiskStack(samples.size_hw, np.int32) as scores:
        for score in motion_scores(samples.images):
            scores.append(score)
        for rows, stack, seen in samples.bands():
            still = least_motion(scores.rows(rows), KEPT_SAMPLES)
            rgb[rows] = combine(stack, still)
            is_seen = 2 * (seen & still).sum(axis=0) > still.sum(axis=0)
            coverage[rows] = np.where(is_seen, Coverage.SEEN, Coverage.LEAST_MOTION)
    return rgb, coverage


def _fill_unseen(
    rgb: RgbImage,
    coverage: NDArray[np.uint8],
    samples: SampleStore,
    others: Iterator[tuple[RgbImage, BoolArray]],
    combine: Combine,
) -> None:
    """Fill the pixels that no sample shows, and code how."""
    if (unseen := coverage != Coverage.SEEN).any():
        coverage[fill_from_frames(rgb, unseen, others, combine)] = Coverage.ALL_FRAMES
    if (unseen := coverage > Coverage.ALL_FRAMES).any():
        coverage[fill_least_motion(rgb, unseen, samples)] = Coverage.LEAST_MOTION
    if (unseen := coverage == Coverage.INPAINTED).any():
        fill_inpainted(rgb, unseen)


def _other_frames(
    clip: Clip, find_people: FindPeople, samples: SampleStore, aligner: Aligner, count: int
) -> Iterator[tuple[RgbImage, BoolArray]]:
    """Yield the aligned frames of the clip that are no samples, with their background pixels."""
    if not count:
        return
    known = set(samples.keys)
    frames = (frame for frame in sample_frames(clip, count) if frame.key not in known)
    for frame, seen in find_background(clip, frames, find_people):
        match = aligner.match(frame.rgb, seen)
        if aligner.can_align(match):
            yield aligner.align(frame.rgb, seen, match)


def _warnings(coverage: NDArray[np.uint8], shift_px: float, *, is_stabilized: bool) -> tuple[str, ...]:
    warnings = []
    unseen = coverage != Coverage.SEEN
    if unseen.mean() > MAX_UNSEEN_SHARE:
        codes = (Coverage.ALL_FRAMES, Coverage.LEAST_MOTION, Coverage.INPAINTED)
        found, still, inpainted = ((coverage == code).mean() for code in codes)
        warnings.append(
            f"{unseen.mean():.1%} of the background is visible in no sample: {found:.1%} was found in other "
            f"frames, {still:.1%} taken where least moves, {inpainted:.1%} inpainted; add some seconds "
            "without people to the clip"
        )
    if is_stabilized:
        warnings.append(
            f"the camera moves by {shift_px:.1f} px (median): the samples were aligned; use a tripod for a "
            "sharper background"
        )
    return tuple(warnings)
