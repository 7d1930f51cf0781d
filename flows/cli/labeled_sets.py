"""Options that name ground truth, for the commands that compare with it."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.errors import ConfigError

if TYPE_CHECKING:
    from configs.ground_truth import GroundTruth


class MaskEncoding(StrEnum):
    instances = "instances"
    cdnet = "cdnet"


SetsArgument = Annotated[
    Path | None,
    typer.Argument(metavar="SETS.yaml", help="Several labeled sets: NAME: {images: ..., masks: ...}"),
]
ImagesOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Image folder of one set.")]
CocoOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="COCO annotations of --images; or use --masks.")
]
MasksOption = Annotated[Path | None, typer.Option(metavar="DIR", help="PNG masks of --images.")]
EncodingOption = Annotated[MaskEncoding, typer.Option(help="Meaning of the pixel values in --masks.")]
RoiOption = Annotated[Path | None, typer.Option(metavar="PNG", help="Black pixels of it are ignored.")]
PartialOption = Annotated[bool, typer.Option("--partial", help="Only some of the people are labeled.")]
CategoryOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME|ID", help="Category of people in --coco, unless it is called person."),
]
FpsOption = Annotated[
    float | None,
    typer.Option(min=0.001, help="Images per second, if the folder's images are the frames of one shot."),
]
EveryOption = Annotated[int, typer.Option(min=1, help="Use every Nth labeled image.")]


def read_sets(sets: Path | None, options: Mapping[str, Any]) -> "dict[str, GroundTruth]":
    """Return the sets of a file, or the one set that the options describe, named after its folder.

    Raises:
        ConfigError: neither or both are given, or one is invalid.
    """
    from configs.load import load_ground_truth

    images: Path | None = options["images"]
    if sets:
        own = ("images", "coco", "masks", "roi", "partial", "fps", "person_category")
        if any(options.get(name) for name in own) or options["every"] > 1:
            raise ConfigError(
                f"{sets} names its own images: leave out --images, --coco, --masks and the like"
            )
        return load_ground_truth(sets)
    if images is None:
        raise ConfigError("no ground truth: name a SETS.yaml, or --images with --coco or --masks")
    return load_ground_truth({images.resolve().name: dict(options)})
