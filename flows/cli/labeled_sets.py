"""Options that name labeled images, for the commands that want a ground truth."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.errors import ConfigError

if TYPE_CHECKING:
    from configs.ground_truth import LabeledSet


class Codes(StrEnum):
    instances = "instances"
    cdnet = "cdnet"


SetsArgument = Annotated[
    Path | None,
    typer.Argument(metavar="SETS.yaml", help="Several labeled sets: NAME: {images: ..., masks: ...}"),
]
ImagesOption = Annotated[Path | None, typer.Option(metavar="DIR", help="The images of one set.")]
CocoOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Its COCO annotations; or")]
MasksOption = Annotated[Path | None, typer.Option(metavar="DIR", help="its PNG masks.")]
CodesOption = Annotated[Codes, typer.Option(help="What the values of the masks mean.")]
RoiOption = Annotated[
    Path | None, typer.Option(metavar="PNG", help="Its black pixels are ignored everywhere.")
]
PartialOption = Annotated[bool, typer.Option("--partial", help="Only some of the people are labeled.")]
FpsOption = Annotated[
    float | None,
    typer.Option(min=0.001, help="Images a second, where the folder's are the frames of one shot."),
]
EveryOption = Annotated[int, typer.Option(min=1, help="One labeled image in so many.")]


def read_sets(sets: Path | None, one: Mapping[str, Any]) -> "dict[str, LabeledSet]":
    """The sets of a file, or the one that options describe; its name is its folder's.

    Raises:
        ConfigError: neither, both, or something wrong in them.
    """
    from configs.load import load_labeled_sets

    images: Path | None = one["images"]
    if sets:
        if (
            any(one.get(name) for name in ("images", "coco", "masks", "roi", "partial", "fps"))
            or one["every"] > 1
        ):
            raise ConfigError(
                f"{sets} names its own images: leave --images, --coco, --masks and the like away"
            )
        return load_labeled_sets(sets)
    if images is None:
        raise ConfigError("no ground truth: name a SETS.yaml, or --images with --coco or --masks")
    return load_labeled_sets({images.resolve().name: dict(one)})
