"""Reads which videos are assigned to splits already, in a dataset and in those that it must stay away from."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.datasets import DatasetRow, DatasetSplitRow, DatasetVersionRow, SnapshotVideoRow
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


def anchors_of(session: Session, name: str, *, is_frozen: bool) -> list[Anchor]:
    """Return the videos of a dataset with their splits, and those of others that it must stay away from.

    These are the frozen sets; for a frozen set, what other datasets train on or choose models with.
    """
    anchors = [
        Anchor(video_id, source, split)
        for video_id, split in own_videos(session, name).items()
        for source in _sources(session, name).get(video_id, {None})
    ]
    others = select(DatasetRow.name, DatasetRow.is_frozen).where(DatasetRow.name != name)
    for other, other_is_frozen in session.execute(others.order_by(DatasetRow.name)).tuples():
        if other_is_frozen and not is_frozen:
            anchors += _foreign(session, other, f"in the frozen set {other}, or of its group", ("test",))
        elif is_frozen and not other_is_frozen:
            anchors += _foreign(
                session, other, f"in train or val of {other}, or of its group", ("train", "val")
            )
    return anchors


def _foreign(session: Session, name: str, reason: str, splits: tuple[str, ...]) -> Iterator[Anchor]:
    sources = _sources(session, name)
    for video_id, split in own_videos(session, name).items():
        if split in splits:
            yield from (Anchor(video_id, source, reason) for source in sources.get(video_id, {None}))


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
