"""The audit: a few accepted persons, chosen at random, are reviewed like all others; their share of bad masks is unbiased.

The sample of a run are its accepted persons with the smallest ids. Ids are hashes of run, frame and position, so the
sample is random, the same after a crash, and grows when the audit does; nothing about it is stored but which frames are
sent for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from db.models.core import DecisionRow, FrameRow, InstanceRow
from db.models.review import AnnotationRow, ConsensusRow, ReviewedInstanceRow, ReviewRow
from db.review.categories import runs_lacking
from db.sql.reading import PAGE, select_by_ids
from db.sql.upsert import upsert

if TYPE_CHECKING:
    from labeling.comparison.iou import Labeled

GOOD_FROM = 0.8
"""IoU with the reviewer's mask from which an accepted mask is good, as in a calibration."""
CONFIDENCE = 0.95
_REOPENED = ("withdrawn", "confirmed")
"""States of frames that wait again if they are in the sample."""


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What reviewers found of the accepted persons in the sample."""

    persons: int
    """In the sample."""
    judged: int
    """Their frame has a usable consensus."""
    bad: int
    error: float | None
    """Share of bad ones among the judged: an unbiased estimate for all accepted persons; None: none was judged."""
    between: tuple[float, float] | None
    """Exact interval of the share of bad ones, with a confidence of 95 %."""


def queue_audit(session: Session, run_id: str, persons: int) -> None:
    """Queue the frames of the sample of this size, whatever state they have: a review that exists counts."""
    frames = list(dict.fromkeys(frame_id for _, frame_id in _sample(session, run_id, persons)))
    states = dict(
        select_by_ids(session, select(ReviewRow.frame_id, ReviewRow.state), ReviewRow.frame_id, frames)
    )
    priority = select(DecisionRow.frame_id, DecisionRow.priority).where(DecisionRow.run_id == run_id)
    priorities = dict(select_by_ids(session, priority, DecisionRow.frame_id, frames))
    new = [
        {
            "frame_id": frame_id,
            "run_id": run_id,
            "state": "waiting",
            "priority": priorities[frame_id] or 0.0,
            "fingerprint": "",
            "is_audit": True,
        }
        for frame_id in frames
        if frame_id not in states
    ]
    upsert(session, ReviewRow, new)
    again = [frame_id for frame_id in frames if states.get(frame_id) in _REOPENED]
    table = update(ReviewRow)
    session.execute(table.where(ReviewRow.frame_id.in_(frames)).values(is_audit=True))
    session.execute(
        table.where(ReviewRow.frame_id.in_(again)).values(state="waiting", run_id=run_id, fingerprint="")
    )


def waiting_audit(session: Session, run_id: str, *, room: int) -> tuple[int, ...]:
    """Return at most `room` frames of the sample that wait to be sent."""
    query = select(ReviewRow.frame_id).where(
        ReviewRow.run_id == run_id, ReviewRow.state == "waiting", ReviewRow.is_audit
    )
    return tuple(session.scalars(query.order_by(ReviewRow.frame_id).limit(room)))


def summarize_audit(session: Session, run_id: str) -> AuditSummary | None:
    """Return the results of a run's audit; None: nothing was queued for it."""
    sample = _queued_sample(session, run_id)
    if not sample:
        return None
    verdicts = _judge(session, run_id, sample)
    bad = sum(not is_good for is_good in verdicts)
    if not verdicts:
        return AuditSummary(len(sample), 0, 0, None, None)
    from labeling.trust.exact_bounds import share_interval  # imports scipy

    between = share_interval(bad, len(verdicts), confidence=CONFIDENCE)
    return AuditSummary(len(sample), len(verdicts), bad, bad / len(verdicts), between)


def _is_accepted() -> ColumnElement[bool]:
    """Return whether a mask of the teacher is in a dataset without a review."""
    by_itself = InstanceRow.decision == "accepted"
    return or_(
        and_(DecisionRow.decision == "accepted", or_(InstanceRow.decision.is_(None), by_itself)),
        and_(DecisionRow.accepted_people > 0, by_itself),
    )


def _sample(session: Session, run_id: str, persons: int) -> Sequence[tuple[int, int]]:
    """Return the ids of this many accepted persons and their frames, in the order of the sample."""
    query = (
        select(InstanceRow.id, InstanceRow.frame_id)
        .join(
            DecisionRow,
            and_(DecisionRow.run_id == InstanceRow.run_id, DecisionRow.frame_id == InstanceRow.frame_id),
        )
        .where(InstanceRow.run_id == run_id, InstanceRow.role == "teacher", InstanceRow.area_px > 0)
        .where(DecisionRow.image.is_not(None), _is_accepted())
        .order_by(InstanceRow.id)
        .limit(persons)
    )
    return session.execute(query).tuples().all()


def _queued_sample(session: Session, run_id: str) -> list[int]:
    """Return the persons of the sample up to the first one whose frame is not queued: the audit may have been smaller."""
    queued = select(func.count()).where(ReviewRow.run_id == run_id, ReviewRow.is_audit)
    frames = session.scalar(queued.select_from(ReviewRow)) or 0
    if not frames:
        return []
    rows = _sample(session, run_id, PAGE)
    query = select(ReviewRow.frame_id).where(ReviewRow.is_audit)
    known = {one for (one,) in select_by_ids(session, query, ReviewRow.frame_id, [f for _, f in rows])}
    sample = []
    for instance_id, frame_id in rows:
        if frame_id not in known:
            break
        sample.append(instance_id)
    return sample


def _judge(session: Session, run_id: str, instance_ids: Sequence[int]) -> list[bool]:
    """Return whether each mask is good, of those whose frames have a usable consensus."""
    from labeling.comparison.iou import iou_within  # only here: most homes have no audit
    from labeling.structures.masks import Mask

    query = select(InstanceRow.frame_id, InstanceRow.rle, InstanceRow.category, FrameRow).join(
        FrameRow, FrameRow.id == InstanceRow.frame_id
    )
    masks: dict[int, list[Labeled]] = {}
    for frame_id, rle, category, frame in select_by_ids(session, query, InstanceRow.id, instance_ids):
        masks.setdefault(frame_id, []).append((category, Mask(frame.size_hw, rle)))
    judged = []
    for frame_id, people in _reviewed_masks(session, run_id, list(masks)).items():
        ious = iou_within(masks[frame_id], people)
        judged += (ious.max(axis=1, initial=0.0) >= GOOD_FROM).tolist()
    return judged


def _reviewed_masks(session: Session, run_id: str, frame_ids: Sequence[int]) -> "dict[int, list[Labeled]]":
    """Return the masks of the consensus by frame, of frames with a usable one for this run; a frame may have none."""
    from labeling.structures.masks import Mask

    usable = (
        select(FrameRow, ConsensusRow.annotation_id)
        .join(ConsensusRow, ConsensusRow.frame_id == FrameRow.id)
        .join(AnnotationRow, AnnotationRow.id == ConsensusRow.annotation_id)
        .where(ConsensusRow.verdict != "unusable")
        .where(AnnotationRow.run_id.not_in(runs_lacking(session, run_id)))
    )
    frames = {key: frame for frame, key in select_by_ids(session, usable, FrameRow.id, frame_ids)}
    found: dict[int, list[Labeled]] = {frame.id: [] for frame in frames.values()}
    reviewed = select(
        ReviewedInstanceRow.annotation_id, ReviewedInstanceRow.rle, ReviewedInstanceRow.category
    )
    for key, rle, category in select_by_ids(
        session, reviewed, ReviewedInstanceRow.annotation_id, list(frames)
    ):
        found[frames[key].id].append((category, Mask(frames[key].size_hw, rle)))
    return found
