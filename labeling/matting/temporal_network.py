"""The trained recurrent matting network as an ONNX file, without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.matting import MovingBlock
from labeling.matting.frame import FrameMatte
from labeling.matting.guided_filter import guided_upsample
from labeling.matting.inputs import channels_first
from labeling.matting.temporal_inputs import STRIDE, FloatImage, soften
from labeling.runtime.onnx_session import OnnxSession
from labeling.structures.frames import RgbImage
from labeling.structures.images import resize_image

SHIPPED = "temporal_matting_cpu.onnx"
"""The weights in this package: the `cpu` size; docs/training.md has their recipe."""
LEVELS = 5
STATE = tuple(f"{part}{level}" for level in range(LEVELS) for part in ("hidden", "memory"))
STRIDES = (1, 1, 2, 2, 4, 4, 8, 8, STRIDE, STRIDE)
"""Pixels between two values of each part of the state."""
ALPHA_END = 0.115
"""Alpha this near to 0 or 1 is 0 or 1, and what lies between is stretched: the filter softens contours."""
GUIDE_RADIUS_PX, GUIDE_EPS = 4, 1e-4
"""Of the guided filter that scales alpha to the frame. A larger radius flickers less and blurs distant people."""
NETWORK_SHARE = np.float32(0.3)
"""Weight of the network's alpha beside the averaged person probability. On clips of people kept aside, a larger share flickers less, but
its outlines move more; this one is nearest to the truth."""
PERSON_FROM = 0.3
"""Person probability from which a pixel counts as a person."""
NEAR_PX, FADE_PX = 6, 4
"""Alpha further from people than the first is reduced, over the second, to 0. The network lets dark places between people
and dark things become half opaque."""
OPAQUE = 0.98
"""From this alpha on, the foreground has the image's own color, which is sharper than the network's."""

Image = TypeVar("Image", NDArray[np.uint8], FloatImage)
NetworkState = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class _Size:
    """The size at which the network sees a frame: scaled, then padded by reflection to multiples of 32."""

    inner_hw: tuple[int, int]
    padded_hw: tuple[int, int]

    @classmethod
    def of(cls, size_hw: tuple[int, int], short_side_px: int) -> "_Size":
        """Return the size for a frame; small frames are not enlarged.

        >>> _Size.of((320, 480), 256)
        _Size(inner_hw=(256, 384), padded_hw=(256, 384))
        >>> _Size.of((50, 41), 256)
        _Size(inner_hw=(50, 41), padded_hw=(64, 64))
        """
        scale = min(1.0, short_side_px / min(size_hw))
        height, width = (max(1, round(side * scale)) for side in size_hw)
        return cls((height, width), (-(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE))

    def reduce(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return resize_image(image, self.inner_hw)

    def pad(self, inner: Image) -> Image:
        below, right = (outer - inner for outer, inner in zip(self.padded_hw, self.inner_hw, strict=True))
        if not below and not right:
            return inner
        fits = below < self.inner_hw[0] and right < self.inner_hw[1]
        kind = cv2.BORDER_REFLECT_101 if fits else cv2.BORDER_REPLICATE
        return np.asarray(cv2.copyMakeBorder(inner, 0, below, 0, right, kind), dtype=inner.dtype)

    def crop(self, values: FloatImage) -> FloatImage:
        """Return values without the padding."""
        return np.ascontiguousarray(values[: self.inner_hw[0], : self.inner_hw[1]])

    def to_frame(self, values: FloatImage, size_hw: tuple[int, int]) -> FloatImage:
        inner = self.crop(values)
        return np.asarray(cv2.resize(inner, size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


class TemporalNetwork:
    """Runs the network on groups of consecutive frames; errors are those of `OnnxSession`."""

    def __init__(self, path: Path | None = None, settings: MovingBlock | None = None) -> None:
        self._session = OnnxSession(
            path or shipped_weights(),
            ("image", "probability", *STATE),
            what="matting",
            command="maskmill train temporal",
        )
        self.sha256, self.name = self._session.sha256, self._session.name
        self.group = int(self._session.shapes["image"][1])
        """Frames of a group."""
        self._short_side_px = (settings or MovingBlock()).short_side_px

    def reduce(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a frame or a map, HxW or HxWx3, in the size at which the network sees it."""
        return _Size.of((image.shape[0], image.shape[1]), self._short_side_px).reduce(image)

    def run(
        self, images: Sequence[RgbImage], maps: Sequence[FloatImage], state: NetworkState | None
    ) -> tuple[list[FrameMatte], NetworkState]:
        """Return the mattes of 1 to `group` consecutive frames of one size, and the state for the next ones.

        `maps` are the person probabilities, in [0, 1], in the size that `reduce` gives. The state is None at the start of a
        shot. The state after fewer than `group` frames is of no use: the shot has ended.
        """
        size_hw = (images[0].shape[0], images[0].shape[1])
        size = _Size.of(size_hw, self._short_side_px)
        missing = [len(images) - 1] * (self.group - len(images))
        order = [*range(len(images)), *missing]  # the last frame stands for those after it
        fed = {
            "image": np.stack([channels_first(size.pad(size.reduce(images[i]))) for i in order])[None],
            "probability": np.stack([soften(size.pad(maps[i]))[None] for i in order])[None],
            **(state or self._first_state(size)),
        }
        names = ("alpha", "foreground", *(f"next_{name}" for name in STATE))
        alphas, colors, *after = self._session.run(names, fed)
        mattes = [
            _to_matte(
                image,
                _to_edges(_mix(size.crop(alphas[0, i, 0]), maps[i]), image),
                _to_levels(size, colors[0, i], size_hw),
            )
            for i, image in enumerate(images)
        ]
        return mattes, dict(zip(STATE, after, strict=True))

    def _first_state(self, size: _Size) -> NetworkState:
        height, width = size.padded_hw
        return {
            name: np.zeros(
                (1, int(self._session.shapes[name][1]), height // stride, width // stride), dtype=np.float32
            )
            for name, stride in zip(STATE, STRIDES, strict=True)
        }


def _mix(alpha: FloatImage, probability: FloatImage) -> FloatImage:
    """Return the mean of the network's alpha, near people, and of the person probability, HxW each."""
    near = NETWORK_SHARE * alpha * _near_people(probability)
    return np.asarray(near + np.float32(1 - NETWORK_SHARE) * probability, dtype=np.float32)


def _near_people(probability: FloatImage) -> FloatImage:
    """Return 1 on people and up to `NEAR_PX` beside them, falling to 0 over `FADE_PX`, HxW."""
    is_far = (probability < PERSON_FROM).astype(np.uint8)
    if is_far.all():
        return np.zeros_like(probability)
    distance = cv2.distanceTransform(is_far, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.clip((NEAR_PX + FADE_PX - distance) / FADE_PX, 0, 1).astype(np.float32)


def _to_edges(alpha: FloatImage, image: RgbImage) -> FloatImage:
    """Return alpha in the size of the image, with its edges."""
    return guided_upsample(alpha, image, radius_px=GUIDE_RADIUS_PX, eps=GUIDE_EPS)


def _to_matte(image: RgbImage, alpha: FloatImage, colors: FloatImage) -> FrameMatte:
    stretched = np.clip((alpha - ALPHA_END) / (1 - 2 * ALPHA_END), 0, 1).astype(np.float32)
    foreground = np.where(stretched[..., None] < OPAQUE, colors, image)
    foreground = np.where(stretched[..., None] > 0, foreground, image)
    return FrameMatte(stretched, np.clip(foreground + 0.5, 0, 255).astype(np.uint8))


def _to_levels(size: _Size, colors: FloatImage, size_hw: tuple[int, int]) -> FloatImage:
    return size.to_frame((colors.transpose(1, 2, 0) + 1) * np.float32(127.5), size_hw)


def shipped_weights() -> Path:
    """Return the path of the weights that the package contains."""
    return Path(str(files("labeling.matting") / SHIPPED))
