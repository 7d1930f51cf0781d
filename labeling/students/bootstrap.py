"""Confidence intervals of means over frames, by resampling whole videos.

Frames of one video are alike, so videos are what was drawn independently: the paired cluster bootstrap (Davison and
Hinkley, Bootstrap Methods and their Application, 1997, section 3.8) draws videos with replacement, and takes both
students' frames of each drawn video together.
"""

import numpy as np
from numpy.typing import NDArray

from labeling.students.interval import Interval

Floats = NDArray[np.float64]
DRAWS = 10_000
LEVEL = 0.95
"""Probability that an interval should have."""
FEWEST_VIDEOS = 2
"""With fewer there is no interval: one video does not tell how videos differ."""
_BLOCK = 4_000_000
"""Counts that are held at once."""


def draw_counts(videos: int, *, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return how often each video is drawn, draws x videos; each row sums to the number of videos."""
    return rng.multinomial(videos, np.full(videos, 1 / videos), size=draws)


def bootstrap_intervals(
    values: Floats,
    videos: NDArray[np.int64],
    members: NDArray[np.bool_],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> list[list[Interval]]:
    """Return an interval for each group of frames and each value.

    Args:
        values: frames x values, for example the differences of IoU and boundary IoU of two students.
        videos: number of each frame's video, from 0.
        members: groups x frames; the frames of each group.
        seed: of the only random generator.
        draws: resamples; all groups share them.

    Returns:
        groups x values.

    >>> values = np.array([[0.1], [0.1], [0.3], [0.3]])
    >>> [[one]] = bootstrap_intervals(values, np.array([0, 0, 1, 1]), np.ones((1, 4), bool), draws=1000)
    >>> round(one.mean, 3), round(one.low, 3), round(one.high, 3)
    (0.2, 0.1, 0.3)
    """
    frames, totals = _by_video(values, videos, members)
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            _resampled_means(draw_counts(frames.shape[1], draws=size, rng=rng), frames, totals)
            for size in _blocks(draws, frames.shape[1])
        ]
    )
    return [
        [
            _interval(
                totals[group, :, value].sum() / frames[group].sum(), means[:, group, value], frames[group]
            )
            for value in range(values.shape[1])
        ]
        for group in range(len(members))
    ]


def _by_video(values: Floats, videos: NDArray[np.int64], members: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return frames (groups x videos) and sums (groups x videos x values) of each video."""
    count = int(videos.max()) + 1
    frames = np.stack([np.bincount(videos[member], minlength=count) for member in members])
    totals = np.stack(
        [
            np.stack(
                [np.bincount(videos[member], column[member], minlength=count) for column in values.T], axis=1
            )
            for member in members
        ]
    )
    return frames.astype(np.float64), totals.astype(np.float64)


def _resampled_means(counts: NDArray[np.int64], frames: Floats, totals: Floats) -> Floats:
    """Return draws x groups x values; NaN where a draw has no frame of a group."""
    drawn = counts @ frames.T
    sums = np.einsum("dv,gvk->dgk", counts, totals, optimize=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums / drawn[:, :, None], dtype=np.float64)


def _interval(mean: float, means: Floats, frames: Floats) -> Interval:
    if np.count_nonzero(frames) < FEWEST_VIDEOS:
        return Interval(float(mean), None, None)
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(means, [tail, 1 - tail])
    return Interval(float(mean), float(low), float(high))


def _blocks(draws: int, videos: int) -> list[int]:
    """Split the draws so that the counts of a part fit the memory."""
    size = max(1, _BLOCK // videos)
    return [min(size, draws - start) for start in range(0, draws, size)]
