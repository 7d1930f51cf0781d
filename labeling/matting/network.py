"""The trained matting network as an ONNX file, without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from more_itertools import batched

from labeling.matting.inputs import NAMES, FloatImage, NetworkInput
from labeling.runtime.onnx_session import OnnxSession

SHIPPED = "background_matting_cpu.onnx"
"""The weights in this package: the `cpu` size; docs/training.md has their recipe."""
SAMPLES_PER_RUN = 4
"""A crowd has many crops: 8 samples at once take 230 MB more than 4, and no less time."""


@dataclass(frozen=True, slots=True, eq=False)
class Matte:
    """Alpha (SxS in [0, 1]) and foreground (SxSx3, 0 to 255) of one sample."""

    alpha: FloatImage
    foreground: FloatImage


class MattingNetwork:
    """Runs the network on batches; errors are those of `OnnxSession`."""

    def __init__(self, path: Path | None = None) -> None:
        self._session = OnnxSession(
            path or shipped_weights(), NAMES, what="matting", command="maskmill train matting"
        )
        self.side_px, self.sha256 = self._session.side_px, self._session.sha256
        self.name = self._session.name

    def run(self, samples: Sequence[NetworkInput]) -> list[Matte]:
        """Return the mattes of samples, in order."""
        return [matte for part in batched(samples, SAMPLES_PER_RUN) for matte in self._run(part)]

    def _run(self, samples: Sequence[NetworkInput]) -> list[Matte]:
        fed = {name: np.stack([getattr(sample, name) for sample in samples]) for name in NAMES}
        alphas, foregrounds = self._session.run(["alpha", "foreground"], fed)
        colors = np.clip((foregrounds.transpose(0, 2, 3, 1) + 1) * np.float32(127.5), 0, 255)
        return [Matte(alpha[0], color) for alpha, color in zip(alphas, colors, strict=True)]


def shipped_weights() -> Path:
    """Return the path of the weights that the package contains."""
    return Path(str(files("labeling.matting") / SHIPPED))
