"""An articulated person: a pose by forward kinematics, and how it is drawn."""

from dataclasses import dataclass

import numpy as np

from labeling.synthetic.canvas import Canvas, Color, FloatImage, Layer, Point, shade

THIGH, SHIN, TORSO, NECK, HEAD = 0.245, 0.245, 0.30, 0.055, 0.062
UPPER_ARM, FOREARM = 0.165, 0.15
"""Lengths of limbs in body heights, after Drillis and Contini (1966); HEAD is a radius."""
HALF_WIDTH, HALF_TALL = 0.5, 1.12
"""Extent of the rectangle that a person is drawn in, in body heights."""


@dataclass(frozen=True, slots=True)
class Clothes:
    shirt: Color
    stripes: Color | None
    trousers: Color
    shoes: Color
    skin: Color
    hair: Color


@dataclass(frozen=True, slots=True)
class Stance:
    """What the body does: `gait` in radians of the walking cycle, `stride` 0 (stands) to 1 (walks),
    `crouch` 0 to 1, `facing` -1 (left) or 1 (right)."""

    gait: float
    stride: float
    crouch: float
    facing: float


@dataclass(frozen=True, slots=True)
class PlacedFigure:
    """Where the feet stand and how tall the body is, in pixels."""

    feet_x: float
    feet_y: float
    tall_px: float


Keypoints2d = dict[str, Point]
"""Positions in body heights, x to the right, y up, the ground at 0."""


def pose_keypoints(stance: Stance) -> Keypoints2d:
    """Forward kinematics from the hips; the lower foot is then put on the ground."""
    side = 1 - 0.6 * stance.stride
    lean = stance.facing * (0.06 * stance.stride + 0.55 * stance.crouch)
    joints: Keypoints2d = {"hip": (0.0, 0.0), "neck": _turned((0.0, 0.0), lean, TORSO)}
    joints["head"] = _turned(joints["neck"], 0.7 * lean, NECK + HEAD)
    for name, sign in (("near", 1.0), ("far", -1.0)):
        joints |= _leg(stance, name, sign, side)
        joints |= _arm(stance, name, sign, side, joints["neck"])
    ground = min(joints["near_ankle"][1], joints["far_ankle"][1]) - 0.035
    middle = 0.5 * stance.crouch * (joints["near_ankle"][0] + joints["far_ankle"][0])
    return {name: (x - middle, y - ground) for name, (x, y) in joints.items()}


def _turned(start: Point, angle: float, length: float) -> Point:
    """The point `length` away, upwards, turned by `angle` to the right."""
    return start[0] + length * float(np.sin(angle)), start[1] + length * float(np.cos(angle))


def _hanging(start: Point, angle: float, length: float) -> Point:
    return start[0] + length * float(np.sin(angle)), start[1] - length * float(np.cos(angle))


def _leg(stance: Stance, name: str, sign: float, side: float) -> Keypoints2d:
    swing = sign * np.sin(stance.gait)
    lift = max(0.0, sign * float(np.cos(stance.gait)))
    thigh = stance.stride * (0.48 * swing + 0.12) + 1.45 * stance.crouch
    bend = stance.stride * (0.12 + 0.75 * lift) + 2.25 * stance.crouch + 0.02
    hip = (0.048 * sign * side, 0.0)
    knee = _hanging(hip, stance.facing * thigh + 0.03 * sign * side, THIGH)
    ankle = _hanging(knee, stance.facing * (thigh - bend) + 0.03 * sign * side, SHIN)
    return {f"{name}_hip": hip, f"{name}_knee": knee, f"{name}_ankle": ankle}


def _arm(stance: Stance, name: str, sign: float, side: float, neck: Point) -> Keypoints2d:
    shoulder = (neck[0] + 0.098 * sign * side, neck[1] - 0.035)
    swing = -sign * 0.5 * stance.stride * float(np.sin(stance.gait))
    upper = stance.facing * (swing + 0.9 * stance.crouch) + 0.10 * sign * side
    elbow = _hanging(shoulder, upper, UPPER_ARM)
    hand = _hanging(
        elbow, upper + stance.facing * (0.15 + 0.3 * stance.stride + 0.6 * stance.crouch), FOREARM
    )
    return {f"{name}_shoulder": shoulder, f"{name}_elbow": elbow, f"{name}_hand": hand}


def draw_figure(
    stance: Stance, placed: PlacedFigure, clothes: Clothes, *, fabric: FloatImage, ground_y: float
) -> Layer:
    """Draw a person; `fabric` is an HxW texture about 1 that is stretched over body and clothes."""
    tall = placed.tall_px
    canvas = Canvas(
        int(placed.feet_x - HALF_WIDTH * tall),
        int(placed.feet_y - HALF_TALL * tall),
        int(2 * HALF_WIDTH * tall) + 2,
        int((HALF_TALL + 0.04) * tall) + 2,
    )
    joints = {
        name: (placed.feet_x + x * tall, placed.feet_y - y * tall)
        for name, (x, y) in pose_keypoints(stance).items()
    }
    pen = _Pen(canvas, joints, tall, clothes, stance.facing)
    pen.arm("far", 0.78)
    pen.leg("far", 0.78)
    pen.leg("near", 1.0)
    pen.torso()
    pen.head()
    pen.arm("near", 1.0)
    return canvas.to_layer(texture=_stretch(fabric, (canvas.height, canvas.width)), ground_y=ground_y)


def _stretch(fabric: FloatImage, size_hw: tuple[int, int]) -> FloatImage:
    rows = np.linspace(0, fabric.shape[0] - 1, size_hw[0]).astype(int)
    columns = np.linspace(0, fabric.shape[1] - 1, size_hw[1]).astype(int)
    return np.asarray(fabric[np.ix_(rows, columns)], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws the parts of one person. The light comes from the upper left."""

    canvas: Canvas
    at: Keypoints2d
    tall: float
    clothes: Clothes
    facing: float

    def limb(self, start: str, end: str, radii: Point, color: Color) -> None:
        """A capsule, darker at the rim away from the light."""
        thick = (radii[0] * self.tall, radii[1] * self.tall)
        self.canvas.capsule(self.at[start], self.at[end], thick, shade(color, 0.72))
        for share, factor in ((0.72, 0.92), (0.40, 1.08)):
            shift = -0.25 * (1 - share) * thick[0]
            near = (self.at[start][0] + shift, self.at[start][1] + shift)
            far = (self.at[end][0] + shift, self.at[end][1] + shift)
            self.canvas.capsule(near, far, (thick[0] * share, thick[1] * share), shade(color, factor))

    def leg(self, name: str, light: float) -> None:
        trousers, (x, y) = shade(self.clothes.trousers, light), self.at[f"{name}_ankle"]
        toe = (x + 0.030 * self.facing * self.tall, y + 0.016 * self.tall)
        self.canvas.ellipse(toe, (0.052 * self.tall, 0.019 * self.tall), shade(self.clothes.shoes, light))
        self.limb(f"{name}_knee", f"{name}_ankle", (0.038, 0.027), trousers)
        self.limb(f"{name}_hip", f"{name}_knee", (0.056, 0.040), trousers)

    def arm(self, name: str, light: float) -> None:
        shirt, skin = shade(self.clothes.shirt, light), shade(self.clothes.skin, light)
        self.limb(f"{name}_elbow", f"{name}_hand", (0.026, 0.021), skin)
        self.canvas.ellipse(self.at[f"{name}_hand"], (0.024 * self.tall, 0.026 * self.tall), skin)
        self.limb(f"{name}_shoulder", f"{name}_elbow", (0.036, 0.031), shirt)

    def torso(self) -> None:
        self.limb("near_hip", "far_hip", (0.058, 0.058), self.clothes.trousers)
        ends = [self.at[f"{name}_{joint}"] for name, joint in _AROUND]
        for share, factor in ((1.0, 0.72), (0.80, 0.92), (0.5, 1.08)):
            self.canvas.polygon(self._outline(ends, share), shade(self.clothes.shirt, factor))
        if self.clothes.stripes:
            self._stripes(ends, self.clothes.stripes)

    def _outline(self, ends: list[Point], share: float) -> list[Point]:
        """Shoulders to hips, wider by a sleeve, shrunk to `share` about the axis."""
        left_top, right_top, right_low, left_low = ends
        rim = 0.034 * self.tall
        wide = [
            (min(left_top[0], right_top[0]) - rim, left_top[1] - 0.4 * rim),
            (max(left_top[0], right_top[0]) + rim, right_top[1] - 0.4 * rim),
            (max(left_low[0], right_low[0]) + rim, right_low[1] + 0.3 * rim),
            (min(left_low[0], right_low[0]) - rim, left_low[1] + 0.3 * rim),
        ]
        axis = [(wide[0][0] + wide[1][0]) / 2, (wide[2][0] + wide[3][0]) / 2]
        return [
            (axis[i // 2] + share * (x - axis[i // 2]) - rim * (1 - share), y)
            for i, (x, y) in enumerate(wide)
        ]

    def _stripes(self, ends: list[Point], color: Color) -> None:
        corners = self._outline(ends, 1.0)
        for stripe in range(5):
            top, low = 0.14 + 0.18 * stripe, 0.20 + 0.18 * stripe
            edges = [_between(corners[0], corners[3], s) for s in (top, low)]
            others = [_between(corners[1], corners[2], s) for s in (low, top)]
            self.canvas.polygon([*edges, *others], color)

    def head(self) -> None:
        (x, y), radius = self.at["head"], HEAD * self.tall
        neck = (self.at["neck"][0], self.at["neck"][1])
        self.canvas.capsule(neck, (x, y), (0.6 * radius, 0.6 * radius), shade(self.clothes.skin, 0.8))
        back = (x - 0.22 * radius * self.facing, y - 0.22 * radius)
        self.canvas.ellipse(back, (0.92 * radius, 1.10 * radius), self.clothes.hair)
        face = (x + 0.14 * radius * self.facing, y + 0.16 * radius)
        self.canvas.ellipse(face, (0.74 * radius, 0.94 * radius), self.clothes.skin)
        eye = (x + 0.46 * radius * self.facing, y + 0.10 * radius)
        self.canvas.ellipse(eye, (0.07 * radius, 0.09 * radius), (70, 52, 46))
        fringe = (x + 0.02 * radius * self.facing, y - 0.72 * radius)
        self.canvas.ellipse(fringe, (0.80 * radius, 0.42 * radius), self.clothes.hair)


_AROUND = (("far", "shoulder"), ("near", "shoulder"), ("near", "hip"), ("far", "hip"))


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
