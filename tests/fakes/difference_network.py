"""A matting network for tests that needs no weights."""

from collections.abc import Sequence

import numpy as np

from labeling.matting.inputs import NetworkInput
from labeling.matting.network import Matte, MattingNetwork

MIN_DIFFERENCE = 0.15
"""Least difference of image and plate in any channel, of values from -1 to 1, that is foreground."""


class DifferenceNetwork(MattingNetwork):
    """Alpha is 1 where the image differs from the plate."""

    def __init__(self, side_px: int = 256) -> None:
        self.side_px = side_px
        self.sha256 = "d1" * 32
        self.name = "difference"
        self.batches: list[int] = []

    def run(self, samples: Sequence[NetworkInput]) -> list[Matte]:
        self.batches.append(len(samples))
        return [self._matte(sample) for sample in samples]

    @staticmethod
    def _matte(sample: NetworkInput) -> Matte:
        difference = np.abs(sample.image - sample.plate).max(axis=0)
        alpha = (difference > MIN_DIFFERENCE).astype(np.float32)
        return Matte(alpha, (sample.image.transpose(1, 2, 0) + 1) * np.float32(127.5))
