"""Training samples of the pose-mask network: real people where they stood, cut-outs, and random figures.

Sample `index` depends on the seed and the index alone, so that an interrupted training continues with the
samples it would have seen. The network sees the crop that use makes: by the same rule, around keypoints that are
displaced and partly missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.pose_masks.augment import change_colors, degrade, random_blob, random_texture
from labeling.pose_masks.inputs import PoseMaskInput, make_pose_input
from labeling.pose_masks.prior import MIN_CONFIDENCE, FloatArray, FloatImage, joints_of
from labeling.pose_masks.views import random_box, random_crop, random_turn, random_window, to_crop, warp_crop
from labeling.structures.cutouts import Cutout
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Keypoints
from labeling.synthetic.canvas import happens
from labeling.synthetic.random_figure import draw_random_figure

RNG = np.random.Generator
MIN_KEYPOINTS = 5
WORLD_PX = 400
"""Side of the image into which people are composed."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class LabeledPeople:
    """An image, its people as labels (HxW, 0 is background, n is person n - 1), and their keypoints."""

    rgb: RgbImage
    labels: NDArray[np.uint8]
    keypoints: tuple[Keypoints, ...]
    group: str = ""
    """Name of the data set; groups are drawn by `SampleSettings.group_weights`."""


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """Chances and ranges of one sample; lengths are shares of the body's or the crop's side."""

    real_share: float = 0.4
    figure_share: float = 0.3
    """The rest are cut-outs of real people over other backgrounds."""
    turned: float = 0.35
    """Chance of a rotation by more than a few degrees, up to a half turn."""
    truncated: float = 0.35
    """Chance that the image ends within the body."""
    occluded: float = 0.3
    camouflage: float = 0.15
    keypoint_jitter: float = 0.025
    """Largest standard deviation of keypoints."""
    lost_keypoint: float = 0.25
    """Largest chance for each keypoint to be missing."""
    lost_limb: float = 0.12
    """Chance that all keypoints of the legs, an arm or the face are missing."""
    boxed: float = 0.4
    """Chance that the crop is around the box of a detector, not around the keypoints alone."""
    no_others: float = 0.4
    """Chance that the keypoints of the other people are not known."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseMaskSample:
    input: PoseMaskInput
    mask: FloatImage
    """1 x S x S in [0, 1]."""


@dataclass(slots=True, eq=False)
class _World:
    """An image with one person to segment; arrays of one size."""

    rgb: RgbImage
    mask: NDArray[np.uint8]
    """0 to 255."""
    keypoints: FloatArray
    """17x3."""
    others: list[FloatArray]


class PoseMaskSampler:
    """Makes samples of one size."""

    def __init__(  # noqa: PLR0913 - the data and the settings of all samples
        self,
        people: Sequence[LabeledPeople],
        cutouts: Sequence[Cutout],
        backgrounds: Sequence[RgbImage],
        *,
        side_px: int,
        seed: int,
        settings: SampleSettings | None = None,
    ) -> None:
        self._settings = settings or SampleSettings()
        self._people, self._cutouts, self._backgrounds = people, cutouts, backgrounds
        self._posed = [
            (image, person)
            for image in people
            for person, keypoints in enumerate(image.keypoints)
            if _count(keypoints) >= MIN_KEYPOINTS
        ]
        self._posed_cutouts = [cutout for cutout in cutouts if _count(cutout.keypoints) >= MIN_KEYPOINTS]
        self._side, self._seed = side_px, seed

    def sample(self, index: int) -> PoseMaskSample:
        """Return sample `index`."""
        rng = np.random.default_rng([self._seed, index])
        while True:
            made = self._finish(rng, self._world(rng))
            if made is not None:
                return made

    def _world(self, rng: RNG) -> _World:
        kind, settings = rng.random(), self._settings
        if self._posed and kind < settings.real_share:
            image, person = _pick(rng, self._posed)
            others = [np.array(k) for i, k in enumerate(image.keypoints) if i != person]
            mask = (image.labels == person + 1).astype(np.uint8) * np.uint8(255)
            return _World(image.rgb, mask, np.array(image.keypoints[person]), others)
        if self._posed_cutouts and kind < 1 - settings.figure_share:
            return self._compose(rng, _pick(rng, self._posed_cutouts))
        return self._compose(rng, self._figure(rng))

    def _figure(self, rng: RNG) -> Cutout:
        figure = draw_random_figure(rng, self._backgrounds)
        return Cutout(figure.rgb, figure.alpha, figure.keypoints)

    def _compose(self, rng: RNG, person: Cutout) -> _World:
        """Put a person before a background, with others behind and in front."""
        image = self._background(rng).astype(np.float32)
        mask: FloatImage = np.zeros((WORLD_PX, WORLD_PX), dtype=np.float32)
        count = int(rng.choice(4, p=(0.45, 0.3, 0.15, 0.1)))
        is_main = rng.permutation(count + 1) == 0
        keypoints: FloatArray = np.zeros((17, 3))
        others: list[FloatArray] = []
        anchor = WORLD_PX * rng.uniform(0.3, 0.7, 2)
        height = WORLD_PX * rng.uniform(0.35, 0.75)
        for main in is_main:
            cutout = person if main else self._other(rng)
            at = anchor if main else anchor + rng.normal(0, 0.28 * height, 2) * (1.6, 0.7)
            tall = height if main else height * np.exp(rng.normal(0, 0.25))
            rgb, alpha, points = _place(rng, cutout, at, tall)
            if main:
                if happens(rng, self._settings.camouflage):
                    rgb = _camouflage(rng, rgb, alpha, image)
                keypoints, mask = points, alpha
            else:
                others.append(points)
                mask = np.asarray(mask * (1 - alpha), dtype=np.float32)
            image += alpha[..., None] * (rgb - image)
        return _World(
            np.clip(image, 0, 255).astype(np.uint8), (mask * 255).astype(np.uint8), keypoints, others
        )

    def _other(self, rng: RNG) -> Cutout:
        if self._cutouts and happens(rng, 0.6):
            return _pick(rng, self._cutouts)
        return self._figure(rng)

    def _background(self, rng: RNG) -> RgbImage:
        if not self._backgrounds or happens(rng, 0.2):
            return random_texture(rng, WORLD_PX)
        image = _pick(rng, self._backgrounds)
        part = int(min(image.shape[:2]) * rng.uniform(0.3, 1.0))
        top, left = (int(rng.integers(0, image.shape[axis] - part + 1)) for axis in (0, 1))
        square = image[top : top + part, left : left + part]
        if happens(rng, 0.5):
            square = square[:, ::-1]
        return np.asarray(cv2.resize(square, (WORLD_PX, WORLD_PX), interpolation=cv2.INTER_LINEAR), np.uint8)

    def _finish(self, rng: RNG, world: _World) -> PoseMaskSample | None:
        """Turn, cut off, crop and degrade; None if too few keypoints remain."""
        settings, side = self._settings, self._side
        turn = random_turn(rng, world.keypoints, settings.turned)
        keypoints, others = turn.points(world.keypoints), [turn.points(one) for one in world.others]
        size_hw = (world.mask.shape[0], world.mask.shape[1])
        window = random_window(rng, keypoints, settings.truncated)
        keypoints = window.hide(keypoints, turn, size_hw)
        others = [window.hide(one, turn, size_hw) for one in others]
        seen = _disturb(rng, keypoints, settings)
        if (seen[:, 2] > 0).sum() < MIN_KEYPOINTS:
            return None
        joints = joints_of(_as_keypoints(seen))
        box = random_box(rng, world.mask, turn, window) if happens(rng, settings.boxed) else None
        crop = random_crop(rng, joints, side, box)
        rgb, mask = (warp_crop(array, turn, crop) for array in (world.rgb, world.mask))
        rgb, mask = (window.blacken(array, crop) for array in (rgb, mask))
        if (mask > 127).mean() < 0.01:  # noqa: PLR2004
            return None
        if happens(rng, settings.occluded):
            rgb, mask = self._occlude(rng, rgb, mask)
        rgb = degrade(rng, change_colors(rng, rgb))
        known = [] if happens(rng, settings.no_others) else [_disturb(rng, one, settings) for one in others]
        other_joints = [joints_of(_as_keypoints(one)) for one in known[:4]]
        return PoseMaskSample(
            make_pose_input(rgb, to_crop(joints, crop), [to_crop(one, crop) for one in other_joints]),
            (mask.astype(np.float32) / np.float32(255))[None],
        )

    def _occlude(
        self, rng: RNG, rgb: RgbImage, mask: NDArray[np.uint8]
    ) -> tuple[RgbImage, NDArray[np.uint8]]:
        blob = random_blob(rng, self._side)
        if mask[blob].astype(np.float64).sum() > 0.5 * mask.sum():
            return rgb, mask
        use_image = self._backgrounds and happens(rng, 0.6)
        texture = _pick(rng, self._backgrounds) if use_image else random_texture(rng, 64)
        patch = cv2.resize(texture, (self._side, self._side), interpolation=cv2.INTER_LINEAR)
        return np.where(blob[..., None], patch, rgb).astype(np.uint8), np.where(blob, 0, mask).astype(
            np.uint8
        )


_LIMBS = (range(5), range(11, 17), range(13, 17), (15, 16), (7, 9), (8, 10))
"""Keypoints that are lost together: face, legs, lower legs, ankles, arms."""


def _disturb(rng: RNG, keypoints: FloatArray, settings: SampleSettings) -> FloatArray:
    """Displace keypoints, and lose some; those below the least confidence are lost."""
    seen = keypoints.copy()
    found = seen[:, 2] >= MIN_CONFIDENCE
    if found.any():
        extent = float(np.ptp(seen[found, :2], axis=0).max())
        sigma = settings.keypoint_jitter * extent * rng.random()
        seen[:, :2] += rng.normal(0, 1, (17, 2)) * sigma
    lost = rng.random(17) < settings.lost_keypoint * rng.random()
    for limb in _LIMBS:
        if happens(rng, settings.lost_limb):
            lost[list(limb)] = True
    if (found & ~lost).sum() >= MIN_KEYPOINTS:
        found &= ~lost
    seen[~found] = 0
    seen[found, 2] = 1
    return seen


def _place(
    rng: RNG, cutout: Cutout, at: FloatArray, tall: float
) -> tuple[FloatImage, FloatImage, FloatArray]:
    """Return color, alpha and keypoints of a cut-out in the world."""
    height, width = cutout.alpha.shape
    scale = tall / max(height, width)
    turn = rng.normal(0, 0.15)
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = np.column_stack([rotation, at - rotation @ np.array([width / 2, height / 2])])
    size = (WORLD_PX, WORLD_PX)
    alpha = cv2.warpAffine(cutout.alpha, matrix, size, flags=cv2.INTER_LINEAR)
    if happens(rng, 0.5):
        alpha = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.4, 1.2))
    rgb = cv2.warpAffine(cutout.rgb, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    tint = rng.uniform(0.6, 1.3) * rng.normal(1, 0.07, 3)
    points = np.array(cutout.keypoints)
    points[:, :2] = points[:, :2] @ rotation.T + matrix[:, 2]
    return np.clip(rgb * tint, 0, 255).astype(np.float32), alpha.astype(np.float32), points


def _camouflage(rng: RNG, rgb: FloatImage, alpha: FloatImage, behind: FloatImage) -> FloatImage:
    """Return the person in the mean color of what is behind."""
    inside = alpha > 0.5  # noqa: PLR2004
    if not inside.any():
        return rgb
    factor = (behind[inside].mean(axis=0) + 4) / (rgb[inside].mean(axis=0) + 4)
    strength = rng.uniform(0.4, 1.0)
    return np.asarray(np.clip(rgb * (1 - strength + strength * factor), 0, 255), dtype=np.float32)


def _pick(rng: RNG, items: Sequence[T]) -> T:
    return items[int(rng.integers(len(items)))]


def _count(keypoints: Keypoints) -> int:
    return sum(score >= MIN_CONFIDENCE for _, _, score in keypoints)


def _as_keypoints(points: FloatArray) -> Keypoints:
    return tuple((float(x), float(y), float(score)) for x, y, score in points)
