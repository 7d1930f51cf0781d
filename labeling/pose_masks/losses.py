"""Losses of the pose-mask network: N x 1 x S x S logits and masks in, a scalar out."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, max_pool2d

CONTOUR_WEIGHT = 3.0
"""Additional weight of a pixel near the contour: masks of plain cross-entropy have soft edges."""
CONTOUR_RADIUS_PX = 3
DICE_WEIGHT = 1.0


def mask_losses(logits: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return the terms of the loss: cross-entropy, weighted near the contour, and 1 - Dice."""
    weight = 1 + CONTOUR_WEIGHT * near_contour(mask)
    entropy = binary_cross_entropy_with_logits(logits, mask, weight=weight, reduction="sum") / weight.sum()
    return {"entropy": entropy, "dice": DICE_WEIGHT * dice_loss(logits, mask)}


def near_contour(mask: Tensor, radius_px: int = CONTOUR_RADIUS_PX) -> Tensor:
    """Return 1 within a distance of the contour, and 0 elsewhere."""
    side = 2 * radius_px + 1
    grown = max_pool2d(mask, side, stride=1, padding=radius_px)
    shrunk = -max_pool2d(-mask, side, stride=1, padding=radius_px)
    return (grown - shrunk > 0.5).to(mask.dtype)  # noqa: PLR2004


def dice_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over samples of 1 - 2 sum(p m) / (sum(p^2) + sum(m^2)) (Milletari et al. 2016)."""
    probability = torch.sigmoid(logits)
    both = (probability * mask).sum(dim=(1, 2, 3))
    total = (probability**2).sum(dim=(1, 2, 3)) + (mask**2).sum(dim=(1, 2, 3))
    return (1 - 2 * both / (total + 1)).mean()
