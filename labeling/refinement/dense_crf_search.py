"""Coarse-to-fine search for the constants of the dense CRF, on masks whose ground truth is known."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from configs.refinement import DenseCrfBlock
from labeling.refinement.dense_crf import DenseCrfRefiner
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, iou_matrix

SEARCHED = (
    ("softness", "appearance_weight"),
    ("appearance_sigma_px", "color_sigma"),
    ("smoothness_weight", "smoothness_sigma_px"),
)
"""Pairs of constants that are searched together, one pair after the other."""
FACTORS = (2.0, 1.4, 1.2)
"""Steps of the grid, from coarse to fine: each constant is divided and multiplied by one."""


@dataclass(frozen=True, slots=True)
class CrfCase:
    """A frame, its masks, and the ground truth of each."""

    frame: Frame
    people: tuple[Instance, ...]
    truth: tuple[Mask, ...]


def search_constants(
    cases: Sequence[CrfCase], start: DenseCrfBlock, *, report: Callable[[DenseCrfBlock, float], None]
) -> DenseCrfBlock:
    """Return the block of the largest mean IoU that the search finds; `report` receives each improvement."""
    best, best_iou = start, mean_iou(cases, start)
    report(best, best_iou)
    for factor in FACTORS:
        for names in SEARCHED:
            for factors in itertools.product((1 / factor, 1.0, factor), repeat=len(names)):
                changes = {name: getattr(best, name) * by for name, by in zip(names, factors, strict=True)}
                candidate = start.model_validate(best.model_dump() | changes)
                iou = mean_iou(cases, candidate)
                if iou > best_iou:
                    best, best_iou = candidate, iou
                    report(best, best_iou)
    return best


def mean_iou(cases: Sequence[CrfCase], block: DenseCrfBlock) -> float:
    """Return the mean IoU of refined masks with their ground truth."""
    refiner = DenseCrfRefiner(block)
    ious = []
    for case in cases:
        refined = refiner.refine([case.frame], [case.people])[0]
        ious += [
            float(iou_matrix([truth], [one.mask])[0, 0])
            for truth, one in zip(case.truth, refined, strict=True)
        ]
    return float(np.mean(ious))
