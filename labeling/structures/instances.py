"""Instances and model cards, the output of a segmenter."""

from dataclasses import dataclass, replace
from typing import Literal, Self

from configs.categories import PERSON
from labeling.structures.masks import BoxXywh, Mask, flip_mask

Keypoints = tuple[tuple[float, float, float], ...]
"""COCO's 17 as (x_px, y_px, confidence in [0, 1])."""

PersonDecision = Literal["accepted", "review", "ignored"]
"""`accepted`: the mask is right with the promised probability; `review`: a person should look at it; `ignored`: it is
probably no person, and no person is asked."""

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

_MIRRORED = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""For each of COCO's keypoints the one of the other side of the body."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One person, or one object of another category, as found by one segmenter.

    >>> mask = Mask.from_coco({"size": [2, 3], "counts": [2, 3, 1]})
    >>> Instance(mask, score=0.9, box_xywh=mask.box_xywh).box_xywh
    (1.0, 0.0, 2.0, 2.0)
    """

    mask: Mask
    score: float
    """Confidence in [0, 1]."""
    box_xywh: BoxXywh
    """The detector's box in pixels, or the mask's box if there is no detector."""
    keypoints: Keypoints | None = None
    stability: float | None = None
    """Share of the mask's pixels with a probability far from the threshold, in [0, 1]; None without
    probabilities. See `labeling.structures.probability_maps.stability_share`."""
    trust: float | None = None
    """Calibrated probability that a teacher's mask is right."""
    refined_by: str | None = None
    """The refiners that replaced the segmenter's mask, such as `matting:NAME@1f0c22ab`; None: the mask is its own."""
    iou_before: float | None = None
    """IoU of the refined mask with the segmenter's own, in [0, 1]; None: not refined."""
    not_refined: tuple[str, ...] = ()
    """Reasons of the refiners that left the mask as it was, each as `KIND: reason`."""
    networks_iou: float | None = None
    """IoU of the masks that two networks drew of the person, in [0, 1]; None: one network drew it."""
    track_id: int | None = None
    """Number of the person in the video, from 1; None: not tracked."""
    category: str = PERSON
    """Category in the dataset."""
    decision: PersonDecision | None = None
    """Whether this one of the teacher's masks is believed; None: not decided for itself (`trust.unit: frame`)."""

    def mirror(self, width: int) -> Self:
        """Return the instance flipped left to right in an image of this width."""
        x, y, w, h = self.box_xywh
        keypoints = self.keypoints
        if keypoints is not None and len(keypoints) == len(_MIRRORED):
            keypoints = tuple((width - keypoints[i][0], *keypoints[i][1:]) for i in _MIRRORED)
        return replace(
            self, mask=flip_mask(self.mask), box_xywh=(width - x - w, y, w, h), keypoints=keypoints
        )


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Identity of a model, stored with every instance it made.

    >>> ModelCard(kind="onnx", name="people.onnx", weights_sha256="31cb14c0", settings="{}").gives_instances
    True
    """

    kind: str
    name: str
    weights_sha256: str
    """Empty for a model without weights."""
    settings: str
    """Canonical JSON (sorted keys) of the settings that change its output: thresholds, input size."""
    gives_instances: bool = True
    """False for a semantic network: one mask for all people in the image, or for all objects of a category."""
    gives_masks: bool = True
    """False for a model of boxes and keypoints: its masks are filled boxes."""
    sees_mirrored: bool = True
    """False for a model for which a mirrored image means nothing: it knows one camera's background, or
    reads stored masks."""
