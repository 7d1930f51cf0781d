"""Random training samples of prepared frames: a sample depends on the seed and its index alone."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from labeling.structures.frames import RgbImage
from labeling.students.frame_store import UNKNOWN, FrameStore, Labels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels in [0, 1]: what torchvision's networks expect."""
SCALE = (0.8, 1.4)
"""Factors by which a frame is scaled about a random point."""
GAIN, SHIFT = 0.2, 20.0
"""Largest change of contrast, as a share, and of brightness, in levels."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """An image as the network takes it, 3xHxW, and its labels, 1xHxW."""

    image: NDArray[np.float32]
    labels: Labels


@dataclass(frozen=True, slots=True)
class StudentSampler:
    """Draws frames of the dataset, and a share of them from the base dataset, and varies them."""

    frames: FrameStore
    seed: int
    base: FrameStore | None = None
    base_share: float = 0.0

    def __post_init__(self) -> None:
        if not self.frames.count or (self.base is not None and not self.base.count):
            raise ConfigError("a training requires at least one frame of each dataset")

    def sample(self, index: int) -> Sample:
        rng = np.random.default_rng([self.seed, index])
        is_base = self.base is not None and rng.random() < self.base_share
        store = self.base if is_base and self.base is not None else self.frames
        rgb, labels = store.read(int(rng.integers(store.count)))
        return make_sample(*vary(rgb, labels, rng))


def make_sample(rgb: RgbImage, labels: Labels) -> Sample:
    """Return a frame in the network's size as a sample."""
    return Sample(normalize(rgb), labels[None])


def normalize(rgb: RgbImage) -> NDArray[np.float32]:
    """Return 3xHxW: pixels in [0, 1], minus the mean, divided by the standard deviation."""
    values = rgb.astype(np.float32) / 255
    scaled = (values - np.array(MEAN, dtype=np.float32)) / np.array(STD, dtype=np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def vary(rgb: RgbImage, labels: Labels, rng: np.random.Generator) -> tuple[RgbImage, Labels]:
    """Mirror and scale a frame at random, and change its light; what comes in from outside is not known."""
    height, width = labels.shape
    scale, sign = rng.uniform(*SCALE), (-1.0 if rng.random() < 1 / 2 else 1.0)
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    # mirroring about the middle comes first, then scaling about (x, y)
    shift_x = x - scale * x + (0.0 if sign > 0 else scale * (width - 1))
    matrix = np.array([[scale * sign, 0, shift_x], [0, scale, y - scale * y]])
    moved = cv2.warpAffine(
        rgb, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    known = cv2.warpAffine(
        labels,
        matrix,
        (width, height),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=UNKNOWN,
    )
    gain, level = 1 + rng.uniform(-GAIN, GAIN), rng.uniform(-SHIFT, SHIFT)
    light = np.clip(moved.astype(np.float32) * gain + level, 0, 255)
    return light.astype(np.uint8), np.asarray(known, dtype=np.uint8)
