"""Tasks whose answer is known: which are sent, what counts in the dataset, and what is found of annotators."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from configs.errors import ConfigError
from configs.models import PlantedTruth
from configs.models import Review as Settings
from db.frames.dataset import dataset_frames
from db.models.core import InstanceRow
from db.models.review import AnnotationRow, ReviewRow
from db.review.annotations import FrameAnnotations, find_sent_frames, store_annotations
from db.review.annotators import score_annotators
from db.review.items import proposed_instances
from db.review.outbox import (
    confirm_sent,
    fill_outbox,
    forget_project,
    mark_sending,
    reconcile,
    remember_project,
)
from db.review.summary import summarize_reviews
from db.runs.queries import latest_run
from labeling.review.records import ReviewedFrame, ReviewedInstance, Verdict
from labeling.storage.home import Home
from labeling.structures.masks import Mask
from tasks.execution.context import database_of
from tasks.review.consensus import update_consensus
from tasks.review.plant import choose_frames, read_truth, take_truth
from tasks.review.summary import annotator_sentence
from tests.planted_reviews import VIDEO, PlantedRun, box_mask, person_frames, plant_run
from tests.tasks.review.test_propagate import NOON

TRUE = (box_mask(10, 10, 30, 80), box_mask(90, 20, 20, 90))
"""The first person as the teacher sees them, the second narrower."""


def write_truth(path: Path, frames: Mapping[int, Sequence[Mask]], **fields: Any) -> PlantedTruth:
    """Write a COCO file of frames of a run, as an export does, with other fields of its images."""
    images = [{"id": key, "file_name": f"{key}.jpg", "width": 160, "height": 120, **fields} for key in frames]
    people = [
        {
            "id": number,
            "image_id": key,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": list(mask.box_xywh),
            "area": mask.area_px,
        }
        | {"segmentation": {"size": [120, 160], "counts": mask.counts.decode()}}
        for number, (key, mask) in enumerate(
            ((key, mask) for key, masks in frames.items() for mask in masks), start=1
        )
    ]
    tree = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    path.write_text(json.dumps(tree))
    return PlantedTruth(truth=path, share=0.2)


class Team:
    """A run of twelve frames for review, of which the first four have a known truth."""

    def __init__(self, home: Home, **fields: Any) -> None:
        self.home = home
        self.run: PlantedRun = plant_run(home, person_frames(12))
        self.known = self.run.frames[:4]
        planted = write_truth(home.root / "truth.json", dict.fromkeys(self.known, TRUE), **fields)
        self.settings = Settings(planted=planted)
        with database_of(home).transaction() as session:
            self.project = remember_project(session, "http://one", "maskmill", 1, {})

    def choose(self, room: int = 100) -> tuple[int, ...]:
        """Choose what a push sends."""
        with database_of(self.home).transaction() as session:
            take_truth(session, self.run.id, self.project, self.settings)
            fill_outbox(session, self.run.id)
            return choose_frames(session, self.run.id, self.project, self.settings, room=room).frames

    def send(self, frames: Sequence[int]) -> None:
        with database_of(self.home).transaction() as session:
            mark_sending(session, self.project, dict.fromkeys(frames, "sent"))
            confirm_sent(session, self.project, {key: task for task, key in enumerate(frames, start=1)})

    def answer(
        self, frame_id: int, second: Mask | None, *, annotator: str = "ann", verdict: Verdict = "corrected"
    ) -> None:
        """Confirm the first person, and give the second this mask; None: remove them."""
        with database_of(self.home).transaction() as session:
            sent = find_sent_frames(session, self.project, [frame_id])[frame_id]
            shown = proposed_instances(session, self.run.id, [frame_id])[frame_id]
            people = [ReviewedInstance(shown[0].mask, "prediction", shown[0].id)]
            if second is not None:
                people.append(ReviewedInstance(second, "prediction-changed", shown[1].id))
            number = frame_id % 1000 + 10_000 * len(annotator)
            reviewed = ReviewedFrame(
                frame_id,
                sent.task_id,
                number,
                annotator,
                verdict,
                tuple(people),
                9.0,
                NOON,
                NOON,
            )
            store_annotations(session, {frame_id: FrameAnnotations(sent, [reviewed], shown)})
            update_consensus(session, [frame_id], self.settings)

    def dataset(self) -> dict[int, list[Mask]]:
        with database_of(self.home).session() as session:
            frames = dataset_frames(session, self.run.id, self.home, decisions=("reviewed",))
            return {frame.id: [one.mask for one in frame.instances] for frame in frames}

    def states(self) -> dict[int, str]:
        with database_of(self.home).session() as session:
            return dict(session.execute(select(ReviewRow.frame_id, ReviewRow.state)).tuples().all())


@pytest.fixture
def team(home: Home) -> Team:
    return Team(home)


def test_a_fifth_of_the_tasks_has_a_known_answer_and_the_others_are_all_without(team: Team) -> None:
    chosen = team.choose()
    assert set(team.run.frames[4:]) < set(chosen)
    assert len(set(chosen) & set(team.known)) == 2  # of ten
    priorities = {row.frame_id: row.priority for row in _rows(team)}
    assert [priorities[key] for key in chosen] == sorted((priorities[key] for key in chosen), reverse=True)


def _rows(team: Team) -> list[ReviewRow]:
    with database_of(team.home).session() as session:
        return list(session.scalars(select(ReviewRow)))


def test_a_push_that_was_killed_before_it_sent_anything_plants_no_more(team: Team) -> None:
    assert team.choose() == team.choose()
    team.send(team.choose())
    assert team.choose() == ()


def test_the_room_there_limits_planted_tasks_too(team: Team) -> None:
    first = team.choose(room=5)
    assert len(first) == 5
    assert len(set(first) & set(team.known)) == 1
    team.send(first)
    second = team.choose(room=5)
    assert len(second) == 5
    assert not set(first) & set(second)


def test_planted_tasks_come_on_top_of_the_budget_and_no_truth_counts_in_it(team: Team) -> None:
    team.settings = team.settings.model_copy(update={"budget": 5})
    first = team.choose()
    assert len(set(first) - set(team.known)) == 5
    assert len(set(first) & set(team.known)) == 2
    team.send(first)
    assert team.choose() == ()


def test_the_truth_is_in_the_dataset_and_no_answer_to_it_ever_is(team: Team) -> None:
    chosen = team.choose()
    team.send(chosen)
    planted, ordinary = (
        next(key for key in chosen if key in team.known),
        next(key for key in chosen if key not in team.known),
    )
    wrong = box_mask(90, 20, 10, 20)
    for frame_id in (planted, ordinary):
        team.answer(frame_id, wrong)
    dataset = team.dataset()
    assert dataset.keys() == {*team.known, ordinary}
    assert wrong in dataset[ordinary]
    assert all(dataset[key] == list(TRUE) for key in team.known)
    assert team.states()[planted] == "reviewed"


def test_annotators_are_measured_one_by_one_with_the_exact_interval(team: Team) -> None:
    chosen = team.choose()
    team.send(chosen)
    first, second = (key for key in chosen if key in team.known)
    team.answer(first, TRUE[1])
    team.answer(second, None)
    team.answer(next(key for key in chosen if key not in team.known), None)  # no truth: not judged
    with database_of(team.home).session() as session:
        [ann] = score_annotators(session, team.run.id)
        summary = summarize_reviews(session, latest_run(session, team.run.id))
    assert (ann.annotator, ann.tasks, ann.judged, ann.right, ann.missed, ann.added) == ("ann", 2, 4, 3, 1, 0)
    assert ann.between == pytest.approx((0.1941, 0.9937), abs=1e-4)  # Clopper and Pearson's 3 of 4
    assert ann.mean_iou == 1.0
    assert annotator_sentence(ann) == (
        "3 of 4 people right: 75.0 % (95 % confidence: 19.4 % to 99.4 %) in 2 tasks; 1 missed; mean IoU 1.000"
    )
    assert summary.annotators == (ann,)
    assert summary.frames == {"open": 7, "reviewed": 3}, "two truths that were not sent are not in review"
    assert summary.masks.shown == 2, (
        "the teacher's masks of frames with a truth were not reviewed by a person"
    )


def test_skipped_and_unusable_answers_are_not_judged(team: Team) -> None:
    chosen = team.choose()
    team.send(chosen)
    first, second = (key for key in chosen if key in team.known)
    team.answer(first, None, verdict="skipped")
    team.answer(second, None, verdict="unusable")
    with database_of(team.home).session() as session:
        assert score_annotators(session, team.run.id) == ()
    assert team.dataset()[second] == list(TRUE)


def test_persons_that_were_locked_are_not_judged(team: Team) -> None:
    team.send(chosen := team.choose())
    frame_id = next(key for key in chosen if key in team.known)
    with database_of(team.home).transaction() as session:
        of_frame = update(InstanceRow).where(InstanceRow.frame_id == frame_id, InstanceRow.role == "teacher")
        session.execute(of_frame.values(decision="review"))
        session.execute(of_frame.where(InstanceRow.rank == 0).values(decision="accepted"))
    team.answer(frame_id, Mask.empty((120, 160)))  # leaves the outline out: the teacher's has an IoU of 0.67
    with database_of(team.home).session() as session:
        [ann] = score_annotators(session, team.run.id)
    assert (ann.judged, ann.right) == (1, 1)


def test_reading_the_same_truth_again_changes_nothing_and_a_corrected_one_replaces_it(team: Team) -> None:
    team.send(team.choose())
    before = _versions(team)
    team.choose()
    assert _versions(team) == before
    truth = dict.fromkeys(team.known, TRUE[:1])
    planted = write_truth(team.home.root / "truth.json", truth)
    _set_time(planted.truth)
    team.choose()
    assert all(people == [TRUE[0]] for people in team.dataset().values())


def _versions(team: Team) -> list[tuple[int, str]]:
    with database_of(team.home).session() as session:
        return sorted(session.execute(select(AnnotationRow.id, AnnotationRow.state)).tuples())


def _set_time(path: Path) -> None:
    os.utime(path, (path.stat().st_mtime + 60,) * 2)


def test_planted_tasks_of_a_deleted_project_are_planted_again_and_never_sent_as_ordinary_ones(
    team: Team,
) -> None:
    chosen = team.choose()
    team.send(chosen)
    with database_of(team.home).transaction() as session:
        forget_project(session, team.project)
    assert set(team.choose()) == set(chosen)


def test_an_experts_finished_tasks_do_not_take_planted_frames_back_to_their_project(home: Home) -> None:
    run = plant_run(home, person_frames(12))
    settings = Settings(planted=write_truth(home.root / "truth.json", dict.fromkeys(run.frames[:4], TRUE)))
    tasks = {frame_id: number for number, frame_id in enumerate(run.frames[:4], start=1)}
    with database_of(home).transaction() as session:
        gold = remember_project(session, "http://one", "gold", 2, {})
        project = remember_project(session, "http://one", "maskmill", 1, {})
        fill_outbox(session, run.id)
        mark_sending(session, gold, dict.fromkeys(tasks, "sent"))
        confirm_sent(session, gold, tasks)
        session.execute(update(ReviewRow).where(ReviewRow.project_id == gold).values(state="reviewed"))
        take_truth(session, run.id, project, settings)
        chosen = choose_frames(session, run.id, project, settings, room=100).frames
        assert len(set(chosen) & tasks.keys()) == 2
        before = sorted(
            (row.frame_id, row.state, row.project_id) for row in session.scalars(select(ReviewRow))
        )
        assert reconcile(session, gold, tasks).adopted == 0
        after = sorted(
            (row.frame_id, row.state, row.project_id) for row in session.scalars(select(ReviewRow))
        )
    assert after == before


def test_frames_are_found_by_time_and_by_file_name_too(home: Home) -> None:
    run = plant_run(home, person_frames(2))
    by_time = write_truth(home.root / "a.json", {7: TRUE}, video_id=VIDEO, t_ms=500)
    with database_of(home).session() as session:
        assert read_truth(session, run.id, by_time).masks == {run.frames[1]: TRUE}


def test_images_that_are_no_frames_are_counted_and_a_file_without_any_is_an_error(home: Home) -> None:
    run = plant_run(home, person_frames(2))
    some = write_truth(home.root / "some.json", {run.frames[0]: TRUE, 7: TRUE, 8: TRUE})
    none = write_truth(home.root / "none.json", {7: TRUE})
    with database_of(home).session() as session:
        truth = read_truth(session, run.id, some)
        assert truth.masks.keys() == {run.frames[0]}
        assert truth.unused == ("2 images (no frame of this run)",)
        with pytest.raises(ConfigError, match=r"no image of .*none.json is a frame of run"):
            read_truth(session, run.id, none)
        with pytest.raises(ConfigError, match="does not exist: name a COCO file"):
            read_truth(session, run.id, PlantedTruth(truth=home.root / "gone.json"))


def test_a_run_with_other_categories_has_no_planted_tasks(home: Home) -> None:
    """The truth names people alone; the other objects of its frames would be mistakes of the annotators."""
    run = plant_run(home, person_frames(2), categories=("person", "bicycle"))
    planted = write_truth(home.root / "truth.json", {run.frames[0]: TRUE})
    with (
        database_of(home).transaction() as session,
        pytest.raises(ConfigError, match=r"review\.planted handles people only.*bicycle"),
    ):
        take_truth(session, run.id, 1, Settings(planted=planted))
