"""One config block per kind of segmenter; `kind` tells them apart.

A block may be written as a word: `lite`, `torchvision:maskrcnn_resnet50_fpn_v2`, `background:mog2`,
`python:package.module:factory`.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

Fraction01 = Annotated[float, Field(ge=0.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


_SECRET_IN_QUERY = re.compile(r"(?i)[?&;][^=&;]*(?:key|pass|pwd|secret|sig|token)[^=&;]*=")


def _refuse_secrets(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise PydanticCustomError("not_a_url", "not a URL") from exc
    if "@" in parts.netloc or _SECRET_IN_QUERY.search(url):
        raise PydanticCustomError("secret_in_url", "keep secrets out of URLs: name a variable in token_env")
    return url


class Block(BaseModel):
    """A frozen part of a config; unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,  # what stands under a setting stands beside its field in Prefect's UI
        field_title_generator=lambda key, _: key,  # and its key above it
    )


class TorchvisionBlock(Block):
    """Networks of torchvision, with its own weights."""

    kind: Literal["torchvision"] = "torchvision"
    model: Literal[
        "maskrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn_v2",
        "keypointrcnn_resnet50_fpn",
        "lraspp_mobilenet_v3_large",
        "deeplabv3_mobilenet_v3_large",
        "deeplabv3_resnet50",
        "deeplabv3_resnet101",
    ] = "maskrcnn_resnet50_fpn_v2"
    weights: str = "DEFAULT"
    """A member of the model's weights enum, or `random` (seeded) for trials without a network."""
    min_score: Fraction01 = 0.5
    """Detections below this score are not instances."""
    mask_threshold: Fraction01 = 0.5
    """A pixel belongs to the mask above this probability."""
    min_size: int | None = Field(None, ge=32)
    """Detectors only: shorter side in pixels that images are scaled to; None: the model's own."""


class LiteBlock(Block):
    """FastestDet boxes, then MediaPipe pose landmarks: a mask and 17 keypoints per box, on a CPU."""

    kind: Literal["lite"] = "lite"
    min_box_score: Fraction01 = 0.4
    min_presence: Fraction01 = 0.1
    """The landmark network's probability that the close crop shows a person; low for small people."""
    min_score: Fraction01 = 0.7
    """Instances whose score, made of box, presence and mask, is lower are nobody."""
    mask_threshold: Fraction01 = 0.5
    box_iou: Fraction01 = 0.45
    """Boxes overlapping more than this are one (non-maximum suppression)."""
    tiles: Literal["auto"] | Annotated[int, Field(ge=1, le=4)] = "auto"
    """1: the whole image; n: also n x n overlapping tiles; auto: 2 where the people seen are small."""


class SelfieBlock(Block):
    """MediaPipe selfie segmentation: one mask per image."""

    kind: Literal["selfie"] = "selfie"
    mask_threshold: Fraction01 = 0.5
    min_area: Fraction01 = 0.001
    """A mask smaller than this share of the image is nobody."""


class CustomNetworkBlock(Block):
    """A user's own network: one image in, one person map out."""

    kind: Literal["onnx", "torchscript", "litert"]
    path: Path
    sha256: Sha256 | None = None
    input_hw: tuple[int, int]
    """Height and width that the network wants."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    channels: Literal["rgb", "bgr"] = "rgb"
    scale: float = 1 / 255
    """Pixel values are multiplied by this first; 1 for a network that takes 0 to 255."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted after scaling."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divided by after the mean."""
    output: Literal["probability", "logits", "class_map"] = "probability"
    output_index: int = Field(0, ge=0)
    person_class: int = Field(0, ge=0)
    """Channel of a probability or logits map with several, or the value in a class map."""
    softmax: bool = False
    """Logits over several channels: softmax instead of a sigmoid."""
    mask_threshold: Fraction01 = 0.5
    min_area: Fraction01 = 0.001
    connected_components: bool = False
    """Connected components become instances of their own."""


class MasksFolderBlock(Block):
    """Masks made elsewhere, on a device for example."""

    kind: Literal["masks_folder"] = "masks_folder"
    path: Path
    """PNG folder, or a COCO results/annotation file (.json)."""
    version: str = ""
    """Any word: masks made anew are another run only under another version."""
    missing: Literal["empty", "error"] = "empty"
    """What a frame without a file means."""


class HttpBlock(Block):
    """A service: POST an image, get a mask (PNG) or COCO results (JSON) back."""

    kind: Literal["http"] = "http"
    url: Annotated[str, AfterValidator(_refuse_secrets)]
    version: str = ""
    """Any word: another model behind the same URL is another run only under another version."""
    timeout_s: float = Field(10.0, gt=0)
    retries: int = Field(3, ge=0)
    mask_threshold: Fraction01 = 0.5
    token_env: str | None = None
    """Name of the environment variable that holds a bearer token; the token itself is never stored."""


class BackgroundBlock(Block):
    """What differs from a static camera's background; needs no weights."""

    kind: Literal["background"] = "background"
    method: Literal["plate", "mog2", "knn"] = "plate"
    samples: int = Field(60, ge=8, le=500)
    """Images taken over the clip to learn the background."""
    min_difference: float = Field(30.0, gt=0)
    """Plate only: color distance, 0 to 441, from which a pixel is foreground."""
    min_area: Fraction01 = 0.002
    """A component smaller than this share of the image is noise."""
    close: Fraction01 = 0.02
    """Gaps narrower than this share of the image's height are closed."""
    min_aspect_ratio: float = Field(0.0, ge=0)
    """Components less tall than this times their width are not people; 0 keeps all."""


class PythonBlock(Block):
    """Anything else: `package.module:factory`, called with `options`, gives a segmenter."""

    kind: Literal["python"] = "python"
    factory: str = Field(pattern=r"^[\w.]+:\w+$")
    options: dict[str, Any] = {}


_SHORTHAND = {
    "torchvision": "model",
    "background": "method",
    "masks_folder": "path",
    "http": "url",
    "python": "factory",
}


def expand_shorthand(block: Any) -> Any:
    """Make a mapping of a block that was written as a word; anything else stays as it is."""
    if not isinstance(block, str):
        return block
    kind, _, value = block.partition(":")
    return {"kind": kind, _SHORTHAND.get(kind, "path"): value} if value else {"kind": kind}


SegmenterBlock = Annotated[
    Annotated[
        TorchvisionBlock
        | LiteBlock
        | SelfieBlock
        | CustomNetworkBlock
        | MasksFolderBlock
        | HttpBlock
        | BackgroundBlock
        | PythonBlock,
        Field(discriminator="kind"),
    ],
    BeforeValidator(expand_shorthand),
]
