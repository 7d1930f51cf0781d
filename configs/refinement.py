"""One config block per kind of refiner, selected by `kind`.

A refiner replaces the masks of a segmenter by better ones. A block has a short form: `matting`, `guided_filter`,
`guided_filter:0.03` (the radius), `dense_crf`, `flow_smoothing`, `flow_smoothing:2` (the neighbors),
`sam:facebook/sam2.1-hiera-small`, `vitmatte:hustvl/vitmatte-small-composition-1k`, `vitpose:usyd-community/vitpose-base-simple`.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from configs.block import Block, Fraction01, expand_shorthand
from configs.matting import PlateBlock

ModelName = Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$", max_length=500)]
"""Folder of a model, or its name on the hub of Hugging Face."""


class RefinePlateBlock(PlateBlock):
    """The background plate of a shard."""

    samples: int = Field(60, ge=2, le=1000)
    """Frames of the shard from which the plate is computed; the segmenter runs once more on each."""
    search_frames: int = Field(0, ge=0, le=10_000)
    """Most frames searched for background that no sample shows; 0 for no search."""


class MattingRefineBlock(Block):
    """Background matting: the frame is compared with the static camera's background."""

    kind: Literal["matting"] = "matting"
    weights: Path | None = None
    """ONNX file of a matting network that `maskmill train matting` wrote; None: the network of the package."""
    plate: RefinePlateBlock = RefinePlateBlock()
    max_unseen: Fraction01 = 0.25
    """A mask stays as it is if the background behind a larger share of its pixels is unknown."""


class GuidedFilterBlock(Block):
    """Guided filter: a mask's contour moves to the edges of the image."""

    kind: Literal["guided_filter"] = "guided_filter"
    radius: float = Field(0.02, gt=0, le=0.5)
    """Radius of the filter's window, as a share of the longer side of the mask's box; at least one pixel."""
    eps: float = Field(1e-4, gt=0)
    """Variance of the image (values 0 to 1) below which a window counts as flat and the mask is only blurred."""
    guide: Literal["color", "gray"] = "color"


class DenseCrfBlock(Block):
    """Fully connected CRF (Kraehenbuehl and Koltun, 2011): a mask's contour moves to the colors around it.

    The constants were searched on 26 people of PennFudan and DAVIS with masks of the pose-mask network.
    """

    kind: Literal["dense_crf"] = "dense_crf"
    backend: Literal["window", "exact"] = "window"
    """`window`: colors are compared with every `dilation`-th neighbor within `radius_px`; `exact`: with every
    pixel, in an image of at most 64 x 64."""
    side_px: int = Field(160, ge=16, le=512)
    """Longer side of the image in which the CRF works, a crop around the mask; lengths are in its pixels."""
    softness: float = Field(0.0025, ge=0, le=0.5)
    """Blur of the mask before, as a share of the longer side of its box: how wrong its contour may be."""
    appearance_weight: float = Field(3.0, ge=0)
    """Weight of the agreement of near pixels of similar colors (published: 10)."""
    appearance_sigma_px: float = Field(7.5, gt=0)
    """Their standard deviation in position (published: 80)."""
    color_sigma: float = Field(16.0, gt=0)
    """Their standard deviation in color, of 0 to 255 (published: 13)."""
    smoothness_weight: float = Field(3.0, ge=0)
    """Weight of the agreement of near pixels (published: 3)."""
    smoothness_sigma_px: float = Field(1.5, gt=0)
    """Their standard deviation in position (published: 3)."""
    iterations: int = Field(5, ge=1, le=100)
    radius_px: int = Field(21, ge=1)
    """Half the side of the window."""
    dilation: int = Field(3, ge=1)
    """Distance of the neighbors in the window."""


class FlowSmoothingBlock(Block):
    """Smoothing over time: each contour becomes the mean of its neighbors', moved along optical flow."""

    kind: Literal["flow_smoothing"] = "flow_smoothing"
    neighbors: int = Field(2, ge=1, le=10)
    """Frames on each side; the segmenter runs once more on each."""
    window_s: float = Field(0.2, gt=0, le=5)
    """Longest time to a neighbor, in seconds."""
    sigma_s: float = Field(0.08, gt=0)
    """Standard deviation of the weights over time, in seconds."""
    softness: float = Field(0.03, ge=0, le=0.5)
    """Distance up to which contours are averaged, as a share of the longer side of the mask's box; what differs by more,
    as a missed arm, is decided by the majority. 0: everything is."""
    fill_missed: bool = True
    """Add a person whom the segmenter missed in a frame, but found in the majority of its neighbors."""
    causal: bool = False
    """Use only frames before, as a camera has them."""
    width_px: int = Field(480, ge=64, le=4096)
    """Width of the images between which optical flow is computed; narrower images are not enlarged."""
    shot_threshold: float = Field(30.0, gt=0)
    """As `sampling.shot_threshold`: there are no neighbors beyond a cut."""


class PretrainedRefineBlock(Block):
    """Base of the networks of `transformers`."""

    model: ModelName
    """Folder that `save_pretrained` wrote, or name on the hub, such as `facebook/sam2.1-hiera-small`."""
    revision: str | None = None
    """Commit on the hub; None: the newest. Its files' hash is part of the run in any case."""


class SamBlock(PretrainedRefineBlock):
    """Segment Anything: the network draws each person again, from the box and the surest keypoints.

    Models of `transformers`: SAM, SAM 2, SAM-HQ, EdgeTAM, and SAM 3's tracker. The person's score is multiplied by the
    IoU that the network expects its mask to have with the truth.
    """

    kind: Literal["sam"] = "sam"
    keypoints: int = Field(3, ge=0, le=17)
    """Keypoints of the most confidence that are prompts beside the box."""
    min_confidence: Fraction01 = 0.5
    """Keypoints of less confidence are no prompts."""
    min_iou: Fraction01 = 0.5
    """A mask whose IoU with the truth the network itself expects to be lower is not used."""
    min_iou_before: Fraction01 = 0.5
    """A mask whose IoU with the mask before is lower is not used: the network drew a part, or somebody else."""
    mask_threshold: Fraction01 = 0.5


class VitMatteBlock(PretrainedRefineBlock):
    """ViTMatte (Yao et al., 2023): the contour is decided pixel by pixel, within a band around the mask's."""

    kind: Literal["vitmatte"] = "vitmatte"
    band: float = Field(0.03, gt=0, le=0.5)
    """Width of the band on each side of the contour, as a share of the longer side of the mask's box; at least two pixels."""
    margin: Fraction01 = 0.15
    """Surroundings that the network sees on each side, as a share of the same."""
    side_px: int = Field(1024, ge=64, le=4096)
    """A crop whose longer side is longer is scaled down to it."""
    mask_threshold: Fraction01 = 0.5


class VitPoseBlock(PretrainedRefineBlock):
    """ViTPose (Xu et al., 2022): COCO's 17 keypoints of each person, in place of the segmenter's own; masks stay.

    Before `sam` in the list, its keypoints are prompts.
    """

    kind: Literal["vitpose"] = "vitpose"


NetworkBlock = SamBlock | VitMatteBlock | VitPoseBlock
"""Refiners that are networks of `transformers`."""

RefineBlock = Annotated[
    Annotated[
        MattingRefineBlock | GuidedFilterBlock | DenseCrfBlock | FlowSmoothingBlock | NetworkBlock,
        Field(discriminator="kind"),
    ],
    BeforeValidator(expand_shorthand),
]
