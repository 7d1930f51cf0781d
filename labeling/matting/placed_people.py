"""People placed at random in an image, their shadows, and both painted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.matting.disturbances import RNG
from labeling.matting.inputs import FloatImage
from labeling.structures.cutouts import Cutout
from labeling.structures.instances import Keypoints

_MIRRORED = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""COCO keypoints with left and right exchanged."""


@dataclass(frozen=True, slots=True, eq=False)
class PlacedPerson:
    """A person in the sample: premultiplied color and alpha, both SxS, and keypoints in its pixels."""

    color: FloatImage
    alpha: FloatImage
    keypoints: Keypoints
    feet_y: float

    @classmethod
    def random(cls, rng: RNG, cutout: Cutout, side: int, *, main: bool) -> "PlacedPerson":
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

    def camouflaged(self, rng: RNG, scene: FloatImage) -> "PlacedPerson":
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


@dataclass(frozen=True, slots=True)
class Shadow:
    """A cast shadow: the alpha sheared around the feet and blurred."""

    depth: float
    shear: float
    squash: float
    blur: float

    @classmethod
    def random(cls, rng: RNG, chance: float) -> "Shadow | None":
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


def paint(
    scene: FloatImage, people: Sequence[PlacedPerson], shadow: Shadow | None
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


def paint_gray(
    scene: FloatImage,
    people: Sequence[PlacedPerson],
    moves: Sequence[NDArray[np.float64]],
    shadow: Shadow | None,
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
