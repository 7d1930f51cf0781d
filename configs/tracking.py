"""One config block per kind of tracker, selected by `kind`. Short forms: `mask`, `bytetrack`, `none`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from configs.block import Block, Fraction01, expand_shorthand


class TrackerBlock(Block):
    """What all trackers have."""

    lost_s: float = Field(2.0, gt=0, le=60)
    """A person who was not seen for longer is a new one."""
    keypoints: bool = True
    """For `pose_filter.full_body`: fill keypoints that the teacher drops for a few frames, from the frames before
    (labeling/tracking/keypoint_tracks.py)."""


class MaskTrackingBlock(TrackerBlock):
    """The overlap of masks moved by optical flow, motion, and colors (labeling/tracking/mask_tracker.py)."""

    kind: Literal["mask"] = "mask"
    lost_s: float = Field(3.0, gt=0, le=60)
    unconfirmed_s: float = Field(0.6, gt=0, le=60)
    """As `lost_s`, for a person who was seen in one frame only."""
    max_cost: Fraction01 = 0.7
    """Largest cost at which an instance continues a track (labeling/tracking/association.py)."""


class ByteTrackBlock(TrackerBlock):
    """ByteTrack of the library `trackers` (Zhang et al., ECCV 2022): boxes and motion only."""

    kind: Literal["bytetrack"] = "bytetrack"
    min_iou: Fraction01 = 0.1
    """Smallest IoU of a box with the predicted one."""
    high_score: Fraction01 = 0.6
    """Score from which an instance is matched first and may start a track."""


def _read_short(block: Any) -> Any:
    """Expand a short form; settings without a kind are those of `mask`."""
    if block == "none":
        return None
    if isinstance(block, Mapping) and "kind" not in block:
        return {"kind": "mask", **block}
    return expand_shorthand(block)


TrackingBlock = Annotated[
    Annotated[MaskTrackingBlock | ByteTrackBlock, Field(discriminator="kind")] | None,
    BeforeValidator(_read_short),
]
