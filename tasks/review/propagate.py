"""Carry reviewed masks to the open frames near them; update which frames need a review, and with which priority.

Each gap between reviewed frames is one transaction. What is stored under the annotations that it comes from is not
computed again, so that an interrupted run continues. What comes from a changed or deleted annotation is withdrawn
first, in one transaction with the states of its frames: after a crash, no frame is confirmed by masks that are outdated.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from configs.errors import MaskmillError, TruncatedVideo
from configs.models import Review as Settings
from db.models.core import FrameRow, VideoRow
from db.models.review import LabelStudioProjectRow
from db.review.items import proposed_instances
from db.review.propagation import (
    CarriedPerson,
    FramePropagation,
    ReviewedPerson,
    current_propagations,
    open_times,
    propagation_id,
    replace_propagations,
    reviewed_people,
    reviewed_times,
    runs_in_review,
    store_propagations,
    update_review_states,
)
from labeling.comparison.agreement import symmetric_difference_share
from labeling.refinement.propagation import CorrectedPerson, Gap, PropagatedMask, propagate
from labeling.review.propagation_plan import PlannedGap, PropagationQuality, ReviewedTime, plan_gaps
from labeling.review.queue import review_priority
from labeling.review.records import ProposedInstance
from labeling.structures.frames import Clip
from labeling.structures.masks import union_masks
from labeling.tracking.frame_strip import StripImage, clip_around, read_strip
from tasks.execution.context import Context


@dataclass(frozen=True, slots=True)
class PropagationSummary:
    """What was carried, summed over projects and runs."""

    carried: int = 0
    """Frames that masks were carried to now."""
    confirmed: int = 0
    """Frames that need no review any more: their carried masks agree with the teacher's."""
    withdrawn: int = 0
    """Frames whose carried masks are not valid any more: the annotation they came from was changed or deleted."""
    problems: tuple[str, ...] = ()
    """Videos that could not be read."""


def propagate_reviews(context: Context, projects: Sequence[LabelStudioProjectRow]) -> PropagationSummary:
    """Carry the reviewed masks of all runs that were sent to these projects; a second call does nothing."""
    settings: dict[str, Settings] = {}
    with context.database.session() as session:
        for project in projects:
            of_project = Settings.model_validate(project.settings)
            settings |= dict.fromkeys(runs_in_review(session, project.id), of_project)
    total = PropagationSummary()
    for run_id, of_run in settings.items():
        done = _propagate_run(context, run_id, of_run)
        total = PropagationSummary(
            total.carried + done.carried,
            total.confirmed + done.confirmed,
            total.withdrawn + done.withdrawn,
            (*total.problems, *done.problems),
        )
    return total


def _propagate_run(context: Context, run_id: str, settings: Settings) -> PropagationSummary:
    with context.database.session() as session:
        known = current_propagations(session, run_id)
        plans = list(_plan_run(session, run_id, settings))
    valid = {frame.frame_id: _key(run_id, gap, frame.frame_id) for _, gap in plans for frame in gap.frames}
    outdated = [frame_id for frame_id, key in known.items() if valid.get(frame_id) != key]
    limits = {"min_iou": settings.confirm_iou, "min_confidence": settings.confirm_confidence}
    with context.database.transaction() as session:
        replace_propagations(session, run_id, outdated)
        confirmed = update_review_states(session, run_id, **limits)
    carried, problems = 0, []
    for video_id, gap in plans:
        new = tuple(frame for frame in gap.frames if known.get(frame.frame_id) != valid[frame.frame_id])
        if not new:
            continue
        try:
            carried += _carry_gap(context, run_id, video_id, replace(gap, frames=new))
        except MaskmillError as error:
            problems.append(f"masks of video {video_id[:12]} were not carried ({error.code}): {error}")
    with context.database.transaction() as session:
        confirmed += update_review_states(session, run_id, **limits)
    withdrawn = sum(frame_id not in valid for frame_id in outdated)
    return PropagationSummary(carried, confirmed, withdrawn, tuple(dict.fromkeys(problems)))


def _plan_run(session: Session, run_id: str, settings: Settings) -> Iterator[tuple[str, PlannedGap]]:
    """Yield (video, gap) for all open frames near reviewed ones."""
    window_ms = round(1000 * settings.propagate_s)
    if not window_ms:
        return
    for video_id, reviewed in reviewed_times(session, run_id).items():
        span = {"from_ms": reviewed[0].pts_ms - window_ms, "to_ms": reviewed[-1].pts_ms + window_ms}
        frames = open_times(session, run_id, video_id, **span)
        for gap in plan_gaps(reviewed, frames, window_ms=window_ms):
            yield video_id, gap


def _key(run_id: str, gap: PlannedGap, frame_id: int) -> int:
    return propagation_id(run_id, frame_id, _annotation(gap.before), _annotation(gap.after))


def _annotation(reviewed: ReviewedTime | None) -> int | None:
    return reviewed.annotation_id if reviewed else None


@dataclass(frozen=True, slots=True)
class _GapData:
    """What the database knows about a gap."""

    clip: Clip
    size_hw: tuple[int, int]
    before: Sequence[ReviewedPerson] | None
    after: Sequence[ReviewedPerson] | None
    teacher: Mapping[int, Sequence[ProposedInstance]]
    """By frame id."""


def _carry_gap(context: Context, run_id: str, video_id: str, gap: PlannedGap) -> int:
    """Carry masks to the frames of one gap, store them, and return their number.

    Raises:
        SourceError: the video cannot be read.
    """
    with context.database.session() as session:
        known = _read_gap(context, session, run_id, video_id, gap)
    keep_ms = {gap.from_ms, gap.to_ms, *(frame.pts_ms for frame in gap.frames)}
    strip = read_strip(known.clip, keep_ms=keep_ms)
    _check_strip(strip, gap, known.clip)
    results = _results(known, strip, gap)
    with context.database.transaction() as session:
        store_propagations(session, run_id, results)
    return len(results)


def _check_strip(strip: Sequence[StripImage], gap: PlannedGap, clip: Clip) -> None:
    """Raise `TruncatedVideo` if the video lacks a reviewed frame: its masks would be carried from another image."""
    times = {image.pts_ms for image in strip}
    for reviewed in (gap.before, gap.after):
        if reviewed is not None and reviewed.pts_ms not in times:
            raise TruncatedVideo(
                f"{clip.path} has no frame at {reviewed.pts_ms / 1000:g} s, which was reviewed: put back the file that "
                "was labeled"
            )


def _read_gap(context: Context, session: Session, run_id: str, video_id: str, gap: PlannedGap) -> _GapData:
    video = session.get_one(VideoRow, video_id)
    clip = clip_around(
        Clip(video_id, context.home.absolute(video.path)), from_ms=gap.from_ms, to_ms=gap.to_ms
    )
    before, after = (
        reviewed_people(session, run_id, one.annotation_id) if one else None
        for one in (gap.before, gap.after)
    )
    frame_ids = [frame.frame_id for frame in gap.frames]
    size_hw = session.get_one(FrameRow, frame_ids[0]).size_hw
    return _GapData(clip, size_hw, before, after, proposed_instances(session, run_id, frame_ids))


def _results(known: _GapData, strip: Sequence[StripImage], gap: PlannedGap) -> list[FramePropagation]:
    """Carry the masks to those frames of the gap that the video still has."""
    position = {image.pts_ms: index for index, image in enumerate(strip)}
    frames = {position[frame.pts_ms]: frame for frame in gap.frames if frame.pts_ms in position}
    shown = {
        index: [one for one in known.teacher.get(frame.frame_id, ()) if one.mask]
        for index, frame in frames.items()
    }
    images = Gap(
        images=strip,
        size_hw=known.size_hw,
        before=_corrected(known.before),
        after=_corrected(known.after),
        targets={index: [one.mask for one in people] for index, people in shown.items()},
        target_categories={index: [one.category for one in people] for index, people in shown.items()},
    )
    return [
        _result(frames[index].frame_id, gap, people, shown[index], known.size_hw)
        for index, people in propagate(images)
    ]


def _corrected(people: Sequence[ReviewedPerson] | None) -> list[CorrectedPerson] | None:
    if people is None:
        return None
    return [
        CorrectedPerson(person.id, person.mask, person.track_id, person.category)
        for person in people
        if person.mask
    ]


def _result(
    frame_id: int,
    gap: PlannedGap,
    people: Sequence[PropagatedMask],
    teacher: Sequence[ProposedInstance],
    size_hw: tuple[int, int],
) -> FramePropagation:
    carried = [
        CarriedPerson(
            one.mask,
            one.confidence,
            one.agreement,
            one.track_id,
            None if one.teacher is None else teacher[one.teacher].id,
            one.category,
        )
        for one in people
    ]
    quality = measure_quality(people, [one.category for one in teacher])
    unions = (union_masks([one.mask for one in side], size_hw) for side in (people, teacher))
    changed = symmetric_difference_share(*unions)
    priority = review_priority(trust=quality.confidence, symmetric_difference_share=changed)
    return FramePropagation(
        frame_id, _annotation(gap.before), _annotation(gap.after), carried, quality, priority
    )


def measure_quality(people: Sequence[PropagatedMask], teacher: Sequence[str]) -> PropagationQuality:
    """Return the lowest agreement and confidence, and the number of people in only one of both.

    `teacher`: categories of the teacher's masks. Two masks of different categories are no match.
    """
    matched = [one for one in people if one.teacher is not None and one.category == teacher[one.teacher]]
    unmatched = len(people) + len(teacher) - 2 * len(matched)
    return PropagationQuality(
        agreement=min((one.agreement or 0.0 for one in matched), default=None),
        confidence=min((one.confidence for one in people), default=None),
        unmatched=unmatched,
    )
