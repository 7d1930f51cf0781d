"""Reads what the database knows about the frames of a dataset version, by which figures are divided."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from more_itertools import unique_everseen
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from configs.categories import PERSON
from db.models.core import AgreementRow, FrameRow, InstanceRow
from db.models.datasets import DatasetRow, DatasetSplitRow, LabelRow
from db.sql.reading import select_by_ids


def frozen_videos(session: Session) -> set[str]:
    """Return the videos of all frozen evaluation sets."""
    query = select(DatasetSplitRow.video_id).join(DatasetRow, DatasetRow.name == DatasetSplitRow.name)
    return set(session.scalars(query.where(DatasetRow.is_frozen).distinct()))


def train_videos(session: Session, names: Iterable[str]) -> set[str]:
    """Return the videos in `train` of these datasets; of one that was deleted nothing is known."""
    query = select(DatasetSplitRow.video_id).where(
        DatasetSplitRow.name.in_(list(names)), DatasetSplitRow.split == "train"
    )
    return set(session.scalars(query.distinct()))


def smallest_people(session: Session, labels_ids: Iterable[str]) -> dict[str, int]:
    """Return the area in pixels of the smallest person of each of these `frame_labels`; those without people are left out."""
    of_people = select(LabelRow.labels_id, func.min(LabelRow.area_px)).where(
        LabelRow.category == PERSON, LabelRow.area_px > 0
    )
    return dict(
        select_by_ids(session, of_people.group_by(LabelRow.labels_id), LabelRow.labels_id, labels_ids)
    )


def smallest_found(
    session: Session, run_id: str, frames: Iterable[int]
) -> dict[int, tuple[int | None, tuple[int, int]]]:
    """Return of each frame the area in pixels of the smallest person that a run's teacher found, and its size_hw."""
    of_frame = and_(
        *(InstanceRow.frame_id == FrameRow.id, InstanceRow.run_id == run_id, InstanceRow.role == "teacher"),
        *(InstanceRow.category == PERSON, InstanceRow.area_px > 0),
    )
    query = (
        select(FrameRow.id, func.min(InstanceRow.area_px), FrameRow.height, FrameRow.width)
        .outerjoin(InstanceRow, of_frame)
        .group_by(FrameRow.id, FrameRow.height, FrameRow.width)
    )
    rows = select_by_ids(session, query, FrameRow.id, frames)
    return {frame: (smallest, (height or 1, width or 1)) for frame, smallest, height, width in rows}


def causes_of(session: Session, runs: Collection[str], frames: Iterable[int]) -> Mapping[str, Sequence[int]]:
    """Return the frames of each cause of disagreement, as these runs found them."""
    query = select(AgreementRow.frame_id, AgreementRow.mismatches).where(AgreementRow.run_id.in_(runs))
    found: dict[str, list[int]] = {}
    for frame_id, mismatches in select_by_ids(session, query, AgreementRow.frame_id, frames):
        for cause in unique_everseen(str(mismatch[0]) for mismatch in mismatches):
            found.setdefault(cause, []).append(frame_id)
    return found
