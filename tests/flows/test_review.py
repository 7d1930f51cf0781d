"""Push to a real Label Studio and pull from it, through database and flows."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import select

from configs.errors import AlreadyRunning, LabelStudioDenied
from configs.models import Review as Settings
from db.frames.dataset import dataset_frames
from db.models.core import InstanceRow
from db.models.review import AnnotationRow, ConsensusRow, LabelStudioProjectRow, ModelScoreRow, ReviewRow
from db.review.selection import SkippedFrames
from db.review.summary import summarize_reviews
from db.runs.queries import latest_run
from flows.review import LOCK, pull_reviews, push_reviews
from labeling.datasets.records import DatasetFrame
from labeling.review.label_studio.brush_rle import encode_brush
from labeling.review.label_studio.credentials import TOKEN_VARIABLE, URL_VARIABLE
from labeling.review.label_studio.project import PROPOSED
from labeling.storage.home import Home
from tasks.execution.context import database_of
from tasks.execution.direct import call_flow
from tasks.execution.prefect_compat.temporary_server import _servers
from tasks.review.pull import PullSummary
from tasks.review.push import PushSummary
from tests.planted_reviews import PlantedFrame, PlantedRun, box_mask, person_frames, plant_run
from tests.studio_server import RunningStudio
from tests.tasks.review.test_plant import write_truth

pytestmark = [pytest.mark.labelstudio, pytest.mark.usefixtures("prefect")]


def teachers_regions(task: dict[str, Any]) -> list[dict[str, Any]]:
    regions: list[dict[str, Any]] = next(
        prediction["result"] for prediction in task["predictions"] if prediction["model_version"] == PROPOSED
    )
    return regions


class Desk:
    """A home, its project in Label Studio, and the actions of an annotator."""

    def __init__(self, home: Home, studio: RunningStudio, settings: Settings) -> None:
        self.home, self.studio, self.settings = home, studio, settings
        self.http = studio.http()

    def push(self, run: PlantedRun | None = None, **changes: Any) -> PushSummary:
        again = bool(changes.pop("again", False))
        settings = self.settings.model_copy(update=changes)
        return push_reviews(self.home.root, run.id if run else "", settings, again)

    def pull(self) -> PullSummary:
        return pull_reviews(self.home.root)

    @property
    def number(self) -> int:
        found = self.http.get("/api/projects/", params={"title": self.settings.project}).json()
        return int(found["results"][0]["id"])

    def tasks(self) -> list[dict[str, Any]]:
        """Return the tasks by id, with predictions and annotations."""
        query: dict[str, str | int] = {"project": self.number, "page_size": 1000, "fields": "all"}
        tasks: list[dict[str, Any]] = self.http.get("/api/tasks/", params=query).json()["tasks"]
        return sorted(tasks, key=lambda task: int(task["id"]))

    def task(self, frame_id: int) -> dict[str, Any]:
        return next(task for task in self.tasks() if task["data"]["frame_id"] == str(frame_id))

    def regions(self, frame_id: int) -> list[dict[str, Any]]:
        """Return the teacher's regions as an annotator is shown them."""
        return teachers_regions(self.task(frame_id))

    def submit(self, frame_id: int, regions: list[dict[str, Any]], **fields: Any) -> int:
        return self.answer(self._numbers()[frame_id], regions, **fields)

    def answer(self, task: int, regions: list[dict[str, Any]], **fields: Any) -> int:
        body = {"result": regions, "lead_time": 8.0, **fields}
        return int(
            self.http.post(f"/api/tasks/{task}/annotations/", json=body).raise_for_status().json()["id"]
        )

    def _numbers(self) -> dict[int, int]:
        return {task.frame_id: task.id for task in self.studio.server.list_tasks(self.number)}

    def states(self) -> dict[int, str]:
        with database_of(self.home).session() as session:
            return dict(session.execute(select(ReviewRow.frame_id, ReviewRow.state)).tuples().all())

    def dataset(self, *decisions: str) -> dict[int, DatasetFrame]:
        with database_of(self.home).session() as session:
            run = latest_run(session)
            wanted = decisions or ("accepted", "reviewed")
            return {frame.id: frame for frame in dataset_frames(session, run.id, self.home, decisions=wanted)}


@pytest.fixture
def desk(
    studio: RunningStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Desk]:
    """A home that uses the tests' Label Studio as it would use a team's."""
    monkeypatch.setenv(URL_VARIABLE, studio.access.url)
    monkeypatch.setenv(TOKEN_VARIABLE, studio.access.token)
    title = f"{request.node.name[-30:]} {tmp_path.name[-10:]}"
    desk = Desk(Home(tmp_path / "home"), studio, Settings(project=title, request_grace_s=1.0))
    yield desk
    desk.http.close()


def test_frames_are_pushed_once_by_priority_with_image_and_masks(desk: Desk) -> None:
    run = plant_run(desk.home, person_frames(5)[::-1])
    pushed = desk.push()
    assert (pushed.sent, pushed.open, pushed.waiting) == (5, 5, 0)
    tasks = desk.tasks()
    assert [int(task["data"]["frame_id"]) for task in tasks] == list(run.frames)[::-1]
    assert desk.http.get(tasks[0]["data"]["image"]).content.startswith(b"\xff\xd8")
    assert len(desk.regions(run.frames[0])) == 2
    assert desk.push().sent == 0
    assert len(desk.tasks()) == 5


def test_at_most_max_open_tasks_are_open(desk: Desk) -> None:
    run = plant_run(desk.home, person_frames(5))
    pushed = desk.push(max_open_tasks=2, batch=1)
    assert (pushed.sent, pushed.open, pushed.waiting) == (2, 2, 3)
    assert desk.push(max_open_tasks=2).sent == 0
    desk.submit(run.frames[0], desk.regions(run.frames[0]))
    assert desk.push(max_open_tasks=2).sent == 1
    assert desk.states()[run.frames[2]] == "open"


def test_near_identical_frames_are_one_task_and_the_budget_limits_all_pushes(desk: Desk) -> None:
    places = (10, 11, 60, 100, 125)
    frames = [PlantedFrame([box_mask(x, 10, 30, 90 - i)], shot=0) for i, x in enumerate(places)]
    run = plant_run(desk.home, frames)
    pushed = desk.push(max_open_tasks=1, budget=3)
    assert (pushed.sent, pushed.waiting, pushed.passed_over) == (1, 4, SkippedFrames(0, 0, 0))
    pushed = desk.push(budget=3)
    assert (pushed.sent, pushed.waiting, pushed.passed_over) == (2, 0, SkippedFrames(1, 0, 1))
    assert [int(task["data"]["frame_id"]) for task in desk.tasks()] == [run.frames[i] for i in (0, 2, 3)]
    first = run.frames[0]
    desk.submit(first, desk.regions(first))
    desk.pull()
    assert desk.push(budget=3).sent == 0
    assert desk.push().sent == 1
    assert desk.states()[run.frames[1]] == "waiting"


def test_unchanged_regions_come_back_as_the_same_instances(desk: Desk) -> None:
    run = plant_run(desk.home, person_frames(2))
    desk.push()
    desk.submit(run.frames[0], desk.regions(run.frames[0]))
    assert desk.pull().changed == 1
    before = {frame.id: frame for frame in desk.dataset("review").values()}[run.frames[1]]
    reviewed = desk.dataset()[run.frames[0]]
    assert reviewed.decision == "reviewed"
    assert [one.reviewer for one in reviewed.instances] == [desk.studio.access.email] * 2
    assert [one.mask for one in reviewed.instances] == [one.mask for one in before.instances]
    with database_of(desk.home).session() as session:
        shown = session.scalars(
            select(InstanceRow.id).where(InstanceRow.frame_id == run.frames[0], InstanceRow.role == "teacher")
        )
        assert {one.id for one in reviewed.instances} == set(shown)
    assert desk.states() == {run.frames[0]: "reviewed", run.frames[1]: "open"}
    assert desk.pull().changed == 0


def test_corrections_removals_and_additions_are_distinguished(desk: Desk) -> None:
    [frame] = plant_run(desk.home, person_frames(1)).frames
    desk.push()
    kept, _ = desk.regions(frame)
    corrected, added = box_mask(10, 10, 30, 100), box_mask(130, 10, 20, 50)
    kept["value"]["rle"] = list(encode_brush(corrected))
    new = {
        **kept,
        "id": "AbCdEfGhIj",
        "origin": "manual",
        "value": {**kept["value"], "rle": list(encode_brush(added)), "brushlabels": ["person"]},
    }
    desk.submit(frame, [kept, new], lead_time=30.0)
    desk.pull()
    first, second = desk.dataset()[frame].instances
    assert (first.mask, second.mask) == (corrected, added)
    assert (first.model, second.model) == ("planted:teacher", "manual")
    with database_of(desk.home).session() as session:
        summary = summarize_reviews(session, latest_run(session))
    masks = summary.masks
    assert (masks.shown, masks.untouched, masks.corrected, masks.removed, masks.added) == (2, 0, 1, 1, 1)
    assert masks.corrected_iou == pytest.approx(0.8)
    assert summary.seconds_per_mask == pytest.approx(10.0)
    assert summary.verdicts == {"corrected": 1}


def test_empty_unusable_and_skipped_annotations_differ(desk: Desk) -> None:
    empty, unusable, skipped = plant_run(desk.home, person_frames(3)).frames
    desk.push()
    desk.submit(empty, [])
    verdict = {
        "id": "v",
        "type": "choices",
        "from_name": "verdict",
        "to_name": "image",
        "value": {"choices": ["unusable"]},
    }
    desk.submit(unusable, [*desk.regions(unusable), verdict])
    desk.submit(skipped, [], was_cancelled=True)
    desk.pull()
    assert desk.states() == {empty: "reviewed", unusable: "reviewed", skipped: "skipped"}
    dataset = desk.dataset("review", "reviewed")
    assert dataset[empty].instances == ()
    assert unusable not in dataset
    assert dataset[skipped].decision == "review"


def test_a_later_version_replaces_an_earlier_one_and_history_stays(desk: Desk) -> None:
    [frame] = plant_run(desk.home, person_frames(1)).frames
    desk.push()
    number = desk.submit(frame, desk.regions(frame))
    desk.pull()
    desk.http.patch(
        f"/api/annotations/{number}/", json={"result": desk.regions(frame)[:1]}
    ).raise_for_status()
    assert desk.pull().changed == 1
    assert len(desk.dataset()[frame].instances) == 1
    desk.http.delete(f"/api/annotations/{number}/").raise_for_status()
    assert desk.pull().changed == 1
    assert desk.states() == {frame: "open"}
    assert desk.dataset() == {}
    with database_of(desk.home).session() as session:
        versions = session.scalars(select(AnnotationRow).order_by(AnnotationRow.updated_at)).all()
        assert [(one.external_id, one.verdict) for one in versions] == [
            (number, "correct"),
            (number, "corrected"),
        ]
        assert {one.state for one in versions} == {"deleted"}
        assert session.scalars(select(ConsensusRow)).all() == []
        assert session.scalars(select(ModelScoreRow)).all() == []


def test_every_run_with_a_frame_is_scored_against_its_consensus(desk: Desk) -> None:
    [frame] = plant_run(desk.home, person_frames(1)).frames
    desk.push()
    desk.submit(frame, desk.regions(frame)[1:])
    perfect = PlantedFrame([box_mask(0, 0, 5, 5)], [box_mask(90, 20, 30, 90)])
    other = plant_run(desk.home, [perfect], hard_below=0.6)
    desk.pull()
    with database_of(desk.home).session() as session:
        scores = {(row.run_id == other.id, row.role): row for row in session.scalars(select(ModelScoreRow))}
    assert scores[True, "student"].iou == pytest.approx(1.0)
    assert scores[True, "teacher"].iou == pytest.approx(0.0, abs=1e-6)
    assert scores[False, "teacher"].iou == pytest.approx(2700 / 5100)
    assert [cause for cause, *_ in scores[False, "teacher"].mismatches] == ["extra"]


def test_masks_of_another_run_replace_those_that_no_annotator_has_started(desk: Desk) -> None:
    frames = person_frames(3)
    first = plant_run(desk.home, frames)
    desk.push()
    started = first.frames[0]
    desk.submit(started, desk.regions(started))
    better = [PlantedFrame([box_mask(11, 11, 30, 80)], frame.student) for frame in frames[:2]]
    second = plant_run(desk.home, [*better, PlantedFrame(frames[2].teacher, decision="easy")], hard_below=0.6)
    pushed = desk.push(second)
    assert (pushed.sent, pushed.replaced, pushed.withdrawn) == (1, 1, 1)
    assert [int(task["data"]["frame_id"]) for task in desk.tasks()] == list(first.frames[:2])
    assert len(desk.regions(started)) == 2
    assert len(desk.regions(first.frames[1])) == 1
    assert desk.states()[first.frames[2]] == "withdrawn"
    assert desk.push(second).replaced == 0


def test_a_task_deleted_by_hand_is_sent_again_only_on_request(desk: Desk) -> None:
    run = plant_run(desk.home, person_frames(2))
    desk.push()
    desk.http.delete(f"/api/tasks/{desk.task(run.frames[0])['id']}/").raise_for_status()
    pushed = desk.push()
    assert (pushed.sent, pushed.deleted) == (0, 1)
    assert desk.states()[run.frames[0]] == "deleted"
    assert desk.push(again=True).sent == 1
    assert len(desk.tasks()) == 2


def test_a_project_deleted_by_hand_is_created_again_and_no_consensus_is_lost(desk: Desk) -> None:
    run = plant_run(desk.home, person_frames(3))
    desk.push()
    desk.submit(run.frames[0], desk.regions(run.frames[0]))
    desk.pull()
    desk.http.delete(f"/api/projects/{desk.number}/").raise_for_status()
    pulled = desk.pull()
    assert (pulled.lost, pulled.taken_back) == ((desk.settings.project,), 2)
    assert desk.push().sent == 2
    assert {int(task["data"]["frame_id"]) for task in desk.tasks()} == set(run.frames[1:])
    assert list(desk.dataset()) == [run.frames[0]]


def test_a_foreign_region_is_a_problem_and_other_annotations_are_stored(desk: Desk) -> None:
    strange, fine = plant_run(desk.home, person_frames(2)).frames
    desk.push()
    other, region = desk.regions(strange)
    other["value"]["brushlabels"] = ["dog"]
    desk.submit(strange, [other, region])
    desk.submit(fine, desk.regions(fine))
    pulled = desk.pull()
    assert len(pulled.problems) == 1
    assert f"frame {strange}" in pulled.problems[0]
    assert "dog" in pulled.problems[0]
    assert desk.states() == {strange: "unresolved", fine: "reviewed"}


def test_a_missing_image_is_reported_and_the_other_frames_are_sent(desk: Desk) -> None:
    plant_run(desk.home, person_frames(3))
    next(desk.home.root.glob("images/*/*")).unlink()
    pushed = desk.push()
    assert pushed.sent == 2
    assert len(pushed.refused) == 1
    assert "image is gone" in pushed.refused[0]


def test_a_wrong_token_changes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    run = plant_run(desk.home, person_frames(1))
    monkeypatch.setenv(TOKEN_VARIABLE, "0" * 40)
    with pytest.raises(LabelStudioDenied, match="refuses the legacy token"):
        desk.push()
    monkeypatch.setenv(TOKEN_VARIABLE, desk.studio.access.token)
    assert desk.states() == {}
    assert desk.push().sent == len(run.frames)


def test_only_one_push_runs_at_a_time(desk: Desk) -> None:
    plant_run(desk.home, person_frames(1))
    with database_of(desk.home).exclusive(LOCK), pytest.raises(AlreadyRunning, match="review push"):
        desk.push()
    assert desk.push().sent == 1


def test_a_reused_task_id_is_not_deleted_with_a_withdrawn_frame(desk: Desk) -> None:
    """Label Studio on SQLite gives the id of a deleted task to the next one."""
    frames = person_frames(2)
    first = plant_run(desk.home, frames)
    desk.push(max_open_tasks=1)
    no_more = [PlantedFrame(frames[0].teacher, decision="easy"), frames[1]]
    second = plant_run(desk.home, no_more, hard_below=0.6)
    desk.push(second)
    kept = first.frames[1]
    desk.submit(kept, desk.regions(kept))
    desk.push(first, max_open_tasks=1)
    desk.push(second)
    assert desk.pull().changed == 1
    assert desk.states()[kept] == "reviewed"


def test_a_renamed_project_is_still_used(desk: Desk) -> None:
    run = plant_run(desk.home, person_frames(2))
    desk.push()
    number = desk.number
    frame = run.frames[0]
    desk.submit(frame, desk.regions(frame))
    desk.http.patch(f"/api/projects/{number}/", json={"title": "renamed by hand"}).raise_for_status()
    assert desk.push().sent == 0
    assert desk.pull().changed == 1
    assert desk.states()[frame] == "reviewed"


def test_the_starred_annotation_counts_and_its_star_moves(desk: Desk) -> None:
    """A new star removes the other one, whose annotation keeps its time of change."""
    [frame] = plant_run(desk.home, person_frames(1)).frames
    desk.push()
    regions = desk.regions(frame)
    first, second = desk.submit(frame, regions[:1]), desk.submit(frame, regions)
    desk.pull()
    assert len(desk.dataset()[frame].instances) == 2
    for starred, people in ((first, 1), (second, 2)):
        address = f"/api/annotations/{starred}/"
        desk.http.patch(address, json={"ground_truth": True}).raise_for_status()
        assert desk.pull().changed == 1
        assert len(desk.dataset()[frame].instances) == people
        with database_of(desk.home).session() as session:
            assert session.scalars(select(ConsensusRow.rule)).all() == ["starred"]
            current = AnnotationRow.state == "current"
            stars = select(AnnotationRow.external_id).where(current, AnnotationRow.is_starred)
            assert session.scalars(stars).all() == [starred]


def test_the_instructions_are_filled_in_and_those_of_a_team_stay(desk: Desk) -> None:
    plant_run(desk.home, person_frames(1))
    desk.push()
    address = f"/api/projects/{desk.number}/"
    project = desk.http.get(address).json()
    assert "A person has no mask" in project["expert_instruction"]
    assert project["show_instruction"]
    desk.http.patch(address, json={"expert_instruction": "Ours"}).raise_for_status()
    desk.push()
    assert desk.http.get(address).json()["expert_instruction"] == "Ours"


def test_an_annotation_is_read_with_the_settings_it_was_made_under(desk: Desk) -> None:
    keypoints = tuple((20.0 + i, 30.0, 0.5) for i in range(17))
    frames = [PlantedFrame([box_mask(10, 10, 30, 80)], keypoints=keypoints) for _ in range(2)]
    started, waiting = plant_run(desk.home, frames).frames
    desk.push(show_keypoints=False)
    desk.submit(started, desk.regions(started))
    assert len(desk.regions(waiting)) == 1
    assert desk.push(show_keypoints=True).replaced == 1
    assert len(desk.regions(waiting)) == 18
    desk.pull()
    [person] = desk.dataset()[started].instances
    assert person.keypoints == keypoints
    with database_of(desk.home).session() as session:
        assert session.scalars(select(AnnotationRow.verdict)).all() == ["correct"]


@pytest.mark.long
def test_keypoints_can_be_switched_off_after_some_were_annotated(desk: Desk) -> None:
    keypoints = tuple((20.0 + i, 30.0, 0.5) for i in range(17))
    frames = [PlantedFrame([box_mask(10, 10, 30, 80)], keypoints=keypoints) for _ in range(2)]
    started, waiting = plant_run(desk.home, frames).frames
    desk.push(show_keypoints=True)
    desk.submit(started, desk.regions(started))
    assert desk.push(show_keypoints=False).replaced == 1
    assert len(desk.regions(waiting)) == 1
    desk.pull()
    assert desk.states()[started] == "reviewed"


def test_an_annotation_older_than_the_last_pull_is_found_with_its_task(desk: Desk) -> None:
    """As after a push that was killed before it recorded what had arrived, or with a database from a backup."""
    known, unknown = plant_run(desk.home, person_frames(2)).frames
    desk.push()
    desk.submit(known, desk.regions(known))
    desk.submit(unknown, desk.regions(unknown))
    with database_of(desk.home).transaction() as session:
        row = session.get_one(ReviewRow, unknown)
        row.state, row.task_id = "sending", None
        [project] = session.scalars(select(LabelStudioProjectRow))
        project.pulled_until = datetime(2100, 1, 1)  # long after every annotation; naive, as stored
    desk.pull()
    assert desk.states() == {known: "reviewed", unknown: "reviewed"}


def test_frames_in_another_project_are_reported_and_sent_here_on_request(desk: Desk) -> None:
    plant_run(desk.home, person_frames(2))
    desk.push()
    other = f"other {desk.settings.project}"[:50]
    pushed = desk.push(project=other)
    assert (pushed.sent, pushed.elsewhere) == (0, 2)
    pushed = desk.push(project=other, again=True)
    assert (pushed.sent, pushed.elsewhere) == (2, 0)


def test_push_and_pull_work_without_prefect(desk: Desk) -> None:
    run, before = plant_run(desk.home, person_frames(2)), list(_servers)
    with temporary_settings({PREFECT_API_URL: None}):
        pushed = call_flow(push_reviews, desk.home.root, run.id, desk.settings, False)
        assert (pushed.sent, pushed.open) == (2, 2)
        desk.submit(run.frames[0], desk.regions(run.frames[0]))
        assert call_flow(pull_reviews, desk.home.root).changed == 1
        assert call_flow(pull_reviews, desk.home.root).changed == 0
    assert _servers == before, "a temporary server was started"
    assert desk.states() == {run.frames[0]: "reviewed", run.frames[1]: "open"}


def test_a_planted_task_looks_like_others_and_its_answer_measures_the_annotator_alone(desk: Desk) -> None:
    """An expert labels a frame in a project of its own before."""
    run = plant_run(desk.home, person_frames(5))
    expert = Desk(
        desk.home,
        desk.studio,
        desk.settings.model_copy(update={"project": f"gold {desk.settings.project}"[:50]}),
    )
    expert.push(budget=1)
    expert.submit(run.frames[0], expert.regions(run.frames[0])[:1])
    expert.pull()
    truth = [one.mask for one in desk.dataset("reviewed")[run.frames[0]].instances]
    planted = write_truth(desk.home.root / "truth.json", {run.frames[0]: truth})

    pushed = desk.push(planted=planted)
    assert (pushed.sent, pushed.planted, pushed.unused_truth) == (5, 1, ())
    tasks = desk.tasks()
    assert [int(task["data"]["frame_id"]) for task in tasks] == list(run.frames), "as their priority says"
    assert all(task["data"].keys() == tasks[0]["data"].keys() for task in tasks)
    assert "truth" not in json.dumps(tasks)
    assert desk.pull().changed == 0
    assert desk.push(planted=planted).sent == 0
    for frame_id in run.frames[:2]:
        desk.submit(frame_id, desk.regions(frame_id))
    assert desk.pull().changed == 2
    assert desk.pull().changed == 0
    with database_of(desk.home).session() as session:
        [score] = summarize_reviews(session, latest_run(session)).annotators
    assert (score.tasks, score.right, score.missed, score.added) == (1, 1, 0, 1)
    dataset = desk.dataset("reviewed")
    assert [one.mask for one in dataset[run.frames[0]].instances] == truth
    assert len(dataset[run.frames[1]].instances) == 2
    assert desk.push(planted=planted).sent == 0
    expert.http.close()
