"""A run on PostgreSQL, compared with one on SQLite."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from configs.load import load_config
from db.frames.dataset import dataset_frames
from db.models.core import ShardRow
from db.runs.queries import RunSummary
from flows.generate import generate_dataset
from labeling.datasets.formats.coco import write_coco
from labeling.storage.home import Home
from labeling.synthetic.scene import render_scene
from tasks.execution.context import close_databases, database_of
from tests.conftest import ROOT
from tests.flows.dump import dump_files, dump_rows
from tests.planted_reviews import PlantedFrame, box_mask, plant_run
from tests.postgres_server import RunningPostgres, run_postgres

pytestmark = pytest.mark.usefixtures("prefect")
DECISIONS = ("easy", "accepted", "review")


@pytest.fixture
def postgres_url(postgres: RunningPostgres) -> Iterator[str]:
    with postgres.empty_database() as url:
        yield url
        close_databases()


def run(scene: Path, home: Path) -> RunSummary:
    config = load_config("offline", ["sampling.shard_s=2"])
    return generate_dataset([str(scene)], config, name="offline", home=home)


def export(home: Path, run_id: str, folder: Path) -> dict[str, bytes]:
    place = Home(home)
    with database_of(place).session() as session:
        write_coco(dataset_frames(session, run_id, place, decisions=DECISIONS), folder)
    return dump_files(folder)


def test_a_run_on_postgresql_gives_the_rows_and_the_dataset_of_one_on_sqlite(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, homes = tmp_path / "scene.mp4", (tmp_path / "sqlite", tmp_path / "postgresql")
    render_scene(scene, seconds=6, size_hw=(180, 320))
    monkeypatch.delenv("MASKMILL_DATABASE_URL", raising=False)
    first = run(scene, homes[0])
    rows, files = dump_rows(homes[0]), export(homes[0], first.run_id, tmp_path / "a")
    monkeypatch.setenv("MASKMILL_DATABASE_URL", postgres_url)
    second = run(scene, homes[1])
    assert second.shards_worked == first.shards_worked == 3
    assert len(rows["frame"]) == 12
    assert rows["instance"]
    assert dump_rows(homes[1]) == rows
    assert export(homes[1], second.run_id, tmp_path / "b") == files
    assert not Home(homes[1]).root.joinpath("maskmill.db").exists()
    assert run(scene, homes[1]).shards_worked == 0


def test_people_are_the_same_from_postgresql_and_sqlite(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keypoints, unusual scores and all bytes of a mask: PostgreSQL returns them in its own format."""
    joints = tuple((10.25 + i, 1 / (1 + i), i / 17) for i in range(17))
    boxes = [box_mask(10, 10, 30, 80), box_mask(1, 0, 159, 120)]
    frames = [PlantedFrame([box_mask(60, 20, 7, 9)]), PlantedFrame(boxes, keypoints=joints)]
    found = []
    for name, url in (("sqlite", ""), ("postgresql", postgres_url)):
        monkeypatch.setenv("MASKMILL_DATABASE_URL", url)
        place = Home(tmp_path / name)
        planted = plant_run(place, frames)
        with database_of(place).session() as session:
            kept = dataset_frames(session, planted.id, place, decisions=DECISIONS)
            found.append([frame.instances for frame in kept])
    assert found[0] == found[1]
    assert [len(people) for people in found[0]] == [1, 2]
    assert found[0][1][0].keypoints == joints


def shards_done(home: Path) -> int:
    with database_of(Home(home)).session() as session:
        return session.scalar(select(func.count()).where(ShardRow.state == "done")) or 0


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_continues_after_a_restart_of_postgresql(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted write is repeated, and later writes wait, without any action of the user."""
    scene, homes = tmp_path / "scene.mp4", (tmp_path / "undisturbed", tmp_path / "disturbed")
    render_scene(scene, seconds=4)
    changes = ["sampling.shard_s=0.5", f"workers={workers}"]
    config = load_config("offline", changes)
    first = generate_dataset([str(scene)], config, name="offline", home=homes[0])
    rows, files = dump_rows(homes[0]), export(homes[0], first.run_id, tmp_path / "a")
    with run_postgres() as own, own.empty_database() as url:
        monkeypatch.setenv("MASKMILL_DATABASE_URL", url)
        words = ["run", str(scene), "--config", "offline", "--home", str(homes[1]), "--json"]
        command = [sys.executable, "-m", "flows.cli.main", *words]
        for change in changes:
            command += ["--set", change]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        for done in (1, 4):
            while shards_done(homes[1]) < done:
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.1)
            own.stop()
            time.sleep(2)
            own.start()
        assert process.wait(200) == 0, (tmp_path / "log").read_text()
        assert dump_rows(homes[1]) == rows
        assert export(homes[1], first.run_id, tmp_path / "b") == files
        close_databases()
