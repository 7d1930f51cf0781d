"""People of random pose, build and clothes, with exact keypoints: not lifelike, but of great variety.

A network that is trained on them learns that a person is what continues around the skeleton up to an edge,
whatever its colors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage
from labeling.structures.instances import Keypoints
from labeling.synthetic.canvas import FloatImage, happens, value_noise

RNG = np.random.Generator
Vector = NDArray[np.float64]
SUPERSAMPLING = 2
CANVAS_PX = 440
TORSO_PX = 72.0
SHIRT, TROUSERS, SKIN, HAIR, SHOES, EXTRA = range(1, 7)
_SHIFT = 4
_SIGNS = {"right": -1.0, "left": 1.0}
_ARM, _FOREARM, _THIGH, _SHIN = 0.62, 0.55, 0.86, 0.84
"""Lengths in torsos, after Drillis and Contini (1966)."""


@dataclass(frozen=True, slots=True, eq=False)
class RandomFigure:
    """RGB (HxWx3), coverage (HxW in [0, 1]), and keypoints in its pixels."""

    rgb: RgbImage
    alpha: FloatImage
    keypoints: Keypoints


def draw_random_figure(rng: RNG, textures: Sequence[RgbImage] = ()) -> RandomFigure:
    """Draw a person; some clothes show a part of one of the textures."""
    body = _pose(rng)
    pen = _Pen(rng)
    _draw_body(rng, pen, body)
    keypoints = _keypoints(rng, body)
    rgb, alpha = _color(rng, pen, textures)
    rows, columns = np.nonzero(alpha)
    margin = 6
    top, left = max(0, rows.min() - margin), max(0, columns.min() - margin)
    box = (slice(top, rows.max() + margin), slice(left, columns.max() + margin))
    moved = tuple((x - left, y - top, seen) for x, y, seen in keypoints)
    return RandomFigure(np.ascontiguousarray(rgb[box]), np.ascontiguousarray(alpha[box]), moved)


@dataclass(slots=True)
class _Body:
    """Positions in pixels of the canvas, and widths in pixels."""

    at: dict[str, Vector]
    head_px: float
    width: float
    is_frontal: bool
    turned: float


def _pose(rng: RNG) -> _Body:
    turned = float(rng.choice([1.0, rng.uniform(0.1, 1.0)]))
    lean = float(rng.normal(0, 0.2) if happens(rng, 0.75) else rng.uniform(-1.4, 1.4))
    unit = TORSO_PX
    up = np.array([np.sin(lean), -np.cos(lean)])
    right = np.array([-up[1], up[0]])
    child = happens(rng, 0.2)
    head_px = unit * (rng.uniform(0.26, 0.36) if child else rng.uniform(0.19, 0.26))
    hip = np.array([CANVAS_PX / 2, CANVAS_PX / 2]) + 0.2 * unit * up
    neck = hip + unit * rng.uniform(0.7, 1.05) * up
    tilt = lean + rng.normal(0, 0.25)
    head = neck + (0.16 * unit + head_px) * np.array([np.sin(tilt), -np.cos(tilt)])
    half_shoulder, half_hip = (unit * turned * rng.uniform(*span) for span in ((0.3, 0.44), (0.16, 0.26)))
    at = {"head": head, "neck": neck, "hip": hip}
    limb_scale = rng.uniform(0.6, 0.85) if child else 1.0
    seated = happens(rng, 0.3)
    for side, sign in _SIGNS.items():
        at[f"{side}_shoulder"] = neck + sign * half_shoulder * right - 0.06 * unit * up
        at[f"{side}_hip"] = hip + sign * half_hip * right
        _swing_arm(rng, at, side, lean=lean, unit=unit * limb_scale)
        _swing_leg(rng, at, side, unit=unit * limb_scale, seated=seated)
    return _Body(at, head_px, float(rng.uniform(0.8, 1.5)), happens(rng, 0.75), turned)


def _swing_arm(rng: RNG, at: dict[str, Vector], side: str, *, lean: float, unit: float) -> None:
    sign = _SIGNS[side]
    hangs = happens(rng, 0.5)
    angle = sign * abs(rng.normal(0.15, 0.25)) if hangs else rng.uniform(-np.pi, np.pi)
    bend = rng.uniform(-0.5, 0.5) if hangs and happens(rng, 0.6) else rng.uniform(-2.5, 2.5)
    elbow = at[f"{side}_shoulder"] + unit * _ARM * _shortened(rng) * _down(angle - 0.5 * lean)
    at[f"{side}_elbow"] = elbow
    at[f"{side}_wrist"] = elbow + unit * _FOREARM * _shortened(rng) * _down(angle - 0.5 * lean + bend)


def _swing_leg(rng: RNG, at: dict[str, Vector], side: str, *, unit: float, seated: bool) -> None:
    sign = _SIGNS[side]
    if seated:
        thigh = rng.choice([-1, 1]) * rng.uniform(0.3, 1.7)
        shin, short = thigh * rng.uniform(-0.6, 0.3), rng.uniform(0.25, 1.0)
    elif happens(rng, 0.65):
        thigh, short = sign * 0.06 + rng.normal(0, 0.2), 1.0
        shin = thigh + rng.normal(0, 0.25)
    else:
        thigh, short = rng.uniform(-1.6, 1.6), _shortened(rng)
        shin = thigh + rng.uniform(-2.2, 2.2)
    knee = at[f"{side}_hip"] + unit * _THIGH * short * _down(thigh)
    at[f"{side}_knee"] = knee
    at[f"{side}_ankle"] = knee + unit * _SHIN * _shortened(rng) * _down(shin)


def _shortened(rng: RNG) -> float:
    """Return the share of a limb's length that is seen; most limbs are parallel to the image."""
    return float(1 - 0.7 * rng.random() ** 3)


def _down(angle: float) -> Vector:
    return np.array([np.sin(angle), np.cos(angle)])


class _Pen:
    """Draws parts as numbers of their material, with light."""

    def __init__(self, rng: RNG) -> None:
        side = CANVAS_PX * SUPERSAMPLING
        self.parts = np.zeros((side, side), dtype=np.uint8)
        self.light = np.zeros((side, side), dtype=np.uint8)
        self._rng = rng
        self._from = rng.uniform(-1, 1, 2)

    def polygon(self, points: Sequence[Vector], material: int, light: float = 1.0) -> None:
        corners = np.round(np.array(points) * (SUPERSAMPLING << _SHIFT)).astype(np.int32)
        cv2.fillPoly(self.parts, [corners], material, shift=_SHIFT)
        cv2.fillPoly(self.light, [corners], _level(light), shift=_SHIFT)

    def ellipse(
        self, center: Vector, radii: tuple[float, float], degrees: float, material: int, light: float = 1.0
    ) -> None:
        scale = SUPERSAMPLING << _SHIFT
        at = (round(center[0] * scale), round(center[1] * scale))
        axes = (max(1, round(radii[0] * scale)), max(1, round(radii[1] * scale)))
        for target, value in ((self.parts, material), (self.light, _level(light))):
            cv2.ellipse(target, at, axes, degrees, 0, 360, value, -1, shift=_SHIFT)

    def limb(self, start: Vector, end: Vector, radii: tuple[float, float], material: int) -> None:
        """Draw a tapered limb, lighter along a line toward the light."""
        tone = self._rng.uniform(0.75, 1.1)
        along = end - start
        length = float(np.hypot(*along))
        aside = np.array([-along[1], along[0]]) / max(length, 1e-6)
        for share, light in ((1.0, 0.78), (0.75, 0.95), (0.4, 1.08)):
            shift = (1 - share) * 0.6 * radii[0] * self._from
            a, b, r, q = start + shift, end + shift, radii[0] * share, radii[1] * share
            self.polygon([a + r * aside, b + q * aside, b - q * aside, a - r * aside], material, tone * light)
            self.ellipse(a, (r, r), 0, material, tone * light)
            self.ellipse(b, (q, q), 0, material, tone * light)


def _level(light: float) -> int:
    return int(np.clip(light * 128, 1, 255))


def _draw_body(rng: RNG, pen: _Pen, body: _Body) -> None:
    long_sleeves, long_trousers = happens(rng, 0.5), happens(rng, 0.7)
    arm = (SHIRT if happens(rng, 0.85) else SKIN, SHIRT if long_sleeves else SKIN)
    dress = happens(rng, 0.2)
    sides = ["left", "right"] if happens(rng, 0.5) else ["right", "left"]
    behind = happens(rng, 0.4)
    if happens(rng, 0.25):
        _draw_hair(rng, pen, body)
    if behind:
        _draw_arm(rng, pen, body, sides[0], arm)
    for side in sides:
        _draw_leg(rng, pen, body, side, TROUSERS if long_trousers and not dress else SKIN)
    _draw_torso(rng, pen, body, dress=dress)
    _draw_head(rng, pen, body)
    for side in sides[1:] if behind else sides:
        _draw_arm(rng, pen, body, side, arm)


def _draw_arm(rng: RNG, pen: _Pen, body: _Body, side: str, materials: tuple[int, int]) -> None:
    """Draw an arm whose upper and lower parts are of these materials."""
    sleeve, cuff = materials
    at, width = body.at, body.width * TORSO_PX
    loose = rng.uniform(1.0, 1.5) if cuff == SHIRT else 1.0
    shoulder, elbow, wrist = (at[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
    pen.limb(elbow, wrist, (0.075 * width * loose, 0.055 * width * loose), cuff)
    reach = wrist - elbow
    hand = wrist + 0.1 * TORSO_PX * reach / max(float(np.hypot(*reach)), 1e-6)
    degrees = float(np.degrees(np.arctan2(reach[1], reach[0])))
    pen.ellipse(hand, (0.11 * TORSO_PX, 0.065 * TORSO_PX), degrees, SKIN, rng.uniform(0.8, 1.1))
    pen.limb(shoulder, elbow, (0.1 * width * loose, 0.08 * width * loose), sleeve)


def _draw_leg(rng: RNG, pen: _Pen, body: _Body, side: str, lower: int) -> None:
    at, width = body.at, body.width * TORSO_PX
    loose = rng.uniform(1.0, 1.4) if lower == TROUSERS else 1.0
    hip, knee, ankle = (at[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    toe = ankle + TORSO_PX * np.array([rng.uniform(-0.25, 0.25), 0.1])
    pen.limb(ankle, toe, (0.07 * TORSO_PX, 0.06 * TORSO_PX), SHOES)
    pen.limb(knee, ankle, (0.095 * width * loose, 0.065 * width * loose), lower)
    pen.limb(hip, knee, (0.16 * width * max(1.0, 0.9 * loose), 0.105 * width * loose), TROUSERS)


def _draw_torso(rng: RNG, pen: _Pen, body: _Body, *, dress: bool) -> None:
    at, rim = body.at, 0.11 * body.width * TORSO_PX
    left, right, low_left, low_right = (
        at[name] for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    )
    across = (left - right) / max(float(np.hypot(*(left - right))), 1e-6)
    hem = at["hip"] + rng.uniform(-0.05, 0.3) * (at["hip"] - at["neck"])
    shift = hem - at["hip"]
    belly = rng.uniform(0.8, 1.8)
    for share, light in ((1.0, 0.85), (0.75, 0.97), (0.45, 1.05)):
        r = share * rim
        waist = (at["neck"] + at["hip"]) / 2
        half = (0.5 * np.hypot(*(low_left - low_right)) + rim) * share * belly**0.5
        pen.polygon(
            [
                share * (left - at["neck"]) + at["neck"] + r * across,
                waist + half * across,
                share * (low_left - at["hip"]) + at["hip"] + shift + r * across,
                share * (low_right - at["hip"]) + at["hip"] + shift - r * across,
                waist - half * across,
                share * (right - at["neck"]) + at["neck"] - r * across,
            ],
            SHIRT,
            light,
        )
    if dress:
        middle = (at["left_knee"] + at["right_knee"]) / 2
        end = at["hip"] + rng.uniform(0.5, 1.3) * (middle - at["hip"])
        wide = TORSO_PX * rng.uniform(0.25, 0.6)
        pen.polygon(
            [low_left + rim * across, end + wide * across, end - wide * across, low_right - rim * across],
            int(rng.choice([SHIRT, TROUSERS])),
            0.95,
        )
    pen.limb(
        at["neck"], at["neck"] + 0.3 * (at["head"] - at["neck"]), (0.1 * TORSO_PX, 0.09 * TORSO_PX), SKIN
    )


def _draw_hair(rng: RNG, pen: _Pen, body: _Body) -> None:
    long = body.at["head"] + rng.uniform(0.2, 0.6) * (body.at["neck"] - body.at["head"])
    pen.ellipse(long, (body.head_px * 1.2, body.head_px * rng.uniform(1.2, 2.2)), 0, HAIR, 0.9)


def _draw_head(rng: RNG, pen: _Pen, body: _Body) -> None:
    head, radius = body.at["head"], body.head_px
    up = head - body.at["neck"]
    up = up / max(float(np.hypot(*up)), 1e-6)
    degrees = float(np.degrees(np.arctan2(up[1], up[0])))
    tall = radius * rng.uniform(1.05, 1.3)
    pen.ellipse(head + 0.15 * radius * up, (tall * 1.02, radius * 0.98), degrees, HAIR, 1.0)
    if body.is_frontal:
        pen.ellipse(head - 0.12 * radius * up, (tall * 0.85, radius * 0.8), degrees, SKIN, 1.0)
    if happens(rng, 0.25):  # a hat
        pen.ellipse(
            head + 0.75 * radius * up, (radius * 0.6, radius * rng.uniform(0.9, 1.6)), degrees, EXTRA, 0.9
        )


def _keypoints(rng: RNG, body: _Body) -> Keypoints:
    head, radius = body.at["head"], body.head_px
    up = head - body.at["neck"]
    up = up / max(float(np.hypot(*up)), 1e-6)
    right = np.array([-up[1], up[0]]) * body.turned
    drift = (1 - body.turned) * rng.choice([-1, 1]) * 0.7 * radius * np.array([-up[1], up[0]])
    face = [head - 0.15 * radius * up + drift]
    for lift, wide in ((0.1, 0.35), (0.0, 0.85)):
        face += [
            head + lift * radius * up + s * wide * radius * right + (drift if lift else 0) for s in (1, -1)
        ]
    seen = [float(body.is_frontal)] * 3 + [1.0, 1.0]
    points = [*face]
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        points += [body.at[f"left_{part}"], body.at[f"right_{part}"]]
    return tuple((float(x), float(y), v) for (x, y), v in zip(points, [*seen, *[1.0] * 12], strict=True))


def _color(rng: RNG, pen: _Pen, textures: Sequence[RgbImage]) -> tuple[RgbImage, FloatImage]:
    side = (CANVAS_PX, CANVAS_PX)
    covered = (pen.parts > 0).astype(np.float32)
    alpha = np.asarray(cv2.resize(covered, side, interpolation=cv2.INTER_AREA), np.float32)
    parts = pen.parts[::SUPERSAMPLING, ::SUPERSAMPLING]
    grown = cv2.dilate(parts, np.ones((5, 5), np.uint8))  # the color of a rim pixel is that of the inside
    parts = np.where(parts > 0, parts, grown)
    drawn = pen.light[::SUPERSAMPLING, ::SUPERSAMPLING]
    light = np.where(drawn > 0, drawn, cv2.dilate(drawn, np.ones((5, 5), np.uint8))) / np.float32(128)
    colors = rng.uniform(8, 247, (7, 3)).astype(np.float32)
    colors[SKIN] = np.array([224, 172, 140]) * rng.uniform(0.3, 1.12) * rng.normal(1, 0.06, 3)
    if happens(rng, 0.6):
        colors[HAIR] = np.array([80, 60, 45]) * rng.uniform(0.2, 2.0)
    image = colors[parts]
    for material in (SHIRT, TROUSERS, EXTRA):
        if happens(rng, 0.6):
            _add_pattern(rng, image, parts == material, textures)
    noise = value_noise(rng, side, cell_px=float(rng.uniform(3, 30)), octaves=2)
    image *= (np.sqrt(light) * (1 + rng.uniform(0.01, 0.12) * noise))[..., None]
    return np.clip(image, 0, 255).astype(np.uint8), alpha


def _add_pattern(rng: RNG, image: FloatImage, where: NDArray[np.bool_], textures: Sequence[RgbImage]) -> None:
    kind = rng.choice(["texture", "stripes", "squares"], p=(0.45, 0.3, 0.25))
    if kind == "texture" and textures:
        texture = textures[int(rng.integers(len(textures)))]
        part = int(min(texture.shape[:2]) * rng.uniform(0.2, 1))
        top, left = (int(rng.integers(0, texture.shape[axis] - part + 1)) for axis in (0, 1))
        patch = cv2.resize(texture[top : top + part, left : left + part], (CANVAS_PX, CANVAS_PX))
        weight = rng.uniform(0.4, 1.0)
        image[where] += weight * (patch[where] - image[where])
        return
    period, angle = rng.uniform(4, 30), rng.uniform(0, np.pi)
    rows, columns = np.nonzero(where)
    phase = np.sin((columns * np.cos(angle) + rows * np.sin(angle)) * 2 * np.pi / period)
    if kind == "squares":
        phase *= np.sin((rows * np.cos(angle) - columns * np.sin(angle)) * 2 * np.pi / period)
    image[where] += ((phase > rng.uniform(-0.3, 0.6)) * rng.uniform(-90, 90))[:, None].astype(np.float32)
