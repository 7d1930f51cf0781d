"""What a segmenter sees (frames) and says (instances)."""

from dataclasses import dataclass

from labeling.structures.masks import BoxXywh, Mask

Keypoints = tuple[tuple[float, float, float], ...]
"""COCO's 17 as (x_px, y_px, confidence in [0, 1])."""

COCO_KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

COCO_SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9),
    (8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
"""Limbs as pairs of 1-based keypoint numbers, as in COCO's category record."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One person, as one segmenter saw it."""

    mask: Mask
    score: float
    """Confidence in [0, 1]."""
    box_xywh: BoxXywh
    """The detector's box in pixels, or the mask's own where there is no detector."""
    keypoints: Keypoints | None = None
    stability: float | None = None
    """Share of the mask's pixels of which the network is sure, in [0, 1]; None: it has no probabilities to tell
    (`labeling.structures.probability_maps.stability_share`)."""
    trust: float | None = None
    """Probability that the mask is right, where a calibration says so of a teacher's."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Which model this is: what is stored beside every instance it made."""

    kind: str
    name: str
    weights_sha256: str
    """Empty for a model without weights."""
    settings: str
    """Canonical JSON of what changes its output (thresholds, input size), in sorted keys."""
    gives_keypoints: bool = False
    gives_instances: bool = True
    """False for a semantic network: one mask for everybody in the image."""
    gives_masks: bool = True
    """False for a model of boxes and joints: its masks are filled boxes."""
    sees_mirrored: bool = True
    """False for a model that knows the camera's place or reads stored masks: a mirrored image means
    nothing to it."""
