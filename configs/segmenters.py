"""One config block per kind of segmenter, selected by `kind`.

A block has a short form: `lite`, `torchvision:maskrcnn_resnet50_fpn_v2`, `background:mog2`,
`python:package.module:factory`.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, model_validator
from pydantic_core import PydanticCustomError

from configs.block import Block, Fraction01, Names, expand_shorthand
from configs.categories import PERSON
from configs.errors import ConfigError
from configs.refinement import ModelName, RefineBlock

CategoryName = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^\w[\w -]*\w$|^\w$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


_SECRET_IN_QUERY = re.compile(r"(?i)[?&;][^=&;]*(?:key|pass|pwd|secret|sig|token)[^=&;]*=")


def _refuse_secrets(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise PydanticCustomError(
            "not_a_url", "not a URL: write one such as http://host:8080/segment"
        ) from exc
    if "@" in parts.netloc or _SECRET_IN_QUERY.search(url):
        raise PydanticCustomError(
            "secret_in_url",
            "a URL must not contain a secret: put it into an environment variable and name that in token_env",
        )
    return url


class MaskBlock(Block):
    """Base of the segmenters' blocks."""

    refine: tuple[RefineBlock, ...] = ()
    """Refiners that improve its masks, in order: `matting` (static camera), `guided_filter` and `dense_crf`
    (any clip)."""


class TorchvisionBlock(MaskBlock):
    """Networks of torchvision with their published weights."""

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
    """A member of the model's weights enum, or `random` (seeded) for tests without a network."""
    min_score: Fraction01 = 0.5
    """Detections below this score are dropped."""
    mask_threshold: Fraction01 = 0.5
    """Probability above which a pixel belongs to the mask."""
    min_size: int | None = Field(None, ge=32)
    """Detectors only: images are scaled to this shorter side in pixels; None: the model's own."""


class TransformersBlock(MaskBlock):
    """A segmentation network of Hugging Face's `transformers`, with instances or one person map.

    RF-DETR, Mask2Former, MaskFormer, EoMT and DETR find each person; SegFormer and other semantic networks give one
    mask for all people; SAM 3 finds what `text` names.
    """

    kind: Literal["transformers"] = "transformers"
    model: ModelName
    """Folder that `save_pretrained` wrote, or name on the hub, such as `facebook/mask2former-swin-large-coco-instance`."""
    revision: str | None = None
    """Commit on the hub; None: the newest. Its files' hash is part of the run in any case."""
    text: str = Field("person", min_length=1)
    """SAM 3 only: what to find."""
    person_labels: Names = ()
    """The network's labels of people; empty: `person`, `people`, `human` or `pedestrian`, in any case."""
    min_score: Fraction01 = 0.5
    """Instances below this score are dropped."""
    mask_threshold: Fraction01 = 0.5
    """Probability above which a pixel belongs to the mask."""
    min_area: Fraction01 = 0.0001
    """Masks smaller than this share of the image are dropped."""
    max_iou: Fraction01 = 0.8
    """Of masks that overlap by more than this IoU, the one with the best score is kept."""


class LiteBlock(MaskBlock):
    """FastestDet boxes and MediaPipe pose landmarks: a mask and 17 keypoints per box, on a CPU."""

    kind: Literal["lite"] = "lite"
    min_box_score: Fraction01 = 0.4
    min_presence: Fraction01 = 0.1
    """Smallest probability, by the landmark network, that the crop shows a person; low for small people."""
    min_score: Fraction01 = 0.7
    """Smallest score of an instance, combined from box, presence and mask."""
    mask_threshold: Fraction01 = 0.5
    box_iou: Fraction01 = 0.45
    """Boxes with a larger IoU are one person (non-maximum suppression)."""
    tiles: Literal["auto"] | Annotated[int, Field(ge=1, le=4)] = "auto"
    """1: the whole image; n: also n x n overlapping tiles; auto: 2 if the people found are small."""
    landmarks: Literal["lite", "cascade", "heavy"] = "lite"
    """Landmark network that draws the masks. `lite`: about 10 ms for each crop of a person; `heavy`: better masks, 55 ms;
    `cascade`: lite finds the people, and heavy draws them again: its mask is taken where both agree."""


class SelfieBlock(MaskBlock):
    """MediaPipe selfie segmentation: one mask per image."""

    kind: Literal["selfie"] = "selfie"
    mask_threshold: Fraction01 = 0.5
    min_area: Fraction01 = 0.001
    """Masks smaller than this share of the image are dropped."""


NetworkKind = Literal["onnx", "torchscript", "litert"]
NETWORK_KINDS: dict[str, NetworkKind] = {
    ".onnx": "onnx",
    ".tflite": "litert",
    ".pt": "torchscript",
    ".pth": "torchscript",
    ".ts": "torchscript",
}
"""The kind of a network's file by its suffix."""


class CustomNetworkBlock(MaskBlock):
    """Your own network: one image in, one map of people out."""

    kind: NetworkKind
    path: Path
    sha256: Sha256 | None = None
    input_hw: tuple[int, int] | None = None
    """Height and width of the network's input; None: those of the file, where they are fixed."""
    layout: Literal["nchw", "nhwc"] | None = None
    """Order of the input's axes; None: found from the file, or else nchw. Those of the output are found from its
    lengths, and only where they fit both orders, this one counts."""
    channels: Literal["rgb", "bgr", "gray"] = "rgb"
    """A network whose file declares an input of one channel gets gray, with the first value of mean and std."""
    scale: float | None = None
    """Factor for pixel values, applied first. None: 1 if mean or std are beyond 2, which is in levels of 255, and for a
    network that takes whole numbers from 0 to 255, if there is no mean and std; otherwise 1/255."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted after scaling."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0)
    """Divided by after the mean."""
    output: Literal["probability", "logits", "class_map"] = "probability"
    output_index: int | None = Field(None, ge=0)
    """Which of several outputs, counted from 0. None: the map named as an alpha matte is (pha, alpha, matte, mask), or else
    the first map that is no image."""
    person_class: int = Field(0, ge=0)
    """Channel of people in a map with several channels, or their value in a class map."""
    classes: dict[Annotated[int, Field(ge=0)], CategoryName] = Field(default_factory=dict)
    """Categories of the dataset by class, such as `{15: person, 8: cat}`, in place of `person_class`; several classes may
    be one category. Empty: people alone."""
    softmax: bool | None = None
    """Softmax over the channels of logits (true) or a sigmoid of each (false); None: softmax for several channels."""
    output_scale: float | None = Field(None, gt=0)
    """Factor for the output's values; None: whole numbers of 8 or 16 bits without a quantization of their own are scaled
    by their range, such as 1/255, and other values are taken as they are."""
    mask_threshold: Fraction01 = 0.5
    min_area: Fraction01 = 0.001
    connected_components: bool = False
    """Each connected component becomes an instance."""

    @property
    def known_input_hw(self) -> tuple[int, int]:
        """Height and width of the input of a network that is loaded."""
        if self.input_hw is None:
            raise ConfigError(
                f"{self.kind} model {self.path.name} takes images of any size, or its file does not say which: add "
                "input_hw: [HEIGHT, WIDTH], the size that it was trained with, such as input_hw: [256, 256]"
            )
        return self.input_hw

    @property
    def known_output_index(self) -> int:
        """Position of the output of a network that is loaded."""
        return self.output_index or 0

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        if self.classes and self.person_class:
            raise PydanticCustomError(
                "two_persons",
                "person_class and classes exclude each other: name people in classes, as {{N: person}}",
            )
        if self.refine and set(self.classes.values()) - {PERSON}:
            raise PydanticCustomError(
                "refined_objects",
                "refiners know people only: remove refine, or the other categories of classes",
            )
        return self

    def maps(self) -> dict[str, tuple[int, ...]]:
        """Return the classes of each category."""
        found: dict[str, tuple[int, ...]] = {}
        for number, name in sorted(self.classes.items()) or [(self.person_class, PERSON)]:
            found[name] = (*found.get(name, ()), number)
        return found


class MasksFolderBlock(MaskBlock):
    """Masks made elsewhere, for example on a device."""

    kind: Literal["masks_folder"] = "masks_folder"
    path: Path
    """Folder of PNG masks, or a COCO results or annotation file (.json)."""
    version: str = ""
    """Any text. Change it when the masks change: only then they are another run."""
    missing: Literal["empty", "error"] = "empty"
    """What to do for a frame without a mask: no person, or an error. It is an error in any case if no frame has one."""
    person_category: Names = ()
    """COCO only: names or ids of the categories of people. Empty: `person` or `people` in any case, or id 1 where no
    categories are listed."""
    min_score: Fraction01 = 0.5
    """COCO only: records below this score are dropped."""


class HttpBlock(MaskBlock):
    """A service that receives an image by POST and returns a mask (PNG) or COCO results (JSON)."""

    kind: Literal["http"] = "http"
    url: Annotated[str, AfterValidator(_refuse_secrets)]
    version: str = ""
    """Any text. Change it when the model behind the URL changes: only then it is another run."""
    timeout_s: float = Field(10.0, gt=0)
    retries: int = Field(3, ge=0)
    mask_threshold: Fraction01 = 0.5
    person_category: Names = ()
    """COCO only: names or ids of the categories of people. Empty: `person` or `people` in any case, or id 1 where no
    categories are listed."""
    min_score: Fraction01 = 0.5
    """COCO only: records below this score are dropped."""
    token_env: str | None = None
    """Environment variable that holds a bearer token; the token itself is never stored."""


class BackgroundBlock(MaskBlock):
    """Difference from the background of a static camera; requires no weights."""

    kind: Literal["background"] = "background"
    method: Literal["plate", "mog2", "knn"] = "plate"
    samples: int = Field(60, ge=8, le=500)
    """Images of the clip from which the background is learned."""
    min_difference: float = Field(30.0, gt=0)
    """Plate only: color distance (0 to 441) from which a pixel is foreground."""
    min_area: Fraction01 = 0.002
    """Components smaller than this share of the image are dropped."""
    close: Fraction01 = 0.02
    """Gaps narrower than this share of the image's height are closed."""
    min_aspect_ratio: float = Field(0.0, ge=0)
    """Components whose height is less than this times their width are dropped; 0 keeps all."""


class RegistryBlock(MaskBlock):
    """A student that was trained here. When a run begins it becomes `kind: onnx` with a file and its hash."""

    kind: Literal["registry"] = "registry"
    model: str = Field("current", pattern=r"^(current|[0-9a-f]{6,64})$")
    """`current`: the one that was promoted last; or the first digits of an id of `maskmill student list`."""
    file: Literal["onnx", "int8"] = "onnx"
    """The network of 32-bit numbers, or that of 8-bit numbers."""


class PythonBlock(MaskBlock):
    """Your own Python code: `package.module:factory` is called with `options` and returns a segmenter."""

    kind: Literal["python"] = "python"
    factory: str = Field(pattern=r"^[\w.]+:\w+$")
    options: dict[str, Any] = Field(default_factory=dict)


KeypointsBlock = Annotated[
    Annotated[
        TorchvisionBlock | LiteBlock | MasksFolderBlock | HttpBlock | PythonBlock,
        Field(discriminator="kind"),
    ],
    BeforeValidator(expand_shorthand),
]
"""Segmenters that can give keypoints."""

BaseBlock = Annotated[
    Annotated[
        TorchvisionBlock
        | TransformersBlock
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
"""All segmenters but `pose_guided` and `osvos`."""


class PoseGuidedBlock(MaskBlock):
    """Masks from the keypoints of a pose model: by graph cut, or by a small network."""

    kind: Literal["pose_guided"] = "pose_guided"
    pose: KeypointsBlock = LiteBlock()
    """Finds people and their keypoints; its masks are not used."""
    method: Literal["network", "graph_cut"] = "network"
    """`network`: a U-Net that corrects a prior along the limbs (requires `maskmill[lite]`); `graph_cut`: seeds of the
    skeleton (requires `maskmill[graphcut]`)."""
    solver: Literal["grab_cut", "max_flow", "cooperative"] = "grab_cut"
    """Graph cut only: OpenCV's GrabCut, one minimum cut, or several with a discount for contours that are cut often."""
    path: Path | None = None
    """ONNX file that `maskmill train pose-mask` wrote; None: the network of the package."""
    base: BaseBlock | None = None
    """A segmenter whose masks are kept as they are: only people that it misses get a pose-guided mask. None: all
    people that `pose` finds get one."""
    min_confidence: Fraction01 = 0.2
    """Keypoints of less confidence are treated as missing."""
    min_keypoints: int = Field(4, ge=1, le=17)
    """With fewer keypoints, the mask is GrabCut's in the person's box, and the score is halved."""
    mask_threshold: Fraction01 = 0.5

    @model_validator(mode="after")
    def _check_keypoints(self) -> Self:
        if isinstance(self.pose, TorchvisionBlock) and not self.pose.model.startswith("keypoint"):
            raise PydanticCustomError(
                "no_keypoints",
                "pose: {model} gives no keypoints: use lite or torchvision:keypointrcnn_resnet50_fpn",
                {"model": self.pose.model},
            )
        return self


class OsvosBlock(MaskBlock):
    """People whose trajectories are known: a network is fine-tuned to each, and follows them through the video."""

    kind: Literal["osvos"] = "osvos"
    trajectories: Path
    """Text file `frame pID x y`, in world coordinates or pixels, or a folder with `VIDEO.txt` for each video."""
    homography: Path | None = None
    """3x3 text file, pixels to the world, or a folder with `VIDEO.homography.txt`; None: fitted to the people found."""
    version: str = ""
    """Any text. Change it when the files change: only then it is another run."""
    people: tuple[int, ...] | None = None
    """Ids of the people to segment; None: all."""
    mask_source: Literal["teacher", "background"] = "teacher"
    """Masks to learn from: the teacher's, or what differs from the background inside the teacher's boxes."""
    teacher: BaseBlock = LiteBlock()
    """Finds people in the annotated frames."""
    homography_hw: tuple[int, int] | None = None
    """Height and width of the image that the homography was made for; None: found by trial."""
    order: Literal["xy", "row_col"] | None = None
    """Order of the homography's pixel coordinates; None: found by trial."""
    inverse: bool | None = None
    """The homography maps the world to pixels; None: found by trial."""
    anchor: Literal["top", "center", "bottom"] | None = None
    """Point of a person that is annotated; None: found by trial."""
    frame_step: float | None = Field(None, gt=0)
    """Frames of the video per annotated frame number; None: found by trial."""
    frame_offset: float = 0.0
    """Frame of the video at the annotated number 0."""
    max_distance_px: float = Field(40.0, gt=0)
    """A box must be nearer than this to an annotated point; otherwise the frame is skipped."""
    max_distance: Fraction01 | None = None
    """The same as a share of the image's diagonal; None: `max_distance_px` holds."""
    beyond_s: float = Field(0.0, ge=0)
    """How long people are followed before their first and after their last annotation."""
    uses_plate: bool = True
    """The camera is static: the difference from the empty scene is an input of the network."""
    method: Literal["osvos", "sam2"] = "osvos"
    """`osvos`: a network is fine-tuned to each person; `sam2`: SAM 2 is prompted with the expected boxes."""
    sam2: Path | None = None
    """Folder of a video model of SAM 2, as `transformers` saves it (requires `maskmill[transformers]`)."""
    backbone: str = "tf_efficientnet_lite0"
    """Network of `timm` whose feature maps are used."""
    weights: Path | None = None
    """File of the backbone's weights; None: random weights, which are worse."""
    parent: Path | None = None
    """File of `maskmill train osvos-parent`; None: the head starts from a training on all people of the video."""
    mask_threshold: Fraction01 = 0.5
    batch: int = Field(16, ge=1)
    """Crops per step of the training."""
    samples: int = Field(48, ge=1)
    """Augmented crops from which a person is learned."""
    epochs: int = Field(8, ge=1)
    """Passes over the crops, at most; the training ends earlier when the loss stops falling."""
    cpu_cap_s: float = Field(30.0, gt=0)
    """Processor seconds after which the training of a person ends."""
    seed: int = Field(0, ge=0)
    cache: Path | None = None
    """Folder for what was learned; None: `osvos` in the cache folder."""

    @model_validator(mode="after")
    def _check_teacher(self) -> Self:
        if isinstance(self.teacher, SelfieBlock):
            raise PydanticCustomError(
                "no_instances", "teacher: selfie gives one mask for all people: use lite or torchvision"
            )
        return self


SegmenterBlock = Annotated[
    Annotated[
        TorchvisionBlock
        | TransformersBlock
        | LiteBlock
        | SelfieBlock
        | CustomNetworkBlock
        | MasksFolderBlock
        | HttpBlock
        | BackgroundBlock
        | OsvosBlock
        | PoseGuidedBlock
        | PythonBlock
        | RegistryBlock,
        Field(discriminator="kind"),
    ],
    BeforeValidator(expand_shorthand),
]
