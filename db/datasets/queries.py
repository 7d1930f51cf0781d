"""Reads dataset versions and their frames."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from more_itertools import batched
from sqlalchemy import Select, and_, bindparam, func, select
from sqlalchemy.orm import Session

from configs.categories import order_categories, stored_categories
from configs.errors import ConfigError
from db.models.core import FrameRow
from db.models.datasets import (
    DatasetRow,
    DatasetSplitRow,
    DatasetVersionRow,
    FrameLabelsRow,
    LabelRow,
    SnapshotFrameRow,
    SnapshotRow,
    SnapshotVideoRow,
)
from db.sql.reading import PAGE
from labeling.datasets.mask_rows import keypoints_of
from labeling.datasets.records import SPLITS, DatasetFrame, DatasetInstance
from labeling.datasets.versions.content import VideoCredit
from labeling.storage.encode import image_key
from labeling.storage.home import Home
from labeling.structures.frames import frame_key
from labeling.structures.masks import Mask

_ID = re.compile(r"[0-9a-f]{6,64}")
_NUMBERED = re.compile(r"(.+)@([0-9]+)")


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A line of `maskmill dataset list`."""

    name: str
    number: int
    id: str
    """SHA-256 of the content."""
    created_at: datetime
    """UTC."""
    frames: int
    instances: int
    videos: int
    is_frozen: bool
    splits: dict[str, int]
    """Frames by split; only the splits that have some."""

    @property
    def full_name(self) -> str:
        return f"{self.name}@{self.number}"


def list_versions(session: Session, name: str | None = None) -> list[VersionLine]:
    """Return all versions, or those of one dataset, by name and number."""
    query = (
        select(DatasetVersionRow, SnapshotRow, DatasetRow.is_frozen)
        .join(SnapshotRow, SnapshotRow.id == DatasetVersionRow.snapshot_id)
        .join(DatasetRow, DatasetRow.name == DatasetVersionRow.name)
        .order_by(DatasetVersionRow.name, DatasetVersionRow.number)
    )
    if name is not None:
        query = query.where(DatasetVersionRow.name == name)
    return [_line(session, *row) for row in session.execute(query).tuples()]


def version_line(session: Session, made: DatasetVersionRow) -> VersionLine:
    dataset = session.get_one(DatasetRow, made.name)
    return _line(session, made, session.get_one(SnapshotRow, made.snapshot_id), dataset.is_frozen)


def _line(session: Session, made: DatasetVersionRow, snapshot: SnapshotRow, is_frozen: bool) -> VersionLine:
    counts = (snapshot.frames, snapshot.instances, snapshot.videos)
    splits = count_splits(session, made)
    created_at = made.created_at.replace(tzinfo=UTC)
    return VersionLine(made.name, made.number, snapshot.id, created_at, *counts, is_frozen, splits)


def count_splits(session: Session, made: DatasetVersionRow) -> dict[str, int]:
    """Return the number of frames by split, train first."""
    query = (
        select(DatasetSplitRow.split, func.count())
        .select_from(SnapshotFrameRow)
        .join(FrameLabelsRow, FrameLabelsRow.id == SnapshotFrameRow.labels_id)
        .join(DatasetSplitRow, _split_of(made.name))
        .where(SnapshotFrameRow.snapshot_id == made.snapshot_id)
        .group_by(DatasetSplitRow.split)
    )
    found = dict(session.execute(query).tuples().all())
    return {split: found[split] for split in SPLITS if split in found}


def _split_of(name: str) -> Any:
    return and_(DatasetSplitRow.name == name, DatasetSplitRow.frame_id == FrameLabelsRow.frame_id)


def latest_version(session: Session, name: str) -> DatasetVersionRow | None:
    """Return the version with the highest number; None: there is no such dataset."""
    of_name = select(DatasetVersionRow).where(DatasetVersionRow.name == name)
    return session.scalar(of_name.order_by(DatasetVersionRow.number.desc()).limit(1))


def find_version(session: Session, text: str) -> DatasetVersionRow:
    """Return the version that `NAME` (the latest), `NAME@2` or the first digits of an id stand for.

    Raises:
        ConfigError: there is none, several contents have an id that starts like that, or several datasets the content.
    """
    found = latest_version(session, text)
    if found is None and (numbered := _NUMBERED.fullmatch(text)):
        found = session.get(DatasetVersionRow, (numbered[1], int(numbered[2])))
    if found is None and _ID.fullmatch(text):
        found = _by_id(session, text)
    if found is None:
        known = [line.full_name for line in list_versions(session)]
        raise ConfigError(
            f"no dataset {text!r}: {'known: ' + ', '.join(known) if known else 'create one with `maskmill dataset create NAME`'}"
        )
    return found


def _by_id(session: Session, digits: str) -> DatasetVersionRow | None:
    starts = DatasetVersionRow.snapshot_id.startswith(digits)
    order = (DatasetVersionRow.created_at, DatasetVersionRow.name, DatasetVersionRow.number)
    found = session.scalars(select(DatasetVersionRow).where(starts).order_by(*order)).all()
    if len({one.snapshot_id for one in found}) > 1:
        raise ConfigError(f"several versions have an id that starts with {digits!r}: use more digits")
    if len({one.name for one in found}) > 1:  # each dataset has its own splits
        names = ", ".join(f"{one.name}@{one.number}" for one in found)
        raise ConfigError(
            f"several datasets have the frames of id {digits!r}, each with its own splits: name {names}"
        )
    return found[0] if found else None


def version_videos(session: Session, snapshot_id: str) -> list[VideoCredit]:
    """Return the videos of a version with their credits, by id."""
    query = select(SnapshotVideoRow).where(SnapshotVideoRow.snapshot_id == snapshot_id)
    fields = VideoCredit.__dataclass_fields__
    rows = session.scalars(query.order_by(SnapshotVideoRow.video_id))
    return [VideoCredit(**{name: getattr(row, name) for name in fields}) for row in rows]


def version_categories(session: Session, made: DatasetVersionRow) -> tuple[str, ...]:
    """Return the categories of a version: those of its runs' configs, and those that its masks have."""
    of_masks = (
        select(LabelRow.category)
        .join(SnapshotFrameRow, SnapshotFrameRow.labels_id == LabelRow.labels_id)
        .where(SnapshotFrameRow.snapshot_id == made.snapshot_id)
        .distinct()
    )
    of_runs = (name for run in made.runs for name in stored_categories(run["config"]))
    return order_categories([*of_runs, *session.scalars(of_masks)])


class VersionFrame(NamedTuple):
    """A frame of a version, without its people."""

    labels_id: str
    frame_id: int
    video_id: str
    pts_ms: int | None
    image_index: int | None
    name: str
    image: str
    width: int
    height: int
    decision: str
    reviewer: str | None
    propagated_from: list[int]
    split: str | None

    @property
    def key(self) -> int:
        return frame_key(self.pts_ms, self.image_index)

    @property
    def file_name(self) -> str:
        """Its name in an exported dataset."""
        return f"{self.video_id[:12]}_{self.key:09d}.{self.image.rpartition('.')[2]}"


def version_rows(session: Session, made: DatasetVersionRow) -> Iterator[VersionFrame]:
    """Yield the frames of a version by video and time, without their people."""
    query = _rows_query(made).execution_options(yield_per=PAGE)
    with session.connection().execute(query) as rows:  # closes PostgreSQL's cursor
        yield from map(VersionFrame._make, rows)


def _rows_query(made: DatasetVersionRow) -> Select[Any]:
    labels = FrameLabelsRow
    return (
        select(
            *(labels.id, labels.frame_id, FrameRow.video_id, FrameRow.pts_ms, FrameRow.image_index),
            *(FrameRow.name, labels.image, labels.width, labels.height, labels.decision, labels.reviewer),
            *(labels.propagated_from, DatasetSplitRow.split),
        )
        .select_from(SnapshotFrameRow)
        .join(labels, labels.id == SnapshotFrameRow.labels_id)
        .join(FrameRow, FrameRow.id == labels.frame_id)
        .outerjoin(DatasetSplitRow, _split_of(made.name))
        .where(SnapshotFrameRow.snapshot_id == made.snapshot_id)
        .order_by(SnapshotFrameRow.position)
    )


def version_frames(session: Session, made: DatasetVersionRow, home: Home) -> Iterator[DatasetFrame]:
    """Yield the frames of a version with their people, by video and time: the same at any later time."""
    credits = {credit.video_id: credit for credit in version_videos(session, made.snapshot_id)}
    images = home.images
    for rows in batched(version_rows(session, made), PAGE):
        people = labels_of(session, rows)
        for row in rows:
            credit = credits[row.video_id]
            yield DatasetFrame(
                id=row.frame_id,
                image=images.path(image_key(row.image)),
                file_name=row.file_name,
                size_hw=(row.height, row.width),
                video_id=row.video_id,
                pts_ms=row.pts_ms,
                source_url=credit.url,
                title=credit.title or row.name or credit.file_name,
                uploader=credit.uploader,
                license=credit.license,
                license_url=None,
                upload_date=credit.upload_date,
                decision=row.decision,
                instances=tuple(people.get(row.labels_id, ())),
                split=row.split,
                store=images.store,
                propagated_from=tuple(row.propagated_from),
            )


_LABELS = (
    select(
        *(LabelRow.labels_id, LabelRow.instance_id, LabelRow.rle, LabelRow.area_px),
        *(LabelRow.mask_box_x, LabelRow.mask_box_y, LabelRow.mask_box_w, LabelRow.mask_box_h, LabelRow.score),
        *(LabelRow.detector_box_x, LabelRow.detector_box_y, LabelRow.detector_box_w, LabelRow.detector_box_h),
        *(LabelRow.keypoints, LabelRow.model, LabelRow.reviewer, LabelRow.refined_by, LabelRow.iou_before),
        *(LabelRow.track_id, LabelRow.category, LabelRow.origin),
    )
    .where(LabelRow.labels_id.in_(bindparam("labels", expanding=True)))
    .order_by(LabelRow.labels_id, LabelRow.rank)
    .execution_options(binary=True)
)


def labels_of(session: Session, rows: Sequence[VersionFrame]) -> dict[str, list[DatasetInstance]]:
    """Return the people of frames, by the id of their labels."""
    sizes = {row.labels_id: (row.height, row.width) for row in rows}
    found: dict[str, list[DatasetInstance]] = {}
    for row in session.connection().execute(_LABELS, {"labels": list(sizes)}).all():
        labels_id, key, rle, area, left, top, width, height, score, x, y, w, h, keypoints, *rest = row
        mask, mask_box = Mask(sizes[labels_id], rle), (left, top, width, height)
        points = keypoints_of(keypoints)
        instance = DatasetInstance(key, mask, area, mask_box, score, (x, y, w, h), points, *rest)
        found.setdefault(labels_id, []).append(instance)
    return found
