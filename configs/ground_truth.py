"""Labeled sets: images with ground truth, and how their masks are read."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from configs.segmenters import Block


class LabeledSet(Block):
    """Images with ground truth: a COCO file, or a folder of PNG masks."""

    images: Path
    """Folder of the images."""
    coco: Path | None = None
    """COCO file. People are its category `person`; crowds are ignored. If a person of an image has a `bbox` but no
    `segmentation`, only boxes are used for that image."""
    masks: Path | None = None
    """Folder of PNG masks: `NAME.png`, `NAME_mask.png`, or CDnet's `gtNUMBER.png` for `inNUMBER.jpg`."""
    mask_encoding: Literal["instances", "cdnet"] = "instances"
    """Meaning of a mask's values: one value per person (0 is background, 255 alone is one person), or CDnet's
    grays (255 moving; 85 and 170 not decided; 0 and 50 background)."""
    roi: Path | None = None
    """Image whose black pixels are ignored in every image."""
    partial: bool = False
    """Only some of the people are labeled: what a model finds elsewhere is not counted."""
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
        return self

    def below(self, folder: Path) -> "LabeledSet":
        """Return the set with relative paths resolved against a folder."""
        paths = {name: getattr(self, name) for name in ("images", "coco", "masks", "roi")}
        return self.model_copy(update={name: folder / path for name, path in paths.items() if path})
