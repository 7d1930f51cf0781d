"""Training samples with exact alpha: people cut out of images, and rendered ones, over any background.

Sample `index` depends on the seed and the index alone, so that an interrupted training continues with the
samples it would have seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.matting.disturbances import RNG, add_distractor, degrade, random_blob, random_light
from labeling.matting.inputs import MOTION_STEPS, FloatImage, make_input
from labeling.matting.placed_people import PlacedPerson, Shadow, paint, paint_gray
from labeling.matting.rendered_cutouts import render_cutout
from labeling.matting.samples import Sample
from labeling.matting.shadow_look import looks_like_shadow
from labeling.structures.cutouts import Cutout
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Keypoints

_NOISE_MARGIN = 199
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CompositeSettings:
    """Chances and ranges of one sample; lengths are shares of the side."""

    rendered_share: float = 0.4
    """Samples with a rendered figure instead of a cut-out."""
    second_person: float = 0.15
    absent_person: float = 0.15
    """The segmentation and the keypoints show a second person where there is none, such as a coat on a hook."""
    camouflage: float = 0.35
    """People in the colors of the background behind them: the segmentation must decide there."""
    shadow: float = 0.7
    distractor: float = 0.3
    """An object that is not in the plate, and not a person."""
    no_motion: float = 0.3
    no_keypoints: float = 0.3
    lost_keypoint: float = 0.1
    keypoint_jitter: float = 0.015
    ghost: float = 0.1
    """The plate shows a person faintly where they stood."""
    unseen: float = 0.2
    """A part of the plate was never seen and is blurred instead."""
    noise: float = 5.0
    """Largest standard deviation of the sensor's noise, in levels."""
    prior_error: float = 0.05
    """Distance by which the contour of the segmentation is displaced."""


class Compositor:
    """Makes samples of one size from cut-outs and backgrounds."""

    def __init__(
        self,
        cutouts: Sequence[Cutout],
        backgrounds: Sequence[RgbImage],
        *,
        side_px: int,
        seed: int,
        settings: CompositeSettings | None = None,
    ) -> None:
        self._cutouts, self._backgrounds = cutouts, backgrounds
        self._side, self._seed = side_px, seed
        self._settings = settings or CompositeSettings()
        larger = (side_px + _NOISE_MARGIN, side_px + _NOISE_MARGIN, 3)
        self._noise = np.random.default_rng(seed).standard_normal(larger, dtype=np.float32)

    def sample(self, index: int) -> Sample:
        """Return sample `index`."""
        rng = np.random.default_rng([self._seed, index])
        side, settings = self._side, self._settings
        empty = self._background(rng)
        people = [self._place(rng, main=True)]
        if rng.random() < settings.second_person:
            people.append(self._place(rng, main=False))
        if rng.random() < settings.camouflage:
            people = [person.camouflaged(rng, empty) for person in people]
        velocity = [self._velocity(rng) for _ in people]
        scene = empty.copy()
        if rng.random() < settings.distractor:
            add_distractor(rng, scene, _pick(rng, self._backgrounds))
        shadow = Shadow.random(rng, settings.shadow)

        image, behind, alpha, foreground = paint(scene, people, shadow)
        light = random_light(rng, side)
        noise = rng.uniform(0, settings.noise)
        shown = self._expose(rng, image * light, noise)
        motion = None
        if rng.random() >= settings.no_motion:
            gray = cv2.cvtColor(scene * light, cv2.COLOR_RGB2GRAY).astype(np.float32)
            drift = 1 + rng.normal(0, 0.01, 4)
            motion = [
                self._expose(
                    rng, drift[i] * paint_gray(gray, people, [step * v for v in velocity], shadow), noise
                )
                for i, step in enumerate(MOTION_STEPS)
            ]
        plate, coverage = self._plate(rng, empty, alpha)
        relit = light if rng.random() < 0.7 else np.float32(1.0)  # noqa: PLR2004 - most plates are relit
        plate_rgb = self._perturb(rng, plate * relit)
        if rng.random() < settings.absent_person:
            people.append(self._place(rng, main=False))
        claimed = np.maximum.reduce([person.alpha for person in people])
        mask = degrade(rng, claimed, settings.prior_error)
        keypoints = [self._jitter(rng, person.keypoints) for person in people]
        network_input = make_input(
            shown, plate_rgb, coverage, mask, motion=motion, people=[k for k in keypoints if k is not None]
        )
        return Sample(
            network_input,
            alpha[None],
            _to_network(foreground * light),
            _to_network(behind * light),
            looks_like_shadow(shown, plate_rgb)[None].astype(np.float32),
        )

    def _background(self, rng: RNG) -> FloatImage:
        """Return a random part of a background, at least a third of its shorter side, mirrored or not."""
        image = _pick(rng, self._backgrounds)
        height, width = image.shape[:2]
        part = int(min(height, width) * rng.uniform(0.35, 1.0))
        top, left = rng.integers(0, height - part + 1), rng.integers(0, width - part + 1)
        square = image[top : top + part, left : left + part]
        scaled = cv2.resize(square, (self._side, self._side), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.5:  # noqa: PLR2004 - mirrored
            scaled = scaled[:, ::-1]
        return np.ascontiguousarray(scaled, dtype=np.float32)

    def _place(self, rng: RNG, *, main: bool) -> "PlacedPerson":
        rendered = rng.random() < self._settings.rendered_share or not self._cutouts
        cutout = render_cutout(rng) if rendered else _pick(rng, self._cutouts)
        return PlacedPerson.random(rng, cutout, self._side, main=main)

    def _velocity(self, rng: RNG) -> NDArray[np.float64]:
        """Return the motion in pixels per step; a third of the people stand still."""
        if rng.random() < 0.33:  # noqa: PLR2004
            return rng.normal(0, 0.004 * self._side, 2)
        spread: NDArray[np.float64] = np.array([0.15, 0.02]) * self._side
        return rng.normal(0, spread)

    def _plate(self, rng: RNG, empty: FloatImage, alpha: FloatImage) -> tuple[FloatImage, NDArray[np.bool_]]:
        plate, coverage = empty.copy(), np.ones(alpha.shape, dtype=np.bool_)
        if rng.random() < self._settings.ghost:
            ghost = self._place(rng, main=False)
            plate += (rng.uniform(0.2, 1.0) * ghost.alpha)[..., None] * (ghost.color - plate)
        if rng.random() < self._settings.unseen:
            hole = random_blob(rng, self._side) & (cv2.GaussianBlur(alpha, (0, 0), 4) > 0.3)  # noqa: PLR2004
            guess = cv2.GaussianBlur(plate, (0, 0), 0.08 * self._side)
            plate[hole] = guess[hole]
            coverage &= ~hole
        return plate, coverage

    def _expose(self, rng: RNG, image: FloatImage, noise: float) -> RgbImage:
        """Add the sensor's noise, and in half of the cases the loss of a codec; HxW or HxWx3."""
        shown = np.clip(image + noise * self._noise_tile(rng, image.ndim) + 0.5, 0, 255).astype(np.uint8)
        if rng.random() < 0.5:  # noqa: PLR2004
            coded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))])[1]
            shown = np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED), dtype=np.uint8)
        return shown

    def _perturb(self, rng: RNG, plate: FloatImage) -> RgbImage:
        """Disturb a plate by noise, a shift of the mean and gamma (Background Matting, section 4)."""
        shift, gamma = rng.uniform(-7, 7), max(0.5, rng.normal(1, 0.12 / 3))
        if rng.random() < 0.5:  # noqa: PLR2004 - most plates are medians of many images: clean
            shift, gamma = shift / 4, 1.0
        curve = (255 * (np.arange(256) / 255) ** gamma + shift).astype(np.float32)
        curved = curve[np.clip(plate, 0, 255).astype(np.uint8)]
        noisy = curved + rng.uniform(0, 2.5) * self._noise_tile(rng, plate.ndim)
        return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)

    def _noise_tile(self, rng: RNG, axes: int) -> FloatImage:
        """Return a random part of the noise, SxS or SxSx3."""
        top, left = rng.integers(0, _NOISE_MARGIN, 2)
        tile = self._noise[top : top + self._side, left : left + self._side]
        return tile if axes == 3 else tile[..., int(rng.integers(3))]  # noqa: PLR2004

    def _jitter(self, rng: RNG, keypoints: Keypoints) -> Keypoints | None:
        if rng.random() < self._settings.no_keypoints:
            return None
        points = np.array(keypoints)
        points[:, :2] += rng.normal(0, self._settings.keypoint_jitter * self._side, (len(points), 2))
        points[rng.random(len(points)) < self._settings.lost_keypoint, 2] = 0
        return tuple((float(x), float(y), float(score)) for x, y, score in points)


def _to_network(rgb: FloatImage) -> FloatImage:
    return np.ascontiguousarray((np.clip(rgb, 0, 255) / np.float32(127.5) - 1).transpose(2, 0, 1), np.float32)


def _pick(rng: RNG, items: Sequence[T]) -> T:
    return items[int(rng.integers(len(items)))]
