"""The frames of a dataset version with their images and the mask of their people, one at a time."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from more_itertools import batched
from sqlalchemy.orm import Session

from configs.categories import PERSON
from configs.errors import ConfigError, StorageError
from db.datasets.queries import VersionFrame, find_version, labels_of, version_rows
from db.models.datasets import DatasetVersionRow
from db.sql.reading import PAGE
from labeling.datasets.records import SPLITS
from labeling.storage.home import Home
from labeling.structures.frames import RgbImage
from labeling.structures.masks import Mask, union_masks
from tasks.datasets.strata import strata_of
from tasks.files import read_kept
from tasks.training_records import FailedInput


@dataclass(frozen=True, slots=True, eq=False)
class VersionImage:
    """A frame of a version."""

    frame_id: int
    video_id: str
    rgb: RgbImage
    person: Mask
    """All people in it."""
    groups: tuple[str, ...]
    """Groups of frames by which figures are reported."""


def read_frames(
    session: Session,
    made: DatasetVersionRow,
    rows: Iterable[VersionFrame],
    home: Home,
    failures: list[FailedInput],
) -> Iterator[VersionImage]:
    """Yield frames in their order; one whose image cannot be read is left out and recorded in `failures`."""
    for page in batched(rows, PAGE):
        people, strata = labels_of(session, page), strata_of(session, made, page)
        for row in page:
            size_hw = (row.height, row.width)
            masks = [one.mask for one in people.get(row.labels_id, ()) if one.category == PERSON]
            try:
                rgb = read_kept(row.frame_id, row.image, home)
            except StorageError as error:
                failures.append(FailedInput(row.file_name, error.code, str(error)))
                continue
            person = union_masks(masks, size_hw)
            yield VersionImage(row.frame_id, row.video_id, rgb, person, strata[row.frame_id])


def rows_of_splits(
    session: Session, made: DatasetVersionRow, splits: Collection[str]
) -> Iterator[VersionFrame]:
    """Yield the frames of some splits by video and time."""
    return (row for row in version_rows(session, made) if row.split in splits)


def find_split(session: Session, text: str) -> tuple[DatasetVersionRow, Sequence[str]]:
    """Return the version and the splits that `VERSION` (val and test) or `VERSION:SPLIT` stand for.

    Raises:
        ConfigError: there is no such version or split, or it is `train`, on which a student was trained.
    """
    name, colon, split = text.partition(":")
    made = find_version(session, name)
    if not colon:
        return made, ("val", "test")
    if split not in SPLITS or split == "train":
        raise ConfigError(f"--on {text}: {split!r} is not val or test: students learn from train")
    return made, (split,)
