"""Training clips of the recurrent network: fake motion, and the person probability that a segmenter would give.

Clip `index` depends on the seed, the index and the data alone.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.synthesis import FakeMotionBlock
from labeling.structures.cutouts import Cutout
from labeling.synthetic.canvas import value_noise
from labeling.synthetic.fake_motion import FakeFrame, FakeMotion
from labeling.synthetic.moving_backgrounds import Background

RNG = np.random.Generator
FloatImage = NDArray[np.float32]
Clips = dict[str, FloatImage]
FPS = 24.0
ABSENT = 0.05
"""Share of the frames in which the segmenter misses everybody: the state must bridge them."""
CONTOUR_ERROR = 0.04
"""Largest displacement of a probability's contour, as a share of the side."""
FLICKER = 0.6
"""Share of that displacement which is new in each frame; the rest stays for the clip."""


class ClipSource:
    """Makes clips of T frames of side S as arrays: see `clip`."""

    def __init__(
        self,
        cutouts: Sequence[Cutout],
        backgrounds: Sequence[Background],
        *,
        side_px: int,
        frames: int,
        seed: int,
    ) -> None:
        settings = FakeMotionBlock(
            seed=seed,
            width=side_px,
            height=side_px,
            fps=FPS,
            duration_s=frames / FPS,
            key_every_s=0.25,
            noise=3.0,
        )
        self._motion, self._seed, self._side = FakeMotion(cutouts, backgrounds, settings), seed, side_px

    def clip(self, index: int) -> Clips:
        """Return clip `index`.

        `image`, `foreground`, `background`: Tx3xSxS in [-1, 1]; `probability`, `alpha`: Tx1xSxS in [0, 1]; `flow`:
        (T-1)x2xSxS in pixels; `is_known`: (T-1)x1xSxS, 0 or 1.

        Raises:
            SourceError: the background can no longer be read.
        """
        rng = np.random.default_rng([self._seed, index, 2])
        frames = list(self._motion.frames(self._motion.plan(index)))
        motions = [
            (frame.flow, frame.is_known)
            for frame in frames
            if frame.flow is not None and frame.is_known is not None
        ]
        return {
            "image": _colors([frame.rgb.astype(np.float32) for frame in frames]),
            "foreground": _colors([frame.foreground for frame in frames]),
            "background": _colors([frame.background for frame in frames]),
            "alpha": np.stack([frame.alpha for frame in frames])[:, None],
            "probability": self._probabilities(rng, frames)[:, None],
            "flow": np.stack([np.moveaxis(flow, -1, 0) for flow, _ in motions]),
            "is_known": np.stack([is_known for _, is_known in motions]).astype(np.float32)[:, None],
        }

    def _probabilities(self, rng: RNG, frames: Sequence[FakeFrame]) -> FloatImage:
        """Return the probabilities of a small network, TxSxS: soft, displaced by an error that partly flickers."""
        side = self._side
        reach = CONTOUR_ERROR * side * rng.random()
        cell_px = float(rng.uniform(0.06, 0.25)) * side
        lasting = value_noise(rng, (side, side), cell_px=cell_px, octaves=2)
        softness_px = rng.uniform(0.5, 0.02 * side + 1)
        maps = []
        for frame in frames:
            new = value_noise(rng, (side, side), cell_px=cell_px, octaves=2)
            shift = reach * ((1 - FLICKER) * lasting + FLICKER * new + FLICKER * rng.normal(0, 0.3))
            inside = (frame.alpha > 0.5).astype(np.uint8)  # noqa: PLR2004
            distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3) - cv2.distanceTransform(
                1 - inside, cv2.DIST_L2, 3
            )
            is_missed = rng.random() < ABSENT
            maps.append(1 / (1 + np.exp(-(distance + shift) / softness_px)) * (not is_missed))
        return np.stack(maps).astype(np.float32)


def _colors(images: Sequence[FloatImage]) -> FloatImage:
    return np.ascontiguousarray(
        np.moveaxis(np.stack(images), -1, 1) / np.float32(127.5) - 1, dtype=np.float32
    )
