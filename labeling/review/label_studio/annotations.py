"""Label Studio's annotations as reviewed frames: every region one person again, known by who it was.

What Label Studio 1.23 keeps, as tried in its interface: a region's id through acceptance, strokes and
erasing; `origin` follows (`prediction`, then `prediction-changed`). A duplicate gets a new id but keeps
`origin` and score; a region erased to nothing stays, empty; the joints of a deleted region stay. So ids
say who somebody is, and masks, not `origin`, say whether anything was changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from configs.models import Review
from labeling.comparison.agreement import match_pairs
from labeling.errors import LabelStudioError
from labeling.review.label_studio.keypoints import assign_keypoints
from labeling.review.label_studio.regions import MaskRegion, ParsedResult, read_answer
from labeling.review.label_studio.tasks import named_instance
from labeling.review.records import Origin, ProposedInstance, ReviewedFrame, ReviewedInstance, Verdict
from labeling.structures.masks import Mask, iou_matrix

SAME_PERSON_IOU = 0.5
"""From which a region drawn anew is a correction of a mask that is gone."""


class _User(BaseModel):
    id: int
    email: str = ""


class _Annotation(BaseModel):
    id: int
    completed_by: _User | int | None = None
    result: list[Any] | None = None
    was_cancelled: bool = False
    lead_time: float | None = None
    created_at: datetime
    updated_at: datetime


class _Data(BaseModel):
    frame_id: int
    label: str | None = None
    shows_keypoints: bool | None = None

    def settings(self, settings: Review) -> Review:
        """These settings as they were when the task was made."""
        shown = {"label": self.label, "show_keypoints": self.shows_keypoints}
        return settings.model_copy(update={name: one for name, one in shown.items() if one is not None})


class _Task(BaseModel):
    id: int
    data: _Data
    annotations: list[_Annotation] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What people were shown, and what is known about them."""

    settings: Review
    people: Mapping[int, ProposedInstance]
    """By id; an empty mask is nobody and was not shown."""
    size_hw: tuple[int, int]
    users: Mapping[int, str]


def read_annotations(
    task_json: Mapping[str, Any],
    *,
    settings: Review,
    proposed: Sequence[ProposedInstance],
    size_hw: tuple[int, int],
    users: Mapping[int, str],
) -> list[ReviewedFrame]:
    """Read a task's annotations in order of their numbers.

    `proposed` is what people were shown; how, the task says, or for one that does not, these settings; `users` are e-mails by user id. What
    cannot be understood is left out and stands in `problems`: such a frame's instances are not all
    that the annotator left.

    Raises:
        LabelStudioError: the task is not one of ours, or not as Label Studio writes it.
    """
    try:
        task = _Task.model_validate(task_json)
    except ValidationError as exc:
        raise LabelStudioError(
            f"task {task_json.get('id')} is not one that maskmill made, or comes from a Label Studio of another "
            f"version: {exc.errors()[0]['loc']} {exc.errors()[0]['msg']}"
        ) from exc
    shown = _Shown(
        task.data.settings(settings), {one.id: one for one in proposed if one.mask}, size_hw, users
    )
    in_order = sorted(task.annotations, key=lambda one: one.id)
    return [_read_annotation(one, task, shown) for one in in_order]


def _read_annotation(annotation: _Annotation, task: _Task, shown: _Shown) -> ReviewedFrame:
    """A skipped annotation holds what the page happened to show: nobody said anything about it."""
    results = [] if annotation.was_cancelled else annotation.result or []
    answer = read_answer(results, shown.size_hw, shown.settings)
    instances, verdict, strays = _understand(answer, shown)
    return ReviewedFrame(
        frame_id=task.data.frame_id,
        task=task.id,
        number=annotation.id,
        annotator=_name_user(annotation.completed_by, shown.users),
        verdict="skipped" if annotation.was_cancelled else verdict,
        instances=instances,
        seconds=annotation.lead_time,
        created_at=_to_naive_utc(annotation.created_at),
        updated_at=_to_naive_utc(annotation.updated_at),
        note=answer.note,
        problems=(*answer.problems, *strays),
    )


def _understand(
    answer: ParsedResult, shown: _Shown
) -> tuple[tuple[ReviewedInstance, ...], Verdict, tuple[str, ...]]:
    """The people that are left, the verdict, and problems with joints.

    What was ticked counts only where masks and joints cannot contradict it: `unusable`.
    """
    regions = _drop_copies([region for region in answer.masks if region.mask], shown)
    sources = _find_sources(regions, shown)
    joints = assign_keypoints(answer.joints, regions, sources, were_shown=shown.settings.show_keypoints)
    instances = tuple(
        ReviewedInstance(
            region.mask, _find_origin(region.mask, source), source.id if source else None, keypoints
        )
        for region, source, keypoints in zip(regions, sources, joints.keypoints, strict=True)
    )
    if answer.verdict == "unusable":
        return instances, "unusable", joints.problems
    is_untouched = all(one.origin == "prediction" for one in instances) and not joints.is_changed
    is_complete = shown.people.keys() == {one.source_id for one in instances}
    is_understood = not (answer.problems or joints.problems)
    verdict: Verdict = "correct" if is_untouched and is_complete and is_understood else "corrected"
    return instances, verdict, joints.problems


def _drop_copies(regions: Sequence[MaskRegion], shown: _Shown) -> list[MaskRegion]:
    """Leave out what was drawn exactly as another region is: a copy made by a slip, no second person."""
    is_shown = [named_instance(region.name) in shown.people for region in regions]
    seen = {region.mask for region, known in zip(regions, is_shown, strict=True) if known}
    kept = []
    for region, known in zip(regions, is_shown, strict=True):
        if known or region.mask not in seen:
            kept.append(region)
            seen.add(region.mask)
    return kept


def _find_sources(regions: Sequence[MaskRegion], shown: _Shown) -> list[ProposedInstance | None]:
    """Whose mask each region was: by its id, else by overlap with a mask that has no region."""
    sources = [_find_named(region, shown) for region in regions]
    drawn = [position for position, source in enumerate(sources) if source is None]
    left = {source.id for source in sources if source}
    gone = [shown.people[number] for number in sorted(shown.people.keys() - left)]
    ious = iou_matrix([regions[position].mask for position in drawn], [one.mask for one in gone])
    for row, column, _ in match_pairs(ious, min_iou=SAME_PERSON_IOU):
        sources[drawn[row]] = gone[column]
    return sources


def _find_named(region: MaskRegion, shown: _Shown) -> ProposedInstance | None:
    number = named_instance(region.name)
    return None if number is None else shown.people.get(number)


def _find_origin(mask: Mask, source: ProposedInstance | None) -> Origin:
    """By pixels: a stroke that was undone changed nothing."""
    if source is None:
        return "manual"
    return "prediction" if mask == source.mask else "prediction-changed"


def _name_user(user: _User | int | None, users: Mapping[int, str]) -> str:
    if user is None:
        return "unknown user"
    number = user if isinstance(user, int) else user.id
    email = users.get(number, "") if isinstance(user, int) else user.email or users.get(number, "")
    return email or f"user {number}"


def _to_naive_utc(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
