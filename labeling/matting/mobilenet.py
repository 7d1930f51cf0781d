"""The encoder of MobileNetV2 (Sandler et al., CVPR 2018), with four input channels.

Parameters have the names of torchvision's `mobilenet_v2().features`, so that its ImageNet weights can be loaded.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, repetitions and first stride (Sandler et al., table 2)."""
TAPS = (1, 3, 6, 13, 17)
"""Features that are used: after blocks 2, 4, 7, 14 and 18, of 1/2, 1/4, 1/8, 1/16 and 1/32 of the side."""
FIRST_CHANNELS = 32
_FIRST_WEIGHT = "0.0.weight"


class MobileNetEncoder(nn.Module):
    """Images, N x inputs x H x W with sides that are multiples of 32, to the features at `TAPS`."""

    def __init__(self, inputs: int, width: float = 1.0) -> None:
        super().__init__()
        last = _channels(FIRST_CHANNELS, width)
        layers: list[nn.Module] = [_conv(inputs, last, stride=2)]
        self.channels: list[int] = []
        """Of the features at `TAPS`."""
        for expansion, base, count, first_stride in BLOCKS:
            for number in range(count):
                made = _channels(base, width)
                layers.append(InvertedResidual(last, made, expansion, first_stride if number == 0 else 1))
                last = made
                if len(layers) - 1 in TAPS:
                    self.channels.append(made)
        self.features = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> list[Tensor]:
        found = []
        for number, layer in enumerate(self.features):
            image = layer(image)
            if number in TAPS:
                found.append(image)
        return found

    def load_rgb(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights of a network of RGB images; the weights of further channels are 0 ("inflation")."""
        first = weights[_FIRST_WEIGHT]
        inflated = torch.zeros(first.shape[0], self.features[0][0].in_channels, *first.shape[2:])  # type: ignore[index]  # a Sequential
        inflated[:, : first.shape[1]] = first
        self.features.load_state_dict({**weights, _FIRST_WEIGHT: inflated})


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter each channel, and project; added to the input where shapes agree."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        layers: list[nn.Module] = [_conv(inputs, inner, kernel=1)] if expansion > 1 else []
        layers += [
            _conv(inner, inner, stride=stride, groups=inner),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.conv(features)
        return features + changed if self.is_residual else changed


def _conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


def _channels(base: int, width: float) -> int:
    """Return base * width, rounded to a multiple of 8, and not below 90 % of it.

    >>> [_channels(base, 0.5) for base in (16, 24, 32, 320)]
    [8, 16, 16, 160]
    """
    scaled = base * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8
