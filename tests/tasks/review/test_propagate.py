"""Reviewed masks carried to the frames near them, stored, and what becomes of those frames, without a Label Studio."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from configs.models import Review as Settings
from db.frames.dataset import dataset_frames
from db.models.core import InstanceRow, RunRow
from db.models.review import (
    AnnotationRow,
    LabelStudioProjectRow,
    PropagatedInstanceRow,
    PropagationRow,
    ReviewRow,
)
from db.review.annotations import FrameAnnotations, SentFrame, find_sent_frames, store_annotations
from db.review.items import proposed_instances, review_items, shown_instances
from db.review.outbox import confirm_sent, fill_outbox, mark_sending, remember_project
from db.review.propagation import store_propagations
from db.review.summary import summarize_reviews
from labeling.comparison.iou import union_iou
from labeling.datasets.provenance import describe_origin
from labeling.review.records import ReviewedFrame, ReviewedInstance
from labeling.storage.home import Home
from labeling.structures.masks import Mask
from tasks.execution.context import close_databases, database_of, open_context
from tasks.review import propagate
from tasks.review.consensus import update_consensus
from tasks.review.propagate import PropagationSummary, propagate_reviews
from tests.fakes.walking_person import plant_walk, sampled_mask
from tests.planted_reviews import PlantedRun, box_mask

NOON = datetime(2026, 5, 1, 12)
HALF = box_mask(40, 25, 30, 25)
"""The upper part of the person in the frame at 1 s."""


@dataclass(frozen=True)
class Walk:
    """A home with a run of five frames; the teacher is wrong in the first and the third."""

    home: Home
    run: PlantedRun
    project: int

    def review(self, position: int, masks: Sequence[Mask], *, seconds: float = 12.0, number: int = 0) -> None:
        """Store an annotation of a frame as a pull does."""
        frame_id, moment = self.run.frames[position], NOON + timedelta(minutes=number or position)
        with database_of(self.home).transaction() as session:
            sent = find_sent_frames(session, self.project, [frame_id])[frame_id]
            carried = {} if sent.propagation_id is None else {frame_id: sent.propagation_id}
            shown = shown_instances(session, self.run.id, [frame_id], carried)[frame_id]
            people = tuple(
                ReviewedInstance(mask, "prediction" if mask == one.mask else "prediction-changed", one.id)
                for mask, one in zip(masks, shown, strict=False)
            )
            answer = ReviewedFrame(
                frame_id, 1 + position, 1 + position, "ann", "corrected", people, seconds, NOON, moment
            )
            store_annotations(session, {frame_id: FrameAnnotations(sent, [answer], shown)})
            update_consensus(session, [frame_id], Settings())

    def withdraw(self, position: int) -> None:
        """Delete the annotation of a frame, as a person may do in Label Studio."""
        frame_id = self.run.frames[position]
        with database_of(self.home).transaction() as session:
            sent = SentFrame(self.project, 1 + position, self.run.id)
            store_annotations(session, {frame_id: FrameAnnotations(sent, [], [])})
            update_consensus(session, [frame_id], Settings())

    def propagate(self, **settings: float) -> PropagationSummary:
        with database_of(self.home).session() as session:
            project = session.get_one(LabelStudioProjectRow, self.project)
            project.settings = Settings(**settings).model_dump(mode="json")
            return propagate_reviews(open_context(self.home), [project])

    def states(self) -> list[str]:
        with database_of(self.home).session() as session:
            rows = session.execute(select(ReviewRow.frame_id, ReviewRow.state)).tuples().all()
        return [dict(rows)[frame_id] for frame_id in self.run.frames]

    def dump(self) -> list[tuple[object, ...]]:
        """Return the propagations that count, with their masks."""
        query = (
            select(PropagationRow.frame_id, PropagationRow.state, PropagatedInstanceRow.rle)
            .join(PropagatedInstanceRow, PropagatedInstanceRow.propagation_id == PropagationRow.id)
            .order_by(PropagationRow.frame_id)
            .where(PropagationRow.state == "current")
        )
        with database_of(self.home).session() as session:
            return [tuple(row) for row in session.execute(query)]


@pytest.fixture
def walk(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    monkeypatch.setenv("MASKMILL_DATABASE_URL", database_url)
    home = Home(tmp_path / "home")
    yield sent_walk(home)
    close_databases()


def sent_walk(home: Home, shots: Sequence[int] = (), categories: Sequence[str] = ()) -> Walk:
    masks = [[box_mask(5, 25, 30, 70)], [sampled_mask(1)], [HALF], [sampled_mask(3)], [sampled_mask(4)]]
    run = plant_walk(home, masks, shots=shots, categories=categories)
    with database_of(home).transaction() as session:
        project = remember_project(session, "http://one", "maskmill", 1, {})
        fill_outbox(session, run.id)
        mark_sending(session, project, dict.fromkeys(run.frames, "sent"))
        confirm_sent(session, project, {key: task for task, key in enumerate(run.frames, start=1)})
    return Walk(home, run, project)


@pytest.mark.slow
def test_frames_that_agree_need_no_review_and_the_others_show_carried_masks(walk: Walk) -> None:
    walk.review(0, [sampled_mask(0)])
    walk.review(4, [sampled_mask(4)])
    assert walk.propagate() == PropagationSummary(carried=3, confirmed=2)
    assert walk.states() == ["reviewed", "confirmed", "open", "confirmed", "reviewed"]
    frame_id = walk.run.frames[2]
    with database_of(walk.home).session() as session:
        [item] = review_items(session, session.get_one(RunRow, walk.run.id), [frame_id])
        [teacher] = proposed_instances(session, walk.run.id, [frame_id])[frame_id]
        priority = session.get_one(ReviewRow, frame_id).priority
    [person] = item.teacher
    assert union_iou(person.mask, sampled_mask(2)) > 0.9
    assert union_iou(teacher.mask, sampled_mask(2)) < 0.5
    assert (person.id, item.propagation_id is None) == (teacher.id, False)
    assert item.value == priority


@pytest.mark.slow
def test_a_second_call_does_nothing_and_a_changed_annotation_replaces(walk: Walk) -> None:
    walk.review(0, [sampled_mask(0)])
    walk.propagate()
    before = walk.dump()
    assert walk.propagate() == PropagationSummary()
    assert walk.dump() == before
    walk.review(0, [box_mask(20, 25, 30, 40)], number=9)
    assert walk.propagate().carried == len(before)
    assert [frame for frame, *_ in walk.dump()] == [frame for frame, *_ in before]
    assert walk.dump() != before
    assert "confirmed" not in walk.states()


@pytest.mark.slow
def test_a_withdrawn_annotation_opens_what_it_confirmed(walk: Walk) -> None:
    walk.review(0, [sampled_mask(0)])
    walk.propagate(propagate_s=0.6)
    assert walk.states() == ["reviewed", "confirmed", *["open"] * 3]
    walk.withdraw(0)
    assert walk.propagate(propagate_s=0.6) == PropagationSummary(withdrawn=1)
    assert walk.states() == ["open"] * 5
    assert walk.dump() == []


@pytest.mark.slow
def test_nothing_is_carried_across_a_shot_or_out_of_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASKMILL_DATABASE_URL", raising=False)
    walk = sent_walk(Home(tmp_path / "home"), shots=[0, 0, 1000, 1000, 1000])
    walk.review(0, [sampled_mask(0)])
    assert walk.propagate(propagate_s=1.6).carried == 1
    assert walk.propagate(propagate_s=0) == PropagationSummary(withdrawn=1)
    assert walk.states() == ["reviewed", *["open"] * 4]
    close_databases()


@pytest.mark.slow
def test_an_interrupted_call_continues_and_gives_the_same(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk.review(0, [sampled_mask(0)])
    walk.review(2, [sampled_mask(2)])
    calls = []

    def crash_at_the_second(*args: object) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        store_propagations(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(propagate, "store_propagations", crash_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        walk.propagate()
    monkeypatch.setattr(propagate, "store_propagations", store_propagations)
    assert 0 < len(walk.dump()) < 3
    assert walk.propagate().carried == 3 - 1
    assert len(walk.dump()) == 3
    assert walk.states() == ["reviewed", "confirmed", "reviewed", "confirmed", "confirmed"]


@pytest.mark.slow
def test_what_a_changed_annotation_confirmed_is_open_before_masks_are_carried_again(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk.review(0, [sampled_mask(0)])
    walk.propagate(propagate_s=0.6)
    assert walk.states() == ["reviewed", "confirmed", *["open"] * 3]
    walk.review(0, [HALF], number=9)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(propagate, "store_propagations", crash)
    with pytest.raises(KeyboardInterrupt):
        walk.propagate(propagate_s=0.6)
    assert walk.states() == ["reviewed", *["open"] * 4]


def test_a_video_that_is_gone_is_reported_and_changes_nothing(walk: Walk) -> None:
    walk.review(0, [sampled_mask(0)])
    (walk.home.root / "planted.mp4").unlink()
    done = walk.propagate()
    assert (done.carried, done.confirmed, len(done.problems)) == (0, 0, 1)
    assert walk.states() == ["reviewed", *["open"] * 4]


@pytest.mark.slow
def test_the_dataset_says_that_a_frame_was_confirmed_and_by_which(walk: Walk) -> None:
    walk.review(0, [sampled_mask(0)])
    walk.review(4, [sampled_mask(4)])
    walk.propagate()
    with database_of(walk.home).session() as session:
        default = list(dataset_frames(session, walk.run.id, walk.home, decisions=["accepted", "reviewed"]))
        confirmed = list(dataset_frames(session, walk.run.id, walk.home, decisions=["confirmed"]))
    assert {frame.decision for frame in default} == {"reviewed"}
    assert [frame.id for frame in confirmed] == [walk.run.frames[1], walk.run.frames[3]]
    assert {frame.decision for frame in confirmed} == {"confirmed"}
    assert [one.mask for one in confirmed[0].instances] == [sampled_mask(1)]
    reviewed = [walk.run.frames[0], walk.run.frames[4]]
    assert describe_origin(confirmed[0])["propagated_from"] == reviewed
    assert "propagated_from" not in describe_origin(default[0])


@pytest.mark.slow
def test_the_summary_counts_human_seconds_before_and_after(walk: Walk) -> None:
    walk.review(0, [sampled_mask(0)], seconds=30.0)
    walk.review(4, [sampled_mask(4)], seconds=10.0)
    walk.propagate()
    frame_id = walk.run.frames[2]
    with database_of(walk.home).transaction() as session:  # as the next push does
        [item] = review_items(session, session.get_one(RunRow, walk.run.id), [frame_id])
        mark_sending(session, walk.project, {frame_id: "new"}, propagations={frame_id: item.propagation_id})
        confirm_sent(session, walk.project, {frame_id: 3})
    walk.review(2, [item.teacher[0].mask], seconds=5.0)
    with database_of(walk.home).session() as session:
        summary = summarize_reviews(session, session.get_one(RunRow, walk.run.id))
        versions = session.scalars(select(AnnotationRow.propagation_id)).all()
    counts = summary.propagation
    assert (counts.frames, counts.confirmed_masks) == (1, 2)
    assert counts.seconds_per_mask_before == pytest.approx(20.0)
    assert counts.seconds_per_mask_carried == pytest.approx(5.0)
    assert counts.seconds_per_mask_after == pytest.approx(45.0 / 5)
    assert (summary.masks.shown, summary.masks.untouched, summary.masks.corrected) == (2, 1, 1)
    assert sum(key is not None for key in versions) == 1


@pytest.mark.slow
def test_a_person_whom_the_teacher_missed_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASKMILL_DATABASE_URL", raising=False)
    home = Home(tmp_path / "home")
    walk = sent_walk(home)
    still = box_mask(120, 30, 25, 60)
    frame_id = walk.run.frames[1]
    with database_of(home).transaction() as session:
        sent = SentFrame(walk.project, 1, walk.run.id)
        drawn = ReviewedInstance(still, "manual", None)
        answer = ReviewedFrame(walk.run.frames[0], 1, 1, "ann", "corrected", (drawn,), 5.0, NOON, NOON)
        store_annotations(session, {answer.frame_id: FrameAnnotations(sent, [answer], [])})
        update_consensus(session, [answer.frame_id], Settings())
    assert walk.propagate(propagate_s=0.6).confirmed == 0
    with database_of(home).session() as session:
        [item] = review_items(session, session.get_one(RunRow, walk.run.id), [frame_id])
    carried, teacher = item.teacher
    assert (carried.is_carried_only, teacher.is_carried_only) == (True, False)
    assert union_iou(carried.mask, still) > 0.9
    assert teacher.mask == sampled_mask(1)
    with database_of(home).transaction() as session:  # it is kept: no instance of the teacher is its source
        mark_sending(session, walk.project, {frame_id: "new"}, propagations={frame_id: item.propagation_id})
        confirm_sent(session, walk.project, {frame_id: 2})
    walk.review(1, [carried.mask, teacher.mask])
    with database_of(home).session() as session:
        frames = {one.id: one for one in dataset_frames(session, walk.run.id, home, decisions=["reviewed"])}
    assert [one.model for one in frames[frame_id].instances] == ["manual", "planted:teacher"]
    close_databases()


@pytest.mark.slow
def test_a_reviewed_category_is_carried_and_the_teacher_s_is_not_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher takes the person for a bicycle, in each frame."""
    monkeypatch.delenv("MASKMILL_DATABASE_URL", raising=False)
    home = Home(tmp_path / "home")
    walk = sent_walk(home, categories=("person", "bicycle"))
    with database_of(home).transaction() as session:
        session.execute(update(InstanceRow).values(category="bicycle"))
    frame_id, first = walk.run.frames[1], walk.run.frames[0]
    with database_of(home).transaction() as session:
        sent = SentFrame(walk.project, 1, walk.run.id)
        [shown] = proposed_instances(session, walk.run.id, [first])[first]
        person = ReviewedInstance(sampled_mask(0), "prediction-changed", shown.id, category="person")
        answer = ReviewedFrame(first, 1, 1, "ann", "corrected", (person,), 5.0, NOON, NOON)
        store_annotations(session, {first: FrameAnnotations(sent, [answer], [shown])})
        update_consensus(session, [first], Settings())
    assert walk.propagate(propagate_s=0.6) == PropagationSummary(carried=1, confirmed=0)
    with database_of(home).session() as session:
        [item] = review_items(session, session.get_one(RunRow, walk.run.id), [frame_id])
        [teacher] = proposed_instances(session, walk.run.id, [frame_id])[frame_id]
    [carried] = item.teacher
    assert (teacher.category, carried.category, carried.id) == ("bicycle", "person", teacher.id)
    assert union_iou(carried.mask, sampled_mask(1)) > 0.9
    close_databases()
