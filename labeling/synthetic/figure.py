"""An articulated person: a pose by forward kinematics, and its drawing."""

from dataclasses import dataclass

import numpy as np

from labeling.synthetic.canvas import Canvas, Color, FloatImage, Layer, Point, shade

THIGH, SHIN, TORSO, NECK, HEAD = 0.245, 0.245, 0.30, 0.055, 0.062
UPPER_ARM, FOREARM = 0.165, 0.15
"""Lengths of limbs in body heights, after Drillis and Contini (1966); HEAD is a radius."""
HALF_WIDTH, HALF_TALL = 0.5, 1.12
"""Extent of the rectangle in which a person is drawn, in body heights."""

Keypoints2d = dict[str, Point]
"""Positions in body heights, x to the right, y up, the ground at 0."""


@dataclass(frozen=True, slots=True)
class Clothes:
    """Colors."""

    shirt: Color
    stripes: Color | None
    trousers: Color
    shoes: Color
    skin: Color
    hair: Color


@dataclass(frozen=True, slots=True)
class Stance:
    """A pose: `gait` in radians of the walking cycle, `stride` 0 (stands) to 1 (walks), `crouch` 0 to 1,
    `facing` -1 (left) or 1 (right)."""

    gait: float
    stride: float
    crouch: float
    facing: float


@dataclass(frozen=True, slots=True)
class PlacedFigure:
    """Position of the feet and height of the body, in pixels."""

    feet_x: float
    feet_y: float
    tall_px: float


def pose_keypoints(stance: Stance) -> Keypoints2d:
    """Compute the pose from the hips, then put the lower foot on the ground."""
    side = 1 - 0.6 * stance.stride
    lean = stance.facing * (0.06 * stance.stride + 0.55 * stance.crouch)
    neck = _limb_end((0.0, 0.0), lean, TORSO, up=1)
    points: Keypoints2d = {"hip": (0.0, 0.0), "neck": neck}
    points["head"] = _limb_end(neck, 0.7 * lean, NECK + HEAD, up=1)
    for name, sign in (("near", 1.0), ("far", -1.0)):
        points |= _leg(stance, name, sign, side)
        points |= _arm(stance, name, sign, side, neck)
    near, far = points["near_ankle"], points["far_ankle"]
    ground = min(near[1], far[1]) - 0.035
    middle = 0.5 * stance.crouch * (near[0] + far[0])
    return {name: (x - middle, y - ground) for name, (x, y) in points.items()}


def place_keypoints(stance: Stance, placed: PlacedFigure) -> Keypoints2d:
    """Return the keypoints of a pose in the image, in pixels right and down."""
    return {
        name: (placed.feet_x + x * placed.tall_px, placed.feet_y - y * placed.tall_px)
        for name, (x, y) in pose_keypoints(stance).items()
    }


def _limb_end(start: Point, angle: float, length: float, *, up: int = -1) -> Point:
    """Return the end of a limb that is turned by `angle` to the right from hanging or upright."""
    return start[0] + length * float(np.sin(angle)), start[1] + up * length * float(np.cos(angle))


def _leg(stance: Stance, name: str, sign: float, side: float) -> Keypoints2d:
    swing = sign * np.sin(stance.gait)
    lift = max(0.0, sign * float(np.cos(stance.gait)))
    thigh = stance.stride * (0.48 * swing + 0.12) + 1.45 * stance.crouch
    bend = stance.stride * (0.12 + 0.75 * lift) + 2.25 * stance.crouch + 0.02
    hip = (0.048 * sign * side, 0.0)
    knee = _limb_end(hip, stance.facing * thigh + 0.03 * sign * side, THIGH)
    ankle = _limb_end(knee, stance.facing * (thigh - bend) + 0.03 * sign * side, SHIN)
    return {f"{name}_hip": hip, f"{name}_knee": knee, f"{name}_ankle": ankle}


def _arm(stance: Stance, name: str, sign: float, side: float, neck: Point) -> Keypoints2d:
    shoulder = (neck[0] + 0.098 * sign * side, neck[1] - 0.035)
    swing = -sign * 0.5 * stance.stride * float(np.sin(stance.gait))
    upper = stance.facing * (swing + 0.9 * stance.crouch) + 0.10 * sign * side
    elbow = _limb_end(shoulder, upper, UPPER_ARM)
    bend = stance.facing * (0.15 + 0.3 * stance.stride + 0.6 * stance.crouch)
    hand = _limb_end(elbow, upper + bend, FOREARM)
    return {f"{name}_shoulder": shoulder, f"{name}_elbow": elbow, f"{name}_hand": hand}


def draw_figure(
    stance: Stance, placed: PlacedFigure, clothes: Clothes, *, fabric: FloatImage, ground_y: float
) -> Layer:
    """Draw a person; `fabric`, an HxW texture around 1, is stretched over body and clothes."""
    tall = placed.tall_px
    canvas = Canvas(
        int(placed.feet_x - HALF_WIDTH * tall),
        int(placed.feet_y - HALF_TALL * tall),
        int(2 * HALF_WIDTH * tall) + 2,
        int((HALF_TALL + 0.04) * tall) + 2,
    )
    pen = _Pen(canvas, place_keypoints(stance, placed), tall, clothes, stance.facing)
    pen.arm("far", 0.78)
    pen.leg("far", 0.78)
    pen.leg("near", 1.0)
    pen.torso()
    pen.head()
    pen.arm("near", 1.0)
    rows = np.linspace(0, fabric.shape[0] - 1, canvas.height).astype(int)
    columns = np.linspace(0, fabric.shape[1] - 1, canvas.width).astype(int)
    texture = np.asarray(fabric[np.ix_(rows, columns)], dtype=np.float32)
    return canvas.to_layer(texture=texture, ground_y=ground_y)


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws the parts of a person, with light from the upper left."""

    canvas: Canvas
    at: Keypoints2d
    tall: float
    clothes: Clothes
    facing: float

    def limb(self, start: str, end: str, radii: Point, color: Color) -> None:
        """Draw a capsule, darker at the rim away from the light."""
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
        for share, factor in ((1.0, 0.72), (0.80, 0.92), (0.5, 1.08)):
            self.canvas.polygon(self._outline(share), shade(self.clothes.shirt, factor))
        if self.clothes.stripes:
            left_top, right_top, right_low, left_low = self._outline(1.0)
            for stripe in range(5):
                top, low = 0.14 + 0.18 * stripe, 0.20 + 0.18 * stripe
                left = [_between(left_top, left_low, share) for share in (top, low)]
                right = [_between(right_top, right_low, share) for share in (low, top)]
                self.canvas.polygon([*left, *right], self.clothes.stripes)

    def _outline(self, share: float) -> list[Point]:
        """Return shoulders to hips, wider by a sleeve, shrunk to `share` around the axis."""
        corners = ("far_shoulder", "near_shoulder", "near_hip", "far_hip")
        left_top, right_top, right_low, left_low = (self.at[name] for name in corners)
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

    def head(self) -> None:
        (x, y), radius, clothes = self.at["head"], HEAD * self.tall, self.clothes
        thick = 0.6 * radius
        self.canvas.capsule(self.at["neck"], (x, y), (thick, thick), shade(clothes.skin, 0.8))
        for across, down, wide, tall, color in (
            (-0.22, -0.22, 0.92, 1.10, clothes.hair),
            (0.14, 0.16, 0.74, 0.94, clothes.skin),
            (0.46, 0.10, 0.07, 0.09, (70, 52, 46)),  # the eye
            (0.02, -0.72, 0.80, 0.42, clothes.hair),
        ):
            center = (x + across * radius * self.facing, y + down * radius)
            self.canvas.ellipse(center, (wide * radius, tall * radius), color)


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
