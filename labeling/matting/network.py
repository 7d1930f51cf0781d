"""The trained matting network as an ONNX file, without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np
from more_itertools import batched

from configs.errors import ConfigError, ExtraMissing
from labeling.matting.inputs import NAMES, FloatImage, NetworkInput
from labeling.runtime.threads import available_cores, thread_limit

SHIPPED = "background_matting_cpu.onnx"
"""The weights in this package: the `cpu` size; docs/matting.md has their recipe."""
SAMPLES_PER_RUN = 4
"""A crowd has many crops: 8 samples at once take 230 MB more than 4, and no less time."""


@dataclass(frozen=True, slots=True, eq=False)
class Matte:
    """Alpha (SxS in [0, 1]) and foreground (SxSx3, 0 to 255) of one sample."""

    alpha: FloatImage
    foreground: FloatImage


class MattingNetwork:
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
                "matting requires onnxruntime, which is not installed: pip install 'maskmill[lite]'"
            ) from exc
        path = path or shipped_weights()
        try:
            content = path.read_bytes()
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = thread_limit() or available_cores()
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # onnxruntime's errors have no other public base class
            raise ConfigError(
                f"matting weights {path} cannot be loaded: {exc}; name a file that `maskmill train matting` wrote"
            ) from exc
        inputs = {node.name: node.shape for node in self._session.get_inputs()}
        if set(inputs) != set(NAMES):
            raise ConfigError(
                f"matting weights {path} have the inputs {sorted(inputs)}, not {sorted(NAMES)}: name a file that "
                "`maskmill train matting` wrote"
            )
        self.side_px = int(inputs["image"][-1])
        self.sha256 = sha256(content).hexdigest()
        self.name = path.name

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
