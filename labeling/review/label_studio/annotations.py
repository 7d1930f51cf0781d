"""Label Studio's annotations as reviewed frames: each person with the proposed mask that it corrects.

Behavior of Label Studio 1.23, as observed in its interface: a region keeps its id when it is accepted,
painted or erased, and `origin` follows (`prediction`, then `prediction-changed`). A duplicate gets a new id
but keeps `origin` and score. A region that is erased completely stays, empty. Keypoints of a deleted region
stay. So ids identify people, and pixels, not `origin`, show what was changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from configs.categories import PERSON
from configs.errors import ConfigError, LabelStudioError
from configs.models import Review
from labeling.comparison.iou import iou_within, match_pairs
from labeling.review.label_studio.project import (
    NO_PERSON,
    NUMBERED_LABELS,
    OTHER,
    RIGHT,
    label_meanings,
    numbered_label,
)
from labeling.review.label_studio.results import KeypointRegion, MaskRegion, ParsedResult, parse_result
from labeling.review.label_studio.tasks import instance_id_of, region_id, shown_keypoints
from labeling.review.records import Origin, ProposedInstance, ReviewedFrame, ReviewedInstance, Verdict
from labeling.structures.instances import COCO_KEYPOINTS, Keypoints
from labeling.structures.masks import Mask, union_masks

SAME_PERSON_IOU = 0.5
"""A new region that overlaps a removed mask at least so much is a correction of it."""
_ROUNDING_PX = 0.01
"""Pixels are converted to per cent and back: a smaller difference is not a move."""
_ABSENT = (0.0, 0.0, 0.0)


class _User(BaseModel):
    id: int
    email: str = ""


class _Annotation(BaseModel):
    id: int
    completed_by: _User | int | None = None
    result: list[Any] | None = None
    was_cancelled: bool = False
    lead_time: float | None = None
    ground_truth: bool = False
    created_at: datetime
    updated_at: datetime


class _Question(BaseModel):
    id: int
    other: str | None = None
    """Mask of the other model, counts of a COCO RLE; None: it was no choice."""


class _Data(BaseModel):
    frame_id: int
    questions: list[_Question] = Field(default_factory=list)
    locked: list[int] = Field(default_factory=list)
    """Ids of the people who were shown as believed already."""
    label: str | None = None
    shows_keypoints: bool | None = None
    min_keypoint_score: float | None = None


class _Task(BaseModel):
    id: int
    data: _Data
    annotations: list[_Annotation] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What annotators were shown."""

    settings: Review
    people: Mapping[int, ProposedInstance]
    """By id, without empty masks, which are not shown."""
    locked: frozenset[int]
    """Ids of those whose masks annotators cannot change."""
    size_hw: tuple[int, int]
    users: Mapping[int, str]
    categories: Sequence[str]
    """Which annotators may choose."""


def read_annotations(  # noqa: PLR0913 - keyword-only options
    task_json: Mapping[str, Any],
    *,
    settings: Review,
    proposed: Sequence[ProposedInstance],
    size_hw: tuple[int, int],
    users: Mapping[int, str],
    categories: Sequence[str] = (PERSON,),
) -> list[ReviewedFrame]:
    """Return a task's annotations in order of their ids.

    `proposed`: the masks that were shown. `settings`: used where the task does not record how they were
    shown. `users`: e-mails by user id. `categories`: those of the run; others are a problem. What cannot be read is ignored and listed in `problems`; the
    instances of such a frame are incomplete.

    Raises:
        LabelStudioError: the task is not one of maskmill's, or not in the expected format.
    """
    try:
        task = _Task.model_validate(task_json)
    except ValidationError as exc:
        raise LabelStudioError(
            f"task {task_json.get('id')} was not made by maskmill, or comes from another version of Label "
            f"Studio: {exc.errors()[0]['loc']} {exc.errors()[0]['msg']}; delete it, or report this version"
        ) from exc
    recorded = {
        "label": task.data.label,
        "show_keypoints": task.data.shows_keypoints,
        # a task that records whether, but not from which confidence, was made when all were shown
        "min_keypoint_score": 0.0
        if task.data.min_keypoint_score is None and task.data.shows_keypoints is not None
        else task.data.min_keypoint_score,
    }
    settings = settings.model_copy(
        update={key: value for key, value in recorded.items() if value is not None}
    )
    try:
        label_meanings(settings, categories)
    except ConfigError as exc:  # its data was changed
        raise LabelStudioError(f"task {task.id} cannot be read: {exc}") from exc
    people = {person.id: person for person in proposed if person.mask}
    locked = frozenset(people.keys() & set(task.data.locked))
    shown = _Shown(settings, people, locked, size_hw, users, categories)
    by_id = sorted(task.annotations, key=lambda annotation: annotation.id)
    return [_read_annotation(annotation, task, shown) for annotation in by_id]


def _read_annotation(annotation: _Annotation, task: _Task, shown: _Shown) -> ReviewedFrame:
    # A skipped annotation contains what the page showed, not a result.
    results = [] if annotation.was_cancelled else annotation.result or []
    parsed = parse_result(results, shown.size_hw, shown.settings, shown.categories)
    answers = {
        question.id: (parsed.answers[position], question.other)
        for position, question in enumerate(task.data.questions)
        if position in parsed.answers
    }
    instances, verdict, keypoint_problems = _interpret(parsed, shown, answers)
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
        note=parsed.note,
        problems=(*parsed.problems, *keypoint_problems),
        is_starred=annotation.ground_truth,
    )


def _interpret(
    parsed: ParsedResult, shown: _Shown, answers: Mapping[int, tuple[str, str | None]]
) -> tuple[tuple[ReviewedInstance, ...], Verdict, list[str]]:
    """Return the people, the verdict, and problems with keypoints.

    Of the verdicts that annotators choose, only `unusable` is used: the masks show whether anything changed.
    """
    regions = _without_copies(_join_parts([region for region in parsed.masks if region.mask], shown), shown)
    sources = _find_sources(regions, shown)
    keypoints, problems = assign_keypoints(parsed.keypoints, regions, sources, shown.settings)
    submitted = [
        ReviewedInstance(
            region.mask,
            _find_origin(region, source),
            source.id if source else None,
            points,
            region.category,
        )
        for region, source, points in zip(regions, sources, keypoints, strict=True)
    ]
    answered = [
        one if source is None else _apply_answer(one, source, answers.get(source.id))
        for one, source in zip(submitted, sources, strict=True)
    ]
    instances, changed = _restore_locked([one for one in answered if one], shown)
    problems += changed
    if parsed.verdict == "unusable":
        return instances, "unusable", problems
    proposed_keypoints = [_points_of(source) if source else None for source in sources]
    is_untouched = (
        all(person.origin == "prediction" for person in instances) and keypoints == proposed_keypoints
    )
    is_complete = shown.people.keys() == {person.source_id for person in instances}
    is_readable = not (parsed.problems or problems)
    verdict: Verdict = "correct" if is_untouched and is_complete and is_readable else "corrected"
    return instances, verdict, problems


def _apply_answer(
    person: ReviewedInstance, source: ProposedInstance, answer: tuple[str, str | None] | None
) -> ReviewedInstance | None:
    """Return the person as answered; None: it is no person. A mask that was painted counts more than an outline chosen."""
    choice, other = answer or (RIGHT, None)
    if choice == NO_PERSON:
        return None
    if person.mask != source.mask or choice == RIGHT:
        return person
    size_hw = person.mask.size_hw
    if choice == OTHER and other is not None:
        return replace(person, mask=Mask(size_hw, other.encode()), origin="prediction-changed")
    return replace(person, mask=Mask.empty(size_hw), origin="prediction-changed", keypoints=None)


def _restore_locked(
    people: Sequence[ReviewedInstance], shown: _Shown
) -> tuple[tuple[ReviewedInstance, ...], list[str]]:
    """Return the people with every locked one as it was shown, and problems.

    Label Studio lets no annotator delete a locked mask or move its points, but a brush paints it where it is selected.
    """
    submitted = {one.source_id: one for one in people}
    problems = [
        f"the mask of {numbered_label(shown.settings, position, one.category)} was accepted before the review: what was changed is ignored"
        for position, (key, one) in enumerate(shown.people.items())
        if key in shown.locked and (key not in submitted or submitted[key].origin != "prediction")
    ]
    locked = {
        key: ReviewedInstance(one.mask, "prediction", key, _points_of(one), one.category)
        for key, one in shown.people.items()
        if key in shown.locked
    }
    restored = [locked.pop(one.source_id, one) if one.source_id is not None else one for one in people]
    return (*restored, *locked.values()), problems


def _join_parts(regions: Sequence[MaskRegion], shown: _Shown) -> list[MaskRegion]:
    """Return the regions with those that are labeled as a shown person joined to that person's own region.

    Label Studio makes a new region where nothing is selected; its label has the number of a shown person, or
    says that it is a new one. A person whose own region was deleted is who was painted under the number. What is
    painted under another category than that of its number is a new one, too.
    """
    people = list(shown.people)
    own = {instance_id_of(region.region_id): region.category for region in regions}
    current = {key: own.get(key, one.category) for key, one in shown.people.items()}
    parts: dict[str, list[MaskRegion]] = {}
    for region in regions:
        name = region.region_id
        if instance_id_of(name) not in shown.people and region.number is not None:
            numbered = people[region.number - 1 :: NUMBERED_LABELS]
            same_number = [key for key in numbered if current[key] == region.category]
            name = region_id(_nearest_person(region.mask, same_number, shown)) if same_number else name
        parts.setdefault(name, []).append(region)
    return [
        replace(joined[0], region_id=name, mask=union_masks([one.mask for one in joined], shown.size_hw))
        for name, joined in parts.items()
    ]


def _nearest_person(mask: Mask, people: Sequence[int], shown: _Shown) -> int:
    """Return the person of several with one number whose mask lies nearest to this one, by centers of boxes."""

    def distance_px(key: int) -> float:
        (x, y, w, h), (x2, y2, w2, h2) = mask.box_xywh, shown.people[key].mask.box_xywh
        return abs(x + w / 2 - x2 - w2 / 2) + abs(y + h / 2 - y2 - h2 / 2)

    return min(people, key=distance_px)


def _without_copies(regions: Sequence[MaskRegion], shown: _Shown) -> list[MaskRegion]:
    """Remove exact copies of other regions: they are made by accident, and are no second person.

    A copy of another category stays: it was given its label on purpose.
    """
    is_proposed = [instance_id_of(region.region_id) in shown.people for region in regions]
    content = [(region.category, region.mask) for region in regions]
    seen = {one for one, proposed in zip(content, is_proposed, strict=True) if proposed}
    kept = []
    for region, one, proposed in zip(regions, content, is_proposed, strict=True):
        if proposed or one not in seen:
            kept.append(region)
            seen.add(one)
    return kept


def _find_sources(regions: Sequence[MaskRegion], shown: _Shown) -> list[ProposedInstance | None]:
    """Return the proposed instance of each region: by id, else by overlap with one of its category without a region."""
    ids = [instance_id_of(region.region_id) for region in regions]
    sources = [None if key is None else shown.people.get(key) for key in ids]
    drawn = [position for position, source in enumerate(sources) if source is None]
    kept = {source.id for source in sources if source}
    removed = [shown.people[key] for key in sorted(shown.people.keys() - kept)]
    ious = iou_within(
        [(regions[position].category, regions[position].mask) for position in drawn],
        [(person.category, person.mask) for person in removed],
    )
    for row, column, _ in match_pairs(ious, min_iou=SAME_PERSON_IOU):
        sources[drawn[row]] = removed[column]
    return sources


def _find_origin(region: MaskRegion, source: ProposedInstance | None) -> Origin:
    """Compare pixels and category: a stroke that was undone changed nothing."""
    if source is None:
        return "manual"
    is_same = (region.mask, region.category) == (source.mask, source.category)
    return "prediction" if is_same else "prediction-changed"


def _name_user(user: _User | int | None, users: Mapping[int, str]) -> str:
    if user is None:
        return "unknown user"
    key, email = (user, "") if isinstance(user, int) else (user.id, user.email)
    return email or users.get(key, "") or f"user {key}"


def _to_naive_utc(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


def assign_keypoints(
    points: Sequence[KeypointRegion],
    regions: Sequence[MaskRegion],
    sources: Sequence[ProposedInstance | None],
    settings: Review,
) -> tuple[list[Keypoints | None], list[str]]:
    """Return the keypoints of each region (None: it has none), and problems.

    A keypoint belongs to the instance that its id names, otherwise to its parent region, otherwise to the
    nearest region of a person. Other categories have none. Keypoints of a removed person are removed too. A shown keypoint that is missing becomes
    (0, 0, 0). One that was not moved keeps the teacher's confidence, any other has confidence 1. One that
    was not shown stays as the teacher gave it.
    """
    placed: list[dict[int, tuple[float, float]]] = [{} for _ in regions]
    people = [position for position, region in enumerate(regions) if region.category == PERSON]
    problems = []
    for point in points:
        instance_id = instance_id_of(point.region_id)
        if instance_id is not None:
            owners = [i for i, source in enumerate(sources) if source and source.id == instance_id]
        elif people:
            owners = [people[_nearest_region(point, [regions[position] for position in people])]]
        else:
            owners = []
            problems.append(
                f"keypoint {COCO_KEYPOINTS[point.index]} ignored: there is no person in the frame"
            )
        for owner in owners:
            placed[owner][point.index] = (point.x_px, point.y_px)
    keypoints = [
        _update(source, moved, settings) if region.category == PERSON else None
        for region, source, moved in zip(regions, sources, placed, strict=True)
    ]
    return keypoints, problems


def known_keypoints(keypoints: Keypoints | None) -> Keypoints | None:
    """Return `keypoints`, or None if none of them has a confidence."""
    return keypoints if any(confidence > 0 for _, _, confidence in keypoints or ()) else None


def _points_of(instance: ProposedInstance) -> Keypoints | None:
    """Return the keypoints that an instance may have after a review; None: none."""
    return known_keypoints(instance.keypoints) if instance.category == PERSON else None


def _nearest_region(point: KeypointRegion, regions: Sequence[MaskRegion]) -> int:
    """Return the parent region of a keypoint, else the one with the nearest box; of equal ones the smaller."""

    def distance(position: int) -> tuple[bool, float, int]:
        region = regions[position]
        x, y, w, h = region.mask.box_xywh
        dx, dy = max(x - point.x_px, point.x_px - x - w, 0.0), max(y - point.y_px, point.y_px - y - h, 0.0)
        return region.region_id != point.parent, dx**2 + dy**2, region.mask.area_px

    return min(range(len(regions)), key=distance)


def _update(
    source: ProposedInstance | None, placed: Mapping[int, tuple[float, float]], settings: Review
) -> Keypoints | None:
    shown = set(shown_keypoints(source, settings)) if source else set()
    updated = list((source and source.keypoints) or (_ABSENT,) * len(COCO_KEYPOINTS))
    for index in shown | placed.keys():
        x, y, _ = updated[index]
        position = placed.get(index)
        if position is None:
            updated[index] = _ABSENT
        elif index not in shown or max(abs(position[0] - x), abs(position[1] - y)) > _ROUNDING_PX:
            updated[index] = (*position, 1.0)
    return known_keypoints(tuple(updated))
