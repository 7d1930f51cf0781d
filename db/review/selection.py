"""Selects the waiting frames to send next: highest priority first, within the budget of the run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, Row, bindparam, func, select, tuple_
from sqlalchemy.orm import Session, aliased

from configs.models import Review as Settings
from db.frames.shots import Shots
from db.models.core import DecisionRow, FrameRow, RunRow
from db.models.review import ReviewRow
from db.review.audit import waiting_audit
from db.review.truth import find_truths, has_truth, knows_truth
from db.sql.reading import PAGE, count_rows, select_by_ids
from labeling.review.occupancy import OccupancyGrid, unpack_grid
from labeling.review.queue import Candidate, Shot, select_frames_for_review

_SENT = ("sending", "open", "reviewed", "unresolved", "skipped", "deleted")
"""States of frames that are, or were, shown to annotators."""


@dataclass(frozen=True, slots=True)
class SkippedFrames:
    """Waiting frames that are not sent, even if there is room."""

    near_identical: int
    """To a frame that was sent; only frames that the selection had to compare are counted."""
    beyond_shot: int
    """Of shots with `review.max_per_shot` sent frames; counted likewise."""
    over_budget: int
    """Left over when `review.budget` frames of the run were sent."""

    @property
    def frames(self) -> int:
        return self.near_identical + self.beyond_shot + self.over_budget


@dataclass(frozen=True, slots=True)
class PushChoice:
    """The frames to send, best first, and the number of those passed over."""

    frames: tuple[int, ...]
    passed_over: SkippedFrames


def choose_waiting(session: Session, run_id: str, settings: Settings, *, room: int) -> PushChoice:
    """Choose at most `room` of the waiting frames of a run.

    Frames that were sent before count, whichever run sent them: a push that is repeated after a crash
    continues with the same choice. Frames of the audit are always chosen, beyond the budget, however similar they are.
    """
    audit = waiting_audit(session, run_id, room=room)
    room -= len(audit)
    shots = Shots(session, run_id)
    sent = _read_sent(session, shots)
    with_truth = knows_truth(session)
    of_run = sent.of_run - (_count_with_truth(session, run_id) if with_truth else 0)
    left = None if settings.budget is None else max(0, settings.budget - of_run)
    choice = select_frames_for_review(
        _candidates(session, shots, with_truth=with_truth),
        most=room if left is None else min(room, left),
        max_per_shot=settings.max_per_shot,
        asked_of=sent.of_shot,
    )
    compared = len(choice.frames) + choice.near_identical + choice.beyond_shot
    is_spent = left is not None and len(choice.frames) >= left
    over_budget = count_waiting(session, run_id) - compared - len(audit) if is_spent else 0
    passed_over = SkippedFrames(choice.near_identical, choice.beyond_shot, over_budget)
    return PushChoice(_mix(choice.frames, audit), passed_over)


def in_order(session: Session, frame_ids: Sequence[int]) -> list[int]:
    """Return frames to be sent with the highest priority first."""
    query = select(ReviewRow.frame_id, ReviewRow.priority)
    priorities = dict(select_by_ids(session, query, ReviewRow.frame_id, frame_ids))
    return sorted(frame_ids, key=lambda frame_id: -priorities[frame_id])


def _mix(frames: Sequence[int], audit: Sequence[int]) -> tuple[int, ...]:
    """Return all frames, those of the audit at places that depend on their ids alone: annotators cannot tell them."""
    places = [(position, 1, frame_id) for position, frame_id in enumerate(frames)]
    places += [(frame_id % (len(frames) + 1), 0, frame_id) for frame_id in audit]
    return tuple(frame_id for *_, frame_id in sorted(places))


def count_waiting(session: Session, run_id: str) -> int:
    return count_rows(session, ReviewRow, ReviewRow.state == "waiting", ReviewRow.run_id == run_id)


@dataclass(slots=True)
class _SentFrames:
    """Frames of a run that were sent, by any run, with the occupancy of the masks that were shown."""

    shots: Shots
    of_run: int = 0
    """Frames that this run decided need a review."""
    _by_video: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    """Starts of shots, as recorded by their shards, and packed occupancy grids."""
    _by_shot: dict[Shot, list[OccupancyGrid]] = field(default_factory=dict)

    def add(self, video_id: str, shot_start_ms: int, decision: str, occupancy: bytes) -> None:
        self._by_video.setdefault(video_id, []).append((shot_start_ms, occupancy))
        self.of_run += decision == "review"

    def of_shot(self, shot: Shot) -> list[OccupancyGrid]:
        """Return the grids of a shot; those of its video are unpacked at the first call."""
        video_id, _ = shot
        for shot_start_ms, occupancy in self._by_video.pop(video_id, ()):
            whole = self.shots.whole((video_id, shot_start_ms))
            self._by_shot.setdefault(whole, []).append(unpack_grid(occupancy))
        return self._by_shot.get(shot, [])


def _read_sent(session: Session, shots: Shots) -> _SentFrames:
    shown = aliased(DecisionRow)
    run_id: BindParameter[str] = bindparam("of_run")
    video_id = select(FrameRow.video_id).where(FrameRow.id == ReviewRow.frame_id).scalar_subquery()
    query = (
        select(video_id, DecisionRow.shot_start_ms, DecisionRow.decision, shown.occupancy)
        .select_from(ReviewRow)
        .join(shown, (shown.frame_id == ReviewRow.frame_id) & (shown.run_id == run_id))
        .outerjoin(
            DecisionRow, (DecisionRow.frame_id == ReviewRow.frame_id) & (DecisionRow.run_id == shots.run_id)
        )
        .where(ReviewRow.run_id == run_id, ReviewRow.state.in_(_SENT))
        .where(func.coalesce(DecisionRow.decision, "rejected") != "rejected")
        .execution_options(yield_per=PAGE)
    )  # with another inner join, planners start from all frames, or from all decisions of the run
    sent = _SentFrames(shots)
    for any_run_id in session.scalars(select(RunRow.id)).all():  # the index on reviews starts with the run
        with session.execute(query, {"of_run": any_run_id}) as rows:
            for row in rows:
                sent.add(*row)
    return sent


def _count_with_truth(session: Session, run_id: str) -> int:
    """Return how many of the frames in `_SentFrames.of_run` have a known truth: they do not count in the budget."""
    decided = (DecisionRow.frame_id == ReviewRow.frame_id) & (DecisionRow.run_id == run_id)
    query = select(func.count()).select_from(ReviewRow).join(DecisionRow, decided)
    known = query.where(ReviewRow.state.in_(_SENT), DecisionRow.decision == "review")
    return session.scalar(known.where(has_truth(ReviewRow.frame_id))) or 0


def _candidates(session: Session, shots: Shots, *, with_truth: bool) -> Iterator[Candidate]:
    """Yield waiting frames by priority, highest first; pages are read on demand. Those with a known truth are left out."""
    last: tuple[float, int] | None = None
    while page := _read_waiting(session, shots.run_id, after=last):
        known = find_truths(session, [row.frame_id for row in page]) if with_truth else ()
        for priority, frame_id, video_id, shot_start_ms, occupancy in page:
            if frame_id in known:
                continue
            shot = shots.whole((video_id, shot_start_ms))
            yield Candidate(frame_id, priority, shot, unpack_grid(occupancy))
        last = page[-1].priority, page[-1].frame_id


def _read_waiting(session: Session, run_id: str, *, after: tuple[float, int] | None) -> Sequence[Row[Any]]:
    """Read the page after a priority and frame id."""
    query = (
        select(
            ReviewRow.priority,
            ReviewRow.frame_id,
            FrameRow.video_id,
            DecisionRow.shot_start_ms,
            DecisionRow.occupancy,
        )
        .join(
            DecisionRow,
            (DecisionRow.frame_id == ReviewRow.frame_id) & (DecisionRow.run_id == ReviewRow.run_id),
        )
        .join(FrameRow, FrameRow.id == ReviewRow.frame_id)
        .where(ReviewRow.state == "waiting", ReviewRow.run_id == run_id, ~ReviewRow.is_audit)
    )
    if after:
        query = query.where(tuple_(ReviewRow.priority, ReviewRow.frame_id) < after)
    return session.execute(
        query.order_by(ReviewRow.priority.desc(), ReviewRow.frame_id.desc()).limit(PAGE)
    ).all()
