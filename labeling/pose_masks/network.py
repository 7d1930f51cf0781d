"""The trained pose-mask network as an ONNX file, without torch."""

from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np
from more_itertools import batched
from scipy.special import expit

from configs.errors import ConfigError, ExtraMissing
from labeling.pose_masks.inputs import NAMES, PoseMaskInput
from labeling.pose_masks.prior import FloatImage
from labeling.runtime.threads import available_cores, thread_limit

SHIPPED = "pose_mask.onnx"
"""The weights in this package: the size `cpu`; docs/pose-masks.md has their recipe."""
SAMPLES_PER_RUN = 4


class PoseMaskSession:
    """Runs the network on batches.

    Raises:
        ExtraMissing: onnxruntime is not installed.
        ConfigError: the file is missing or is another network.
    """

    def __init__(self, path: Path | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as exc:
            raise ExtraMissing(
                "method: network requires onnxruntime, which is not installed: pip install 'maskmill[lite]'"
            ) from exc
        path = path or shipped_pose_masks()
        try:
            content = path.read_bytes()
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = thread_limit() or available_cores()
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # onnxruntime's errors have no other public base class
            raise ConfigError(
                f"pose-mask weights {path} cannot be loaded: {exc}; name a file that `maskmill train pose-mask` "
                "wrote"
            ) from exc
        inputs = {node.name: node.shape for node in self._session.get_inputs()}
        if set(inputs) != set(NAMES):
            raise ConfigError(
                f"pose-mask weights {path} have the inputs {sorted(inputs)}, not {sorted(NAMES)}: name a file that "
                "`maskmill train pose-mask` wrote"
            )
        self.side_px = int(inputs["image"][-1])
        self.sha256 = sha256(content).hexdigest()
        self.name = path.name

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
