"""Frames that were reviewed for runs with other categories."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from configs.models import Review as Settings
from db.frames.dataset import dataset_frames
from db.models.review import ModelScoreRow, ReviewRow
from db.review.annotations import FrameAnnotations, SentFrame, store_annotations
from db.review.audit import queue_audit, summarize_audit
from db.review.categories import project_categories, runs_lacking, smaller_runs
from db.review.items import proposed_instances, review_items
from db.review.outbox import confirm_sent, fill_outbox, known_tasks, mark_sending, remember_project
from db.review.propagation import reviewed_times
from db.runs.queries import latest_run
from labeling.datasets.records import DatasetFrame
from labeling.review.records import ReviewedFrame, ReviewedInstance
from labeling.storage.home import Home
from labeling.structures.masks import Mask
from tasks.execution.context import close_databases, database_of, open_context
from tasks.review.consensus import update_consensus
from tasks.review.scores import score_models
from tests.planted_reviews import PlantedFrame, PlantedRun, box_mask, plant_run

NOON = datetime(2026, 5, 1, 12)
RIDER, BIKE = box_mask(20, 10, 30, 60), box_mask(10, 60, 60, 50)


@dataclass
class Desk:
    """A home in which frames are reviewed one after the other."""

    home: Home
    minutes: int = 0

    def plant(self, *categories: str, hard_below: float = 0.5, decision: str = "review") -> PlantedRun:
        """Store a run of one frame with a person, a bicycle, or both."""
        masks = [{"person": RIDER, "bicycle": BIKE}[name] for name in categories]
        frame = PlantedFrame(masks, categories=categories, decision=decision)
        return plant_run(self.home, [frame], categories=categories, hard_below=hard_below)

    def push(self, run: PlantedRun) -> None:
        with database_of(self.home).transaction() as session:
            project = remember_project(session, "http://one", "maskmill", 1, {})
            fill_outbox(session, run.id)
            waiting = session.scalars(select(ReviewRow.frame_id).where(ReviewRow.state == "waiting")).all()
            mark_sending(session, project, dict.fromkeys(waiting, "sent"))
            confirm_sent(session, project, dict.fromkeys(waiting, 70 + self.minutes))

    def review(
        self, run: PlantedRun, people: Sequence[tuple[Mask, str]], *, source_id: int | None = None
    ) -> None:
        """Store an annotation, and choose the consensus. `source_id`: the mask that the first one was before."""
        self.minutes += 1
        moment, frame_id = NOON + timedelta(minutes=self.minutes), run.frames[0]
        with database_of(self.home).transaction() as session:
            project = remember_project(session, "http://one", "maskmill", 1, {})
            found = tuple(
                ReviewedInstance(mask, "manual", None if rank else source_id, category=name)
                for rank, (mask, name) in enumerate(people)
            )
            answer = ReviewedFrame(frame_id, 70, self.minutes, "ann", "corrected", found, 5.0, NOON, moment)
            sent = SentFrame(project, 70, run.id)
            store_annotations(session, {frame_id: FrameAnnotations(sent, [answer], [])})
            update_consensus(session, [frame_id], Settings())

    def states(self) -> dict[int, str]:
        with database_of(self.home).session() as session:
            return dict(session.execute(select(ReviewRow.frame_id, ReviewRow.state)).tuples().all())

    def reviewed(self, run: PlantedRun) -> list[str] | None:
        """Return the categories of the frame as a run's dataset has it; None: it is not in there."""
        with database_of(self.home).session() as session:
            frames: list[DatasetFrame] = list(
                dataset_frames(session, run.id, self.home, decisions=["reviewed"])
            )
        return [one.category for one in frames[0].instances] if frames else None


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("MASKMILL_DATABASE_URL", database_url)
    yield Home(tmp_path / "home")
    close_databases()


@pytest.fixture
def table(home: Home) -> Desk:
    return Desk(home)


def test_a_review_of_people_does_not_count_for_a_run_that_also_has_bicycles(table: Desk) -> None:
    people, both = table.plant("person"), table.plant("person", "bicycle")
    table.push(people)
    table.review(people, [(RIDER, "person")])
    assert (table.reviewed(people), table.reviewed(both)) == (["person"], None)
    score_models(open_context(table.home))
    with database_of(table.home).session() as session:
        assert {row.run_id for row in session.scalars(select(ModelScoreRow))} == {people.id}
        assert (runs_lacking(session, both.id), smaller_runs(session, both.id)) == ([people.id], [people.id])
        assert runs_lacking(session, people.id) == []
        carried_from = [len(reviewed_times(session, one.id)) for one in (people, both)]
    assert carried_from == [1, 0]
    assert score_models(open_context(table.home)) == 0


def test_such_a_frame_is_reviewed_again_and_both_runs_have_the_result(table: Desk) -> None:
    people, both = table.plant("person"), table.plant("person", "bicycle")
    table.push(people)
    table.review(people, [(RIDER, "person")])
    table.push(both)
    assert list(table.states().values()) == ["open"]
    assert table.reviewed(people) == ["person"]  # until then
    table.review(both, [(RIDER, "person"), (BIKE, "bicycle"), (BIKE, "bicycle")])
    assert table.reviewed(people) == ["person"]
    assert table.reviewed(both) == ["person", "bicycle", "bicycle"]
    table.push(people)
    table.push(both)
    assert list(table.states().values()) == ["reviewed"]


def test_a_review_of_bicycles_alone_is_not_replaced_by_one_of_people(table: Desk) -> None:
    bicycles, people = table.plant("bicycle"), table.plant("person")
    table.push(bicycles)
    table.review(bicycles, [(BIKE, "bicycle")])
    table.push(people)
    assert list(table.states().values()) == ["reviewed"]
    assert (table.reviewed(bicycles), table.reviewed(people)) == (["bicycle"], None)


def test_the_answered_task_of_a_frame_that_waits_again_is_not_taken_for_a_new_one(table: Desk) -> None:
    people, both = table.plant("person"), table.plant("person", "bicycle")
    table.push(people)
    table.review(people, [(RIDER, "person")])
    with database_of(table.home).transaction() as session:
        fill_outbox(session, both.id)
        project = remember_project(session, "http://one", "maskmill", 1, {})
        assert known_tasks(session, project).last == 70
        assert project_categories(session, project) == ("person",)


def test_the_audit_judges_a_mask_by_those_of_its_category(table: Desk) -> None:
    both = table.plant("person", "bicycle", decision="accepted")
    people = table.plant("person", hard_below=0.6, decision="accepted")
    with database_of(table.home).transaction() as session:
        queue_audit(session, both.id, 2)
    table.review(people, [(RIDER, "person")])

    def judged() -> tuple[int, int] | None:
        with database_of(table.home).session() as session:
            found = summarize_audit(session, both.id)
            return (found.judged, found.bad) if found else None

    assert judged() == (0, 0)
    table.review(both, [(RIDER, "person"), (BIKE, "person")])
    assert judged() == (2, 1)
    table.review(both, [(RIDER, "person"), (BIKE, "bicycle")])
    assert judged() == (2, 0)


def test_what_is_shown_has_categories_the_student_s_too(home: Home) -> None:
    frame = PlantedFrame(
        [RIDER, BIKE],
        [BIKE, RIDER, RIDER],
        categories=("person", "bicycle"),
        student_categories=("bicycle", "person", "person"),
    )
    run = plant_run(home, [frame], categories=("person", "bicycle"))
    with database_of(home).session() as session:
        [item] = review_items(session, latest_run(session, run.id), run.frames)
        shown = proposed_instances(session, run.id, run.frames)[run.frames[0]]
    assert [(one.category, one.mask) for one in item.teacher] == [("person", RIDER), ("bicycle", BIKE)]
    assert list(item.teacher) == shown
    assert item.student == {"bicycle": BIKE, "person": RIDER}
