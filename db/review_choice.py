"""Which of the frames that wait for review are sent: the best of them, within what people have time for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Row, case, func, select, tuple_
from sqlalchemy.orm import Session

from configs.models import Review as Settings
from db.models import Decision, Frame, Instance, Run
from db.paging import PAGE, pages
from db.review_models import Review
from db.shots import Shots
from labeling.layouts import STUDENT_WEIGHT, Layout, draw_layouts
from labeling.review_queue import Candidate, Shot, choose_frames

ASKED = ("sending", "open", "reviewed", "unresolved", "skipped", "deleted")
"""States of frames that people are, or were, asked about."""


class Waiting(NamedTuple):
    """A frame that waits to be sent, and what a look at it is worth."""

    value: float
    frame_id: int


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Frames that wait and are not sent, whatever room there is."""

    near_identical: int
    """To one that people are asked about; counted as far as the choice had to look."""
    beyond_shot: int
    """Of shots about which people are asked enough (`review.per_shot`); counted likewise."""
    over_budget: int
    """Left when people are asked about enough frames of the run (`review.budget`)."""

    @property
    def frames(self) -> int:
        return self.near_identical + self.beyond_shot + self.over_budget


@dataclass(frozen=True, slots=True)
class PushChoice:
    """What is to be sent, best first, and what is not."""

    frames: tuple[int, ...]
    passed_over: PassedOver


def choose_waiting(session: Session, run_id: str, settings: Settings, *, room: int) -> PushChoice:
    """Choose at most `room` of the frames of a run that wait.

    What people were asked about counts, whichever run asked: a push that is repeated or was killed
    goes on with the same choice.
    """
    shots = Shots(session, run_id)
    asked = _read_asked(session, shots)
    left = None if settings.budget is None else max(0, settings.budget - asked.wanted)
    choice = choose_frames(
        _candidates(session, shots),
        most=room if left is None else min(room, left),
        per_shot=settings.per_shot,
        asked_of=lambda shot: _draw(session, run_id, asked.of_shot(shot)),
    )
    looked_at = len(choice.frames) + choice.near_identical + choice.beyond_shot
    is_spent = left is not None and len(choice.frames) >= left
    over_budget = count_waiting(session, run_id) - looked_at if is_spent else 0
    return PushChoice(choice.frames, PassedOver(choice.near_identical, choice.beyond_shot, over_budget))


def waiting_frames(
    session: Session, run_id: str, limit: int, *, after: Waiting | None = None
) -> list[Waiting]:
    """Frames of a run that wait to be sent, the most valuable first, on from `after`."""
    query = select(Review.value, Review.frame_id).where(Review.state == "waiting", Review.run_id == run_id)
    if after:
        query = query.where(tuple_(Review.value, Review.frame_id) < after)
    ordered = query.order_by(Review.value.desc(), Review.frame_id.desc()).limit(limit)
    return [Waiting(*row) for row in session.execute(ordered)]


def count_waiting(session: Session, run_id: str) -> int:
    query = select(func.count()).select_from(Review)
    return session.scalar(query.where(Review.state == "waiting", Review.run_id == run_id)) or 0


@dataclass(slots=True)
class _Asked:
    """Frames of a run that people are asked about."""

    shots: Shots
    wanted: int = 0
    """Those that the run wants reviewed: others were asked about by other runs."""
    _by_video: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Times of shots, as their shards saw them, and frames."""
    _by_shot: dict[Shot, list[int]] = field(default_factory=dict)

    def add(self, frame_id: int, video_id: str, shot_ms: int, decision: str) -> None:
        self._by_video.setdefault(video_id, []).append((shot_ms, frame_id))
        self.wanted += decision == "review"

    def of_shot(self, shot: Shot) -> list[int]:
        video_id, _ = shot
        for shot_ms, frame_id in self._by_video.pop(video_id, ()):
            self._by_shot.setdefault(self.shots.whole((video_id, shot_ms)), []).append(frame_id)
        return self._by_shot.get(shot, [])


def _read_asked(session: Session, shots: Shots) -> _Asked:
    runs = session.scalars(select(Run.id)).all()  # an index begins with the run
    query = (
        select(Review.frame_id, Frame.video_id, Decision.shot_ms, Decision.decision)
        .join(Decision, Decision.frame_id == Review.frame_id)
        .join(Frame, Frame.id == Review.frame_id)
        .where(Review.run_id.in_(runs), Review.state.in_(ASKED))
        .where(Decision.run_id == shots.run_id, Decision.decision != "rejected")
    )
    asked = _Asked(shots)
    for row in session.execute(query).tuples():
        asked.add(*row)
    return asked


def _candidates(session: Session, shots: Shots) -> Iterator[Candidate]:
    """Waiting frames, a page at a time, as far as they are read."""
    last: Waiting | None = None
    while page := waiting_frames(session, shots.run_id, PAGE, after=last):
        last = page[-1]
        frame_ids = [one.frame_id for one in page]
        where = _read_shots(session, shots, frame_ids)
        for one, layout in zip(page, _draw(session, shots.run_id, frame_ids), strict=True):
            yield Candidate(one.frame_id, one.value, where[one.frame_id], layout)


def _read_shots(session: Session, shots: Shots, frame_ids: Sequence[int]) -> Mapping[int, Shot]:
    query = (
        select(Frame.id, Frame.video_id, Decision.shot_ms)
        .join(Decision, (Decision.frame_id == Frame.id) & (Decision.run_id == shots.run_id))
        .where(Frame.id.in_(frame_ids))
    )
    return {
        frame_id: shots.whole((video_id, shot_ms)) for frame_id, video_id, shot_ms in session.execute(query)
    }


def _draw(session: Session, run_id: str, frame_ids: Sequence[int]) -> list[Layout]:
    """The layouts of frames by teacher's and student's boxes, in the order given."""
    rows: list[Row[Any]] = []
    for page in pages(frame_ids):
        query = (
            select(
                *(Instance.frame_id, Frame.width, Frame.height),
                case((Instance.role == "student", Instance.area_px * STUDENT_WEIGHT), else_=Instance.area_px),
                *(Instance.x, Instance.y, Instance.w, Instance.h),
            )
            .join(Frame, Frame.id == Instance.frame_id)
            .where(Instance.run_id == run_id, Instance.frame_id.in_(page), Frame.width.is_not(None))
            .order_by(Instance.id)  # sums depend on the order
        )
        rows += session.execute(query)
    position = {frame_id: i for i, frame_id in enumerate(frame_ids)}
    frame_of = [position[int(frame_id)] for frame_id, *_ in rows]
    of_box = np.asarray(rows, dtype=np.float64).reshape(-1, 8)
    return list(draw_layouts(of_box[:, 4:], of_box[:, 3], of_box[:, 1:3], frame_of, frames=len(frame_ids)))
