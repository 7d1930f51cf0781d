"""`maskmill calibrate`: its errors, and learning from what people said."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from configs.models import Review as Settings
from db.review.annotations import FrameAnnotations, SentFrame, store_annotations
from db.review.items import proposed_instances
from db.review.outbox import confirm_sent, fill_outbox, remember_project
from flows.cli.main import app
from labeling.review.records import ReviewedFrame, ReviewedInstance
from labeling.storage.home import Home
from tasks.execution.context import close_databases, database_of
from tasks.review.consensus import update_consensus
from tests.planted_reviews import VIDEO, PlantedFrame, PlantedRun, box_mask, plant_run

NOON = datetime(2026, 5, 1, 12)
SOMEBODY = box_mask(10, 10, 30, 80)
ELSEWHERE = box_mask(60, 0, 20, 120)


def maskmill(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in ("calibrate", *words)])


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    yield Home(tmp_path / "home")
    close_databases()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A teacher that finds the planted images' people, who are dark, as one mask."""
    path = tmp_path / "mine.yaml"
    dark = {"kind": "python", "factory": "tests.fakes.segmenters:bright", "options": {"dark": True}}
    path.write_text(yaml.safe_dump({"teacher": dark, "student": "background:mog2"}))
    return path


def review(home: Home, run: PlantedRun, *, wrong: int) -> None:
    """People found the teacher's masks right, but for the first few frames, where somebody was elsewhere."""
    with database_of(home).transaction() as session:
        project = remember_project(session, "http://one", "maskmill", 1, {})
        fill_outbox(session, run.id)
        confirm_sent(session, project, {one: task for task, one in enumerate(run.frames, start=1)})
        for number, frame_id in enumerate(run.frames):
            shown = proposed_instances(session, run.id, [frame_id])[frame_id]
            kept = tuple(ReviewedInstance(one.mask, "prediction", one.id) for one in shown)
            drawn = (ReviewedInstance(ELSEWHERE, "manual", None),)
            people, verdict = (drawn, "corrected") if number < wrong else (kept, "correct")
            word = ReviewedFrame(frame_id, number, number, "ann", verdict, people, 5.0, NOON, NOON)  # type: ignore[arg-type]  # one of the verdicts
            sent = SentFrame(project, number, run.id)
            store_annotations(session, {frame_id: FrameAnnotations(sent, [word], shown)})
        update_consensus(session, run.frames, Settings())


@pytest.mark.slow
def test_it_learns_from_what_people_said_of_a_run(home: Home, config: Path, tmp_path: Path) -> None:
    review(home, plant_run(home, [PlantedFrame([SOMEBODY])] * 12), wrong=4)
    to, figures = tmp_path / "mine.json", tmp_path / "figures.json"
    done = maskmill(
        *("--from", "reviews", "--home", home.root, "--config", config, "--to", to, "--figures", figures)
    )
    assert done.exit_code == 0, done.output
    assert f"{to}: use it with --set trust.calibration={to}" in done.stdout
    fitted = json.loads(to.read_text())
    assert fitted["teacher"] == "python:dark"
    assert fitted["fitted_on"] == {VIDEO: 12}
    assert json.loads(figures.read_text())["unseen"]["all"]["frames"]["good"] == pytest.approx(8 / 12)


@pytest.mark.slow
def test_without_a_config_the_teacher_is_the_run_s_own(home: Home, tmp_path: Path) -> None:
    review(home, plant_run(home, [PlantedFrame([SOMEBODY])] * 4), wrong=2)
    done = maskmill("--from", "reviews", "--home", home.root, "--to", tmp_path / "a.json")
    assert done.exit_code == 2
    assert "0 of 0 masks are good" in done.stderr  # the plate of a few gray images shows nobody


def test_a_place_that_cannot_be_written_is_told_before_anything_is_done(tmp_path: Path, config: Path) -> None:
    for place in (tmp_path, tmp_path / "gone" / "a.json"):
        done = maskmill("gone.yaml", "--config", config, "--to", place)
        assert done.exit_code == 2
        assert "cannot be written" in done.stderr


def test_a_run_without_reviews_is_told(home: Home, config: Path, tmp_path: Path) -> None:
    plant_run(home, [PlantedFrame([SOMEBODY])] * 2)
    done = maskmill("--from", "reviews", "--home", home.root, "--config", config, "--to", tmp_path / "a.json")
    assert done.exit_code == 2
    assert "has no reviewed frames: fetch reviews with `maskmill review pull`" in " ".join(
        done.stderr.split()
    )
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "no ground truth: name a SETS.yaml"),
        (("--from", "reviews", "--images", "x"), "--from reviews uses the run's own images"),
        (("gone.yaml",), "cannot read gone.yaml"),
    ],
)
def test_wrong_use_is_told(words: tuple[str, ...], told: str, config: Path) -> None:
    done = maskmill(*words, "--config", config)
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.split())


def test_a_matte_is_no_labeled_set(tmp_path: Path) -> None:
    (tmp_path / "sets.yaml").write_text("office: {matte: a, cdnet: b}\n")
    done = maskmill(tmp_path / "sets.yaml", "--config", "offline", "--to", tmp_path / "mine.json")
    assert done.exit_code == 2
    assert "office: a matte or plate has no labeled images" in " ".join(done.stderr.split())
