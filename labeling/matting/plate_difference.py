"""Whether a mask shows something that the empty scene does not."""

import numpy as np
from numpy.typing import NDArray

from labeling.background.plate import color_distance
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance

MIN_CHANGED_LEVELS = 30.0
"""Color distance (0 to 441) from which a pixel differs from the plate, as in the `background` segmenter."""
MIN_CHANGED_SHARE = 0.05
"""Share of a mask's pixels; trust rejects masks of which less than this moves."""


def hides_plate(rgb: RgbImage, plate: RgbImage, is_seen: NDArray[np.bool_], person: Instance) -> bool:
    """Return whether a person's mask differs from the empty scene in more than `MIN_CHANGED_SHARE` of its pixels.

    Otherwise it lies on something that belongs to the scene, such as a coat on a hook. True where less
    than half of the pixels are seen in the plate.
    """
    x, y, w, h = (int(side) for side in person.mask.box_xywh)
    box = np.s_[y : y + h, x : x + w]
    pixels = person.mask.to_crop((x, y, w, h))
    known = pixels & is_seen[box]
    if 2 * known.sum() <= pixels.sum():
        return True
    changed = color_distance(rgb[box], plate[box]) > MIN_CHANGED_LEVELS
    return bool((changed & known).sum() > MIN_CHANGED_SHARE * known.sum())
