"""Which of the frames that wait for review are sent: the best of them, within what people have time for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, Row, bindparam, func, select, tuple_
from sqlalchemy.orm import Session, aliased

from configs.models import Review as Settings
from db.frames.shots import Shots
from db.models.core import DecisionRow, FrameRow, RunRow
from db.models.review import ReviewRow
from db.sql.paging import PAGE
from labeling.review.occupancy import OccupancyGrid, unpack_grid
from labeling.review.queue import Candidate, Shot, select_frames_for_review

ASKED = ("sending", "open", "reviewed", "unresolved", "skipped", "deleted")
"""States of frames that people are, or were, asked about."""


@dataclass(frozen=True, slots=True)
class SkippedFrames:
    """Frames that wait and are not sent, whatever room there is."""

    near_identical: int
    """To one that people are asked about; counted as far as the choice had to look."""
    beyond_shot: int
    """Of shots about which people are asked enough (`review.max_per_shot`); counted likewise."""
    over_budget: int
    """Left when people are asked about enough frames of the run (`review.budget`)."""

    @property
    def frames(self) -> int:
        return self.near_identical + self.beyond_shot + self.over_budget


@dataclass(frozen=True, slots=True)
class PushChoice:
    """What is to be sent, best first, and what is not."""

    frames: tuple[int, ...]
    passed_over: SkippedFrames


def choose_waiting(session: Session, run_id: str, settings: Settings, *, room: int) -> PushChoice:
    """Choose at most `room` of the frames of a run that wait.

    What people were asked about counts, whichever run asked: a push that is repeated or was killed
    goes on with the same choice.
    """
    shots = Shots(session, run_id)
    asked = _read_asked(session, shots)
    left = None if settings.budget is None else max(0, settings.budget - asked.wanted)
    choice = select_frames_for_review(
        _candidates(session, shots),
        most=room if left is None else min(room, left),
        max_per_shot=settings.max_per_shot,
        asked_of=asked.of_shot,
    )
    looked_at = len(choice.frames) + choice.near_identical + choice.beyond_shot
    is_spent = left is not None and len(choice.frames) >= left
    over_budget = count_waiting(session, run_id) - looked_at if is_spent else 0
    return PushChoice(choice.frames, SkippedFrames(choice.near_identical, choice.beyond_shot, over_budget))


def count_waiting(session: Session, run_id: str) -> int:
    query = select(func.count()).select_from(ReviewRow)
    return session.scalar(query.where(ReviewRow.state == "waiting", ReviewRow.run_id == run_id)) or 0


@dataclass(slots=True)
class _Asked:
    """Frames of a run that people are asked about, as they were shown."""

    shots: Shots
    wanted: int = 0
    """Those that the run wants reviewed: others were asked about by other runs."""
    _by_video: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    """Times of shots, as their shards saw them, and packed layouts."""
    _by_shot: dict[Shot, list[OccupancyGrid]] = field(default_factory=dict)

    def add(self, video_id: str, shot_start_ms: int, decision: str, occupancy: bytes) -> None:
        self._by_video.setdefault(video_id, []).append((shot_start_ms, occupancy))
        self.wanted += decision == "review"

    def of_shot(self, shot: Shot) -> list[OccupancyGrid]:
        video_id, _ = shot
        for shot_start_ms, occupancy in self._by_video.pop(video_id, ()):
            self._by_shot.setdefault(self.shots.whole((video_id, shot_start_ms)), []).append(
                unpack_grid(occupancy)
            )
        return self._by_shot.get(shot, [])


def _read_asked(session: Session, shots: Shots) -> _Asked:
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
        .where(ReviewRow.run_id == run_id, ReviewRow.state.in_(ASKED))
        .where(func.coalesce(DecisionRow.decision, "rejected") != "rejected")
        .execution_options(yield_per=PAGE)
    )  # one inner join more, and databases begin with all frames, or all decisions of the run
    asked = _Asked(shots)
    for one in session.scalars(select(RunRow.id)).all():  # an index begins with the run
        with session.execute(query, {"of_run": one}) as rows:
            for row in rows:
                asked.add(*row)
    return asked


def _candidates(session: Session, shots: Shots) -> Iterator[Candidate]:
    """Waiting frames, the most valuable first, a page at a time, as far as they are read."""
    last: tuple[float, int] | None = None
    while page := _read_waiting(session, shots.run_id, after=last):
        for value, frame_id, video_id, shot_start_ms, occupancy in page:
            yield Candidate(frame_id, value, shots.whole((video_id, shot_start_ms)), unpack_grid(occupancy))
        last = page[-1].value, page[-1].frame_id


def _read_waiting(session: Session, run_id: str, *, after: tuple[float, int] | None) -> Sequence[Row[Any]]:
    """A page, on from a value and frame id."""
    query = (
        select(
            ReviewRow.value,
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
        .where(ReviewRow.state == "waiting", ReviewRow.run_id == run_id)
    )
    if after:
        query = query.where(tuple_(ReviewRow.value, ReviewRow.frame_id) < after)
    return session.execute(
        query.order_by(ReviewRow.value.desc(), ReviewRow.frame_id.desc()).limit(PAGE)
    ).all()
