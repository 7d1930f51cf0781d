"""Samples of the recurrent network's training: random parts of stored fake-motion clips.

Sample `index` depends on the seed, the index and the clips alone.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.training import TemporalTraining
from labeling.matting.clip_store import (
    ALPHA,
    BACKGROUND,
    FOREGROUND,
    IMAGE,
    IS_KNOWN,
    PROBABILITY,
    ClipStore,
)
from labeling.matting.temporal_inputs import soften, to_map
from labeling.synthetic.canvas import value_noise

RNG = np.random.Generator
FloatImage = NDArray[np.float32]
ByteImage = NDArray[np.uint8]
ClipSample = dict[str, FloatImage]
SMALLEST_CROP = 0.6
"""Least side of a sample, as a share of the clip's shorter side; it is scaled to the training's size."""
TRIES = 6
"""Places that are tried to find one with a person."""
PERSON_SHARE = 0.03
ABSENT = 0.02
"""Share of the frames whose probability is set to 0: the state must bridge them."""
UNFOUND = 0.8
"""Probability that a simulated mask replaces the segmenter's if it finds no person in all frames of the sample."""
GAINS = (0.4, 1.25)
"""Of an image's brightness; in the dark, people are hard to tell from what is behind them."""
JPEG = 0.4
"""Share of the samples with compression artifacts."""
CONTOUR_ERROR = 0.05
"""Largest displacement of a simulated mask's contour, as a share of the side."""
FLICKER = 0.3
"""Share of that displacement which is new in each frame; the rest stays for the sample. Averages flicker less than masks."""


@dataclass(frozen=True, slots=True)
class _Window:
    """Where a sample lies in its clip."""

    start: int
    left: int
    top: int
    side: int
    is_mirrored: bool


class ClipSamples:
    """Makes samples of T frames of side S as arrays: see `clip`."""

    def __init__(self, store: ClipStore, settings: TemporalTraining, *, side_px: int) -> None:
        self._store, self._count, self._seed = store, settings.clips, settings.seed
        self._side, self._frames, self._simulated = side_px, settings.frames, settings.simulated_share

    def clip(self, index: int) -> ClipSample:
        """Return sample `index`.

        `image`, `foreground`, `background`: Tx3xSxS in [-1, 1]; `probability`, `alpha`: Tx1xSxS in [0, 1]; `flow`:
        (T-1)x2xSxS in pixels; `is_known`: (T-1)x1xSxS, 0 or 1.

        Raises:
            StorageError: the clip cannot be read.
        """
        epoch, place = divmod(index, self._count)
        order = np.random.default_rng([self._seed, epoch, 4]).permutation(self._count)
        stored = self._store.read(int(order[place]))
        rng = np.random.default_rng([self._seed, index, 3])
        window = self._choose(rng, stored.frames)
        cut = np.stack([self._cut(frame, window) for frame in self._frames_of(stored.frames, window)])
        flow = np.stack(
            [
                self._cut(motion.astype(np.float32), window)
                for motion in stored.flow[window.start : window.start + self._frames - 1]
            ]
        ) * np.float32(self._side / window.side)
        if window.is_mirrored:
            flow[..., 0] *= -1
        gain = (rng.uniform(*GAINS) * rng.normal(1, 0.04, 3)).astype(np.float32)
        return {
            "image": _colors(_degrade(rng, _tint(cut[..., IMAGE], gain))),
            "foreground": _colors(_tint(cut[..., FOREGROUND], gain)),
            "background": _colors(_tint(cut[..., BACKGROUND], gain)),
            "alpha": (cut[..., ALPHA].astype(np.float32) / np.float32(255))[:, None],
            "probability": self._probabilities(rng, cut[..., ALPHA], cut[..., PROBABILITY])[:, None],
            "flow": np.ascontiguousarray(np.moveaxis(flow, -1, 1)),
            "is_known": (cut[:-1, ..., IS_KNOWN] > 250).astype(np.float32)[:, None],  # noqa: PLR2004 - whole pixels
        }

    def _choose(self, rng: RNG, frames: ByteImage) -> _Window:
        """Choose a window that shows a person, if one is found."""
        count, height, width = frames.shape[:3]
        start = int(rng.integers(count - self._frames + 1))
        is_mirrored = bool(rng.integers(2))
        for _ in range(TRIES):
            side = round(min(height, width) * rng.uniform(SMALLEST_CROP, 1))
            left, top = (int(rng.integers(room - side + 1)) for room in (width, height))
            inside = frames[start, top : top + side : 4, left : left + side : 4, ALPHA]
            if inside.mean() > 255 * PERSON_SHARE:
                break
        return _Window(start, left, top, side, is_mirrored)

    def _frames_of(self, frames: ByteImage, window: _Window) -> ByteImage:
        return frames[window.start : window.start + self._frames]

    def _cut(self, image: NDArray[np.generic], window: _Window) -> NDArray[np.generic]:
        part = image[window.top : window.top + window.side, window.left : window.left + window.side]
        if window.is_mirrored:
            part = part[:, ::-1]
        shrinks = window.side > self._side
        planes = [
            cv2.resize(
                np.ascontiguousarray(part[..., first : first + 4]),
                (self._side, self._side),
                interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
            )
            for first in range(0, part.shape[-1], 4)
        ]
        return np.concatenate(planes, axis=-1)

    def _probabilities(self, rng: RNG, alpha: ByteImage, found: ByteImage) -> FloatImage:
        """Return what the segmenter says of each frame, TxSxS, or something like it."""
        is_unfound = found.max() == 0 and alpha.max() > 0
        limit = UNFOUND if is_unfound else self._simulated
        masks = simulate_masks(rng, alpha) if rng.random() < limit else found
        kept = (rng.random(len(masks)) >= ABSENT).astype(np.float32)
        return np.stack([soften(to_map(mask)) * keep for mask, keep in zip(masks, kept, strict=True)])


def simulate_masks(rng: RNG, alpha: ByteImage) -> ByteImage:
    """Return masks, TxSxS of 0 and 255, whose contours are displaced by an error that partly flickers."""
    side = alpha.shape[-1]
    reach = CONTOUR_ERROR * side * rng.random()
    cell_px = float(rng.uniform(0.06, 0.25)) * side
    lasting = value_noise(rng, (side, side), cell_px=cell_px, octaves=2)
    masks = []
    for frame in alpha:
        new = value_noise(rng, (side, side), cell_px=cell_px, octaves=2)
        shift = reach * ((1 - FLICKER) * lasting + FLICKER * new + FLICKER * rng.normal(0, 0.3))
        inside = (frame > 127).astype(np.uint8)  # noqa: PLR2004 - half covered
        distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3) - cv2.distanceTransform(
            1 - inside, cv2.DIST_L2, 3
        )
        masks.append((distance + shift > 0) * np.uint8(255))
    return np.stack(masks)


def _tint(images: ByteImage, gain: FloatImage) -> FloatImage:
    return np.clip(images * gain, 0, 255).astype(np.float32)


def _degrade(rng: RNG, images: FloatImage) -> FloatImage:
    """Add the noise of a sensor and, in some samples, the artifacts of compression."""
    noisy = images + rng.uniform(0, 6) * rng.standard_normal(images.shape, dtype=np.float32)
    bytes_ = np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < JPEG:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))]
        bytes_ = np.stack([_compress(image, quality) for image in bytes_])
    return bytes_.astype(np.float32)


def _compress(image: ByteImage, quality: list[int]) -> ByteImage:
    encoded = cv2.imencode(".jpg", np.ascontiguousarray(image), quality)[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)


def _colors(images: FloatImage) -> FloatImage:
    return np.ascontiguousarray(np.moveaxis(images, -1, 1) / np.float32(127.5) - 1, dtype=np.float32)
