"""Which conventions a file of trajectories follows, found by trial on detected people.

Files differ: pixels as (x, y) or (row, column), a homography from pixels to the world or its inverse,
points at the head, the middle or the feet, images that were scaled since, and frame numbers of another
frame rate. Each combination is tried on the boxes of a detector.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from configs.errors import TrajectoriesInvalid
from labeling.structures.masks import BoxXywh
from labeling.tracking.anchors import Anchor, Conventions, Order, Projection, anchor_points
from labeling.tracking.homography import GroundHomography, apply_homography
from labeling.tracking.trajectories import FloatArray, Trajectory

Detections = Mapping[int, Sequence[BoxXywh]]
"""Boxes of people by frame of the video."""

TRIAL_FRAMES = 50
ROUGH_FRAMES, SHORTLIST = 6, 12
"""All candidates are compared on a few frames, and the best of them on all frames."""
MIN_INSIDE = 0.95
"""Smallest share of points inside the image."""
MIN_INSIDE_FITTED = 0.5
"""The same where the map was fitted to people of this image: many of them may be about to leave it."""
CLEARLY_BETTER = 0.7
"""Another image size or frame rate than the video's must reduce the distance to this share."""
COMMON_SIZES = (
    *((480, 640), (576, 720), (576, 768), (600, 800), (720, 1280), (1080, 1920)),
    *((240, 320), (288, 384), (480, 720), (2160, 3840)),
)  # fmt: skip
"""Heights and widths for which homographies are usually given."""
_SWAP = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])


@dataclass(frozen=True, slots=True, eq=False)
class DetectedVideo:
    """A video and the people detected in some of its frames."""

    boxes: Detections
    size_hw: tuple[int, int]
    frame_count: int


def trial_frames(trajectories: Mapping[int, Trajectory], frame_count: int) -> list[int]:
    """Return the frames of a video on which a detector must run for `find_projection`.

    They are annotated numbers as far as these are frames of the video: the detector is needed there anyway.
    """
    numbers = np.unique(np.concatenate([one.frames for one in trajectories.values()]))
    annotated = numbers[(numbers % 1 == 0) & (numbers >= 0) & (numbers < frame_count)].astype(int)
    evenly = np.linspace(0, frame_count - 1, TRIAL_FRAMES).round().astype(int)
    chosen = annotated if len(annotated) >= TRIAL_FRAMES // 2 else np.unique([*annotated, *evenly])
    picks = np.linspace(0, len(chosen) - 1, min(TRIAL_FRAMES, len(chosen))).round().astype(int)
    return [int(one) for one in np.unique(chosen[picks])]


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """What all candidates are measured on."""

    trajectories: Mapping[int, Trajectory]
    detections: Detections
    size_hw: tuple[int, int]
    frame_count: int

    def matrix(self, homography: GroundHomography, tried: Conventions) -> FloatArray:
        """Return the 3x3 matrix from the world to pixels of the video."""
        matrix = homography.matrix if tried.is_inverse else np.linalg.inv(homography.matrix)
        if tried.order == "row_col":
            matrix = _SWAP @ matrix
        from_height, from_width = tried.homography_hw or self.size_hw
        scale = np.diag([self.size_hw[1] / from_width, self.size_hw[0] / from_height, 1.0])
        return np.asarray(scale @ matrix, dtype=np.float64)

    def points(self, step: float, offset: float) -> dict[int, FloatArray]:
        """Return the annotated points, (n, 2), of the people in each frame with detections."""
        by_frame: dict[int, FloatArray] = {}
        for frame in self.detections:
            at = [one.at((frame - offset) / step) for one in self.trajectories.values()]
            by_frame[frame] = np.array([point for point in at if point is not None]).reshape(-1, 2)
        return by_frame

    def distance(self, matrix: FloatArray, points: Mapping[int, FloatArray], anchor: Anchor) -> float:
        """Return the median distance of points to boxes; a point without a box has the image's diagonal."""
        largest = float(np.hypot(*self.size_hw))
        distances: list[float] = []
        for frame, world in points.items():
            pixels = apply_homography(matrix, world)
            pixels = pixels[np.isfinite(pixels).all(axis=1)]
            anchors = anchor_points(self.detections[frame], anchor)
            apart = np.linalg.norm(pixels[:, None] - anchors[None], axis=2)
            matched = linear_sum_assignment(np.minimum(apart, largest))
            distances += apart[matched].tolist() + [largest] * (len(pixels) - len(matched[0]))
        return float(np.median(distances)) if distances else float("inf")


def find_projection(
    trajectories: Mapping[int, Trajectory],
    homography: GroundHomography,
    video: DetectedVideo,
    fixed: Conventions,
    *,
    min_inside: float = MIN_INSIDE,
) -> Projection:
    """Try all conventions that `fixed` leaves open on a video's own detections.

    A share `min_inside` of the points must be inside the image. The rest is decided by the median distance between
    points and boxes, each box taken once.

    Raises:
        TrajectoriesInvalid: no convention puts the points into the image.
    """
    trial = _Trial(trajectories, video.boxes, video.size_hw, video.frame_count)
    size_hw = video.size_hw
    views = [_view(trial, homography, tried) for tried in _views(trial, fixed)]
    inside = [view for view in views if view.inside >= min_inside]
    if not inside:
        best = max(views, key=lambda one: one.inside)
        raise TrajectoriesInvalid(
            f"no convention puts {min_inside:.0%} of the annotated points into the image of "
            f"{size_hw[1]}x{size_hw[0]} px; the best is {best.describe()}: check the homography and name the "
            "size of its image (homography_size)"
        )
    rough = replace(trial, detections=_thin_out(video.boxes))
    tried = sorted(_measure_all(rough, inside, fixed), key=lambda one: one.distance_px)
    shortlist = [*tried[:SHORTLIST], *(one for one in tried[SHORTLIST:] if _is_plain(one, size_hw))]
    measured = [_measure(trial, one) for one in shortlist]
    best = min(measured, key=lambda one: one.distance_px)
    plain = [one for one in measured if _is_plain(one, size_hw)]
    plainest = min(plain, key=lambda one: one.distance_px, default=best)
    return best if best.distance_px < CLEARLY_BETTER * plainest.distance_px else plainest


def _thin_out(detections: Detections) -> Detections:
    """Return a few of the frames, for a first comparison of all candidates."""
    frames = sorted(detections)
    step = max(1, len(frames) // ROUGH_FRAMES)
    return {frame: detections[frame] for frame in frames[::step]}


def _is_plain(projection: Projection, size_hw: tuple[int, int]) -> bool:
    """Return whether the numbers are the video's frames and the homography is of its size."""
    return projection.conventions.homography_hw == size_hw and projection.frame_step == 1


def _measure(trial: _Trial, tried: Projection) -> Projection:
    points = trial.points(tried.frame_step, tried.frame_offset)
    return replace(tried, distance_px=trial.distance(tried.to_pixels, points, tried.anchor))


def _views(trial: _Trial, fixed: Conventions) -> Iterator[Conventions]:
    """Yield the conventions that decide whether points are inside the image."""
    orders: tuple[Order, ...] = (fixed.order,) if fixed.order else ("xy", "row_col")
    inverses = (False, True) if fixed.is_inverse is None else (fixed.is_inverse,)
    sizes = (
        [fixed.homography_hw] if fixed.homography_hw else list(dict.fromkeys([trial.size_hw, *COMMON_SIZES]))
    )
    for order, inverse, size in itertools.product(orders, inverses, sizes):
        yield replace(fixed, order=order, is_inverse=inverse, homography_hw=size)


def _view(trial: _Trial, homography: GroundHomography, tried: Conventions) -> Projection:
    view = Projection(trial.matrix(homography, tried), "bottom", conventions=tried)
    return replace(view, inside=share_inside(view, trial.trajectories, trial.size_hw))


def _measure_all(trial: _Trial, views: Sequence[Projection], fixed: Conventions) -> Iterator[Projection]:
    anchors: tuple[Anchor, ...] = (fixed.anchor,) if fixed.anchor else ("bottom", "center", "top")
    steps = [fixed.frame_step] if fixed.frame_step else frame_steps(trial.trajectories, trial.frame_count)
    for step in steps:
        points = trial.points(step, fixed.frame_offset)
        for view, anchor in itertools.product(views, anchors):
            yield replace(
                view,
                anchor=anchor,
                frame_step=step,
                frame_offset=fixed.frame_offset,
                conventions=replace(view.conventions, anchor=anchor, frame_step=step),
                distance_px=trial.distance(view.to_pixels, points, anchor),
            )


def frame_steps(trajectories: Mapping[int, Trajectory], frame_count: int) -> list[float]:
    """Return plausible frames of the video per annotated number, those first that change least.

    1, small factors, and the usual frame rates against each other; only those with which the last annotation is
    in the video.
    """
    last = max(float(one.frames[-1]) for one in trajectories.values())
    rates = (7, 10, 25, 30)
    ratios = {1.0, 2.0, 5.0, 10.0, 0.5} | {round(a / b, 9) for a in rates for b in rates}
    ordered = sorted(ratios, key=lambda one: abs(np.log(one)))
    return [one for one in ordered if one * last < frame_count] or [1.0]


def share_inside(
    projection: Projection, trajectories: Mapping[int, Trajectory], size_hw: tuple[int, int]
) -> float:
    """Return the share of annotated points inside an image."""
    pixels = projection.map(np.vstack([one.points for one in trajectories.values()]))
    height, width = size_hw
    with np.errstate(invalid="ignore"):
        inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
    return float(inside.mean())
