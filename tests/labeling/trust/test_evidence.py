"""Each number against a hand-drawn image or a second computation."""

from dataclasses import replace

import pytest

from configs.errors import ModelOutputWrong
from labeling.structures.instances import Instance, Keypoints
from labeling.structures.masks import BoolArray, Mask, flip_mask
from labeling.trust.checks import gather_evidence
from labeling.trust.evidence import Evidence
from tests.labeling.strategies import blobs, draw, instance, instances, joints

LEFT = draw("##..", "##..", "....", "....")
RIGHT = draw("...#", "...#", "...#", "...#")
EMPTY = draw("....", "....", "....", "....")


def gathered(teacher: list[BoolArray], mirrored: list[Mask] | None = None) -> Evidence:
    return gather_evidence(instances(teacher), (4, 4), min_keypoint_score=0.5, mirrored=mirrored)


def flips(evidence: Evidence) -> list[float | None]:
    return [one.flip_iou for one in evidence.instances]


def test_size_and_score_are_those_of_the_mask() -> None:
    (one,) = gather_evidence([instance(RIGHT, score=0.7)], (4, 4), min_keypoint_score=0.5).instances
    assert (one.score, one.area_px, one.stability, one.flip_iou) == (0.7, 4, None, None)


def test_refinement_is_evidence_by_the_mask_that_changed_most() -> None:
    people = [
        replace(one, iou_before=iou)
        for one, iou in zip(instances([LEFT, EMPTY, RIGHT, RIGHT]), (0.9, 0.1, 0.6, None), strict=True)
    ]
    result = gather_evidence(people, (4, 4), min_keypoint_score=0.5)
    assert [one.refined_iou for one in result.instances] == [0.9, 0.6, None]
    assert result.refined_iou == 0.6
    assert gathered([LEFT]).refined_iou is None


def test_stability_stays_with_its_own_mask() -> None:
    people = [
        replace(one, stability=share)
        for one, share in zip(instances([LEFT, EMPTY, RIGHT]), (0.4, 0.1, 0.9), strict=True)
    ]
    result = gather_evidence(people, (4, 4), min_keypoint_score=0.5)
    assert [one.stability for one in result.instances] == [0.4, 0.9]


def test_mirrored_masks_are_mirrored_back_before_they_are_compared() -> None:
    first, second = (Mask.from_array(mask) for mask in (LEFT, RIGHT))
    both = gathered([LEFT, RIGHT], [flip_mask(second), flip_mask(first)])
    assert (both.flip_iou, flips(both)) == (1.0, [1.0, 1.0])
    turned = gathered([LEFT], [first])
    assert turned.flip_iou == pytest.approx(0.0, abs=1e-6)
    assert flips(turned) == [0.0]


def test_each_mask_has_its_own_flip_iou() -> None:
    one = gathered([LEFT, RIGHT], [flip_mask(Mask.from_array(LEFT))])
    assert flips(one) == [1.0, 0.0]
    assert one.flip_iou == pytest.approx(0.5)
    none = gathered([LEFT], [])
    assert flips(none) == [0.0]
    assert none.flip_iou == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_agreement_with_the_mirrored_image_is_the_iou_of_the_pixels(seed: int) -> None:
    mask, mirrored = blobs(seed, (120, 161))
    back = mirrored[:, ::-1]
    expected = (mask & back).sum() / (mask | back).sum()
    result = gather_evidence(
        [instance(mask)], (120, 161), min_keypoint_score=0.5, mirrored=[Mask.from_array(mirrored)]
    )
    assert result.flip_iou == pytest.approx(expected, abs=1e-9)
    assert flips(result) == [pytest.approx(expected, abs=1e-9)]


def test_two_empty_images_agree() -> None:
    assert gathered([], []) == Evidence((), 1.0)


def test_an_empty_mask_is_left_out() -> None:
    assert gathered([EMPTY]) == Evidence()
    assert len(gathered([EMPTY, LEFT]).instances) == 1


def test_mirrored_masks_of_another_size_are_refused() -> None:
    with pytest.raises(ModelOutputWrong, match="cannot be compared"):
        gathered([LEFT], [Mask.empty((4, 5))])


def test_keypoints_are_compared_with_their_own_mask_and_the_lowest_share_counts() -> None:
    inside: Keypoints = ((0.5, 0.5, 0.9), (1.5, 1.5, 0.9), (9.0, 9.0, 0.1))
    half: Keypoints = ((3.5, 0.5, 0.9), (0.5, 3.5, 0.9))
    people = [
        replace(one, keypoints=k) for one, k in zip(instances([LEFT, RIGHT]), (inside, half), strict=True)
    ]
    result = gather_evidence(people, (4, 4), min_keypoint_score=0.5)
    assert [one.keypoints_inside for one in result.instances] == [1.0, 0.5]
    assert result.keypoints_inside == 0.5
    assert gathered([LEFT]).keypoints_inside is None


def test_the_worst_instance_counts_for_the_frame() -> None:
    mask = draw("##....", "##....", "......")
    good = instance(mask, keypoints=joints((0, 0), (1, 1)))
    bad = instance(mask, keypoints=joints((0, 0), (5, 2), (5, 1), (5, 0)))
    unknown, unsure = instance(mask), instance(mask, keypoints=joints((5, 2), confidence=0.1))

    def lowest(*people: Instance) -> float | None:
        return gather_evidence(people, (3, 6), min_keypoint_score=0.5).keypoints_inside

    assert lowest(good, unknown, bad, unsure) == 0.25
    assert lowest(good, unknown, unsure) == 1.0
    assert lowest(unknown, unsure) is None
    assert lowest() is None
