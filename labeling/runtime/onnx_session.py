"""A network of this package as an ONNX file, run without torch."""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, ExtraMissing
from labeling.runtime.threads import available_cores, thread_limit


class OnnxSession:
    """A network with named inputs.

    `what` names the network in errors, and `command` what writes its file.

    Raises:
        ExtraMissing: onnxruntime is not installed.
        ConfigError: the file is missing or is another network.
    """

    def __init__(self, path: Path, inputs: Collection[str], *, what: str, command: str) -> None:
        try:
            import onnxruntime
        except ImportError as exc:
            raise ExtraMissing(
                f"{what} requires onnxruntime, which is not installed: pip install 'maskmill[lite]'"
            ) from exc
        advice = f"name a file that `{command}` wrote"
        try:
            content = path.read_bytes()
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = thread_limit() or available_cores()
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # onnxruntime's errors have no other public base class
            raise ConfigError(f"{what} weights {path} cannot be loaded: {exc}; {advice}") from exc
        self.shapes: dict[str, list[int | str]] = {
            node.name: node.shape for node in self._session.get_inputs()
        }
        """Of the inputs; a name stands for any size."""
        if set(self.shapes) != set(inputs):
            raise ConfigError(
                f"{what} weights {path} have the inputs {sorted(self.shapes)}, not {sorted(inputs)}: {advice}"
            )
        self.sha256 = sha256(content).hexdigest()
        self.name = path.name

    @property
    def side_px(self) -> int:
        """Side of `image`, of a network whose images are square and of one size."""
        return int(self.shapes["image"][-1])

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[np.float32]]) -> list[Any]:
        """Return the named outputs for a batch of inputs."""
        return list(self._session.run(list(outputs), dict(inputs)))
