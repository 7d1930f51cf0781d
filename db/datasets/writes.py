"""Writes dataset versions: labels as they are read, then the version that refers to them in one transaction.

Labels are named by their content, so that a killed writer leaves at worst labels that no version refers to; the next
one uses them again. Nothing written is ever changed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, NamedTuple

from more_itertools import batched
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from configs.errors import ConfigError
from db.datasets.queries import latest_version
from db.models.core import utc_now
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
from db.sql.columns import box_columns, keypoints_column
from db.sql.reading import PAGE, select_by_ids
from db.sql.upsert import upsert
from labeling.datasets.records import DatasetFrame
from labeling.datasets.versions.content import VideoCredit

_ROWS = 2000
"""Rows in one statement."""


class FrozenFrame(NamedTuple):
    """A frame with its labels and their id, to be stored."""

    labels_id: str
    frame: DatasetFrame
    image: str
    """Its name in the database."""
    reviewer: str | None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to be stored; its labels are stored already."""

    name: str
    query: dict[str, Any]
    runs: list[dict[str, Any]]
    """What `db.datasets.selection.run_records` gives."""
    excluded: Mapping[str, int]
    """Frames that were left out, by reason."""
    snapshot_id: str
    videos: Sequence[VideoCredit]
    frames: int


class PlacedFrame(NamedTuple):
    """A frame of a version, in its order."""

    labels_id: str
    frame_id: int
    video_id: str
    split: str


def store_labels(session: Session, frames: Sequence[FrozenFrame]) -> None:
    """Store labels that are not stored yet."""
    ids = [frame.labels_id for frame in frames]
    query = select(FrameLabelsRow.id)
    known = {key for (key,) in select_by_ids(session, query, FrameLabelsRow.id, ids)}
    new = list({frame.labels_id: frame for frame in frames if frame.labels_id not in known}.values())
    upsert(session, FrameLabelsRow, [_labels_row(one) for one in new])
    upsert(session, LabelRow, [row for one in new for row in _label_rows(one)])


def _labels_row(one: FrozenFrame) -> dict[str, Any]:
    height, width = one.frame.size_hw
    return {
        "id": one.labels_id,
        "frame_id": one.frame.id,
        "image": one.image,
        "width": width,
        "height": height,
        "decision": one.frame.decision,
        "reviewer": one.reviewer,
        "propagated_from": list(one.frame.propagated_from),
    }


def _label_rows(one: FrozenFrame) -> Iterator[dict[str, Any]]:
    for rank, person in enumerate(one.frame.instances):
        yield {
            "labels_id": one.labels_id,
            "rank": rank,
            "instance_id": person.id,
            "rle": person.mask.counts,
            "area_px": person.area_px,
            "score": person.score,
            "keypoints": keypoints_column(person.keypoints),
            "model": person.model,
            "origin": person.origin,
            "reviewer": person.reviewer,
            "refined_by": person.refined_by,
            "iou_before": person.iou_before,
            "track_id": person.track_id,
            "category": person.category,
            **box_columns("mask_box", person.tight_xywh),
            **box_columns("detector_box", person.box_xywh),
        }


def require_dataset(
    session: Session, name: str, *, shares: Sequence[float], seed: int, is_frozen: bool
) -> None:
    """Add a dataset of this name, or check that it is divided in the same way.

    Raises:
        ConfigError: it is divided otherwise.
    """
    wanted = {"shares": list(shares), "seed": seed, "is_frozen": is_frozen}
    known = session.get(DatasetRow, name)
    if known is None:
        session.add(DatasetRow(name=name, created_at=utc_now(), **wanted))
        session.flush()
        return
    stored = {key: getattr(known, key) for key in wanted}
    if stored != wanted:
        raise ConfigError(
            f"dataset {name} has {_words(stored)}, not {_words(wanted)}: all versions of a name are divided in the same "
            "way; use these settings or another name"
        )


def _words(settings: Mapping[str, Any]) -> str:
    shares = "/".join(f"{100 * share:g}" for share in settings["shares"])
    return f"--split {shares} --seed {settings['seed']}{' --frozen' if settings['is_frozen'] else ''}"


def store_version(
    session: Session, new: NewVersion, frames: Iterable[PlacedFrame]
) -> tuple[DatasetVersionRow, bool]:
    """Store a version of an existing dataset, and return it with True.

    If the latest version has the same content, that is returned, with False.
    """
    latest = latest_version(session, new.name)
    if latest is not None and latest.snapshot_id == new.snapshot_id:
        return latest, False
    is_new_content = session.get(SnapshotRow, new.snapshot_id) is None
    if is_new_content:
        _store_snapshot(session, new)
    for page in batched(enumerate(frames), _ROWS):
        upsert(session, DatasetSplitRow, [_split_row(new.name, frame) for _, frame in page])
        if is_new_content:
            upsert(session, SnapshotFrameRow, [_frame_row(new.snapshot_id, *one) for one in page])
    if is_new_content:
        _count_instances(session, new.snapshot_id)
    made = DatasetVersionRow(
        name=new.name,
        number=1 if latest is None else latest.number + 1,
        snapshot_id=new.snapshot_id,
        query=new.query,
        runs=new.runs,
        code_version=version("maskmill"),
        excluded=dict(new.excluded),
        created_at=utc_now(),
    )
    session.add(made)
    session.flush()
    return made, True


def _store_snapshot(session: Session, new: NewVersion) -> None:
    counts = {"frames": new.frames, "instances": 0, "videos": len(new.videos)}
    session.add(SnapshotRow(id=new.snapshot_id, **counts))
    session.flush()
    videos = [{"snapshot_id": new.snapshot_id, **asdict(video)} for video in new.videos]
    for page in batched(videos, PAGE):
        upsert(session, SnapshotVideoRow, page)


def _count_instances(session: Session, snapshot_id: str) -> None:
    instances = session.scalar(
        select(func.count())
        .select_from(SnapshotFrameRow)
        .join(LabelRow, LabelRow.labels_id == SnapshotFrameRow.labels_id)
        .where(SnapshotFrameRow.snapshot_id == snapshot_id)
    )
    session.execute(update(SnapshotRow).where(SnapshotRow.id == snapshot_id).values(instances=instances or 0))


def _frame_row(snapshot_id: str, position: int, frame: PlacedFrame) -> dict[str, Any]:
    return {"snapshot_id": snapshot_id, "position": position, "labels_id": frame.labels_id}


def _split_row(name: str, frame: PlacedFrame) -> dict[str, Any]:
    return {"name": name, "frame_id": frame.frame_id, "video_id": frame.video_id, "split": frame.split}


def delete_dataset(session: Session, name: str) -> int:
    """Delete a dataset with all its versions, and content that no other version has; return the number of versions."""
    versions = session.scalar(
        select(func.count()).select_from(DatasetVersionRow).where(DatasetVersionRow.name == name)
    )
    for table in (DatasetSplitRow, DatasetVersionRow):
        session.execute(delete(table).where(table.name == name))
    session.execute(delete(DatasetRow).where(DatasetRow.name == name))
    delete_unreferenced(session)
    return versions or 0


def delete_unreferenced(session: Session) -> None:
    """Delete snapshots that no version has, and labels that no snapshot has; no version may be in the making."""
    used = select(DatasetVersionRow.snapshot_id)
    for table in (SnapshotFrameRow, SnapshotVideoRow):
        session.execute(delete(table).where(table.snapshot_id.not_in(used)))
    session.execute(delete(SnapshotRow).where(SnapshotRow.id.not_in(used)))
    is_used = select(SnapshotFrameRow.labels_id).where(SnapshotFrameRow.labels_id == FrameLabelsRow.id)
    unused = select(FrameLabelsRow.id).where(~is_used.exists())
    session.execute(delete(LabelRow).where(LabelRow.labels_id.in_(unused)))
    session.execute(delete(FrameLabelsRow).where(FrameLabelsRow.id.in_(unused)))
