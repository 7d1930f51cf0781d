"""What a segmenter sees (frames) and says (instances)."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from labeling.masks import BoxXywh, Mask

RgbPicture = NDArray[np.uint8]
"""HxWx3, RGB, 0 to 255."""

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
class Clip:
    """A time range of one video, `start_s` <= t < `end_s` (None: to the end), or a list of pictures.

    A video has `path`; a folder of pictures has `pictures`, whose position in that list stands
    where a video has milliseconds, and no temporal step applies to it.
    """

    video_id: str
    path: Path | None = None
    start_s: Fraction = Fraction(0)
    end_s: Fraction | None = None
    pictures: tuple["PictureFile", ...] = ()

    @property
    def is_temporal(self) -> bool:
        return self.path is not None


@dataclass(frozen=True, slots=True)
class PictureFile:
    """One picture of a folder: `position` is its frame number for good, whatever is added later."""

    position: int
    path: Path
    original_name: str = ""
    """What it is called where it came from; empty: as the file."""
    t_ms: int | None = None
    """When it was taken, where the pictures are the frames of one shot."""

    @property
    def name(self) -> str:
        return self.original_name or self.path.name


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One candidate picture, known by (video, `t_ms`)."""

    video_id: str
    t_ms: int
    rgb: RgbPicture
    shot: int = 0
    """Presentation time in ms of the cut that began this shot."""
    sharpness: float = 0.0
    name: str = ""
    """File name, for pictures of a folder; empty for frames of a video."""
    t: Fraction = Fraction(0)
    """Exact presentation time in seconds, which `t_ms` rounds."""

    @property
    def size_hw(self) -> tuple[int, int]:
        height, width = self.rgb.shape[:2]
        return height, width

    def mirror(self) -> Self:
        """The picture as a mirror shows it, left and right changed."""
        return replace(self, rgb=np.ascontiguousarray(self.rgb[:, ::-1]))


@dataclass(frozen=True, slots=True)
class Instance:
    """One person, as one segmenter saw it."""

    mask: Mask
    score: float
    """Confidence in [0, 1]."""
    box_xywh: BoxXywh
    """The detector's box in pixels, or the mask's own where there is no detector."""
    keypoints: Keypoints | None = None
    decided: float | None = None
    """Share of the mask's pixels of which the network is sure, in [0, 1]; None: it has no probabilities to tell
    (`labeling.segmenters.person_maps.share_decided`)."""
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
    """False for a semantic network: one mask for everybody in the picture."""
    gives_masks: bool = True
    """False for a model of boxes and joints: its masks are filled boxes."""
    sees_mirrored: bool = True
    """False for a model that knows the camera's place or reads stored masks: a mirrored picture means
    nothing to it."""
