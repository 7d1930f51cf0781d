"""Random light, errors of segmentations, and objects that are not people."""

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.matting.inputs import FloatImage
from labeling.structures.frames import RgbImage
from labeling.synthetic.canvas import value_noise

RNG = np.random.Generator


def random_light(rng: RNG, side: int) -> FloatImage:
    """Return the light of the moment relative to the plate's: gain by channel, and a smooth field."""
    gain = rng.normal(1, 0.07) * rng.normal(1, 0.015, 3)
    field = 1 + rng.uniform(0, 0.05) * cv2.resize(
        rng.standard_normal((3, 3)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(field[..., None] * gain, dtype=np.float32)


def degrade(rng: RNG, alpha: FloatImage, error: float) -> NDArray[np.bool_]:
    """Return a segmentation as a small network makes it: displaced contour, lost and added parts."""
    side = alpha.shape[0]
    inside = (alpha > 0.5).astype(np.uint8)  # noqa: PLR2004
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3) - cv2.distanceTransform(
        1 - inside, cv2.DIST_L2, 3
    )
    amount = error * side * (0.1 + 0.9 * rng.random() ** 2)  # most masks are good
    noise = value_noise(rng, (side, side), cell_px=rng.uniform(0.06, 0.25) * side, octaves=2)
    mask = distance + amount * (noise + rng.normal(0, 0.3)) > 0
    for _ in range(int(rng.choice(3, p=(0.6, 0.25, 0.15)))):  # lost limbs, and parts of the background
        blob = random_blob(rng, side // 2)
        top, left = rng.integers(0, side - side // 2, 2)
        mask[top : top + side // 2, left : left + side // 2][blob] = rng.random() < 0.3  # noqa: PLR2004
    return np.asarray(mask, dtype=np.bool_)


def random_blob(rng: RNG, side: int) -> NDArray[np.bool_]:
    """Return an ellipse of random size and place, SxS."""
    blob = np.zeros((side, side), dtype=np.uint8)
    center = tuple(int(v) for v in rng.uniform(0.1, 0.9, 2) * side)
    axes = tuple(int(v) for v in rng.uniform(0.05, 0.25, 2) * side)
    cv2.ellipse(blob, center, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return blob.astype(np.bool_)


def add_distractor(rng: RNG, scene: FloatImage, texture: RgbImage) -> None:
    """Paint an object that the plate does not show, in place."""
    side = scene.shape[0]
    blob = random_blob(rng, side)
    if rng.random() < 0.5:  # noqa: PLR2004
        scene[blob] *= np.float32(rng.uniform(0.4, 1.4))
        return
    scene[blob] = cv2.resize(texture, (side, side)).astype(np.float32)[blob]
