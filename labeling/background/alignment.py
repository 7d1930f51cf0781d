"""Samples in the position and brightness of their most typical one."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from configs.errors import CameraMoves
from labeling.background.camera_motion import (
    ImageMatch,
    choose_reference,
    match_image,
    median_shift,
    warp_to_reference,
)
from labeling.background.illumination import fit_gain_bias, relight
from labeling.background.sample_store import SampleStore
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray

STILL_PX = 1.0
"""Up to this median shift the camera counts as still; above it, the samples are moved."""
MAX_LOST_SHARE = 0.2
"""The camera moves too much if a larger share of the samples cannot be aligned."""


@dataclass(frozen=True, slots=True, eq=False)
class Aligner:
    """Brings images to the position (if the camera moves) and brightness of a reference."""

    rgb: RgbImage
    seen: BoolArray
    """HxW: background pixels of the reference."""
    is_stabilizing: bool

    def match(self, rgb: RgbImage, seen: BoolArray) -> ImageMatch:
        return match_image(rgb, self.rgb, ~(seen & self.seen))

    def can_align(self, match: ImageMatch) -> bool:
        if self.is_stabilizing:
            return match.homography is not None
        return not math.isinf(match.shift_px)

    def align(self, rgb: RgbImage, seen: BoolArray, match: ImageMatch) -> tuple[RgbImage, BoolArray]:
        """Return the aligned image and its background pixels; both are computed for an image that can be aligned."""
        if self.is_stabilizing and match.homography is not None:
            rgb, seen = warp_to_reference(rgb, seen, match.homography)
        gain, bias = fit_gain_bias(self.rgb, rgb, ~(seen & self.seen))
        return relight(rgb, gain, bias), seen


def align_samples(samples: SampleStore) -> tuple[Aligner, float]:
    """Align the samples to their most typical one, drop those of another view; return the aligner and the shift.

    The shift is the median over the samples, in pixels.

    Raises:
        CameraMoves: more than 20 % of the samples cannot be aligned.
    """
    reference = choose_reference(samples.thumbnails)
    rgb, seen = samples.get(reference)
    still = Aligner(rgb, seen, is_stabilizing=False)
    matches = [still.match(*samples.get(index)) for index in range(len(samples))]
    shift_px = median_shift([match for index, match in enumerate(matches) if index != reference])
    aligner = Aligner(rgb, seen, is_stabilizing=shift_px > STILL_PX)
    kept = [index for index, match in enumerate(matches) if index == reference or aligner.can_align(match)]
    if len(samples) - len(kept) > MAX_LOST_SHARE * len(samples):
        motion = _describe_motion(shift_px, len(samples) - len(kept), len(samples))
        raise CameraMoves(f"background: {motion}; {CameraMoves.advice}", motion=motion)
    samples.replace_all(_aligned(samples, aligner, matches, kept, reference))
    return aligner, shift_px


def _aligned(
    samples: SampleStore, aligner: Aligner, matches: Sequence[ImageMatch], kept: Sequence[int], reference: int
) -> Iterator[tuple[RgbImage, BoolArray]]:
    for index in kept:
        rgb, seen = samples.get(index)
        yield (rgb, seen) if index == reference else aligner.align(rgb, seen, matches[index])


def _describe_motion(shift_px: float, lost: int, count: int) -> str:
    shift = f"by {shift_px:.1f} px (median)" if math.isfinite(shift_px) else "to other views"
    return (
        f"the camera moves {shift}: {lost} of {count} samples cannot be aligned with the others, "
        f"at most {MAX_LOST_SHARE:.0%} may"
    )
