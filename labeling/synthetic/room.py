"""The empty room: wall, floor and furniture, drawn from a seed."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.synthetic.canvas import Canvas, Color, FloatImage, Layer, Point, paint, shade, value_noise

HORIZON_Y = 0.22
"""Image row at the height of the camera, in image heights."""
WALL_FOOT_Y = 0.56
"""Image row between wall and floor, in image heights."""
RUG_BORDER = 0.82
"""Share of the rug within its border."""
PLANKS = 2.6
"""Planks per unit of the floor's width."""


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """`backdrop`, HxWx3 float32 from 0 to 255, and `furniture` that people can walk behind."""

    backdrop: FloatImage
    furniture: tuple[Layer, ...]


class _Brush(Canvas):
    """A canvas over the whole image with coordinates in image widths and heights."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        super().__init__(0, 0, size_hw[1], size_hw[0])

    def box(self, x0: float, y0: float, x1: float, y1: float, color: Color) -> None:
        self.shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color)

    def shape(self, points: Sequence[Point], color: Color) -> None:
        self.polygon([(x * self.width, y * self.height) for x, y in points], color)

    def leaf(self, center: Point, radii: Point, color: Color, degrees: float) -> None:
        """Draw an ellipse; radii in image heights."""
        at = (center[0] * self.width, center[1] * self.height)
        self.ellipse(at, (radii[0] * self.height, radii[1] * self.height), color, degrees=degrees)


def draw_room(size_hw: tuple[int, int], seed: int) -> Room:
    """Draw the room; deterministic for a size and a seed."""
    rng = np.random.default_rng([seed, 0])
    backdrop = _draw_wall(size_hw, rng)
    _lay_floor(backdrop, rng)
    for draw in (_draw_window, _draw_pictures, _draw_bookcase, _draw_cabinet):
        paint(backdrop, _draw_textured(draw, size_hw, rng, ground_y=WALL_FOOT_Y))
    table = _draw_textured(_draw_table, size_hw, rng, ground_y=0.80)
    plant = _draw_textured(_draw_plant, size_hw, rng, ground_y=0.93)
    _shade_corners(backdrop)
    return Room(backdrop, (table, plant))


def _draw_textured(
    draw: Callable[[_Brush, np.random.Generator], None],
    size_hw: tuple[int, int],
    rng: np.random.Generator,
    *,
    ground_y: float,
) -> Layer:
    brush = _Brush(size_hw)
    draw(brush, rng)
    noise = value_noise(rng, size_hw, cell_px=size_hw[0] / 40)
    return brush.to_layer(texture=np.asarray(1 + 0.05 * noise, dtype=np.float32), ground_y=ground_y)


def _draw_wall(size_hw: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    height, width = size_hw
    stripes = 5 * np.sign(np.sin(np.arange(width) * (80 / width)))[None, :, None]
    plaster = 3 * value_noise(rng, size_hw, cell_px=height / 6)[..., None]
    grain = 1.5 * value_noise(rng, size_hw, cell_px=3, octaves=1)[..., None]
    wall = np.array([172, 166, 148]) + stripes + plaster + grain
    foot, board = int(WALL_FOOT_Y * height), int(0.025 * height)
    wall[foot - board : foot] = np.array([205, 200, 190]) + grain[foot - board : foot]
    return np.asarray(wall, dtype=np.float32)


def _lay_floor(image: FloatImage, rng: np.random.Generator) -> None:
    """Wooden planks and a rug in perspective: a floor point's depth is 1 / (row - horizon)."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[int(WALL_FOOT_Y * height) : height, 0:width].astype(np.float32)
    depth = 1 / (rows / height - HORIZON_Y)
    across = (columns - width / 2) / height * depth
    plank = np.floor(across * PLANKS)
    tints = rng.normal(1, 0.09, 256).astype(np.float32)
    board = np.floor(depth * 1.2 + (plank * 0.37) % 1).astype(int)
    tint = tints[(plank.astype(int) * 31 + board * 7) % 256]
    fibres = cv2.resize(rng.normal(0, 1, (64, 1024)), (1024, 1024), interpolation=cv2.INTER_LINEAR)
    wood = cv2.GaussianBlur(fibres, (3, 3), 0).astype(np.float32)
    grain = cv2.remap(wood, (across * 160) % 1023, (depth * 120) % 1023, cv2.INTER_LINEAR)
    seam = np.abs(across * PLANKS - plank - 0.5) > 0.5 - 0.012 * depth
    light = (tint * (1 + 0.05 * grain) * np.where(seam, 0.72, 1.0)).astype(np.float32)
    image[int(WALL_FOOT_Y * height) :] = np.array([138, 98, 62], dtype=np.float32) * light[..., None]
    _lay_rug(image, across, depth)


def _lay_rug(image: FloatImage, across: NDArray[np.float32], depth: NDArray[np.float32]) -> None:
    top = image.shape[0] - len(across)
    edge = np.maximum(np.abs(across + 0.1) / 0.95, np.abs(depth - 1.75) / 0.36)
    pattern = np.sign(np.sin(across * 22) * np.sin(depth * 60)) * 9
    middle = np.array([112, 62, 66]) + pattern[..., None]
    rug = np.where((edge > RUG_BORDER)[..., None], np.array([176, 158, 126]), middle)
    inside = edge < 1
    image[top:][inside] = rug[inside]


def _draw_window(brush: _Brush, rng: np.random.Generator) -> None:
    brush.box(0.40, 0.05, 0.60, 0.36, (226, 222, 214))
    for x0, x1 in ((0.41, 0.497), (0.503, 0.59)):
        brush.box(x0, 0.07, x1, 0.20, (186, 208, 228))
        brush.box(x0, 0.20, x1, 0.34, (150, 178, 160))
    for x0, lean in ((0.375, 0.0), (0.565, 0.02)):
        for fold in range(6):
            left = x0 + fold * 0.010
            brush.shape(
                [(left, 0.03), (left + 0.010, 0.03), (left + 0.010 + lean, 0.46), (left + lean, 0.46)],
                shade((150, 92, 74), 0.8 + 0.4 * (fold % 2)),
            )


def _draw_pictures(brush: _Brush, rng: np.random.Generator) -> None:
    for x0, y0, x1, y1 in ((0.255, 0.12, 0.335, 0.31), (0.665, 0.10, 0.725, 0.22)):
        brush.box(x0, y0, x1, y1, (60, 44, 30))
        brush.box(x0 + 0.008, y0 + 0.014, x1 - 0.008, y1 - 0.014, (214, 206, 186))
        for _ in range(7):
            x, y = rng.uniform(x0 + 0.02, x1 - 0.02), rng.uniform(y0 + 0.04, y1 - 0.04)
            brush.leaf((x, y), (0.02, 0.012), _random_color(rng, 60, 200), float(rng.uniform(0, 180)))


def _random_color(rng: np.random.Generator, low: float, high: float) -> Color:
    red, green, blue = (float(value) for value in rng.uniform(low, high, 3))
    return red, green, blue


def _draw_bookcase(brush: _Brush, rng: np.random.Generator) -> None:
    brush.box(0.03, 0.10, 0.21, 0.60, (96, 66, 42))
    for shelf in range(4):
        top = 0.12 + shelf * 0.118
        brush.box(0.04, top, 0.20, top + 0.105, (52, 36, 24))
        edges = 0.043 + np.cumsum(rng.uniform(0.007, 0.015, 14))
        for x0, x1 in itertools.pairwise(edges.clip(max=0.198)):
            tall = rng.uniform(0.06, 0.095)
            brush.box(x0, top + 0.105 - tall, x1 - 0.001, top + 0.105, _random_color(rng, 40, 190))


def _draw_cabinet(brush: _Brush, rng: np.random.Generator) -> None:
    brush.box(0.74, 0.16, 0.93, 0.61, (44, 36, 34))
    for x0, x1 in ((0.75, 0.832), (0.838, 0.92)):
        brush.box(x0, 0.18, x1, 0.58, (54, 45, 42))
        brush.box(x0 + 0.012, 0.20, x1 - 0.012, 0.56, (48, 40, 38))
    for x in (0.826, 0.840):
        brush.box(x, 0.36, x + 0.004, 0.41, (170, 150, 100))


def _draw_table(brush: _Brush, rng: np.random.Generator) -> None:
    for x in (0.335, 0.60):
        brush.box(x, 0.64, x + 0.014, 0.80, (92, 60, 36))
    for x in (0.36, 0.577):
        brush.box(x, 0.62, x + 0.010, 0.73, (72, 46, 28))
    brush.shape([(0.345, 0.585), (0.605, 0.585), (0.635, 0.635), (0.315, 0.635)], (164, 114, 70))
    brush.box(0.315, 0.635, 0.635, 0.652, (116, 78, 46))
    brush.leaf((0.42, 0.605), (0.035, 0.012), (212, 214, 218), 0)
    brush.shape([(0.52, 0.596), (0.56, 0.592), (0.567, 0.616), (0.527, 0.620)], (56, 84, 122))


def _draw_plant(brush: _Brush, rng: np.random.Generator) -> None:
    for _ in range(34):
        angle = float(rng.uniform(-160, -20))
        reach = float(rng.uniform(0.06, 0.16))
        turn = np.deg2rad(angle)
        x = 0.075 + 0.56 * reach * float(np.cos(turn))
        y = 0.76 + 1.2 * reach * float(np.sin(turn))
        brush.leaf((x, y), (0.055, 0.014), shade((62, 116, 54), float(rng.uniform(0.55, 1.25))), angle)
    brush.shape([(0.045, 0.77), (0.105, 0.77), (0.097, 0.93), (0.053, 0.93)], (168, 92, 60))
    brush.box(0.040, 0.755, 0.110, 0.785, (186, 106, 72))


def _shade_corners(image: FloatImage) -> None:
    """Darken the corners and the foot of the wall."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    away = np.hypot((columns - width / 2) / width, (rows - 0.4 * height) / height)
    corner = np.exp(-np.abs(rows / height - WALL_FOOT_Y) * 30)
    image *= (1.08 - 0.45 * away**2 - 0.14 * corner)[..., None]
