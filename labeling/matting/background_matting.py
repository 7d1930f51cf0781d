"""The background-matting network with keypoint maps.

Sengupta et al., "Background Matting: The World is Your Green Screen" (2020), with the keypoint input of
Nemchinov's thesis (2020, section 3.4.1). Two faults of the published code are not repeated here: its
selector for motion received the features of the background, and its frame indices wrapped at the ends.

Two inputs are ours: a coverage channel beside the plate (0 where the background was never seen), and, in
the small size, features of full and half resolution for the alpha head.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from labeling.matting.keypoint_maps import KEYPOINT_CHANNELS


@dataclass(frozen=True, slots=True)
class NetworkSize:
    """The size of a network; the work grows with side_px^2 base^2."""

    side_px: int
    """Side of the square input."""
    base: int
    """Channels of the first layer; 4 times as many in the residual blocks."""
    shared_blocks: int
    """Residual blocks before the two heads."""
    head_blocks: int
    """Residual blocks of each head."""
    fine_alpha: bool
    """The alpha head also receives the image and the plate at full and half resolution."""


SIZES = {
    "full": NetworkSize(512, base=64, shared_blocks=7, head_blocks=3, fine_alpha=False),
    "cpu": NetworkSize(256, base=16, shared_blocks=5, head_blocks=2, fine_alpha=True),
    "tiny": NetworkSize(64, base=4, shared_blocks=1, head_blocks=1, fine_alpha=True),
}


class BackgroundMattingNetwork(nn.Module):
    """Image, plate and priors to alpha and foreground.

    All inputs are float, in [-1, 1] except coverage, with N samples of side S:

    | input | shape | |
    |---|---|---|
    | image | N x 3 x S x S | RGB |
    | plate | N x 3 x S x S | RGB of the empty scene |
    | coverage | N x 1 x S x S | 1 where the plate was seen, 0 where it is a guess |
    | prior | N x 1 x S x S | soft segmentation |
    | motion | N x 4 x S x S | gray at -2g, -g, +g, +2g |
    | keypoints | N x 55 x S/4 x S/4 | see `keypoint_maps` |

    Returns alpha, N x 1 x S x S in [0, 1], and the foreground's RGB, N x 3 x S x S around [-1, 1].
    """

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        base = size.base
        self.size = size
        self.image_encoder = Encoder(3, base)
        self.plate_encoder = Encoder(3 + 1, base)
        self.prior_encoder = Encoder(1, base)
        self.motion_encoder = Encoder(4, base)
        self.keypoint_encoder = _conv(KEYPOINT_CHANNELS, 4 * base)
        self.selectors = nn.ModuleList(_conv(8 * base, base, kernel=1) for _ in range(4))
        self.combinator = _conv(8 * base, 4 * base, kernel=1)
        self.shared = nn.Sequential(*(ResidualBlock(4 * base) for _ in range(size.shared_blocks)))
        fine, half = (3 + 3 + 1, 2 * 2 * base) if size.fine_alpha else (0, 0)
        self.alpha_head = Head(base, size.head_blocks, outputs=1, half=half, fine=fine)
        self.foreground_head = Head(base, size.head_blocks, outputs=3, half=2 * base, fine=0)

    def forward(  # noqa: PLR0913, PLR0917 - the inputs of the paper's figure
        self, image: Tensor, plate: Tensor, coverage: Tensor, prior: Tensor, motion: Tensor, keypoints: Tensor
    ) -> tuple[Tensor, Tensor]:
        image_features, image_half = self.image_encoder(image)
        plate_features, plate_half = self.plate_encoder(torch.cat([plate, coverage], dim=1))
        prior_features, _ = self.prior_encoder(prior)
        motion_features, _ = self.motion_encoder(motion)
        keypoint_features = self.keypoint_encoder(keypoints)

        priors = (plate_features, prior_features, motion_features, keypoint_features)
        selected = [
            selector(torch.cat([image_features, features], dim=1))
            for selector, features in zip(self.selectors, priors, strict=True)
        ]
        combined = self.combinator(torch.cat([image_features, *selected], dim=1))
        shared = self.shared(combined)

        half, fine = None, None
        if self.size.fine_alpha:
            half = torch.cat([image_half, plate_half], dim=1)
            fine = torch.cat([image, image - plate, prior], dim=1)
        alpha = (torch.tanh(self.alpha_head(shared, half, fine)) + 1) / 2
        foreground = self.foreground_head(shared, image_half, None)
        return alpha, foreground


class Encoder(nn.Module):
    """Features of a quarter (4 base channels) and half (2 base channels) of the resolution."""

    def __init__(self, inputs: int, base: int) -> None:
        super().__init__()
        self.at_full = _conv(inputs, base, kernel=7)
        self.at_half = _conv(base, 2 * base, stride=2)
        self.at_quarter = _conv(2 * base, 4 * base, stride=2)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        half = self.at_half(self.at_full(image))
        return self.at_quarter(half), half


class ResidualBlock(nn.Module):
    """x + conv(conv(x))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = features + self.second(self.first(features))
        return changed


class Head(nn.Module):
    """Residual blocks, then twice bilinear enlargement and a convolution, then the output.

    `half` and `fine` are the channels of skip connections at half and full resolution; 0 for none.
    """

    def __init__(self, base: int, blocks: int, *, outputs: int, half: int, fine: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ResidualBlock(4 * base) for _ in range(blocks)))
        self.to_half = _conv(4 * base, 2 * base)
        self.to_full = _conv(2 * base + half, base)
        self.output = nn.Conv2d(base + fine, outputs, 7, padding=3, padding_mode="reflect")

    def forward(self, features: Tensor, half: Tensor | None, fine: Tensor | None) -> Tensor:
        features = self.to_half(_enlarge(self.blocks(features)))
        if half is not None:
            features = torch.cat([features, half], dim=1)
        features = self.to_full(_enlarge(features))
        if fine is not None:
            features = torch.cat([features, fine], dim=1)
        output: Tensor = self.output(features)
        return output


def _conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalization, ReLU; a wide kernel reflects the border."""
    padding_mode: Literal["reflect", "zeros"] = "reflect" if kernel > 3 else "zeros"  # noqa: PLR2004 - the first layer
    half = kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, half, padding_mode=padding_mode, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _enlarge(features: Tensor) -> Tensor:
    return interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
