"""The outbox, people's words and the truth, without a Label Studio."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from configs.models import Review as Settings
from db.frames.dataset import REVIEWED, dataset_frames
from db.models.core import RunRow
from db.models.review import AnnotationRow, ConsensusRow, ModelScoreRow, ReviewRow
from db.review.annotations import FrameAnnotations, SentFrame, store_annotations, update_consensus
from db.review.items import proposed_instances, review_items
from db.review.outbox import (
    FrameTask,
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
from tasks.execution.context import open_context
from tasks.execution.database import close_databases, database_of
from tasks.review.scores import score_models
from tests.planted_reviews import PlantedRun, box_mask, person_frames, plant_run

NOON = datetime(2026, 5, 1, 12)


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("MASKMILL_DATABASE_URL", database_url)
    yield Home(tmp_path / "home")
    close_databases()


def send_all(home: Home, run: PlantedRun, place: str = "http://one") -> int:
    with database_of(home).transaction() as session:
        project = remember_project(session, place, "maskmill", 1, {})
        fill_outbox(session, run.id)
        placed = [FrameTask(frame_id, number) for number, frame_id in enumerate(run.frames, start=1)]
        confirm_sent(session, project, placed)
    return project


def chosen(session: Session, run_id: str, room: int, **settings: int) -> list[int]:
    """What would be sent."""
    return list(choose_waiting(session, run_id, Settings(**settings), room=room).frames)


def states(home: Home) -> dict[int, str]:
    with database_of(home).session() as session:
        return dict(session.execute(select(ReviewRow.frame_id, ReviewRow.state)).tuples().all())


def say(home: Home, run: PlantedRun, frame_id: int, *words: ReviewedFrame, settings: Settings) -> bool:
    sent = SentFrame(send_all(home, run), 1, run.id)
    with database_of(home).transaction() as session:
        proposed = proposed_instances(session, run.id, [frame_id]).get(frame_id, [])
        changed = store_annotations(session, {frame_id: FrameAnnotations(sent, words, proposed)})
        update_consensus(session, [frame_id], settings)
    return bool(changed)


def word(home: Home, run: PlantedRun, number: int, who: str, *, keep: int) -> ReviewedFrame:
    """An annotation of the run's first frame that leaves the first `keep` of the masks."""
    frame_id = run.frames[0]
    with database_of(home).session() as session:
        shown = proposed_instances(session, run.id, [frame_id])[frame_id]
    people = tuple(ReviewedInstance(one.mask, "prediction", one.id) for one in shown[:keep])
    moment = NOON + timedelta(minutes=number)
    verdict: Verdict = "correct" if keep == len(shown) else "fixed"
    return ReviewedFrame(frame_id, 1, number, who, verdict, people, 5.0, NOON, moment)


def test_the_outbox_holds_what_a_run_wants_reviewed_best_first(home: Home) -> None:
    frames = person_frames(4)[::-1]
    run = plant_run(home, [*frames, replace(frames[0], decision="accepted")])
    with database_of(home).transaction() as session:
        fill_outbox(session, run.id)
        fill_outbox(session, run.id)
        assert chosen(session, run.id, 3) == list(run.frames[:4])[::-1][:3]
        assert len(session.scalars(select(ReviewRow)).all()) == 4


def test_a_frame_that_is_being_sent_is_neither_lost_nor_sent_twice(home: Home) -> None:
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


def test_a_server_that_has_another_address_now_keeps_its_frames(home: Home) -> None:
    run = plant_run(home, person_frames(2))
    send_all(home, run)
    with database_of(home).transaction() as session:
        elsewhere = remember_project(session, "https://two", "maskmill", 1, {})
        reconcile(session, elsewhere, {frame_id: n for n, frame_id in enumerate(run.frames, start=1)})
        assert {row.project_id for row in session.scalars(select(ReviewRow))} == {elsewhere}
    assert set(states(home).values()) == {"open"}


def test_a_word_that_came_before_the_confirmation_stands(home: Home) -> None:
    [frame_id] = (run := plant_run(home, person_frames(1))).frames
    say(home, run, frame_id, word(home, run, 1, "ann", keep=2), settings=Settings())
    send_all(home, run)
    assert states(home) == {frame_id: "reviewed"}


def test_a_run_withdraws_nothing_that_waits_in_another_project(home: Home) -> None:
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


def test_frames_that_wait_elsewhere_are_counted_and_taken_only_when_asked(home: Home) -> None:
    run = plant_run(home, person_frames(2))
    send_all(home, run)
    with database_of(home).transaction() as session:
        elsewhere = remember_project(session, "http://two", "maskmill", 1, {})
        fill_outbox(session, run.id, again=True)
        assert chosen(session, run.id, 9) == []
        assert count_elsewhere(session, run.id, elsewhere) == 2
        move_from_other_project(session, run.id, elsewhere)
        assert chosen(session, run.id, 9) == list(run.frames)


def test_annotators_who_disagree_leave_a_frame_open_and_one_who_agrees_decides(home: Home) -> None:
    [frame_id] = (run := plant_run(home, person_frames(1))).frames
    agreed = Settings(consensus="agreement", min_agreement=0.6)
    words = [word(home, run, 1, "ann", keep=2), word(home, run, 2, "bob", keep=0)]
    say(home, run, frame_id, *words, settings=agreed)
    assert states(home) == {frame_id: "unresolved"}
    words.append(
        replace(words[1], number=3, updated_at=NOON + timedelta(hours=1), instances=words[0].instances)
    )
    say(home, run, frame_id, words[0], words[2], settings=agreed)
    with database_of(home).session() as session:
        [truth] = session.scalars(select(ConsensusRow))
        assert truth.rule == "agreement"
        assert truth.annotators == ["ann", "bob"]
        assert truth.agreement == pytest.approx(1.0)
        by_number = {one.number: one.state for one in session.scalars(select(AnnotationRow))}
    assert by_number == {1: "current", 2: "deleted", 3: "current"}


def test_the_same_words_again_are_no_news(home: Home) -> None:
    [frame_id] = (run := plant_run(home, person_frames(1))).frames
    said = word(home, run, 1, "ann", keep=1)
    assert say(home, run, frame_id, said, settings=Settings())
    assert not say(home, run, frame_id, said, settings=Settings())


def test_a_run_that_comes_after_the_truth_is_scored_by_it_too(home: Home) -> None:
    [frame_id] = (run := plant_run(home, person_frames(1))).frames
    say(home, run, frame_id, word(home, run, 1, "ann", keep=1), settings=Settings())
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


def test_items_come_in_the_order_asked_for_with_both_models(home: Home) -> None:
    run = plant_run(home, person_frames(3))
    with database_of(home).session() as session:
        items = review_items(session, session.get_one(RunRow, run.id), run.frames[::-1])
    assert [item.frame_id for item in items] == list(run.frames)[::-1]
    assert (items[0].teacher_model, items[0].student_model) == ("planted:teacher", "planted:student")
    assert items[0].title == "planted.mp4, 0:01.0"
    assert items[0].why == "student missed 1 person"
    assert [one.mask for one in items[0].teacher] == [box_mask(10, 10, 30, 80), box_mask(90, 20, 30, 90)]


def test_a_dataset_that_is_not_read_to_its_end_leaves_no_cursor_open(
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


def test_a_dataset_tells_area_and_box_of_each_mask_whoever_made_it(home: Home) -> None:
    run = plant_run(home, person_frames(2))
    drawn = ReviewedInstance(box_mask(3, 4, 50, 6), "manual", None)
    corrected = replace(word(home, run, 1, "ann", keep=2), verdict="fixed")
    shown = replace(corrected.instances[0], mask=box_mask(11, 12, 28, 70), origin="prediction-changed")
    say(home, run, run.frames[0], replace(corrected, instances=(shown, drawn)), settings=Settings())
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
