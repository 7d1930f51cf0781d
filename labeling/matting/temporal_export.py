"""The recurrent matting network as an ONNX file: a group of frames and the state in, mattes and the state out.

Height and width are free, in multiples of 32. The state has one pair per ConvLSTM: `hidden0`, `memory0`, ... in, and
`next_hidden0`, `next_memory0`, ... out; at the start of a shot all are 0.
"""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import onnx
import onnx.numpy_helper
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs
from torch import Tensor, nn

from configs.errors import ConfigError
from labeling.matting.temporal_inputs import STRIDE
from labeling.matting.temporal_matting import TemporalMattingNetwork
from labeling.training.onnx_file import write_onnx

FREE_SIDES = {3: "height", 4: "width"}


class _ExplicitState(nn.Module):
    """The network with a flat state."""

    def __init__(self, network: TemporalMattingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, probability: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        pairs = tuple(zip(state[::2], state[1::2], strict=True))
        alpha, foreground, after = self.network(image, probability, pairs)
        return (alpha, foreground, *chain.from_iterable(after))


def export_temporal(network: TemporalMattingNetwork, path: Path) -> str:
    """Write the network, for one video at a time, and return the SHA-256 of the file."""
    side, group = 2 * STRIDE, network.size.group
    channels = network.state_channels
    names = [f"{part}{level}" for level in range(len(channels)) for part in ("hidden", "memory")]
    examples = {
        "image": torch.zeros(1, group, 3, side, side),
        "probability": torch.zeros(1, group, 1, side, side),
    }
    axes = dict.fromkeys((*examples, "alpha", "foreground"), FREE_SIDES)
    for name, (width, stride) in zip(names, [pair for pair in channels for _ in range(2)], strict=True):
        examples[name] = torch.zeros(1, width, side // stride, side // stride)
        axes[name] = axes[f"next_{name}"] = {2: f"rows{stride}", 3: f"columns{stride}"}
    outputs = ("alpha", "foreground", *(f"next_{name}" for name in names))
    explicit = _ExplicitState(network.to(memory_format=torch.contiguous_format))
    return write_onnx(explicit, examples, outputs, path, half=True, free_axes=axes)


def read_temporal_weights(path: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights in a file that `export_temporal` wrote, for a network with the state `like`.

    Raises:
        ConfigError: the file cannot be read, or its network has other weights.
    """
    try:
        stored = onnx.load(path).graph.initializer
    except (OSError, DecodeError) as exc:
        raise ConfigError(f"{path}: no ONNX file of a network: {exc}") from exc
    prefix = "network."
    arrays = {one.name.removeprefix(prefix): onnx.numpy_helper.to_array(one) for one in stored}
    found = {name: torch.from_numpy(arrays[name].copy()).float() for name in like if name in arrays}
    different = [
        name
        for name, values in like.items()
        if values.is_floating_point() and (name not in found or found[name].shape != values.shape)
    ]
    if different:
        raise ConfigError(f"{path}: not a recurrent matting network of this size ({different[0]} differs)")
    return found
