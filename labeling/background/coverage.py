"""A background plate and where each pixel of it comes from."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from configs.matting import PlateBlock
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray


class Coverage(IntEnum):
    """How the value of a plate's pixel was found."""

    SEEN = 0
    """Background in at least one sample."""
    ALL_FRAMES = 1
    """Background in at least one other frame of the clip."""
    LEAST_MOTION = 2
    """Covered in all frames, but as still as background: the mask is probably wrong there."""
    INPAINTED = 3
    """Covered in all frames and not still: filled in from the pixels around."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskedPlate:
    """The scene without people, in the position and brightness of its most typical sample."""

    rgb: RgbImage
    """HxWx3, in the size of the clip's frames."""
    coverage: NDArray[np.uint8]
    """HxW: codes of `Coverage`."""
    settings: PlateBlock
    warnings: tuple[str, ...] = ()
    """Sentences for the user."""
    shift_px: float = 0.0
    """Median shift of the samples in pixels."""
    is_stabilized: bool = False
    """The camera moves and the samples were aligned: align each frame as well, with `estimate_homography`."""

    @property
    def unseen_share(self) -> float:
        """Share of the pixels that no sample shows."""
        return float((self.coverage != Coverage.SEEN).mean())

    @property
    def valid(self) -> BoolArray:
        """HxW: the pixels that show the background, also where masks cover what never moves."""
        valid: BoolArray = self.coverage <= Coverage.LEAST_MOTION
        return valid
