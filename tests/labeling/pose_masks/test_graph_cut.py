"""Minimum cuts against all labelings, and the cut of a person from a skeleton."""

import itertools

import cv2
import numpy as np
import pytest

from labeling.pose_masks.graph_cut import contrast_costs, cut_person
from labeling.pose_masks.max_flow import OFFSETS, cut_grid, energy
from labeling.pose_masks.prior import joints_of
from labeling.pose_masks.seeds import draw_skeleton, find_seeds
from labeling.structures.instances import COCO_KEYPOINTS
from tests.labeling.pose_masks.test_prior import keypoints

needs_slic = pytest.mark.requires("graphcut", module="skimage")


@pytest.mark.parametrize("seed", range(12))
def test_the_cut_of_3x3_pixels_has_the_least_energy_of_all_512(seed: int) -> None:
    rng = np.random.default_rng(seed)
    foreground, background = rng.integers(0, 1000, (2, 3, 3)) / 100
    pairwise = [rng.integers(0, 400 * (1 + seed % 3), (3, 3)) / 100 for _ in OFFSETS]
    labelings = (np.array(one).reshape(3, 3) for one in itertools.product((False, True), repeat=9))
    least = min(energy(labels, foreground, background, pairwise) for labels in labelings)
    cut = cut_grid(foreground, background, pairwise)
    assert energy(cut, foreground, background, pairwise) == pytest.approx(least, abs=1e-9)


def test_without_pairwise_costs_each_pixel_takes_its_cheaper_label() -> None:
    rng = np.random.default_rng(0)
    foreground, background = rng.random((2, 9, 13))
    cut = cut_grid(foreground, background, [np.zeros((9, 13))] * 4)
    decided = np.abs(foreground - background) > 0.001
    assert np.array_equal(cut[decided], (foreground < background)[decided])


def test_equal_neighbors_cost_50_and_diagonal_ones_less() -> None:
    rgb = np.zeros((4, 6, 3), np.uint8)
    rgb[:, 3:] = 90
    right, down, diagonal, _ = contrast_costs(rgb)
    assert right[0, 0] == pytest.approx(50)
    assert right[0, 2] < 1
    assert down[0, 0] == pytest.approx(50)
    assert diagonal[0, 0] == pytest.approx(50 / np.sqrt(2))


def picture_of_a_person() -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Return a 128 px crop with a reddish person on a greenish background, and the person's mask."""
    rng = np.random.default_rng(1)
    joints = half_joints()
    mask = draw_skeleton(joints, 7.0, (128, 128))
    cv2.circle(grown := mask.astype(np.uint8), (64, 24), 9, 1, -1)
    mask = grown > 0
    rgb = np.where(mask[..., None], (170, 70, 60), (60, 130, 90)) + rng.normal(0, 12, (128, 128, 3))
    return np.clip(rgb, 0, 255).astype(np.uint8), mask


def half_joints() -> np.ndarray:  # type: ignore[type-arg]
    joints = joints_of(keypoints(*COCO_KEYPOINTS))
    joints[:, :2] /= 2
    return joints


@needs_slic
def test_seeds_are_within_the_person_and_far_from_it() -> None:
    rgb, mask = picture_of_a_person()
    seeds = find_seeds(rgb, half_joints())
    assert seeds.foreground.sum() > 200
    assert (seeds.foreground & mask).sum() > 0.97 * seeds.foreground.sum()
    assert seeds.background.sum() > 2000
    assert not (seeds.background & mask).any()


@needs_slic
@pytest.mark.requires("graphcut", module="sklearn")
@pytest.mark.parametrize("solver", ["grab_cut", "max_flow", "cooperative"])
def test_a_person_of_other_colors_than_the_background_is_cut_out(solver: str) -> None:
    rgb, mask = picture_of_a_person()
    cut = cut_person(rgb, half_joints(), solver=solver)  # type: ignore[arg-type]
    assert (cut & mask).sum() / (cut | mask).sum() > 0.9
    assert np.array_equal(cut, cut_person(rgb, half_joints(), solver=solver))  # type: ignore[arg-type]


@pytest.mark.slow
@needs_slic
def test_an_image_of_one_color_does_not_fail() -> None:
    flat = np.full((128, 128, 3), 90, np.uint8)
    for solver in ("grab_cut", "max_flow", "cooperative"):
        assert cut_person(flat, half_joints(), solver=solver).shape == (128, 128)
