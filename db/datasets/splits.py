"""Reads which videos are assigned to splits already, in a dataset and in those that it must stay away from."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.core import FrameRow
from db.models.datasets import (
    DatasetRow,
    DatasetSplitRow,
    DatasetVersionRow,
    FrameLabelsRow,
    SnapshotVideoRow,
)
from db.sql.reading import PAGE
from labeling.datasets.records import SPLITS
from labeling.datasets.splits.assignment import Anchor, source_key
from labeling.datasets.versions.content import VideoCredit


def frame_splits(session: Session, name: str) -> Iterator[tuple[int, str]]:
    """Yield the frames that versions of a dataset have, with their splits, by frame id."""
    query = (
        select(DatasetSplitRow.frame_id, DatasetSplitRow.split)
        .where(DatasetSplitRow.name == name)
        .order_by(DatasetSplitRow.frame_id)
        .execution_options(yield_per=2000)
    )
    with session.execute(query) as rows:  # closes PostgreSQL's cursor
        yield from rows.tuples()


def own_videos(session: Session, name: str) -> dict[str, str]:
    """Return the split of each video of a dataset."""
    query = select(DatasetSplitRow.video_id, DatasetSplitRow.split).where(DatasetSplitRow.name == name)
    return dict(session.execute(query.distinct()).tuples().all())


@dataclass(frozen=True, slots=True)
class _Assigned:
    """Some frames of a dataset, and what they mean for the dataset that is made."""

    name: str
    splits: tuple[str, ...]
    reason: str | None
    """Why what is near to them is left out; None: their split counts."""


def _assigned(session: Session, name: str, *, is_frozen: bool) -> Iterator[_Assigned]:
    yield _Assigned(name, SPLITS, None)
    others = select(DatasetRow.name, DatasetRow.is_frozen).where(DatasetRow.name != name)
    for other, other_is_frozen in session.execute(others.order_by(DatasetRow.name)).tuples().all():
        if other_is_frozen and not is_frozen:
            yield _Assigned(other, ("test",), f"in the frozen set {other}, or of its group")
        elif is_frozen and not other_is_frozen:
            yield _Assigned(other, ("train", "val"), f"in train or val of {other}, or of its group")


def anchors_of(session: Session, name: str, *, is_frozen: bool) -> list[Anchor]:
    """Return the videos of a dataset with their splits, and those of others that it must stay away from.

    These are the frozen sets; for a frozen set, what other datasets train on or choose models with.
    """
    return [
        Anchor(video_id, source, one.reason or split)
        for one in _assigned(session, name, is_frozen=is_frozen)
        for video_id, split in own_videos(session, one.name).items()
        if split in one.splits
        for source in _sources(session, one.name).get(video_id, {None})
    ]


def anchor_images(session: Session, name: str, *, is_frozen: bool) -> Iterator[tuple[str, str, str]]:
    """Yield (video, label, image) of the frames of `anchors_of`; one with several images several times."""
    for one in _assigned(session, name, is_frozen=is_frozen):
        query = (
            select(FrameRow.video_id, DatasetSplitRow.split, FrameLabelsRow.image)
            .join(DatasetSplitRow, DatasetSplitRow.frame_id == FrameRow.id)
            .join(FrameLabelsRow, FrameLabelsRow.frame_id == FrameRow.id)
            .where(DatasetSplitRow.name == one.name, DatasetSplitRow.split.in_(one.splits))
            .distinct()
            .order_by(FrameRow.video_id, FrameLabelsRow.image)
            .execution_options(yield_per=PAGE)
        )
        with session.execute(query) as rows:  # closes PostgreSQL's cursor
            for video_id, split, image in rows.tuples():
                yield video_id, one.reason or split, image


def _sources(session: Session, name: str) -> dict[str, set[str | None]]:
    """Return the sources of each video of a dataset, as its versions credit it."""
    fields = ("video_id", "kind", "spec", "uploader")
    query = (
        select(*(getattr(SnapshotVideoRow, field) for field in fields))
        .join(DatasetVersionRow, DatasetVersionRow.snapshot_id == SnapshotVideoRow.snapshot_id)
        .where(DatasetVersionRow.name == name)
        .distinct()
    )
    found: dict[str, set[str | None]] = {}
    for video_id, kind, spec, uploader in session.execute(query).tuples():
        credit = VideoCredit(video_id, "", kind=kind, spec=spec, uploader=uploader)
        found.setdefault(video_id, set()).add(source_key(credit))
    return found
