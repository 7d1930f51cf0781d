"""Settings of video matting."""

from pathlib import Path
from typing import Literal

from pydantic import Field

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


class MatteSettings(Block):
    """How people are cut out of a video, and what is written."""

    background: str = "#00b140"
    """What replaces the background in `composite.mp4`: a color (`green`, `#rrggbb`), the path of a picture or of a
    video, or `blur`."""
    format: Literal["png", "webm", "mov"] = "png"
    """png: images only; webm: also a VP9 video with alpha; mov: also ProRes 4444 with alpha, for editors."""
    plate: PlateBlock = PlateBlock()
    weights: Path | None = None
    """ONNX file of a matting network that `maskmill train matting` wrote; None: the network of the package."""
