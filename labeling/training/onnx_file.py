"""Networks as ONNX files."""

import copy
import hashlib
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from labeling.storage.atomic import storage_errors, write_atomically

OPSET = 17


def write_onnx(  # noqa: PLR0913 - what torch's exporter requires
    network: nn.Module,
    examples: Mapping[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    *,
    half: bool = False,
    free_axes: Mapping[str, Mapping[int, str]] | None = None,
) -> str:
    """Write a network, for batches of any size, and return the SHA-256 of the file.

    `examples` are inputs by name, in order, with a batch of one. With `half`, the weights of convolutions are
    stored with 16 bits and cast to 32 when they are used. `free_axes` names the axes of any size for each input and
    output; None: the batch alone.
    """
    content = io.BytesIO()
    prepared = network.eval().cpu()
    if half:
        prepared = copy.deepcopy(prepared)
        _store_half(prepared)
    with warnings.catch_warnings():
        # it is deprecated, but the newer exporter requires onnxscript; not all constants are folded
        warnings.simplefilter("ignore")
        torch.onnx.export(
            prepared,
            tuple(examples.values()),
            content,  # type: ignore[arg-type]  # this exporter also takes a file object
            input_names=list(examples),
            output_names=list(outputs),
            dynamic_axes=free_axes or {name: {0: "batch"} for name in (*examples, *outputs)},
            opset_version=OPSET,
            do_constant_folding=not half,  # it would fold the weights back to 32 bits
            dynamo=False,
        )
    with storage_errors(path):
        write_atomically(path, content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


def _store_half(module: nn.Module) -> None:
    """Replace the convolutions within a module by ones with 16-bit weights, in place."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            setattr(module, name, _HalfConvolution(child))
        else:
            _store_half(child)


class _HalfConvolution(nn.Module):
    """A convolution whose weights are cast from 16 bits."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("weight", convolution.weight.detach().half())
        self.bias = convolution.bias
        self.stride, self.padding, self.groups = convolution.stride, convolution.padding, convolution.groups

    def forward(self, x: Tensor) -> Tensor:
        weight = self.get_buffer("weight").float()
        return nn.functional.conv2d(x, weight, self.bias, self.stride, self.padding, groups=self.groups)
