"""The audit: which accepted persons are reviewed, in what order, and what is found of them."""

import pytest
from sqlalchemy import select, update

from configs.models import Review as Settings
from db.models.core import DecisionRow, InstanceRow, RunRow
from db.models.review import ReviewRow
from db.review.annotations import FrameAnnotations, SentFrame, store_annotations
from db.review.audit import queue_audit, summarize_audit
from db.review.items import proposed_instances, review_items
from db.review.outbox import confirm_sent, fill_outbox, remember_project
from db.review.selection import choose_waiting
from labeling.review.records import ReviewedFrame, ReviewedInstance
from labeling.storage.home import Home
from tasks.execution.context import database_of
from tasks.review.consensus import update_consensus
from tasks.review.summary import audit_sentence
from tests.planted_reviews import PlantedRun, box_mask, person_frames, plant_run
from tests.tasks.review.test_propagate import NOON


@pytest.fixture
def run(home: Home) -> PlantedRun:
    """Ten frames with two people each, of which the last six are accepted."""
    frames = [*person_frames(4), *person_frames(6, decision="accepted")]
    return plant_run(home, frames)


def answer(home: Home, run: PlantedRun, frame_id: int, *, bad: bool) -> None:
    """Confirm both masks of a frame, or move the first one."""
    with database_of(home).transaction() as session:
        project = remember_project(session, "http://one", "maskmill", 1, {})
        confirm_sent(session, project, {frame_id: 1})
        first, *others = proposed_instances(session, run.id, [frame_id])[frame_id]
        mask = box_mask(60, 10, 30, 80) if bad else first.mask
        people = (
            ReviewedInstance(mask, "prediction-changed" if bad else "prediction", first.id),
            *(ReviewedInstance(one.mask, "prediction", one.id) for one in others),
        )
        verdict = "corrected" if bad else "correct"
        word = ReviewedFrame(frame_id, 1, frame_id % 1000, "ann", verdict, people, 5.0, NOON, NOON)  # type: ignore[arg-type]  # a verdict
        sent = SentFrame(project, 1, run.id)
        store_annotations(session, {frame_id: FrameAnnotations(sent, [word], [first, *others])})
        update_consensus(session, [frame_id], Settings())


def test_the_accepted_persons_of_the_smallest_ids_are_queued_once(home: Home, run: PlantedRun) -> None:
    with database_of(home).transaction() as session:
        fill_outbox(session, run.id)
        for _ in range(2):
            queue_audit(session, run.id, 5)
        accepted = select(InstanceRow.frame_id).where(
            InstanceRow.role == "teacher", InstanceRow.frame_id.in_(run.frames[4:])
        )
        expected = set(session.scalars(accepted.order_by(InstanceRow.id).limit(5)))
        queued = select(ReviewRow.frame_id).where(ReviewRow.is_audit)
        assert set(session.scalars(queued)) == expected
        assert summarize_audit(session, run.id).judged == 0  # type: ignore[union-attr]  # it was queued


def test_frames_of_the_audit_are_sent_beyond_the_budget_however_similar(home: Home, run: PlantedRun) -> None:
    with database_of(home).transaction() as session:
        fill_outbox(session, run.id)
        queue_audit(session, run.id, 12)
        choice = choose_waiting(session, run.id, Settings(budget=1), room=100)
        assert set(run.frames[4:]) < set(choice.frames)
        assert len(choice.frames) == 7
        assert choice_again(session, run) == choice.frames


def choice_again(session: object, run: PlantedRun) -> tuple[int, ...]:
    return choose_waiting(session, run.id, Settings(budget=1), room=100).frames  # type: ignore[arg-type]  # a session


def test_the_error_is_the_share_of_bad_ones_with_its_exact_interval(home: Home, run: PlantedRun) -> None:
    with database_of(home).transaction() as session:
        queue_audit(session, run.id, 12)
    for number, frame_id in enumerate(run.frames[4:9]):
        answer(home, run, frame_id, bad=number == 0)
    with database_of(home).session() as session:
        audit = summarize_audit(session, run.id)
    assert audit is not None
    assert (audit.persons, audit.judged, audit.bad, audit.error) == (12, 10, 1, 0.1)
    assert audit.between == pytest.approx((0.0025, 0.4450), abs=1e-4)  # Clopper and Pearson's 1 of 10
    assert audit_sentence(audit) == ("1 of 10 bad: 10.0 % (95 % confidence: 0.3 % to 44.5 %); 2 not judged")


def test_a_run_without_an_audit_has_none(home: Home, run: PlantedRun) -> None:
    with database_of(home).transaction() as session:
        fill_outbox(session, run.id)
        assert summarize_audit(session, run.id) is None


def test_of_a_partial_frame_only_the_accepted_persons_are_in_the_sample(home: Home, run: PlantedRun) -> None:
    frame_id = run.frames[0]
    with database_of(home).transaction() as session:
        session.execute(update(DecisionRow).where(DecisionRow.decision == "accepted").values(decision="easy"))
        session.execute(update(DecisionRow).where(DecisionRow.frame_id == frame_id).values(accepted_people=1))
        of_first = (InstanceRow.frame_id == frame_id, InstanceRow.role == "teacher")
        session.execute(update(InstanceRow).where(*of_first).values(decision="review"))
        session.execute(
            update(InstanceRow).where(*of_first, InstanceRow.rank == 1).values(decision="accepted")
        )
        fill_outbox(session, run.id)
        queue_audit(session, run.id, 9)
        audit = summarize_audit(session, run.id)
        assert audit is not None
        assert audit.persons == 1


def test_persons_who_are_audited_look_like_doubtful_ones(home: Home, run: PlantedRun) -> None:
    """Elsewhere, accepted persons are locked."""
    with database_of(home).transaction() as session:
        session.execute(update(InstanceRow).where(InstanceRow.role == "teacher").values(decision="accepted"))
        first = (InstanceRow.frame_id == run.frames[0]) & (InstanceRow.role == "teacher")
        session.execute(update(InstanceRow).where(first & (InstanceRow.rank == 1)).values(decision="review"))
        fill_outbox(session, run.id)

        def asked() -> list[list[bool | None]]:
            items = review_items(session, session.get_one(RunRow, run.id), [run.frames[0], run.frames[4]])
            return [[one.is_doubtful for one in item.teacher] for item in items]

        assert asked() == [[False, True], [False, False]]
        queue_audit(session, run.id, 12)
        assert asked()[1] == [True, True]
