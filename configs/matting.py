"""Settings of video matting."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from configs.block import Block


class PlateBlock(Block):
    """The background plate of a clip: the static camera's scene without people."""

    method: Literal["masked", "labgen_p"] = "masked"
    """masked: from the pixels outside the person masks; labgen_p: from the samples with the least motion."""
    statistic: Literal["median", "mean"] = "median"
    """How the samples of a pixel are combined; the mean has less noise, the median ignores wrong masks."""
    samples: int = Field(100, ge=2, le=1000)
    """Frames of the clip from which the plate is computed."""
    search_frames: int = Field(1000, ge=0, le=10_000)
    """Most frames searched for background that no sample shows; 0 for no search."""


class MovingBlock(Block):
    """Matting of a moving camera, by the recurrent network."""

    short_side_px: int = Field(256, ge=64, le=2048, multiple_of=32)
    """Shorter side of the images that the network sees; larger ones take longer, in proportion to the pixels."""
    shot_threshold: float = Field(30.0, gt=0)
    """As `sampling.shot_threshold`: the network forgets everything at a cut."""


class MatteSettings(Block):
    """How people are cut out of a video, and what is written."""

    background: str = "#00b140"
    """What replaces the background in `composite.mp4`: a color (`green`, `#rrggbb`), the path of a picture or of a
    video, or `blur`."""
    format: Literal["png", "webm", "mov"] = "png"
    """png: images only; webm: also a VP9 video with alpha; mov: also ProRes 4444 with alpha, for editors."""
    camera: Literal["static", "moving"] = "static"
    """static: the network compares each frame with the plate of the empty scene; moving: no plate, a recurrent network
    follows the people."""
    plate: PlateBlock = PlateBlock()
    moving: MovingBlock = MovingBlock()
    weights: Path | None = None
    """ONNX file of a network that `maskmill train matting` wrote, or `maskmill train temporal` for a moving camera; None:
    the network of the package."""
    start_s: float = Field(0.0, ge=0)
    """Only the part of a video from here on is matted, in seconds from its first frame."""
    end_s: float | None = Field(None, gt=0)
    """The part ends before this time; None: the end of the video."""

    @model_validator(mode="after")
    def _check_part(self) -> Self:
        if self.end_s is not None and self.end_s <= self.start_s:
            raise PydanticCustomError(
                "empty_part",
                "the part ends at {end_s} s and starts at {start_s} s: end_s must be later",
                {"end_s": self.end_s, "start_s": self.start_s},
            )
        return self
