"""Reads frames as they are shown to annotators."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.frames.instances import role_instances, to_instance
from db.frames.listing import video_title
from db.models.core import AgreementRow, DecisionRow, FrameRow, RunRow, VideoRow
from db.models.review import ReviewRow
from db.review.propagation import shown_propagations, with_carried_masks
from db.runs.queries import run_models
from db.sql.reading import select_by_ids
from labeling.review.label_studio.instructions import explain_to_annotators
from labeling.review.records import ProposedInstance, ReviewItem
from labeling.storage.encode import image_key
from labeling.structures.masks import Mask, union_masks
from labeling.structures.reasons import Reason

_CARRIED = Reason.of("carried")


def review_items(session: Session, run: RunRow, frame_ids: Sequence[int]) -> list[ReviewItem]:
    """Return frames with their predictions by a run, in the order given."""
    models = {role: model.full_name for role, model in run_models(session, run).items()}
    carried = shown_propagations(session, run.id, frame_ids)
    teacher = shown_instances(
        session, run.id, frame_ids, {frame_id: row.id for frame_id, row in carried.items()}
    )
    student = _student_masks(session, run.id, frame_ids)
    query = (
        select(FrameRow, VideoRow, DecisionRow, AgreementRow.iou, ReviewRow.is_audit)
        .join(DecisionRow, (DecisionRow.frame_id == FrameRow.id) & (DecisionRow.run_id == run.id))
        .join(AgreementRow, (AgreementRow.frame_id == FrameRow.id) & (AgreementRow.run_id == run.id))
        .join(VideoRow, VideoRow.id == FrameRow.video_id)
        .outerjoin(ReviewRow, ReviewRow.frame_id == FrameRow.id)
    )
    items = {
        frame.id: ReviewItem(
            frame_id=frame.id,
            image=image_key(decision.image or ""),
            size_hw=frame.size_hw,
            why=explain_to_annotators(
                [*map(Reason.from_json, decision.reasons), *([_CARRIED] if frame.id in carried else [])]
            ),
            title=_title(session, video, frame) + _people(teacher.get(frame.id, ())),
            iou=iou,
            value=carried[frame.id].priority if frame.id in carried else decision.priority or 0.0,
            teacher=_with_questions(
                teacher.get(frame.id, ()), ask_about_all=is_audit, carried=frame.id in carried
            ),
            teacher_model=models.get("teacher", ""),
            student=student.get(frame.id, {}),
            student_model=models.get("student", ""),
            propagation_id=carried[frame.id].id if frame.id in carried else None,
        )
        for frame, video, decision, iou, is_audit in select_by_ids(session, query, FrameRow.id, frame_ids)
    }
    return [items[frame_id] for frame_id in frame_ids]


def _with_questions(
    people: Iterable[ProposedInstance], *, ask_about_all: bool | None, carried: bool
) -> tuple[ProposedInstance, ...]:
    """Return the masks with whether they are asked about: those that an audit judges must look like the others."""
    if carried:
        return tuple(replace(person, is_doubtful=None) for person in people)
    if ask_about_all:
        return tuple(
            replace(person, is_doubtful=None if person.is_doubtful is None else True) for person in people
        )
    return tuple(people)


def _title(session: Session, video: VideoRow, frame: FrameRow) -> str:
    """Return a title such as `vtest.avi, 0:42.5`, or the name of an image."""
    title = video_title(session, video)
    if frame.pts_ms is None:
        return frame.name or title
    minutes, ms = divmod(frame.pts_ms, 60_000)
    return f"{title}, {minutes}:{ms / 1000:04.1f}"


def _people(proposed: Sequence[ProposedInstance]) -> str:
    """Return `, track 3` or `, tracks 3, 7`: the numbers in the video, in the order of the masks."""
    numbers = [str(one.track_id) for one in proposed if one.track_id is not None]
    if not numbers:
        return ""
    return f", {'track' if len(numbers) == 1 else 'tracks'} {', '.join(numbers)}"


def proposed_instances(
    session: Session, run_id: str, frame_ids: Sequence[int]
) -> dict[int, list[ProposedInstance]]:
    """Return the masks of the teacher by frame, in its order; frames without any are absent."""
    found: dict[int, list[ProposedInstance]] = {}
    for row, frame in role_instances(session, run_id, frame_ids, "teacher"):
        instance = to_instance(row, frame)
        proposed = ProposedInstance(
            row.id,
            instance.mask,
            instance.score,
            instance.keypoints,
            track_id=instance.track_id,
            is_doubtful=None if row.decision is None else row.decision != "accepted",
            category=instance.category,
        )
        found.setdefault(frame.id, []).append(proposed)
    return found


def shown_instances(
    session: Session, run_id: str, frame_ids: Sequence[int], propagations: Mapping[int, int]
) -> dict[int, list[ProposedInstance]]:
    """Return the masks that annotators are shown: the teacher's, or those of a propagation, by frame id."""
    teacher = proposed_instances(session, run_id, frame_ids)
    return teacher | with_carried_masks(session, teacher, propagations)


def _student_masks(session: Session, run_id: str, frame_ids: Sequence[int]) -> dict[int, dict[str, Mask]]:
    """Return the union of the student's masks by frame and category; frames without any are absent."""
    found: dict[int, dict[str, list[Mask]]] = {}
    for row, frame in role_instances(session, run_id, frame_ids, "student"):
        of_frame = found.setdefault(frame.id, {})
        of_frame.setdefault(row.category, []).append(to_instance(row, frame).mask)
    return {
        frame_id: {category: union_masks(masks, masks[0].size_hw) for category, masks in of_frame.items()}
        for frame_id, of_frame in found.items()
    }
