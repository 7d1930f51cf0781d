"""Frames as people are asked about them, read from the ledger."""

from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.frames.listing import seen_instance, video_title
from db.models.core import AgreementRow, DecisionRow, FrameRow, InstanceRow, RunRow, VideoRow
from db.runs.queries import run_models
from db.sql.paging import pages
from labeling.review.records import ProposedInstance, ReviewItem
from labeling.storage.encode import image_key
from labeling.structures.masks import Mask, union_masks


def review_items(session: Session, run: RunRow, frame_ids: Sequence[int]) -> list[ReviewItem]:
    """What a run says about frames, in the order given."""
    models = {role: f"{model.kind}:{model.name}" for role, model in run_models(session, run).items()}
    items: dict[int, ReviewItem] = {}
    for page in pages(frame_ids):
        items |= {item.frame_id: item for item in _page_of_items(session, run, page, models)}
    return [items[frame_id] for frame_id in frame_ids]


def _page_of_items(
    session: Session, run: RunRow, frame_ids: Sequence[int], models: dict[str, str]
) -> Iterable[ReviewItem]:
    query = (
        select(FrameRow, VideoRow, DecisionRow, AgreementRow.iou)
        .join(DecisionRow, (DecisionRow.frame_id == FrameRow.id) & (DecisionRow.run_id == run.id))
        .join(AgreementRow, (AgreementRow.frame_id == FrameRow.id) & (AgreementRow.run_id == run.id))
        .join(VideoRow, VideoRow.id == FrameRow.video_id)
        .where(FrameRow.id.in_(frame_ids))
    )
    teacher = proposed_instances(session, run.id, frame_ids)
    student = student_masks(session, run.id, frame_ids)
    for frame, video, decision, iou in session.execute(query):
        yield ReviewItem(
            frame_id=frame.id,
            image=image_key(decision.image or ""),
            size_hw=(frame.height or 0, frame.width or 0),
            why="; ".join(decision.reasons),
            title=_title(session, video, frame),
            iou=iou,
            value=decision.value or 0.0,
            teacher=tuple(teacher.get(frame.id, ())),
            teacher_model=models.get("teacher", ""),
            student=student.get(frame.id),
            student_model=models.get("student", ""),
        )


def _title(session: Session, video: VideoRow, frame: FrameRow) -> str:
    """`vtest.avi, 0:42.5`, or an image's own name."""
    title = video_title(session, video)
    if video.kind != "video":
        return frame.name or title
    minutes, ms = divmod(frame.t_ms, 60_000)
    return f"{title}, {minutes}:{ms / 1000:04.1f}"


def proposed_instances(
    session: Session, run_id: str, frame_ids: Sequence[int]
) -> dict[int, list[ProposedInstance]]:
    """The teacher's masks by frame, in its own order; frames without any are absent."""
    found: dict[int, list[ProposedInstance]] = {}
    for instance, frame in _instances(session, run_id, frame_ids, "teacher"):
        seen = seen_instance(instance, frame)
        one = ProposedInstance(instance.id, seen.mask, seen.score, seen.keypoints)
        found.setdefault(frame.id, []).append(one)
    return found


def student_masks(session: Session, run_id: str, frame_ids: Sequence[int]) -> dict[int, Mask]:
    """Everybody that the student saw, by frame; frames without anybody are absent."""
    masks: dict[int, list[Mask]] = {}
    for instance, frame in _instances(session, run_id, frame_ids, "student"):
        masks.setdefault(frame.id, []).append(seen_instance(instance, frame).mask)
    return {frame_id: union_masks(of_frame, of_frame[0].size_hw) for frame_id, of_frame in masks.items()}


def _instances(
    session: Session, run_id: str, frame_ids: Sequence[int], role: str
) -> Iterable[tuple[InstanceRow, FrameRow]]:
    for page in pages(frame_ids):
        query = (
            select(InstanceRow, FrameRow)
            .join(FrameRow, FrameRow.id == InstanceRow.frame_id)
            .where(InstanceRow.run_id == run_id, InstanceRow.role == role, InstanceRow.frame_id.in_(page))
            .order_by(InstanceRow.frame_id, InstanceRow.rank)
        )
        yield from session.execute(query).tuples()
