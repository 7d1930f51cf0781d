"""People cut out of images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage
from labeling.structures.instances import Keypoints

NO_KEYPOINTS: Keypoints = ((0.0, 0.0, 0.0),) * 17


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """A person: RGB (hxwx3), alpha (hxw in [0, 1]), and keypoints in its pixels."""

    rgb: RgbImage
    alpha: NDArray[np.float32]
    keypoints: Keypoints = NO_KEYPOINTS
