"""The trained pose-mask network as an ONNX file, without torch."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from more_itertools import batched
from scipy.special import expit

from labeling.pose_masks.inputs import NAMES, PoseMaskInput
from labeling.pose_masks.prior import FloatImage
from labeling.runtime.onnx_session import OnnxSession

SHIPPED = "pose_mask.onnx"
"""The weights in this package: the size `cpu`; docs/pose-masks.md has their recipe."""
SAMPLES_PER_RUN = 4


class PoseMaskSession:
    """Runs the network on batches; errors are those of `OnnxSession`."""

    def __init__(self, path: Path | None = None) -> None:
        self._session = OnnxSession(
            path or shipped_pose_masks(), NAMES, what="pose-mask", command="maskmill train pose-mask"
        )
        self.side_px, self.sha256 = self._session.side_px, self._session.sha256
        self.name = self._session.name

    def run(self, inputs: Sequence[PoseMaskInput]) -> list[FloatImage]:
        """Return the probability of each person, SxS, in order."""
        return [probability for part in batched(inputs, SAMPLES_PER_RUN) for probability in self._run(part)]

    def _run(self, inputs: Sequence[PoseMaskInput]) -> list[FloatImage]:
        fed = {name: np.stack([getattr(one, name) for one in inputs]) for name in NAMES}
        (logits,) = self._session.run(["logits"], fed)
        return [np.asarray(expit(one[0]), dtype=np.float32) for one in logits]


def shipped_pose_masks() -> Path:
    """Return the path of the weights that the package contains."""
    return Path(str(files("labeling.pose_masks") / SHIPPED))
