"""The prior: its Gaussians, the joints of COCO's keypoints, and the rules for the head."""

import numpy as np
import pytest
from scipy.special import expit

from labeling.pose_masks.prior import (
    HEAD,
    JOINTS,
    NECK,
    draw_pose_map,
    draw_prior,
    estimate_head,
    joints_of,
    prior_logit,
)
from labeling.structures.instances import COCO_KEYPOINTS, Keypoints

STANDING = {
    "nose": (128, 50), "left_eye": (132, 46), "right_eye": (124, 46), "left_ear": (136, 48),
    "right_ear": (120, 48), "left_shoulder": (146, 72), "right_shoulder": (110, 72), "left_elbow": (152, 100),
    "right_elbow": (104, 100), "left_wrist": (154, 126), "right_wrist": (102, 126), "left_hip": (140, 130),
    "right_hip": (116, 130), "left_knee": (140, 172), "right_knee": (116, 172), "left_ankle": (140, 212),
    "right_ankle": (116, 212),
}  # fmt: skip
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")


def keypoints(*names: str) -> Keypoints:
    """Return the named keypoints of a standing person; the others are missing."""
    return tuple(
        (float(STANDING[name][0]), float(STANDING[name][1]), 1.0) if name in names else (0.0, 0.0, 0.0)
        for name in COCO_KEYPOINTS
    )


def head_of(*names: str) -> list[float] | None:
    joints = joints_of(keypoints(*names))
    return joints[HEAD, :2].tolist() if joints[HEAD, 2] else None


def test_joints_are_those_of_the_keypoints_and_the_neck_is_between_the_shoulders() -> None:
    joints = joints_of(keypoints(*COCO_KEYPOINTS))
    assert joints[NECK].tolist() == [128, 72, 1]
    for name, joint in zip(JOINTS[2:], joints[2:], strict=True):
        assert tuple(joint[:2]) == STANDING[name]


def test_a_keypoint_of_low_confidence_or_without_a_number_is_missing() -> None:
    points = list(keypoints(*COCO_KEYPOINTS))
    points[9] = (*points[9][:2], 0.1)
    points[10] = (float("nan"), 3.0, 0.9)
    joints = joints_of(tuple(points))
    assert joints[:, 2].sum() == len(JOINTS) - 2
    assert not joints[[JOINTS.index("left_wrist"), JOINTS.index("right_wrist")]].any()


SHOULDERS, HIPS = ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")


@pytest.mark.parametrize(
    ("names", "head"),
    [
        ((*FACE, *SHOULDERS), [128, 72 - 22 / 0.55]),
        ((*FACE[1:], *SHOULDERS), [128, 72 - 26 / 0.65]),
        ((*FACE[3:], *SHOULDERS), [128, 72 - 24 / 0.60]),
        (("left_eye", *SHOULDERS), [128 + 4 / 0.65, 72 - 26 / 0.65]),
        (
            ("left_eye", "left_ear", *SHOULDERS),
            [128 + (4 / 0.65 + 8 / 0.60) / 2, 72 - (26 / 0.65 + 24 / 0.60) / 2],
        ),
        (FACE, [128, 46 - 2.5 * 8]),
        (("left_eye", "right_eye"), [128, 46 - 2.5 * 8]),
        ((*SHOULDERS, *HIPS), [128, 72 - 0.6 * 58]),
        (SHOULDERS, None),
        (HIPS, None),
        (("nose", "left_ear"), None),
    ],
)
def test_the_head_follows_the_first_rule_whose_keypoints_are_known(
    names: tuple[str, ...], head: list[float] | None
) -> None:
    found = head_of(*names)
    assert found == (head if head is None else pytest.approx(head))


def test_the_head_of_a_face_upside_down_is_below_the_eyes() -> None:
    points = np.zeros((17, 2))
    points[:3] = (50, 40), (46, 44), (54, 44)
    head = estimate_head(points, np.arange(17) < 3, None, None)
    assert head is not None
    assert head.tolist() == [50, 44 + 2.5 * 8]


def test_a_limb_is_an_ellipse_of_the_published_deviations() -> None:
    joints = np.zeros((14, 3))
    joints[2], joints[3] = (100, 80, 1), (100, 140, 1)  # 60 px, downwards
    prior = draw_prior(joints).astype(np.float64)

    def expected(across: float, along: float) -> float:
        return float(np.exp(-(across**2) / (2 * 11**2) - along**2 / (2 * 60**2 / 1.5)))

    for x, y in ((100, 110), (111, 110), (100, 150), (90, 95)):
        assert prior[y, x] == pytest.approx(expected(x + 0.5 - 100, y + 0.5 - 110), abs=1e-5)


def test_a_very_short_limb_has_the_least_variance_and_the_torso_its_own() -> None:
    joints = np.zeros((14, 3))
    joints[2], joints[3] = (100.5, 100.5, 1), (100.5, 100.5, 1)
    prior = draw_prior(joints)
    assert prior[100, 103] == pytest.approx(np.exp(-(3**2) / (2 * 5)), abs=1e-5)
    assert prior[103, 100] == pytest.approx(np.exp(-(3**2) / (2 * 11**2)), abs=1e-5)
    torso = np.zeros((14, 3))
    torso[[2, 5, 8, 11]] = (90, 60, 1), (110, 60, 1), (95, 120, 1), (105, 120, 1)
    assert draw_prior(torso)[90, 113] == pytest.approx(np.exp(-(13.5**2) / (2 * 13**2)), abs=1e-3)


def test_the_prior_is_the_maximum_over_limbs_and_0_without_any() -> None:
    joints = joints_of(keypoints(*COCO_KEYPOINTS))
    arm, leg = joints.copy(), joints.copy()
    arm[:, 2] *= np.isin(range(14), (2, 3))
    leg[:, 2] *= np.isin(range(14), (9, 10))
    both = joints.copy()
    both[:, 2] *= np.isin(range(14), (2, 3, 9, 10))
    assert np.array_equal(draw_prior(both), np.maximum(draw_prior(arm), draw_prior(leg)))
    assert not draw_prior(np.zeros((14, 3))).any()
    small = draw_prior(joints, 64)
    assert np.abs(small - draw_prior(joints)[2::4, 2::4]).max() < 0.05


@pytest.mark.slow
def test_the_logit_is_finite_everywhere_and_the_output_is_tanh_of_half_of_it() -> None:
    prior = draw_prior(joints_of(keypoints(*COCO_KEYPOINTS)))
    logit = prior_logit(prior).astype(np.float64)
    assert logit.min() == pytest.approx(np.log(0.02 / 0.98), abs=1e-4)
    assert logit.max() == pytest.approx(np.log(0.98 / 0.02), abs=1e-4)
    assert 2 * expit(logit) - 1 == pytest.approx(np.tanh(logit / 2), abs=1e-12)


def test_the_pose_map_has_one_peak_per_joint() -> None:
    joints = joints_of(keypoints("left_knee", *SHOULDERS))
    maps = draw_pose_map(joints)
    assert maps.shape == (14, 128, 128)
    drawn = [JOINTS[number] for number in range(14) if maps[number].any()]
    assert drawn == ["neck", "right_shoulder", "left_shoulder", "left_knee"]
    row, column = np.unravel_index(maps[JOINTS.index("left_knee")].argmax(), (128, 128))
    assert (row, column) in ((85, 69), (86, 70), (85, 70), (86, 69))
    assert maps[JOINTS.index("left_knee"), 86, 72] == pytest.approx(
        np.exp(-((2.5**2 + 0.5**2) / (2 * 1.75**2))), abs=1e-4
    )
