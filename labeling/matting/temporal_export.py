"""The recurrent matting network as an ONNX file: a group of frames and the state in, mattes and the state out.

Height and width are free, in multiples of 32. The state has one pair per ConvLSTM: `hidden0`, `memory0`, ... in, and
`next_hidden0`, `next_memory0`, ... out; at the start of a shot all are 0.
"""

from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

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
