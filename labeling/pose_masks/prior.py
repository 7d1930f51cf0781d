"""The prior of a person's mask: ten elliptical Gaussians along the limbs, from 14 joints.

The joints are those of LSP: head, neck, shoulders, elbows, wrists, hips, knees, ankles. Neck and head are
computed from COCO's 17 keypoints. The limbs follow the segmentation module of Balakrishnan et al.:
Synthesizing Images of Humans in Unseen Poses, CVPR 2018. Coordinates are pixels of the network's crop.
"""

import numpy as np
from numpy.typing import NDArray

from labeling.structures.instances import Keypoints

FloatImage = NDArray[np.float32]
FloatArray = NDArray[np.float64]

JOINTS = (
    "head", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
)  # fmt: skip
HEAD, NECK = 0, 1
_COCO_OF_JOINT = (6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15)
"""COCO keypoint of each joint from the third."""
LIMBS = ((0, 1), (2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (11, 12), (12, 13))
"""Pairs of joints; the tenth limb is the torso, from the middle of the shoulders to that of the hips."""
SHOULDERS, HIPS = (2, 5), (8, 11)
MIN_CONFIDENCE = 0.2
"""Less confident keypoints are treated as missing."""
SIGMA_ACROSS_PX, TORSO_SIGMA_ACROSS_PX = 11.0, 13.0
"""Standard deviations across a limb."""
MIN_VARIANCE_ALONG_PX2, LENGTH2_PER_VARIANCE = 5.0, 1.5
"""The variance along a limb is its squared length over 1.5, at least 5."""
PRIOR_SIDE_PX = 256
"""Side of the crop to which the standard deviations refer."""
JOINT_SIGMA_PX = 1.75
"""Standard deviation of a joint in the pose map, which has half the crop's side."""
CLIP = (0.02, 0.98)
"""Range of the prior before its logit is taken."""
NOSE_SHARE, EYE_SHARE, EAR_SHARE = 0.55, 0.65, 0.60
"""Distances of facial keypoints from the neck, as shares of the distance of the head's top."""
EYES_TO_TOP = 2.5
"""Distance of the head's top from the eyes, in distances between the eyes."""
TORSO_TO_TOP = 0.6
"""Distance of the head's top from the neck, as a share of the torso's length."""
_NOSE, _EYES, _EARS = 0, (1, 2), (3, 4)


def joints_of(keypoints: Keypoints, *, min_confidence: float = MIN_CONFIDENCE) -> FloatArray:
    """Return the 14 joints of COCO's 17 keypoints as 14x3: x, y, and 1 if found (0, 0, 0 otherwise).

    >>> joints_of(((0.0, 0.0, 0.0),) * 17).any()
    np.False_
    """
    points = np.asarray(keypoints, dtype=np.float64).reshape(17, 3)
    is_found = np.isfinite(points).all(axis=1) & (points[:, 2] >= min_confidence)
    joints = np.zeros((len(JOINTS), 3))
    for joint, keypoint in enumerate(_COCO_OF_JOINT, start=2):
        if is_found[keypoint]:
            joints[joint] = (*points[keypoint, :2], 1)
    if (neck := _middle(joints, SHOULDERS)) is not None:
        joints[NECK] = (*neck, 1)
    head = estimate_head(points[:, :2], is_found, neck, _middle(joints, HIPS))
    if head is not None:
        joints[HEAD] = (*head, 1)
    return joints


def estimate_head(
    points: FloatArray, is_found: NDArray[np.bool_], neck: FloatArray | None, hips: FloatArray | None
) -> FloatArray | None:
    """Return the top of the head; None if it cannot be told.

    `points` is 17x2. With a neck, the head lies on the ray from the neck through the nose, the eyes, or the
    ears: the first that is known wholly, or the mean over those of which one side is known. Without any, it
    continues the torso. Without a neck, it lies above the eyes, on the side away from the nose.
    """
    eyes, ears = (_middle_of_pair(points, is_found, pair) for pair in (_EYES, _EARS))
    if neck is None:
        nose = points[_NOSE] if is_found[_NOSE] else None
        return _above_eyes(points, nose) if is_found[list(_EYES)].all() else None
    if is_found[_NOSE]:
        return _beyond(neck, points[_NOSE], NOSE_SHARE)
    if eyes is not None and is_found[list(_EYES)].all():
        return _beyond(neck, eyes, EYE_SHARE)
    if ears is not None and is_found[list(_EARS)].all():
        return _beyond(neck, ears, EAR_SHARE)
    one_sided = [
        _beyond(neck, at, share) for at, share in ((eyes, EYE_SHARE), (ears, EAR_SHARE)) if at is not None
    ]
    if one_sided:
        return np.asarray(np.mean(one_sided, axis=0))
    return None if hips is None else neck + TORSO_TO_TOP * (neck - hips)


def _beyond(neck: FloatArray, at: FloatArray, share: float) -> FloatArray:
    return np.asarray(neck + (at - neck) / share)


def _above_eyes(points: FloatArray, nose: FloatArray | None) -> FloatArray:
    first, second = points[list(_EYES)]
    across = second - first
    up = np.array([across[1], -across[0]])
    away_from = (first + second) / 2 - nose if nose is not None else np.array([0.0, -1.0])
    if up @ away_from < 0:
        up = -up
    return np.asarray((first + second) / 2 + EYES_TO_TOP * up)


def _middle(joints: FloatArray, pair: tuple[int, int]) -> FloatArray | None:
    return _middle_of_pair(joints[:, :2], joints[:, 2] > 0, pair)


def _middle_of_pair(
    points: FloatArray, is_found: NDArray[np.bool_], pair: tuple[int, int]
) -> FloatArray | None:
    """Return the middle of those of a pair that are found; None without any."""
    found = [points[one] for one in pair if is_found[one]]
    return np.asarray(np.mean(found, axis=0)) if found else None


def find_limbs(joints: FloatArray) -> list[tuple[FloatArray, FloatArray, float]]:
    """Return the known limbs as start, end, and the standard deviation across, in pixels."""
    is_found = joints[:, 2] > 0
    limbs = [(joints[a, :2], joints[b, :2], SIGMA_ACROSS_PX) for a, b in LIMBS if is_found[a] and is_found[b]]
    top, low = _middle(joints, SHOULDERS), _middle(joints, HIPS)
    if top is not None and low is not None:
        limbs.append((top, low, TORSO_SIGMA_ACROSS_PX))
    return limbs


def draw_prior(joints: FloatArray, side: int = PRIOR_SIDE_PX) -> FloatImage:
    """Return the prior in [0, 1], side x side: the maximum over the limbs' Gaussians, each with peak 1.

    `joints` are in pixels of the 256 px crop, whatever `side` is.

    >>> joints = np.zeros((14, 3))
    >>> joints[[2, 3]] = (128, 100, 1), (128, 156, 1)
    >>> prior = draw_prior(joints)
    >>> bool(prior[128, 128] > 0.99), bool(prior[128, 139] < 0.62), float(prior[0, 0]) < 0.001
    (True, True, True)
    """
    unit = PRIOR_SIDE_PX / side
    centers = ((np.arange(side) + 0.5) * unit).astype(np.float32)
    x, y = centers[None, :], centers[:, None]
    smallest = np.full((side, side), np.inf, dtype=np.float32)
    for start, end, sigma_across in find_limbs(joints):
        middle, along = (start + end) / 2, end - start
        length2 = float(along @ along)
        unit_xy = along / np.sqrt(length2) if length2 > 0 else np.array([1.0, 0.0])
        right, down = np.float32(unit_xy[0]), np.float32(unit_xy[1])
        forward = (x - np.float32(middle[0])) * right + (y - np.float32(middle[1])) * down
        sideways = (y - np.float32(middle[1])) * right - (x - np.float32(middle[0])) * down
        variance = max(MIN_VARIANCE_ALONG_PX2, length2 / LENGTH2_PER_VARIANCE)
        exponent = forward**2 * np.float32(0.5 / variance) + sideways**2 * np.float32(0.5 / sigma_across**2)
        np.minimum(smallest, exponent, out=smallest)
    return np.asarray(np.exp(-smallest), dtype=np.float32)


def draw_pose_map(joints: FloatArray, side: int = PRIOR_SIDE_PX // 2) -> FloatImage:
    """Return one Gaussian per joint, 14 x side x side; the map of a missing joint is 0.

    The paper has all joints in one map, the maximum over these.
    """
    maps = np.zeros((len(JOINTS), side, side), dtype=np.float32)
    sigma = JOINT_SIGMA_PX * 2 * side / PRIOR_SIDE_PX
    centers = np.arange(side) + 0.5
    for joint, (x, y, found) in enumerate(joints):
        if found:
            at = np.array([x, y]) * side / PRIOR_SIDE_PX
            across, down = (np.exp(-((centers - position) ** 2) / (2 * sigma**2)) for position in at)
            maps[joint] = down[:, None] * across[None, :]
    return maps


def prior_logit(prior: FloatImage) -> FloatImage:
    """Return the logit of the prior clipped to [0.02, 0.98]: finite everywhere, so that gradients are not 0."""
    clipped = np.clip(prior, *CLIP)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float32)
