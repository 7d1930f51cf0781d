"""Training samples with exact alpha: people cut out of images, and rendered ones, over any background.

Sample `index` depends on the seed and the index alone, so that an interrupted training continues with the
samples it would have seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.background.subtraction import SHADOW_BRIGHTNESS
from labeling.matting.inputs import MOTION_STEPS, FloatImage, NetworkInput, make_input
from labeling.structures.cutouts import Cutout
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Keypoints
from labeling.synthetic.canvas import Color, value_noise
from labeling.synthetic.figure import Clothes, PlacedFigure, Stance, draw_figure, pose_keypoints
from labeling.training.cutouts import extend_color

RNG = np.random.Generator
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


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A composite: network input, exact alpha (1xSxS), and foreground (3xSxS in [-1, 1])."""

    input: NetworkInput
    alpha: FloatImage
    foreground: FloatImage
    background: FloatImage
    """The scene behind the people, with their shadows (3xSxS in [-1, 1])."""
    shadow_like: FloatImage
    """1 where the image looks like darkened background (1xSxS)."""


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
            _add_distractor(rng, scene, _pick(rng, self._backgrounds))
        shadow = _Shadow.random(rng, settings.shadow)

        image, behind, alpha, foreground = _paint(scene, people, shadow)
        light = _random_light(rng, side)
        noise = rng.uniform(0, settings.noise)
        shown = self._expose(rng, image * light, noise)
        motion = None
        if rng.random() >= settings.no_motion:
            gray = cv2.cvtColor(scene * light, cv2.COLOR_RGB2GRAY).astype(np.float32)
            drift = 1 + rng.normal(0, 0.01, 4)
            motion = [
                self._expose(
                    rng, drift[i] * _paint_gray(gray, people, [step * v for v in velocity], shadow), noise
                )
                for i, step in enumerate(MOTION_STEPS)
            ]
        plate, coverage = self._plate(rng, empty, alpha)
        relit = light if rng.random() < 0.7 else np.float32(1.0)  # noqa: PLR2004 - most plates are relit
        plate_rgb = self._perturb(rng, plate * relit)
        if rng.random() < settings.absent_person:
            people.append(self._place(rng, main=False))
        claimed = np.maximum.reduce([person.alpha for person in people])
        mask = _degrade(rng, claimed, settings.prior_error)
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

    def _place(self, rng: RNG, *, main: bool) -> "_Placed":
        rendered = rng.random() < self._settings.rendered_share or not self._cutouts
        cutout = render_cutout(rng) if rendered else _pick(rng, self._cutouts)
        return _Placed.random(rng, cutout, self._side, main=main)

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
            hole = _random_blob(rng, self._side) & (cv2.GaussianBlur(alpha, (0, 0), 4) > 0.3)  # noqa: PLR2004
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


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A person in the sample: premultiplied color and alpha, both SxS, and keypoints in its pixels."""

    color: FloatImage
    alpha: FloatImage
    keypoints: Keypoints
    feet_y: float

    @classmethod
    def random(cls, rng: RNG, cutout: Cutout, side: int, *, main: bool) -> "_Placed":
        """Scale, turn, mirror and move a cut-out so that most of it is inside."""
        height, width = cutout.alpha.shape
        scale = side * (rng.uniform(0.5, 0.9) if main else rng.uniform(0.3, 0.8)) / max(height, width)
        mirror = -1.0 if rng.random() < 0.5 else 1.0  # noqa: PLR2004
        turn = rng.normal(0, 0.06)
        spread = 0.08 if main else 0.3
        center = side * (0.5 + rng.normal(0, spread, 2))
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        matrix = scale * rotation @ np.diag([mirror, 1.0])
        offset = center - matrix @ np.array([width / 2, height / 2])
        affine = np.column_stack([matrix, offset])
        alpha = cutout.alpha
        fringe = int(rng.integers(0, 3))
        if fringe and min(height, width) > 60:  # noqa: PLR2004 - cut-outs keep a rim of their background
            alpha = cv2.erode(alpha, np.ones((fringe + 1, fringe + 1), np.uint8)).astype(np.float32)
        warped = cv2.warpAffine(alpha, affine, (side, side), flags=cv2.INTER_AREA)
        color = cv2.warpAffine(cutout.rgb, affine, (side, side), borderMode=cv2.BORDER_REPLICATE)
        soft = cv2.GaussianBlur(warped, (0, 0), rng.uniform(0.4, 1.3)).astype(np.float32)
        tint = rng.uniform(0.6, 1.25) * rng.normal(1, 0.05, 3)
        points = np.array(cutout.keypoints)
        moved = points[:, :2] @ matrix.T + offset
        order = _MIRRORED if mirror < 0 else range(17)
        keypoints = tuple((float(moved[i, 0]), float(moved[i, 1]), float(points[i, 2])) for i in order)
        rows = np.flatnonzero(soft.max(axis=1) > 0.5)  # noqa: PLR2004
        feet_y = float(rows[-1]) if len(rows) else float(side)
        painted = np.clip(color * tint, 0, 255).astype(np.float32)
        return cls(painted, soft, keypoints, feet_y)

    def camouflaged(self, rng: RNG, scene: FloatImage) -> "_Placed":
        """Return the person in the mean color of the scene behind, as a whole or below some height."""
        inside = self.alpha > 0.5  # noqa: PLR2004
        if not inside.any():
            return self
        factor = (scene[inside].mean(axis=0) + 1) / (self.color[inside].mean(axis=0) + 1)
        strength = rng.uniform(0.6, 1.0)
        painted = self.color * (1 - strength + strength * factor)
        if rng.random() < 0.5:  # noqa: PLR2004
            rows = np.flatnonzero(inside.any(axis=1))
            top = int(rng.uniform(rows[0], rows[-1] + 1))
            painted[:top] = self.color[:top]
        return replace(self, color=np.clip(painted, 0, 255).astype(np.float32))


_MIRRORED = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""COCO keypoints with left and right exchanged."""


@dataclass(frozen=True, slots=True)
class _Shadow:
    """A cast shadow: the alpha sheared around the feet and blurred."""

    depth: float
    shear: float
    squash: float
    blur: float

    @classmethod
    def random(cls, rng: RNG, chance: float) -> "_Shadow | None":
        if rng.random() >= chance:
            return None
        return cls(
            rng.uniform(0.05, 0.55), rng.normal(0, 0.5), rng.uniform(0.08, 0.6), rng.uniform(0.005, 0.05)
        )

    def cast(self, alpha: FloatImage, feet_y: float) -> FloatImage:
        """Return the share of light that remains, SxS."""
        side = alpha.shape[0]
        affine = np.array(
            [[1, -self.shear, self.shear * feet_y], [0, self.squash, feet_y * (1 - self.squash)]]
        )
        cast = cv2.warpAffine(alpha, affine, (side, side))
        soft = cv2.GaussianBlur(cast, (0, 0), max(0.7, self.blur * side)).astype(np.float32)
        return np.asarray(1 - self.depth * soft, dtype=np.float32)


def _paint(
    scene: FloatImage, people: Sequence[_Placed], shadow: _Shadow | None
) -> tuple[FloatImage, FloatImage, FloatImage, FloatImage]:
    """Return the image, the scene behind the people, alpha, and the foreground's color."""
    image, alpha, foreground = scene.copy(), np.zeros(scene.shape[:2], np.float32), people[0].color
    if shadow:
        for person in people:
            image *= shadow.cast(person.alpha, person.feet_y)[..., None]
    behind = image.copy()
    for person in people:
        weight = person.alpha[..., None]
        image += weight * (person.color - image)
        if person is not people[0]:
            front = weight + (1 - weight) * (alpha[..., None] <= 0)  # the color behind, where there is one
            foreground = foreground + front * (person.color - foreground)
        alpha = 1 - (1 - alpha) * (1 - person.alpha)
    return image, behind, alpha, foreground


def _paint_gray(
    scene: FloatImage, people: Sequence[_Placed], moves: Sequence[NDArray[np.float64]], shadow: _Shadow | None
) -> FloatImage:
    """Return the gray image, HxW, with each person moved by some pixels."""
    image = scene.copy()
    for person, move in zip(people, moves, strict=True):
        affine = np.array([[1, 0, move[0]], [0, 1, move[1]]])
        gray = cv2.cvtColor(person.color, cv2.COLOR_RGB2GRAY)
        moved = cv2.warpAffine(np.dstack([gray, person.alpha]), affine, image.shape[::-1]).astype(np.float32)
        color, alpha = moved[..., 0], moved[..., 1]
        if shadow:
            image *= shadow.cast(alpha, person.feet_y + float(move[1]))
        image += alpha * (color - image)
    return image


def _random_light(rng: RNG, side: int) -> FloatImage:
    """Return the light of the moment relative to the plate's: gain by channel, and a smooth field."""
    gain = rng.normal(1, 0.07) * rng.normal(1, 0.015, 3)
    field = 1 + rng.uniform(0, 0.05) * cv2.resize(
        rng.standard_normal((3, 3)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(field[..., None] * gain, dtype=np.float32)


def _degrade(rng: RNG, alpha: FloatImage, error: float) -> NDArray[np.bool_]:
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
        blob = _random_blob(rng, side // 2)
        top, left = rng.integers(0, side - side // 2, 2)
        mask[top : top + side // 2, left : left + side // 2][blob] = rng.random() < 0.3  # noqa: PLR2004
    return np.asarray(mask, dtype=np.bool_)


def _random_blob(rng: RNG, side: int) -> NDArray[np.bool_]:
    """Return an ellipse of random size and place, SxS."""
    blob = np.zeros((side, side), dtype=np.uint8)
    center = tuple(int(v) for v in rng.uniform(0.1, 0.9, 2) * side)
    axes = tuple(int(v) for v in rng.uniform(0.05, 0.25, 2) * side)
    cv2.ellipse(blob, center, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return blob.astype(np.bool_)


def _add_distractor(rng: RNG, scene: FloatImage, texture: RgbImage) -> None:
    """Paint an object that the plate does not show, in place."""
    side = scene.shape[0]
    blob = _random_blob(rng, side)
    if rng.random() < 0.5:  # noqa: PLR2004
        scene[blob] *= np.float32(rng.uniform(0.4, 1.4))
        return
    scene[blob] = cv2.resize(texture, (side, side)).astype(np.float32)[blob]


SHADOW_TINT = 0.1
"""Largest difference of that share between channels."""


def looks_like_shadow(image: RgbImage, plate: RgbImage) -> NDArray[np.bool_]:
    """Return where the image is the plate darkened equally in all channels, HxW.

    >>> plate = np.full((1, 3, 3), 100, dtype=np.uint8)
    >>> image = np.array([[[70, 70, 70], [70, 40, 90], [100, 100, 100]]], dtype=np.uint8)
    >>> looks_like_shadow(image, plate).tolist()
    [[True, False, False]]
    """
    ratio = image.astype(np.float32) / np.maximum(plate, 1)
    darkest, brightest = ratio.min(axis=2), ratio.max(axis=2)
    low, high = SHADOW_BRIGHTNESS
    is_shadow: NDArray[np.bool_] = (darkest > low) & (brightest < high) & (brightest - darkest < SHADOW_TINT)
    return is_shadow


def _random_color(rng: RNG) -> Color:
    red, green, blue = (float(value) for value in rng.uniform(10, 240, 3))
    return red, green, blue


def render_cutout(rng: RNG) -> Cutout:
    """Render a person with random pose and clothes, 240 pixels tall."""
    tall = 240.0
    stance = Stance(
        gait=float(rng.uniform(0, 2 * np.pi)),
        stride=float(rng.choice([0.0, 1.0, rng.random()])),
        crouch=float(max(0.0, rng.uniform(-1.5, 1.0))),
        facing=float(rng.choice([-1.0, 1.0])),
    )
    shirt, stripes, trousers, shoes, skin, hair = (_random_color(rng) for _ in range(6))
    clothes = Clothes(shirt, stripes if rng.random() < 0.4 else None, trousers, shoes, skin, hair)  # noqa: PLR2004
    fabric = 1 + rng.uniform(0.03, 0.3) * value_noise(rng, (160, 128), cell_px=float(rng.uniform(4, 40)))
    placed = PlacedFigure(0.5 * tall, 1.12 * tall, tall)
    layer = draw_figure(stance, placed, clothes, fabric=np.asarray(fabric, np.float32), ground_y=0.0)
    at = {
        name: (placed.feet_x + x * tall - layer.left, placed.feet_y - y * tall - layer.top)
        for name, (x, y) in pose_keypoints(stance).items()
    }
    left, right = ("far", "near") if stance.facing > 0 else ("near", "far")
    head = np.array(at["head"])
    nose = head + np.array([0.4 * stance.facing * 0.062 * tall, 0.1 * 0.062 * tall])
    joints = [nose, nose, nose, head, head]
    for part in ("shoulder", "elbow", "hand", "hip", "knee", "ankle"):
        joints += [np.array(at[f"{left}_{part}"]), np.array(at[f"{right}_{part}"])]
    visible = [1.0, 0.0, 0.0, 0.0, 0.0] + [1.0] * 12
    keypoints = tuple((float(x), float(y), v) for (x, y), v in zip(joints, visible, strict=True))
    return Cutout(extend_color(layer.rgb, layer.coverage), layer.coverage, keypoints)
