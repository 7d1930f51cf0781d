"""Labeled images: where they lie, and how their masks are to be read."""

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
    """COCO instances; people are its category `person`, its crowds are ignored regions. An image in which
    somebody has a `bbox` and no `segmentation` is known by boxes alone."""
    masks: Path | None = None
    """Folder of PNG images: `NAME.png`, `NAME_mask.png`, or CDnet's `gtNUMBER.png` for `inNUMBER.jpg`."""
    codes: Literal["instances", "cdnet"] = "instances"
    """What a mask's values mean: a person each (0 is nobody, 255 alone is one person), or CDnet's grays
    (255 moving; 85 and 170 not decided; 0 and 50 background)."""
    roi: Path | None = None
    """Image whose black pixels are ignored in every image."""
    partial: bool = False
    """Only some of the people are labeled: what a model sees apart from them is not counted, for or
    against anybody."""
    every: int = Field(1, ge=1)
    """One labeled image in so many: the neighbors in a video say the same again."""
    fps: float | None = Field(None, gt=0)
    """Images a second, where those of the folder are the frames of one shot in order of their names: then what
    a run knows by time is known here too, that masks do not jump and that people move. None: they have no time."""

    @model_validator(mode="after")
    def _want_one_kind_of_truth(self) -> Self:
        if (self.coco is None) == (self.masks is None):
            raise PydanticCustomError("one_truth", "wants either coco (a file) or masks (a folder)")
        if self.coco and self.codes != "instances":
            raise PydanticCustomError("codes_of_coco", "codes: are read in PNG masks, not in a COCO file")
        return self

    def below(self, folder: Path) -> "LabeledSet":
        """The same with relative paths taken from a folder."""
        paths = {name: getattr(self, name) for name in ("images", "coco", "masks", "roi")}
        return self.model_copy(update={name: folder / path for name, path in paths.items() if path})
