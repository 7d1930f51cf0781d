"""The outbox, annotations and their consensus, without a Label Studio."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from configs.models import Review as Settings
from db.frames.dataset import REVIEWED, dataset_frames
from db.models.core import InstanceRow, RunRow
from db.models.review import AnnotationRow, ConsensusRow, ModelScoreRow, ReviewRow
from db.review.annotations import FrameAnnotations, SentFrame, store_annotations
from db.review.items import proposed_instances, review_items
from db.review.outbox import (
    confirm_sent,
    count_elsewhere,
    fill_outbox,
    frames_being_sent,
    mark_sending,
    move_from_other_project,
    reconcile,
    remember_project,
    requeue,
    withdraw_unwanted,
)
from db.review.selection import choose_waiting
from db.review.summary import summarize_reviews
from labeling.review.records import ReviewedFrame, ReviewedInstance, Verdict
from labeling.storage.home import Home
from tasks.execution.context import close_databases, database_of, open_context
from tasks.review.consensus import update_consensus
from tasks.review.scores import score_models
from tests.planted_reviews import PlantedRun, box_mask, person_frames, plant_run

NOON = datetime(2026, 5, 1, 12)


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("MASKMILL_DATABASE_URL", database_url)
    yield Home(tmp_path / "home")
    close_databases()


def send_all(home: Home, run: PlantedRun, location: str = "http://one") -> int:
    with database_of(home).transaction() as session:
        project = remember_project(session, location, "maskmill", 1, {})
        fill_outbox(session, run.id)
        tasks = {frame_id: task_id for task_id, frame_id in enumerate(run.frames, start=1)}
        confirm_sent(session, project, tasks)
    return project


def chosen(session: Session, run_id: str, room: int, **settings: int) -> list[int]:
    """Return the frames that a push would send."""
    return list(choose_waiting(session, run_id, Settings(**settings), room=room).frames)


def states(home: Home) -> dict[int, str]:
    with database_of(home).session() as session:
        return dict(session.execute(select(ReviewRow.frame_id, ReviewRow.state)).tuples().all())


def store(
    home: Home, run: PlantedRun, frame_id: int, *annotations: ReviewedFrame, settings: Settings
) -> bool:
    """Store annotations of a frame and update its consensus; returns whether any is new."""
    sent = SentFrame(send_all(home, run), 1, run.id)
    with database_of(home).transaction() as session:
        proposed = proposed_instances(session, run.id, [frame_id]).get(frame_id, [])
        changed = store_annotations(session, {frame_id: FrameAnnotations(sent, annotations, proposed)})
        update_consensus(session, [frame_id], settings)
    return bool(changed)


def annotation(home: Home, run: PlantedRun, number: int, annotator: str, *, keep: int) -> ReviewedFrame:
    """Return an annotation of the run's first frame that keeps the first `keep` masks."""
    frame_id = run.frames[0]
    with database_of(home).session() as session:
        shown = proposed_instances(session, run.id, [frame_id])[frame_id]
    people = tuple(ReviewedInstance(one.mask, "prediction", one.id) for one in shown[:keep])
    moment = NOON + timedelta(minutes=number)
    verdict: Verdict = "correct" if keep == len(shown) else "corrected"
    return ReviewedFrame(frame_id, 1, number, annotator, verdict, people, 5.0, NOON, moment)


def test_the_outbox_holds_the_frames_to_review_by_priority(home: Home) -> None:
    frames = person_frames(4)[::-1]
    run = plant_run(home, [*frames, replace(frames[0], decision="accepted")])
    with database_of(home).transaction() as session:
        fill_outbox(session, run.id)
        fill_outbox(session, run.id)
        assert chosen(session, run.id, 3) == list(run.frames[:4])[::-1][:3]
        assert len(session.scalars(select(ReviewRow)).all()) == 4


@pytest.mark.slow
def test_a_frame_in_sending_is_neither_lost_nor_sent_twice(home: Home) -> None:
    first, second = (run := plant_run(home, person_frames(2))).frames
    with database_of(home).transaction() as session:
        project = remember_project(session, "http://one", "maskmill", 1, {})
        fill_outbox(session, run.id)
        mark_sending(session, project, {first: "a", second: "b"})
        assert chosen(session, run.id, 9) == []
        assert reconcile(session, project, {first: 7}).adopted == 1
        assert list(frames_being_sent(session, project)) == [second]
        requeue(session, [second])
        assert chosen(session, run.id, 9) == [second]
    assert states(home) == {first: "open", second: "waiting"}


def test_frames_follow_a_server_to_its_new_address(home: Home) -> None:
    run = plant_run(home, person_frames(2))
    send_all(home, run)
    with database_of(home).transaction() as session:
        elsewhere = remember_project(session, "https://two", "maskmill", 1, {})
        reconcile(session, elsewhere, {frame_id: n for n, frame_id in enumerate(run.frames, start=1)})
        assert {row.project_id for row in session.scalars(select(ReviewRow))} == {elsewhere}
    assert set(states(home).values()) == {"open"}


def test_an_annotation_that_came_before_the_confirmation_is_kept(home: Home) -> None:
    [frame_id] = (run := plant_run(home, person_frames(1))).frames
    store(home, run, frame_id, annotation(home, run, 1, "ann", keep=2), settings=Settings())
    send_all(home, run)
    assert states(home) == {frame_id: "reviewed"}


def test_a_run_withdraws_no_frame_of_another_project(home: Home) -> None:
    frames = person_frames(2)
    first = plant_run(home, frames)
    here = send_all(home, first)
    second = plant_run(home, [replace(one, decision="easy") for one in frames], hard_below=0.6)
    begun, other = first.frames
    with database_of(home).transaction() as session:
        elsewhere = remember_project(session, "http://two", "maskmill", 1, {})
        assert withdraw_unwanted(session, second.id, elsewhere, started=()) == []
        assert withdraw_unwanted(session, second.id, here, started=[begun]) == [other]
    assert states(home) == {begun: "open", other: "withdrawn"}


@pytest.mark.slow
def test_open_frames_of_another_project_are_counted_and_moved_on_request_only(home: Home) -> None:
    run = plant_run(home, person_frames(2))
    send_all(home, run)
    with database_of(home).transaction() as session:
        elsewhere = remember_project(session, "http://two", "maskmill", 1, {})
        fill_outbox(session, run.id, again=True)
        assert chosen(session, run.id, 9) == []
        assert count_elsewhere(session, run.id, elsewhere) == 2
        move_from_other_project(session, run.id, elsewhere)
        assert chosen(session, run.id, 9) == list(run.frames)


def test_disagreeing_annotators_leave_a_frame_unresolved_until_one_agrees(home: Home) -> None:
    [frame_id] = (run := plant_run(home, person_frames(1))).frames
    settings = Settings(consensus="agreement", min_agreement=0.6)
    annotations = [annotation(home, run, 1, "ann", keep=2), annotation(home, run, 2, "bob", keep=0)]
    store(home, run, frame_id, *annotations, settings=settings)
    assert states(home) == {frame_id: "unresolved"}
    annotations.append(
        replace(
            annotations[1], number=3, updated_at=NOON + timedelta(hours=1), instances=annotations[0].instances
        )
    )
    store(home, run, frame_id, annotations[0], annotations[2], settings=settings)
    with database_of(home).session() as session:
        [consensus] = session.scalars(select(ConsensusRow))
        assert consensus.rule == "agreement"
        assert consensus.annotators == ["ann", "bob"]
        assert consensus.agreement == pytest.approx(1.0)
        by_id = {one.external_id: one.state for one in session.scalars(select(AnnotationRow))}
    assert by_id == {1: "current", 2: "deleted", 3: "current"}


def test_a_known_annotation_changes_nothing(home: Home) -> None:
    [frame_id] = (run := plant_run(home, person_frames(1))).frames
    known = annotation(home, run, 1, "ann", keep=1)
    assert store(home, run, frame_id, known, settings=Settings())
    assert not store(home, run, frame_id, known, settings=Settings())


def test_a_later_run_is_scored_against_an_earlier_consensus(home: Home) -> None:
    [frame_id] = (run := plant_run(home, person_frames(1))).frames
    store(home, run, frame_id, annotation(home, run, 1, "ann", keep=1), settings=Settings())
    assert score_models(open_context(home)) == 1
    later = plant_run(home, person_frames(1), hard_below=0.6)
    assert score_models(open_context(home)) == 1
    assert score_models(open_context(home)) == 0
    with database_of(home).session() as session:
        scores = {(one.run_id, one.role): one.iou for one in session.scalars(select(ModelScoreRow))}
        summary = summarize_reviews(session, session.get_one(RunRow, run.id))
    assert scores.keys() == {(one.id, role) for one in (run, later) for role in ("teacher", "student")}
    assert scores[run.id, "teacher"] == pytest.approx(2400 / 5100)
    assert (summary.masks.shown, summary.masks.untouched, summary.masks.removed) == (2, 1, 1)
    assert summary.seconds_per_mask == pytest.approx(2.5)


def test_items_come_in_the_requested_order_with_both_models(home: Home) -> None:
    run = plant_run(home, person_frames(3))
    with database_of(home).session() as session:
        items = review_items(session, session.get_one(RunRow, run.id), run.frames[::-1])
    assert [item.frame_id for item in items] == list(run.frames)[::-1]
    assert (items[0].teacher_model, items[0].student_model) == ("planted:teacher", "planted:student")
    assert items[0].title == "planted.mp4, 0:01.0"
    assert items[0].why == "Please check: two models see different people or outlines"
    assert [one.mask for one in items[0].teacher] == [box_mask(10, 10, 30, 80), box_mask(90, 20, 30, 90)]


def test_a_dataset_that_is_partly_read_leaves_no_cursor_open(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.frames.dataset.PAGE", 2)
    run = plant_run(home, person_frames(5))
    database = database_of(home)
    with database.session() as session:
        frames = dataset_frames(session, run.id, home, decisions=["review"])
        assert next(frames).id in run.frames
        del frames
        if database.engine.dialect.name == "postgresql":
            assert session.scalar(text("SELECT count(*) FROM pg_cursors")) == 0


def test_a_dataset_has_area_and_box_of_predicted_corrected_and_drawn_masks(home: Home) -> None:
    run = plant_run(home, person_frames(2))
    drawn = ReviewedInstance(box_mask(3, 4, 50, 6), "manual", None)
    corrected = replace(annotation(home, run, 1, "ann", keep=2), verdict="corrected")
    shown = replace(corrected.instances[0], mask=box_mask(11, 12, 28, 70), origin="prediction-changed")
    store(home, run, run.frames[0], replace(corrected, instances=(shown, drawn)), settings=Settings())
    with database_of(home).session() as session:
        frames = list(dataset_frames(session, run.id, home, decisions=["review", REVIEWED]))
    assert [frame.decision for frame in frames] == [REVIEWED, "review"]
    people = [one for frame in frames for one in frame.instances]
    assert [(one.area_px, one.tight_xywh) for one in people] == [
        (28 * 70, (11, 12, 28, 70)),
        (50 * 6, (3, 4, 50, 6)),
        (30 * 80, (10, 10, 30, 80)),
        (30 * 90, (90, 20, 30, 90)),
    ]
    assert people[1].box_xywh == (3, 4, 50, 6)


def test_a_corrected_person_keeps_its_track_and_a_drawn_one_has_none(home: Home) -> None:
    run = plant_run(home, person_frames(1))
    with database_of(home).transaction() as session:
        session.execute(
            update(InstanceRow).where(InstanceRow.role == "teacher").values(track_id=InstanceRow.rank + 5)
        )
        shown = proposed_instances(session, run.id, run.frames)[run.frames[0]]
    corrected = ReviewedInstance(box_mask(12, 10, 30, 80), "prediction-changed", shown[0].id)
    drawn = ReviewedInstance(box_mask(90, 20, 30, 90), "manual", None)
    word = ReviewedFrame(run.frames[0], 1, 1, "ann", "corrected", (corrected, drawn), 5.0, NOON, NOON)
    store(home, run, run.frames[0], word, settings=Settings())
    with database_of(home).session() as session:
        (frame,) = dataset_frames(session, run.id, home, decisions=[REVIEWED])
    assert [(one.origin, one.track_id) for one in frame.instances] == [
        ("prediction-changed", 5),
        ("manual", None),
    ]
