"""Ground truth of `maskmill evaluate`: labeled sets of images, and videos with mattes and background plates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from configs.block import Block, Names
from configs.errors import ConfigError


class LabeledSet(Block):
    """Images with ground truth: a COCO file, or a folder of PNG masks."""

    images: Path
    """Folder of the images."""
    coco: Path | None = None
    """COCO file. Crowds, and regions with the flag `ignore`, are ignored. If a person of an image has a `bbox` but no
    `segmentation`, only boxes are used for that image."""
    person_category: Names = ()
    """Names or ids of the COCO file's categories of people. Empty: `person` or `people`, in any case."""
    masks: Path | None = None
    """Folder of PNG masks: `NAME.png`, `NAME_mask.png`, `NAME.jpg.png`, or CDnet's `gtNUMBER.png` for `inNUMBER.jpg`."""
    mask_encoding: Literal["instances", "cdnet"] = "instances"
    """Meaning of a mask's values: one value per person (0 is background, 255 alone is one person), or CDnet's
    grays (255 moving; 85 and 170 not decided; 0 and 50 background)."""
    roi: Path | None = None
    """Image whose black pixels are ignored in every image."""
    partial: bool = False
    """Only some of the people are labeled: what a model finds elsewhere is not counted."""
    synthetic: bool = False
    """Composites, such as those of `maskmill synthesize`: `calibrate` fits no probability to them and promises nothing from them
    (`trust.accept`), but their persons count for the thresholds of persons (`trust.accept_risk`)."""
    every: int = Field(1, ge=1)
    """Use one in this many labeled images, because neighboring video frames are nearly the same."""
    fps: float | None = Field(None, gt=0)
    """Images per second, if the folder's images are the frames of one shot in order of their names. Then the checks
    that use time (optical flow, motion) also run. None: the images have no time."""

    @model_validator(mode="after")
    def _check_one_source(self) -> Self:
        if (self.coco is None) == (self.masks is None):
            raise PydanticCustomError("one_truth", "set either coco (a file) or masks (a folder)")
        if self.coco and self.mask_encoding != "instances":
            raise PydanticCustomError(
                "mask_encoding_of_coco", "mask_encoding applies to PNG masks, not to a COCO file: remove it"
            )
        if self.person_category and not self.coco:
            raise PydanticCustomError(
                "category_of_masks", "person_category applies to a COCO file, not to PNG masks: remove it"
            )
        return self

    def below(self, folder: Path) -> "LabeledSet":
        """Return the set with relative paths resolved against a folder."""
        paths = {name: getattr(self, name) for name in ("images", "coco", "masks", "roi")}
        return self.model_copy(update={name: folder / path for name, path in paths.items() if path})


class MattedVideo(Block):
    """The matte of a video, its background plate, or both, with ground truth."""

    matte: Path | None = None
    """Folder of the alpha of each frame, as gray images of 8 or 16 bits, or a folder with such a subfolder `alpha`.
    The last number in a file's name is that of the frame."""
    alpha: Path | None = None
    """Folder of exact alpha, as gray images of 8 or 16 bits."""
    cdnet: Path | None = None
    """Folder of CDnet's ground truth, if there is no exact alpha: 255 is a person, 85 and 170 are not decided, 0 and 50
    are background."""
    roi: Path | None = None
    """Image whose black pixels are not decided in every frame of `cdnet`."""
    images: Path | None = None
    """Folder of the video's frames, with the numbers of the ground truth. They are shown in the report, and the error
    along the motion (MESSDdt) requires them, or `flow`."""
    flow: Path | None = None
    """Folder of exact optical flow as KITTI stores it, such as `maskmill synthesize` writes: the file with the number of
    a frame is the motion to the next one. Where it is not valid, that between `images` is used."""
    offset: int | None = None
    """Number of a frame in the ground truth, minus its number in the matte. None: both start with the first frame,
    which is 0 if the folder has a number 0, and 1 otherwise; CDnet's is 1."""
    plate: Path | None = None
    """Image of the background plate."""
    background: Path | None = None
    """Image of the true background."""

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if not self.matte and not self.plate:
            raise PydanticCustomError("no_matte", "set matte (a folder), plate (an image), or both")
        if (self.plate is None) != (self.background is None):
            raise PydanticCustomError("plate_pair", "set plate and background together: each is an image")
        if self.matte and (self.alpha is None) == (self.cdnet is None):
            raise PydanticCustomError(
                "one_matte_truth", "matte: set either alpha (exact mattes) or cdnet (CDnet masks)"
            )
        of_matte = ("alpha", "cdnet", "roi", "images", "flow", "offset")
        unused = [name for name in of_matte if getattr(self, name) is not None and not self.matte]
        unused += ["roi"] if self.roi and self.alpha else []
        unused += ["flow"] if self.flow and self.cdnet else []
        if unused:
            raise PydanticCustomError(
                "unused",
                "{keys}: not used here; alpha, cdnet, images and offset belong to matte, roi to cdnet, and flow to alpha",
                {"keys": ", ".join(unused)},
            )
        return self

    def below(self, folder: Path) -> "MattedVideo":
        """Return the video with relative paths resolved against a folder."""
        paths = {name: getattr(self, name) for name in type(self).model_fields if name != "offset"}
        return self.model_copy(update={name: folder / path for name, path in paths.items() if path})


GroundTruth = LabeledSet | MattedVideo


def kind_of_set(block: object) -> type[LabeledSet] | type[MattedVideo]:
    """Return the class of a set's block: it is a matted video if it has a key that only those have."""
    own = MattedVideo.model_fields.keys() - LabeledSet.model_fields.keys()
    return MattedVideo if isinstance(block, Mapping) and own & block.keys() else LabeledSet


def require_labeled(sets: Mapping[str, GroundTruth]) -> dict[str, LabeledSet]:
    """Return the sets if all are labeled images.

    Raises:
        ConfigError: one is a matted video.
    """
    videos = [name for name, one in sets.items() if isinstance(one, MattedVideo)]
    if videos:
        raise ConfigError(
            f"labeled set {videos[0]}: a matte or plate has no labeled images; only `maskmill evaluate` reads it: "
            "remove the set"
        )
    return {name: one for name, one in sets.items() if isinstance(one, LabeledSet)}
