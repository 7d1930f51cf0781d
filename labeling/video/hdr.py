"""High dynamic range to the standard range that models are trained on.

PQ and HLG are decoded to display light (ITU-R BT.2100-2), reference white (203 cd/m2, ITU-R BT.2408) becomes white,
highlights above it are compressed, and colors are converted from BT.2020 to BT.709 (ITU-R BT.2087). Light is looked up
in tables of 65,536 levels.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage

PQ, HLG = 16, 18
"""AVColorTransferCharacteristic values."""
REFERENCE_WHITE = 203.0
"""Of diffuse white, in cd/m2."""
HLG_PEAK = 1000.0
HLG_GAMMA = 1.2
"""System gamma at that peak."""
KNEE = 0.8
"""Light, as a share of white, from which on highlights are compressed."""
DISPLAY_GAMMA = 2.4
"""ITU-R BT.1886."""
LEVELS = 2**16
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
_LUMA_BT2020 = np.array([[0.2627, 0.6780, 0.0593]], dtype=np.float32)
_STEPS = 4096
"""Entries of the table of the display's gamma."""

Light = NDArray[np.float32]


def to_standard_range(coded: NDArray[np.uint16], transfer: int) -> RgbImage:
    """Return HxWx3 bytes in BT.709 for HxWx3 levels of 16 bits in BT.2020 with the transfer `PQ` or `HLG`."""
    light = np.take(_light_table(transfer), coded)
    if transfer == HLG:
        luma = cv2.transform(light, _LUMA_BT2020)
        light *= np.power(np.maximum(luma, 1e-6), HLG_GAMMA - 1, dtype=np.float32)[..., None] * (
            HLG_PEAK / REFERENCE_WHITE
        )
    mapped = _compress(np.clip(cv2.transform(light, _TO_BT709), 0, None))
    shown = np.take(_gamma_table(), np.rint(mapped * (_STEPS - 1)).astype(np.int32))
    return np.asarray(shown, dtype=np.uint8)


def _compress(light: Light) -> Light:
    """Compress light above the knee, so that the brightest highlight is white."""
    above = np.maximum(light - KNEE, 0) / (1 - KNEE)
    return np.asarray(np.minimum(light, KNEE) + (1 - KNEE) * above / (1 + above), dtype=np.float32)


@lru_cache(maxsize=2)
def _light_table(transfer: int) -> Light:
    """Return for each level the light: for PQ as a share of reference white, for HLG of the scene, 0 to 1."""
    level = np.linspace(0, 1, LEVELS)
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(level <= 0.5, level**2 / 3, (np.exp((level - c) / a) + b) / 12)  # noqa: PLR2004 - BT.2100
    else:
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        root = level ** (1 / m2)
        light = 10000 / REFERENCE_WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return np.asarray(light, dtype=np.float32)


@lru_cache(maxsize=1)
def _gamma_table() -> NDArray[np.uint8]:
    return np.asarray(np.rint(255 * np.linspace(0, 1, _STEPS) ** (1 / DISPLAY_GAMMA)), dtype=np.uint8)
