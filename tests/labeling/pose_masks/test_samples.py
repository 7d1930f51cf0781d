"""Training samples: repeatable, of the network's shapes, with the person where the mask is."""

import numpy as np
import pytest

from labeling.pose_masks.samples import LabeledPeople, PoseMaskSampler, SampleSettings
from labeling.structures.cutouts import Cutout
from labeling.structures.instances import COCO_KEYPOINTS
from labeling.synthetic.random_figure import draw_random_figure
from tests.labeling.pose_masks.test_prior import keypoints


def labeled() -> LabeledPeople:
    """Return a bright rectangle on a dark background, with the keypoints of a standing person."""
    labels = np.zeros((256, 256), np.uint8)
    labels[30:225, 95:160] = 1
    rgb = np.where(labels[..., None] > 0, 230, 20).astype(np.uint8).repeat(3, axis=2)
    return LabeledPeople(rgb, labels, (keypoints(*COCO_KEYPOINTS),))


CALM = SampleSettings(real_share=1.0, turned=0, truncated=0, occluded=0, lost_limb=0, lost_keypoint=0)


def test_a_sample_depends_on_the_seed_and_its_index_alone() -> None:
    first, again = (PoseMaskSampler([labeled()], [], [], side_px=64, seed=1).sample(5) for _ in range(2))
    other = PoseMaskSampler([labeled()], [], [], side_px=64, seed=2).sample(5)
    assert np.array_equal(first.input.image, again.input.image)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.input.image, other.input.image)


def test_the_mask_lies_on_the_person_and_the_prior_within_it() -> None:
    source = PoseMaskSampler([labeled()], [], [], side_px=128, seed=1, settings=CALM)
    for index in range(6):
        sample = source.sample(index)
        inside = sample.mask[0] > 0.5
        gray = sample.input.image.mean(axis=0)
        shown = sample.input.image.min(axis=0) > -1  # not beyond the border
        assert gray[inside].mean() > gray[~inside & shown].mean() + 0.1
        prior = sample.input.prior_logit[0] > 0
        assert (prior & inside).sum() > 0.8 * prior.sum()


@pytest.mark.parametrize("side", [64, 128])
def test_all_kinds_of_samples_have_the_shapes_of_the_network(side: int) -> None:
    figure = draw_random_figure(np.random.default_rng(0))
    cutout = Cutout(figure.rgb, figure.alpha, figure.keypoints)
    rooms = [np.random.default_rng(1).integers(0, 255, (90, 70, 3), dtype=np.uint8)]
    source = PoseMaskSampler([labeled()], [cutout], rooms, side_px=side, seed=3)
    for index in range(10):
        sample = source.sample(index)
        shapes = [sample.input.image.shape, sample.input.pose.shape, sample.input.prior_logit.shape]
        assert shapes == [(3, side, side), (16, side // 2, side // 2), (1, side, side)]
        assert sample.mask.shape == (1, side, side)
        assert 0.01 <= sample.mask.mean() < 0.95
        assert np.abs(sample.input.image).max() <= 1
        assert sample.input.pose[:14].any()


def test_a_random_figure_covers_its_keypoints() -> None:
    rng = np.random.default_rng(4)
    covered = []
    for _ in range(8):
        figure = draw_random_figure(rng, [np.full((50, 60, 3), 9, np.uint8)])
        assert figure.rgb.shape[:2] == figure.alpha.shape
        points = [(int(x), int(y)) for x, y, seen in figure.keypoints[5:] if seen]
        height, width = figure.alpha.shape
        covered += [figure.alpha[min(y, height - 1), min(x, width - 1)] > 0.5 for x, y in points]
    assert np.mean(covered) > 0.9
