"""Garbage is deleted on request; whatever a run needs stays, even after a kill in between."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from configs.errors import AlreadyRunning, ConfigError
from db.models.core import AgreementRow, DecisionRow, InstanceRow, RunRow, ShardRow, utc_now
from db.review.outbox import fill_outbox
from db.runs.leases import register_lease, release_lease
from db.runs.writes import finish_run
from labeling.segmenters.kept import model_key
from labeling.storage.home import Home
from labeling.storage.image_files import KeptFile, delete_file
from labeling.storage.predictions import PredictionFiles
from tasks.execution.context import close_databases, database_of, open_context
from tasks.garbage import Ages, Garbage, collect_garbage
from tests.flows.dump import dump_rows
from tests.planted_reviews import CARDS, VIDEO, PlantedRun, person_frames, plant_run

DAY_S = 86_400


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("MASKMILL_DATABASE_URL", database_url)
    yield Home(tmp_path / "home")
    close_databases()


def images(home: Home) -> set[str]:
    return {str(p.relative_to(home.root)) for p in (home.root / "images").rglob("*") if p.is_file()}


def referred(home: Home) -> set[str]:
    with database_of(home).session() as session:
        return {image for image in session.scalars(select(DecisionRow.image)) if image}


def make_old(home: Home, *, days: float = 2) -> None:
    for stored in images(home):
        moment = time.time() - days * DAY_S
        os.utime(home.absolute(stored), (moment, moment))


def litter(home: Home, count: int = 3) -> set[str]:
    """Write images whose run was killed before it committed, and files whose writer was killed."""
    left = set()
    for number in range(count):
        name = secrets.token_hex(32)
        file = f".writing-{name[:16]}" if number % 3 == 2 else f"{name}.jpg"
        path = home.root / "images" / name[:2] / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 1000)
        left.add(str(path.relative_to(home.root)))
    return left


def finish(home: Home, run: PlantedRun, *, days_ago: float) -> None:
    with database_of(home).transaction() as session:
        finish_run(session, run.id, {})
        moment = utc_now() - timedelta(days=days_ago)
        session.execute(
            update(RunRow).where(RunRow.id == run.id).values(worked_at=moment, finished_at=moment)
        )


def two_runs(home: Home) -> tuple[PlantedRun, PlantedRun]:
    """Plant an old run of eight frames and its successor, which has the first five of them."""
    old, new = plant_run(home, person_frames(8)), plant_run(home, person_frames(5), hard_below=0.6)
    finish(home, old, days_ago=100)
    finish(home, new, days_ago=40)
    make_old(home)
    return old, new


def predictions(home: Home, run: PlantedRun) -> int:
    with database_of(home).session() as session:
        tables = (InstanceRow, AgreementRow, DecisionRow)
        return sum(len(session.scalars(select(t).where(t.run_id == run.id)).all()) for t in tables)


@pytest.mark.slow
def test_a_home_without_garbage_stays_as_it_is(home: Home) -> None:
    plant_run(home, person_frames(4))
    make_old(home)
    before = images(home)
    assert collect_garbage(open_context(home), Ages(), delete=True) == Garbage(deleted=True, runs=[])
    assert images(home) == before == referred(home)


def test_only_old_orphans_are_deleted_and_only_on_request(home: Home) -> None:
    plant_run(home, person_frames(4))
    orphans = litter(home, 6)
    make_old(home)
    fresh = litter(home, 3)
    found = collect_garbage(open_context(home), Ages())
    assert (found.images, found.unfinished, found.bytes) == (4, 2, 6000)
    assert set(found.files) == orphans
    assert images(home) == referred(home) | orphans | fresh
    assert collect_garbage(open_context(home), Ages(), delete=True) == replace(found, deleted=True)
    assert images(home) == referred(home) | fresh
    assert collect_garbage(open_context(home), Ages(), delete=True).files == []


def test_a_superseded_run_is_deleted_with_the_images_of_its_own(home: Home) -> None:
    old, new = two_runs(home)
    kept = predictions(home, new)
    found = collect_garbage(open_context(home), Ages())
    assert [(run.id, run.frames) for run in found.runs] == [(old.id, 8)]
    assert found.images == 3
    assert collect_garbage(open_context(home), Ages(), delete=True) == replace(found, deleted=True)
    assert (predictions(home, old), predictions(home, new)) == (0, kept)
    assert images(home) == referred(home)
    assert len(images(home)) == 5


@pytest.mark.slow
def test_a_deleted_run_can_be_made_again(home: Home) -> None:
    old, _ = two_runs(home)
    before = dump_rows(home.root)
    collect_garbage(open_context(home), Ages(), delete=True)
    with database_of(home).session() as session:
        [shard] = session.scalars(select(ShardRow).where(ShardRow.run_id == old.id))
    assert (shard.state, shard.counts, shard.agreement_histogram) == ("planned", {}, {})
    plant_run(home, person_frames(8))
    assert dump_rows(home.root) == before
    assert images(home) == referred(home)


@pytest.mark.slow
@pytest.mark.parametrize("days", [99, 101])
def test_a_run_is_superseded_by_age_and_a_later_finished_run(home: Home, days: float) -> None:
    old, _ = two_runs(home)
    found = [run.id for run in collect_garbage(open_context(home), Ages(runs=days)).runs]
    assert found == ([old.id] if days < 100 else [])


def test_a_run_without_a_finished_successor_stays(home: Home) -> None:
    _, new = two_runs(home)
    with database_of(home).transaction() as session:
        session.execute(update(RunRow).where(RunRow.id == new.id).values(finished_at=None))
    assert collect_garbage(open_context(home), Ages(runs=1)).runs == []


def test_retention_deletes_old_runs_that_nothing_superseded_and_keeps_young_ones(home: Home) -> None:
    old, new = two_runs(home)
    days = {old.id: 100, new.id: 1}
    for keep in (200, 50, 0.5):
        found = {run.id for run in collect_garbage(open_context(home), Ages(runs=999, retention=keep)).runs}
        assert found == {run for run, idle in days.items() if idle > keep}
    with database_of(home).transaction() as session:
        fill_outbox(session, new.id)
    collect_garbage(open_context(home), Ages(files=0, runs=999, retention=0.5), delete=True)
    assert predictions(home, old) == 0
    assert predictions(home, new) > 0
    assert images(home) == referred(home)


@pytest.mark.parametrize("delete", [False, True])
def test_folders_of_killed_writers_are_deleted_once_they_are_old(home: Home, delete: bool) -> None:
    two_runs(home)
    left = [home.root / ".writing-thumbnails-ab", home.students / ".writing-0123", home.root / ".writing-new"]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "part").write_bytes(b"x" * 10)
    for folder in left[:2]:
        moment = time.time() - 2 * DAY_S
        os.utime(folder, (moment, moment))
    found = collect_garbage(open_context(home), Ages(), delete=delete)
    names = [name for name in found.files if not name.startswith("images/")]
    assert (found.unfinished, names) == (2, [".writing-thumbnails-ab", "students/.writing-0123"])
    assert [folder.exists() for folder in left] == [not delete, not delete, True]


@pytest.mark.slow
def test_a_run_sent_for_review_stays_even_if_named(home: Home) -> None:
    old, _ = two_runs(home)
    with database_of(home).transaction() as session:
        fill_outbox(session, old.id)
    before = dump_rows(home.root)
    assert collect_garbage(open_context(home), Ages(), delete=True).runs == []
    with pytest.raises(ConfigError, match=old.id):
        collect_garbage(open_context(home), Ages(), run=old.id, delete=True)
    assert dump_rows(home.root) == before


def test_a_named_run_is_deleted_whatever_its_age(home: Home) -> None:
    _, new = two_runs(home)
    collect_garbage(open_context(home), Ages(), run=new.id, delete=True)
    assert predictions(home, new) == 0
    assert images(home) == referred(home)
    assert len(images(home)) == 8


@pytest.mark.slow
def test_nothing_is_deleted_while_a_run_is_in_progress(home: Home) -> None:
    two_runs(home)
    before = images(home) | litter(home)
    make_old(home)
    with database_of(home).transaction() as session:
        register_lease(session, "e", flow="generate-dataset", host="host 1")
    with pytest.raises(AlreadyRunning, match="host 1"):
        collect_garbage(open_context(home), Ages(), delete=True)
    assert images(home) == before
    assert collect_garbage(open_context(home), Ages()).images > 0  # a dry run works
    with database_of(home).transaction() as session:
        release_lease(session, "e")
    collect_garbage(open_context(home), Ages(), delete=True)
    assert images(home) == referred(home)


def test_one_collection_at_a_time(home: Home) -> None:
    plant_run(home, person_frames(1))
    with database_of(home).exclusive("gc"), pytest.raises(AlreadyRunning):
        collect_garbage(open_context(home), Ages(), delete=True)


def test_an_orphan_that_a_new_run_uses_stays(home: Home) -> None:
    """The file is older than the row that refers to it."""
    plant_run(home, person_frames(1))
    [stored] = images(home)
    make_old(home)
    listed = KeptFile(stored, 1, 2 * DAY_S)
    plant_run(home, person_frames(1), hard_below=0.6)
    assert not delete_file(home, listed, older_than_s=DAY_S)
    assert images(home) == {stored}


def test_the_command_lists_first_and_deletes_on_request(home: Home) -> None:
    from flows.cli.main import app

    plant_run(home, person_frames(2))
    litter(home, 30)
    make_old(home)
    arguments = ["gc", "--home", str(home.root)]
    printed = CliRunner().invoke(app, arguments).output
    assert "... and 10 more" in printed
    assert "30 files (0.0 MB) and the predictions of 0 runs: would be deleted" in printed
    done = json.loads(CliRunner().invoke(app, [*arguments, "--delete", "--json"]).output)
    assert (done["images"], done["unfinished"], done["deleted"]) == (20, 10, True)
    assert images(home) == referred(home)


@pytest.mark.slow
def test_a_killed_collection_can_be_repeated(home: Home) -> None:
    two_runs(home)
    litter(home, 6000)
    make_old(home)
    command = [sys.executable, "-m", "flows.cli.main", "gc", "--delete", "--json", "--home", str(home.root)]
    everything = len(images(home))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    needed = {Path(image).parent.name for image in referred(home)}
    early = next(f for f in sorted((home.root / "images").iterdir()) if f.name not in needed)
    while any(early.iterdir()) and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = len(images(home))
    assert 5 < left < everything
    assert referred(home) <= images(home)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    assert images(home) == referred(home)
    assert len(referred(home)) == 5


def keep_prediction(home: Home, model: str, video_id: str, *, days: float) -> Path:
    """Write a file of kept predictions of this age."""
    files = PredictionFiles(home.predictions / model / video_id)
    files.write({"0": []})
    (file,) = (home.predictions / model / video_id).iterdir()
    moment = time.time() - days * DAY_S
    os.utime(file, (moment, moment))
    return file


def test_predictions_stay_for_models_and_videos_of_runs_and_others_go(home: Home) -> None:
    plant_run(home, person_frames(2))
    teacher = model_key(CARDS["teacher"])
    needed = keep_prediction(home, teacher, VIDEO, days=100)
    in_boxes = keep_prediction(home, teacher, f"{VIDEO}-boxes", days=100)
    other_model = keep_prediction(home, "0123456789abcdef", VIDEO, days=20)
    gone_video = keep_prediction(home, teacher, "cd" * 32, days=2)
    fresh = keep_prediction(home, teacher, "ef" * 32, days=0.5)
    listed = collect_garbage(open_context(home), Ages())
    assert (listed.predictions, listed.files) == (1, [str(gone_video.relative_to(home.root))])
    assert gone_video.exists()
    assert collect_garbage(open_context(home), Ages(), delete=True).bytes == listed.bytes
    assert not gone_video.parent.exists()
    assert [file.exists() for file in (needed, other_model, fresh)] == [True, True, True]
    assert collect_garbage(open_context(home), Ages(runs=10), delete=True).predictions == 1
    assert [file.exists() for file in (needed, in_boxes, other_model, fresh)] == [True, True, False, True]


def test_predictions_of_a_deleted_run_go_with_it(home: Home) -> None:
    run = plant_run(home, person_frames(2))
    file = keep_prediction(home, model_key(CARDS["student"]), VIDEO, days=2)
    assert collect_garbage(open_context(home), Ages()).predictions == 0
    assert collect_garbage(open_context(home), Ages(), run=run.id, delete=True).predictions == 1
    assert not file.exists()
