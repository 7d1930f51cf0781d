"""The PatchGAN discriminator of the adversarial stage (Isola et al. 2017)."""

from itertools import pairwise

from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """Scores of overlapping patches of an RGB composite (N x 3 x S x S): high for a real image."""

    def __init__(self, base: int = 64, layers: int = 3) -> None:
        super().__init__()
        channels = [base * min(8, 2**layer) for layer in range(layers + 1)]
        blocks: list[nn.Module] = [nn.Conv2d(3, base, 4, 2, 1), nn.LeakyReLU(0.2)]
        for layer, (before, after) in enumerate(pairwise(channels)):
            stride = 1 if layer == layers - 1 else 2
            blocks += [nn.Conv2d(before, after, 4, stride, 1), nn.InstanceNorm2d(after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*blocks, nn.Conv2d(channels[-1], 1, 4, 1, 1))

    def forward(self, composite: Tensor) -> Tensor:
        scores: Tensor = self.layers(composite)
        return scores
