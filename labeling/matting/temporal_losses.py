"""Losses of the recurrent matting network: tensors of clips in, a scalar out.

Alpha is N x T x 1 x H x W in [0, 1], colors are N x T x 3 x H x W in [-1, 1]. Flow leads from a frame to the next:
N x (T-1) x 2 x H x W, x and y in pixels; `is_known`, N x (T-1) x 1 x H x W, is 1 where the next frame shows the pixel.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, grid_sample, interpolate, l1_loss, pad

TEMPORAL_WEIGHTS = {"alpha": 1.0, "laplacian": 1.0, "composite": 1.0, "foreground": 1.0, "temporal": 5.0}
"""Molodetskikh et al., 2022."""
PYRAMID_LEVELS = 5
BAND_PX = 8
"""Width of the band around people in which their motion goes on; see `temporal_difference_loss`."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipTruth:
    """Exact ground truth of clips, in the shapes above."""

    alpha: Tensor
    foreground: Tensor
    background: Tensor
    """The scene behind the people."""
    flow: Tensor
    is_known: Tensor


def temporal_losses(alpha: Tensor, foreground: Tensor, truth: ClipTruth) -> dict[str, Tensor]:
    """Return the terms of the loss, not weighted."""
    is_person = (truth.alpha > 0).to(alpha.dtype)
    composite = alpha * foreground + (1 - alpha) * truth.background
    true_composite = truth.alpha * truth.foreground + (1 - truth.alpha) * truth.background
    return {
        "alpha": l1_loss(alpha, truth.alpha),
        "laplacian": laplacian_loss(alpha.flatten(0, 1), truth.alpha.flatten(0, 1)),
        "composite": l1_loss(composite, true_composite),
        "foreground": l1_loss(is_person * foreground, is_person * truth.foreground),
        "temporal": temporal_difference_loss(alpha, truth.alpha, truth.flow, truth.is_known),
    }


def temporal_difference_loss(alpha: Tensor, true_alpha: Tensor, flow: Tensor, is_known: Tensor) -> Tensor:
    """Return the mean absolute error of alpha's change along the true motion.

    That is |(a'(x + f) - a(x)) - (t'(x + f) - t(x))| with alpha a, its truth t, and the next frame's a' and t'. It is
    summed over the pixels of known motion and a band around them, into which the motion is continued, and divided by
    all pixels. People alone, divided by their pixels, would weigh an error inside of them a hundred times as much as
    one beside them, and a network learned outlines that are some pixels too wide.
    """
    flow, is_counted = continue_motion(flow, is_known, true_alpha[:, :-1] > 0)
    error = alpha - true_alpha
    later = warp(error[:, 1:].flatten(0, 1), flow.flatten(0, 1)).view_as(error[:, 1:])
    return ((later - error[:, :-1]).abs() * is_counted).mean()


def continue_motion(flow: Tensor, is_known: Tensor, is_person: Tensor) -> tuple[Tensor, Tensor]:
    """Return the flow with the mean of what is known nearby around people, and where it is known or continued, 0 or 1."""
    known, near = is_known.flatten(0, 1), _box_mean(is_known.flatten(0, 1))
    mean = _box_mean(flow.flatten(0, 1) * known) / near.clamp(min=1e-6)
    continued = torch.where(known > 0, flow.flatten(0, 1), mean)
    is_counted = torch.where(is_person.flatten(0, 1), known, (near > 0).to(known.dtype))
    return continued.view_as(flow), is_counted.view_as(is_known)


def _box_mean(image: Tensor) -> Tensor:
    """Return the mean over a square of 2 `BAND_PX` + 1; what is outside of the image counts as 0."""
    side = 2 * BAND_PX + 1
    rows = avg_pool2d(image, (side, 1), stride=1, padding=(BAND_PX, 0))
    return avg_pool2d(rows, (1, side), stride=1, padding=(0, BAND_PX))


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Return image(x + flow(x)), bilinear; M x C x H x W, flow M x 2 x H x W in pixels. Outside, the border repeats."""
    height, width = image.shape[-2:]
    rows, columns = torch.meshgrid(
        torch.arange(height, device=image.device, dtype=flow.dtype),
        torch.arange(width, device=image.device, dtype=flow.dtype),
        indexing="ij",
    )
    x = 2 * (columns + flow[:, 0]) / max(1, width - 1) - 1
    y = 2 * (rows + flow[:, 1]) / max(1, height - 1) - 1
    grid = torch.stack([x, y], dim=-1)
    with torch.autocast(image.device.type, enabled=False):
        return grid_sample(image.float(), grid.float(), padding_mode="border", align_corners=True)


def laplacian_loss(alpha: Tensor, true_alpha: Tensor) -> Tensor:
    """Return the mean over 5 levels of 2^level times the L1 distance of the Laplacian pyramids, M x 1 x H x W.

    Hou and Liu, "Context-Aware Image Matting for Simultaneous Foreground and Alpha Estimation" (2019), equation 5, with
    means instead of sums. Fewer levels for images that become smaller than 2 pixels.
    """
    pyramids = [laplacian_pyramid(image) for image in (alpha, true_alpha)]
    terms = [2**level * l1_loss(*pair) for level, pair in enumerate(zip(*pyramids, strict=True))]
    return torch.stack(terms).mean()


def laplacian_pyramid(image: Tensor) -> list[Tensor]:
    """Return what each level has beyond the next coarser one, from fine to coarse."""
    levels = []
    for _ in range(PYRAMID_LEVELS):
        if min(image.shape[-2:]) < 2:  # noqa: PLR2004
            break
        smaller = avg_pool2d(_blur(image), 2, ceil_mode=True)
        larger = interpolate(smaller, size=image.shape[-2:], mode="bilinear", align_corners=False)
        levels.append(image - larger)
        image = smaller
    return levels


def _blur(image: Tensor) -> Tensor:
    """Blur by a binomial filter of five values; the border repeats."""
    weights = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=image.dtype, device=image.device) / 16
    padded = pad(image, (2, 2, 2, 2), mode="replicate")
    with torch.autocast(image.device.type, enabled=False):
        return conv2d(conv2d(padded, weights[None, None, None]), weights[None, None, :, None])
