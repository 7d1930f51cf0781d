"""The pose-conditioned network: a U-Net that corrects the logit of the prior.

The size `full` is the paper's figure: 256 x 256 x 3; a 7x7 convolution; strided convolutions to 8 x 8, with the
pose map joined at 128 x 128; five times up, with skip connections; one channel D. Then z = D + logit(prior), and
the probability of the person is sigmoid(z), which is (tanh(z / 2) + 1) / 2. Batch normalization is ours: it
shortens a training from scratch. The size `cpu` has no layer at 256 x 256: each 2 x 2 pixels become the channels
of one pixel at 128 x 128, where the pose map is joined, and D is split into pixels in the same way.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pixel_shuffle, pixel_unshuffle

POSE_CHANNELS = 16
"""14 joints, the person's prior, and the prior of the other people in the crop."""
SLOPE = 0.2
"""Of LeakyReLU."""


@dataclass(frozen=True, slots=True)
class PoseMaskSize:
    """Channels of one network; lists go from fine to coarse."""

    side_px: int
    fold: int
    """Side of the squares of pixels that become channels: 1 or 2."""
    stem: int
    stem_kernel: int
    down: tuple[int, ...]
    """Channels after each halving of the resolution."""
    blocks: tuple[int, ...]
    """Residual blocks after each of these."""
    up: tuple[int, ...]
    """Channels of the decoder, at the resolution of the stem and of all but the coarsest of `down`."""


SIZES = {
    "full": PoseMaskSize(256, 1, 64, 7, (64, 128, 128, 128, 128), (0, 0, 0, 0, 0), (32, 128, 128, 128, 128)),
    "cpu": PoseMaskSize(256, 2, 32, 3, (64, 128, 160, 160), (1, 1, 1, 1), (32, 64, 128, 128)),
    "tiny": PoseMaskSize(64, 2, 8, 3, (8, 16), (0, 1), (8, 8)),
}


class PoseMaskNetwork(nn.Module):
    """Returns logits of the person's mask, N x 1 x S x S."""

    def __init__(self, size: PoseMaskSize) -> None:
        super().__init__()
        self.size = size
        joined_first = POSE_CHANNELS if size.fold > 1 else 0
        joined_second = POSE_CHANNELS - joined_first
        skips = (size.stem, size.down[0] + joined_second, *size.down[1:-1])
        self.stem = _Convolution(3 * size.fold**2 + joined_first, size.stem, kernel=size.stem_kernel)
        self.down = nn.ModuleList(
            _Convolution(before, after, stride=2) for before, after in zip(skips, size.down, strict=True)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*(_Residual(channels) for _ in range(count)))
            for channels, count in zip(size.down, size.blocks, strict=True)
        )
        self.up = nn.ModuleList(
            _Convolution(below + skip, channels)
            for below, skip, channels in zip((*size.up[1:], size.down[-1]), skips, size.up, strict=True)
        )
        self.out = nn.Conv2d(size.up[0], size.fold**2, 3, padding=1)

    def forward(self, image: Tensor, pose: Tensor, prior_logit: Tensor) -> Tensor:
        """Correct the prior.

        `image` is N x 3 x S x S in [-1, 1], `pose` N x 16 x S/2 x S/2, `prior_logit` N x 1 x S x S.
        """
        fold = self.size.fold
        x = torch.cat([pixel_unshuffle(image, fold), pose], dim=1) if fold > 1 else image
        x = self.stem(x)
        skips = [x]
        for level, (down, blocks) in enumerate(zip(self.down, self.blocks, strict=True)):
            x = blocks(down(x))
            if level == 0 and fold == 1:
                x = torch.cat([x, pose.to(x.dtype)], dim=1)
            skips.append(x)
        skips.pop()
        for up in reversed(self.up):
            x = up(torch.cat([interpolate(x, scale_factor=2.0, mode="nearest"), skips.pop()], dim=1))
        correction = self.out(x).float()
        return (pixel_shuffle(correction, fold) if fold > 1 else correction) + prior_logit


class _Convolution(nn.Module):
    """Convolution, batch normalization, LeakyReLU."""

    def __init__(self, before: int, after: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(self.norm(self.convolution(x)), SLOPE, inplace=True)


class _Residual(nn.Module):
    """Two convolutions around which the input passes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Convolution(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(x + self.norm(self.second(self.first(x))), SLOPE, inplace=True)


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
