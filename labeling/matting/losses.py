"""Losses of the matting network: per sample tensors in, a scalar out.

Alpha is N x 1 x H x W in [0, 1], colors are N x 3 x H x W in [-1, 1].
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, l1_loss, max_pool2d, pad

DIVERGENCE_RADIUS = (10 / 512, 20 / 512)
"""Range of the dilation, as shares of the side: 5 to 10 times a 5x5 square at 512 pixels (thesis, 3.4.3)."""
DIVERGENCE_SIGMA = 10 / 512
SUPERVISED_WEIGHTS = {"alpha": 1.0, "foreground": 2.0, "composite": 1.0, "gradient": 1.0}
"""Background Matting, equation 1."""


def supervised_losses(
    alpha: Tensor,
    foreground: Tensor,
    *,
    true_alpha: Tensor,
    true_foreground: Tensor,
    background: Tensor,
) -> dict[str, Tensor]:
    """Return the terms of the supervised loss, not weighted.

    `background` is the scene behind the people; the composite is compared with that of the true values.
    """
    is_person = (true_alpha > 0).to(alpha.dtype)
    composite = alpha * foreground + (1 - alpha) * background
    true_composite = true_alpha * true_foreground + (1 - true_alpha) * background
    return {
        "alpha": l1_loss(alpha, true_alpha),
        "foreground": l1_loss(is_person * foreground, is_person * true_foreground),
        "composite": l1_loss(composite, true_composite),
        "gradient": l1_loss(sobel(alpha), sobel(true_alpha)),
    }


def sobel(alpha: Tensor) -> Tensor:
    """Return the horizontal and vertical gradient, N x 2 x H x W; 0 along the border of a flat image."""
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    kernel = torch.stack([across, across.T])[:, None].to(alpha)
    with torch.autocast(alpha.device.type, enabled=False):
        return conv2d(pad(alpha, (1, 1, 1, 1), mode="replicate"), kernel)


def divergence_loss(
    alpha: Tensor, segmentation: Tensor, *, radius_px: int, only_where: Tensor | None = None
) -> Tensor:
    """Return the mean alpha far from the segmentation: mean of alpha * (1 - D).

    D is the segmentation (N x 1 x H x W, 0 or 1) dilated by `radius_px` and blurred. The loss also removes
    hats and guitars that are not in the segmentation; `only_where` (0 or 1, the same shape) restricts it, for
    example to pixels that look like a shadow.
    """
    side = 2 * radius_px + 1
    near = max_pool2d(segmentation, side, stride=1, padding=radius_px)
    sigma = max(1.0, DIVERGENCE_SIGMA * alpha.shape[-1])
    near = torch.maximum(_blur(near, sigma), segmentation)
    far = 1 - near if only_where is None else (1 - near) * only_where
    return (alpha * far).mean()


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Blur by a Gaussian, cut off at 3 sigma; the border repeats."""
    radius = int(3 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights /= weights.sum()
    padded = pad(image, (radius,) * 4, mode="replicate")
    with torch.autocast(image.device.type, enabled=False):
        return conv2d(conv2d(padded, weights[None, None, None]), weights[None, None, :, None])


def least_squares_loss(scores: Tensor, target: float) -> Tensor:
    """Return the loss of a least-squares GAN (Mao et al. 2017): the mean squared distance from a target."""
    return ((scores - target) ** 2).mean()
