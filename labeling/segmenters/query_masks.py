"""People from the queries of a segmentation transformer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from configs.segmenters import TransformersBlock
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, iou_matrix
from labeling.structures.probability_maps import make_instance

_PIXELS_AT_ONCE = 32_000_000
"""Probabilities that are scaled to the image's size together: 128 MB."""


def people_from_queries(
    scores: torch.Tensor,
    mask_logits: torch.Tensor,
    size_hw: tuple[int, int],
    block: TransformersBlock,
    *,
    scored_by_mask: bool = False,
) -> list[Instance]:
    """Return the people that a network's queries found in one image, best score first.

    `scores` are the Q queries' probabilities of a person, `mask_logits` their QxHxW masks over the whole image at
    any size. Masks are scaled to `size_hw` before the threshold, not after it, so that contours stay smooth.
    `scored_by_mask`: the score is multiplied by the mean probability inside the mask (Cheng et al., "Masked-attention
    Mask Transformer for Universal Image Segmentation", 2022, post-processing of instances).

    >>> logits = torch.full((2, 4, 4), -9.0)
    >>> logits[:, :, 2:] = 9.0
    >>> people = people_from_queries(torch.tensor([0.7, 0.9]), logits, (8, 8), TransformersBlock(model="x"))
    >>> [(round(one.score, 2), one.box_xywh) for one in people]  # the same person, found by two queries
    [(0.9, (4.0, 0.0, 4.0, 8.0))]
    """
    kept = torch.nonzero(scores >= block.min_score)[:, 0]
    at_once = max(1, _PIXELS_AT_ONCE // (size_hw[0] * size_hw[1]))
    found: list[Instance] = []
    for start in range(0, len(kept), at_once):
        some = kept[start : start + at_once]
        sized = interpolate(
            mask_logits[some, None].float(), size=size_hw, mode="bilinear", align_corners=False
        )
        probabilities = sized[:, 0].sigmoid().cpu().numpy()
        for score, probability in zip(scores[some].tolist(), probabilities, strict=True):
            inside = probability > block.mask_threshold
            if inside.any() and inside.mean() >= block.min_area:
                one = make_instance(inside, probability[inside], mask_threshold=block.mask_threshold)
                certain = one.score if scored_by_mask else 1.0
                found.append(replace(one, score=float(np.clip(score * certain, 0.0, 1.0))))
    return drop_repeated([one for one in found if one.score >= block.min_score], max_iou=block.max_iou)


def drop_repeated(instances: Sequence[Instance], *, max_iou: float) -> list[Instance]:
    """Return the instances by score, without those whose mask has an IoU above `max_iou` with a better one."""
    ranked = sorted(instances, key=lambda one: -one.score)
    masks: list[Mask] = [one.mask for one in ranked]
    ious = iou_matrix(masks, masks)
    kept: list[int] = []
    for i in range(len(ranked)):
        if not np.any(ious[i, kept] > max_iou):
            kept.append(i)
    return [ranked[i] for i in kept]


def class_probabilities(logits: torch.Tensor, labels: Sequence[int], *, has_none: bool) -> torch.Tensor:
    """Return each query's probability of any of `labels`, for logits of the shape ...xC.

    `has_none`: the last class is "no object", and one class excludes the others (softmax); otherwise each class is
    judged alone (sigmoid), as in networks that are trained with a focal loss.
    """
    wanted: Any = list(labels)
    if has_none:
        return logits.float().softmax(dim=-1)[..., wanted].sum(dim=-1)
    return logits.float().sigmoid()[..., wanted].amax(dim=-1)
