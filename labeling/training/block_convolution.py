"""Convolutions with few outputs, computed on blocks of pixels: the same values in less time on CPUs.

A 7x7 convolution to one channel uses one value in sixteen of a CPU's vectors. If the 16 pixels of a block become
channels, it is a 3x3 convolution to 16 channels, on a sixteenth of the positions. In onnxruntime the whole matting
network takes 0.85 of the time.
"""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, pixel_shuffle, pixel_unshuffle

BLOCK_PX = 4
FEW_OUTPUTS = 4
WIDE_PX = 5
"""Narrower kernels gain nothing."""


def with_block_convolutions(network: nn.Module) -> nn.Module:
    """Return a copy of a network whose wide convolutions with few outputs are computed on blocks."""
    copied = copy.deepcopy(network)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and _gains(child):
                setattr(parent, name, BlockConvolution(child))
    return copied


def _gains(layer: nn.Conv2d) -> bool:
    is_plain = layer.stride == (1, 1) and layer.dilation == (1, 1) and layer.groups == 1
    height, width = layer.kernel_size
    same_size = layer.padding == (height // 2, width // 2)
    return is_plain and same_size and height == width >= WIDE_PX and layer.out_channels <= FEW_OUTPUTS


class BlockConvolution(nn.Module):
    """A square convolution of stride 1 that keeps the size, for images whose sides are multiples of `BLOCK_PX`."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.margin_px, self.mode = layer.kernel_size[0] // 2, layer.padding_mode
        self.register_buffer("weight", to_blocks(layer.weight.detach()))
        bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias.detach()
        self.register_buffer("bias", bias.repeat_interleave(BLOCK_PX**2))

    def forward(self, image: Tensor) -> Tensor:
        whole = BLOCK_PX * self.get_buffer("weight").shape[-1] - BLOCK_PX - 2 * self.margin_px
        mode = "constant" if self.mode == "zeros" else self.mode
        padded = pad(pad(image, (self.margin_px,) * 4, mode=mode), (0, whole, 0, whole))
        blocks = pixel_unshuffle(padded, BLOCK_PX)
        return pixel_shuffle(conv2d(blocks, self.get_buffer("weight"), self.get_buffer("bias")), BLOCK_PX)


def to_blocks(weight: Tensor) -> Tensor:
    """Return the weights, O x I x K x K, for blocks: 16 O x 16 I x k x k, in the order of `pixel_unshuffle`."""
    outputs, inputs, size = weight.shape[:3]
    blocks = math.ceil((BLOCK_PX - 1 + size) / BLOCK_PX)
    made = weight.new_zeros(outputs, BLOCK_PX, BLOCK_PX, inputs, BLOCK_PX, BLOCK_PX, blocks, blocks)
    for row in range(BLOCK_PX):
        for column in range(BLOCK_PX):
            for i in range(size):
                for j in range(size):
                    (y, above), (x, left) = divmod(row + i, BLOCK_PX), divmod(column + j, BLOCK_PX)
                    made[:, row, column, :, above, left, y, x] = weight[:, :, i, j]
    return made.reshape(outputs * BLOCK_PX**2, inputs * BLOCK_PX**2, blocks, blocks)
