"""Homographies between an image and the ground."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from configs.errors import HomographyInvalid
from labeling.tracking.trajectories import FloatArray

LARGEST_CONDITION = 1e13
"""Condition number from which an inverse has no correct digit left; files have values from 1e-5 to 1e3."""
NUMBERS = 9
SMALLEST_SCALE = 1e-12
"""Third components below this are on the horizon."""


@dataclass(frozen=True, slots=True, eq=False)
class GroundHomography:
    """A 3x3 matrix that maps pixels (x, y, 1) to the world.

    >>> double = GroundHomography(np.diag([2.0, 2.0, 1.0]))
    >>> double.to_world(np.array([[3.0, 4.0]])).tolist(), double.to_pixels(np.array([[6.0, 8.0]])).tolist()
    ([[6.0, 8.0]], [[3.0, 4.0]])
    """

    matrix: FloatArray

    def __post_init__(self) -> None:
        if self.matrix.shape != (3, 3) or not np.isfinite(self.matrix).all():
            raise HomographyInvalid(f"a homography is 3x3 finite numbers, this is {self.matrix.tolist()}")
        if not np.linalg.cond(self.matrix) < LARGEST_CONDITION:
            raise HomographyInvalid(
                f"the homography is singular (determinant {np.linalg.det(self.matrix):.3g}): its points "
                "lie on a line; fit it to four points of which no three lie on a line"
            )

    def to_world(self, pixels: FloatArray) -> FloatArray:
        """Map (n, 2) pixels to the world; NaN on the horizon."""
        return apply_homography(self.matrix, pixels)

    def to_pixels(self, world: FloatArray) -> FloatArray:
        """Map (n, 2) world points to pixels; NaN on the horizon."""
        return apply_homography(np.linalg.inv(self.matrix).astype(np.float64), world)

    def inverse(self) -> Self:
        """Return the homography of a file that maps the world to pixels."""
        return type(self)(np.linalg.inv(self.matrix).astype(np.float64))

    def resized(self, from_hw: tuple[int, int], to_hw: tuple[int, int]) -> Self:
        """Return the homography for the image scaled from one size to another."""
        scale = np.diag([from_hw[1] / to_hw[1], from_hw[0] / to_hw[0], 1.0])
        return type(self)(self.matrix @ scale)


def apply_homography(matrix: FloatArray, points: FloatArray) -> FloatArray:
    """Map (n, 2) points and divide by the third component; NaN where that is zero."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    scale = mapped[:, 2:]
    scale = np.where(np.abs(scale) < SMALLEST_SCALE, np.nan, scale)
    return np.asarray(mapped[:, :2] / scale)


def read_homography(path: Path) -> GroundHomography:
    """Read three lines of three numbers, separated by spaces, tabs or commas.

    Raises:
        HomographyInvalid: the file cannot be read, has other numbers, or is singular.
    """
    try:
        lines = path.read_text("utf-8-sig").replace(",", " ").splitlines()
        rows = [[float(one) for one in line.partition("#")[0].split()] for line in lines]
    except (OSError, ValueError) as exc:  # UnicodeDecodeError is a ValueError
        raise HomographyInvalid(
            f"homography {path} cannot be read: {exc}; write 3 lines of 3 numbers"
        ) from exc
    values = [one for row in rows for one in row]
    if len(values) != NUMBERS:
        raise HomographyInvalid(f"homography {path} has {len(values)} numbers: write 3 lines of 3 numbers")
    try:
        return GroundHomography(np.array(values).reshape(3, 3))
    except HomographyInvalid as exc:
        raise HomographyInvalid(f"homography {path}: {exc}") from exc
