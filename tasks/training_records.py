"""What a training read, and what could not be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from configs.errors import MaskmillError
from labeling.structures.cutouts import Cutout
from labeling.structures.frames import RgbImage


@dataclass(frozen=True, slots=True)
class FailedInput:
    """A data set, a folder of backgrounds or a video that was left out."""

    name: str
    code: str
    message: str


@dataclass(slots=True)
class TrainingData:
    """What was read, and what could not be."""

    cutouts: list[Cutout] = field(default_factory=list)
    backgrounds: list[RgbImage] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)
    failures: list[FailedInput] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@contextmanager
def recorded(name: str, data: TrainingData) -> Iterator[None]:
    """Record an error of maskmill, so that the other inputs go on."""
    try:
        yield
    except MaskmillError as error:
        data.failures.append(FailedInput(name, error.code, str(error)))
