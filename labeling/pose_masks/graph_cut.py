"""Graph cut of a person from seeds of a skeleton: GrabCut, one max-flow cut, or a cooperative cut.

Colors are modeled by two Gaussian mixtures of RGB and Lab. Neighbors with different labels cost
50 exp(-b |dI|^2) with b = 1 / (2 <|dI|^2>), diagonal ones divided by sqrt(2) (Boykov and Jolly, ICCV 2001; Rother
et al., SIGGRAPH 2004). The cooperative cut (Jegelka and Bilmes, CVPR 2011) gives a discount to edges of a class of
color changes that is cut often: long thin parts of the person are no longer cut off.
"""

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import ExtraMissing
from labeling.pose_masks.inputs import in_prior_units
from labeling.pose_masks.max_flow import OFFSETS, FloatImage, cut_grid, edges
from labeling.pose_masks.prior import FloatArray, draw_prior
from labeling.pose_masks.prior import FloatImage as PriorImage
from labeling.pose_masks.seeds import Seeds, find_seeds
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray

Solver = Literal["grab_cut", "max_flow", "cooperative"]
COMPONENTS = 5
MAX_SAMPLES = 2000
"""Pixels to which a mixture is fitted."""
MIN_SAMPLES = 30
REGULARIZATION = 1e-3
"""Added to the variances of colors from 0 to 1."""
SEED_COST = 1e4
CONTRAST_WEIGHT = 50.0
GRAB_CUT_ITERATIONS = 5
EDGE_CLASSES = 8
"""Classes of color changes of the cooperative cut."""
COOPERATIVE_CUTS = 4
DISCOUNT_FROM, DISCOUNT_TO = 0.05, 0.2
"""A class costs the full price up to this share of its total weight, and this share of the price beyond it."""


def cut_person(rgb: RgbImage, joints: FloatArray, *, solver: Solver = "grab_cut") -> BoolArray:
    """Return the person's mask in a square crop, SxS, from joints (14x3) in its pixels; it may be empty.

    Raises:
        ExtraMissing: scikit-image or scikit-learn is not installed.
    """
    seeds = find_seeds(rgb, joints)
    if not seeds.foreground.any():
        return np.zeros(rgb.shape[:2], dtype=np.bool_)
    if solver == "grab_cut" or not seeds.background.any():
        return cut_with_grab_cut(rgb, seeds, draw_prior(in_prior_units(joints, rgb.shape[0]), rgb.shape[0]))
    foreground_cost, background_cost = color_costs(rgb, seeds)
    pairwise = contrast_costs(rgb)
    if solver == "cooperative":
        return cut_cooperatively(rgb, foreground_cost, background_cost, pairwise)
    return cut_grid(foreground_cost, background_cost, pairwise)


def cut_with_grab_cut(rgb: RgbImage, seeds: Seeds, prior: PriorImage) -> BoolArray:
    """Return the mask of OpenCV's GrabCut; pixels that are no seed start as the prior (HxW) says."""
    labels = np.full(rgb.shape[:2], cv2.GC_PR_BGD, dtype=np.uint8)
    labels[prior > 0.5] = cv2.GC_PR_FGD  # noqa: PLR2004 - more likely than not
    labels[seeds.background] = cv2.GC_BGD
    labels[seeds.foreground] = cv2.GC_FGD
    return run_grab_cut(rgb, labels)


def run_grab_cut(rgb: RgbImage, labels: NDArray[np.uint8]) -> BoolArray:
    """Run GrabCut from initial labels; deterministic."""
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(
            rgb, labels, (0, 0, 1, 1), background, foreground, GRAB_CUT_ITERATIONS, cv2.GC_INIT_WITH_MASK
        )
    except cv2.error:  # fewer colors than components
        return np.asarray(labels == cv2.GC_FGD)
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))


def color_costs(rgb: RgbImage, seeds: Seeds) -> tuple[FloatImage, FloatImage]:
    """Return -log p of each pixel under the colors of the foreground and of the background, HxW each."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    features = np.concatenate([rgb, lab], axis=2).reshape(-1, 6).astype(np.float64) / 255
    costs = []
    for own in (seeds.foreground, seeds.background):
        mixture = _fit_mixture(features[own.ravel()])
        costs.append(-mixture.score_samples(features).reshape(rgb.shape[:2]))
    foreground_cost, background_cost = costs
    foreground_cost[seeds.background] += SEED_COST
    background_cost[seeds.foreground] += SEED_COST
    return foreground_cost, background_cost


def _fit_mixture(samples: FloatArray) -> Any:
    try:
        from sklearn.mixture import GaussianMixture
    except ImportError as exc:
        raise ExtraMissing(
            "method: graph_cut requires scikit-learn, which is not installed: pip install 'maskmill[graphcut]'"
        ) from exc
    step = max(1, len(samples) // MAX_SAMPLES)
    chosen = samples[::step]
    if len(chosen) < MIN_SAMPLES:
        chosen = np.resize(chosen, (MIN_SAMPLES, samples.shape[1]))
    mixture = GaussianMixture(COMPONENTS, reg_covar=REGULARIZATION, random_state=0, max_iter=30, tol=1e-2)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few different colors, or 30 iterations were too few: good enough
        return mixture.fit(chosen)


def contrast_costs(rgb: RgbImage) -> list[FloatImage]:
    """Return the pairwise costs for each of `OFFSETS`, HxW each."""
    differences = [_difference2(rgb, offset) for offset in OFFSETS]
    mean = float(np.mean([one.mean() for one in differences]))
    beta = 1 / (2 * max(mean, 1e-6))
    return [
        CONTRAST_WEIGHT * np.exp(-beta * one) / np.hypot(*offset)
        for one, offset in zip(differences, OFFSETS, strict=True)
    ]


def _difference2(rgb: RgbImage, offset: tuple[int, int]) -> FloatImage:
    """Return |dI|^2 to the neighbor at the offset; 0 beyond the border."""
    return np.asarray((_change(rgb, offset) ** 2).sum(axis=2))


def _change(rgb: RgbImage, offset: tuple[int, int]) -> FloatImage:
    down, right = offset
    image = rgb.astype(np.float64)
    moved = np.roll(image, (-down, -right), axis=(0, 1))
    change = moved - image
    if down:
        change[-down:] = 0
    if right > 0:
        change[:, -right:] = 0
    elif right < 0:
        change[:, :-right] = 0
    return change


def cut_cooperatively(
    rgb: RgbImage, foreground_cost: FloatImage, background_cost: FloatImage, pairwise: list[FloatImage]
) -> BoolArray:
    """Return the mask after several cuts, each with the prices that the cut before it sets.

    The concave cost of a class with the cut weight x is min(x, t) + discount * max(x - t, 0): it is
    replaced by its tangent at the last cut.
    """
    classes = _edge_classes(rgb)
    totals = np.bincount(classes.ravel(), weights=np.stack(pairwise).ravel(), minlength=EDGE_CLASSES)
    mask = cut_grid(foreground_cost, background_cost, pairwise)
    for _ in range(COOPERATIVE_CUTS - 1):
        cut_weight = np.zeros(EDGE_CLASSES)
        for (start, end, cost), of_class in zip(edges(pairwise), edges(list(classes)), strict=True):
            is_cut = mask.ravel()[start] != mask.ravel()[end]
            cut_weight += np.bincount(
                of_class[2][is_cut].astype(np.intp), weights=cost[is_cut], minlength=EDGE_CLASSES
            )
        price = np.where(cut_weight > DISCOUNT_FROM * totals, DISCOUNT_TO, 1.0)
        reweighed = [cost * price[one] for cost, one in zip(pairwise, classes, strict=True)]
        after = cut_grid(foreground_cost, background_cost, reweighed)
        if (after == mask).all():
            break
        mask = after
    return mask


def _edge_classes(rgb: RgbImage) -> NDArray[np.intp]:
    """Return the class of each edge by its color change, from the darker to the lighter pixel, 4xHxW."""
    changes = np.stack([_change(rgb, offset) for offset in OFFSETS])
    changes *= np.where(changes.sum(axis=-1, keepdims=True) < 0, -1, 1)
    samples = changes.reshape(-1, 3).astype(np.float32)
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 10, 1.0)
    step = max(1, len(samples) // 4000)
    _, _, centers = cv2.kmeans(samples[::step].copy(), EDGE_CLASSES, None, criteria, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    distance = ((samples[:, None, :] - centers) ** 2).sum(axis=2)
    return np.asarray(distance.argmin(axis=1).reshape(changes.shape[:3]), dtype=np.intp)
