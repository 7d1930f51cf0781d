"""Shards on processes, on Dask and on Ray: the rows and the dataset of one thread, whoever dies."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import select

from configs.errors import ClusterUnreachable, ConfigError, OtherDatabase
from configs.load import load_config, validate_config
from configs.models import RunConfig
from db.frames.dataset import dataset_frames
from db.models.core import ShardRow
from db.runs.queries import RunSummary
from flows.generate import generate_dataset
from flows.runners.select import check_runner, make_runner
from labeling.datasets.formats.coco import write_coco
from labeling.review.label_studio.ports import free_port
from labeling.storage.home import Home
from labeling.synthetic.scene import render_scene
from tasks.execution.context import database_of
from tests.fakes.videos import write_numbered_video
from tests.flows.dump import dump_files, dump_rows
from tests.flows.test_kill import processes_of

pytestmark = [pytest.mark.usefixtures("prefect"), pytest.mark.timeout(600)]
DECISIONS = ("easy", "accepted", "review")
ELSEWHERE = "tcp://192.0.2.7:8786"
"""An address that is nobody's (RFC 5737)."""

needs_dask = pytest.mark.requires("dask", module="prefect_dask")
needs_ray = pytest.mark.requires("ray", module="prefect_ray")
PROCESSES = pytest.param("processes")
DASK = pytest.param("dask", marks=needs_dask)
RAY = pytest.param("ray", marks=[needs_ray, pytest.mark.slow])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_scene(tmp_path_factory.mktemp("scene") / "scene.mp4", seconds=6, size_hw=(180, 320))


@pytest.fixture(scope="module")
def on_one_thread(
    scene: Path, tmp_path_factory: pytest.TempPathFactory, prefect: None
) -> tuple[dict[str, list[tuple[object, ...]]], dict[str, bytes]]:
    """Rows and COCO files of the same run without any of this."""
    folder = tmp_path_factory.mktemp("threads")
    return outcome(run_scene(scene, folder / "home"), folder)


def run_scene(scene: Path, home: Path, *changes: str) -> RunSummary:
    config = load_config("offline", ["sampling.shard_s=1", *changes])
    return generate_dataset([str(scene)], config, name="offline", home=home)


def outcome(
    summary: RunSummary, folder: Path
) -> tuple[dict[str, list[tuple[object, ...]]], dict[str, bytes]]:
    place = Home(folder / "home")
    with database_of(place).session() as session:
        frames = dataset_frames(session, summary.run_id, place, decisions=DECISIONS)
        write_coco(frames, folder / "coco")
    rows = dump_rows(place.root)
    assert len(rows["shard"]) == summary.shards_worked == 6
    assert rows["instance"]
    rows["run"] = [tuple(value for value in row if "runner" not in str(value)) for row in rows["run"]]
    return rows, dump_files(folder / "coco")


@pytest.mark.parametrize(
    "runner", [PROCESSES, *(pytest.param(one, marks=pytest.mark.long) for one in (DASK, RAY))]
)
def test_two_workers_give_the_rows_and_the_dataset_of_one_thread(
    runner: str, scene: Path, on_one_thread: object, tmp_path: Path
) -> None:
    before = dict(os.environ)
    summary = run_scene(scene, tmp_path / "home", "workers=2", f"runner={runner}")
    assert outcome(summary, tmp_path) == on_one_thread
    assert dict(os.environ) == before


@needs_dask
@pytest.mark.long
def test_a_cluster_that_is_there_is_used_by_its_address(
    scene: Path, on_one_thread: object, tmp_path: Path
) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        address = cluster.scheduler_address
        summary = run_scene(scene, tmp_path / "home", "workers=2", "runner=dask", f"address={address}")
        assert len(cluster.scheduler_info["workers"]) == 2  # they stay
    assert outcome(summary, tmp_path) == on_one_thread


def fragile_config(notes: Path, runner: str, *, pts_ms: int = -1, deaths: int = 0) -> RunConfig:
    notes.mkdir()
    options = {"folder": str(notes), "pts_ms": pts_ms, "deaths": deaths}
    teacher = {"kind": "python", "factory": "tests.fakes.segmenters:crashing", "options": options}
    student = {"kind": "python", "factory": "tests.fakes.segmenters:scripted", "options": {"name": "student"}}
    tree = {"teacher": teacher, "student": student, "runner": runner, "workers": 2, "device": "cpu"}
    return validate_config(tree | {"sampling": {"shard_s": 1}}, "test")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("planted") / "planted.mp4"
    write_numbered_video(path, fps=Fraction(10), frames=60, size_hw=(160, 240))
    return path


def shards_of(home: Path) -> list[tuple[str, int, str | None]]:
    with database_of(Home(home)).session() as session:
        rows = session.execute(
            select(ShardRow.state, ShardRow.attempts_lost, ShardRow.error_code).order_by(ShardRow.start_ms)
        )
        return list(rows.tuples())


@pytest.mark.parametrize(
    "runner", [PROCESSES, *(pytest.param(one, marks=pytest.mark.long) for one in (DASK, RAY))]
)
def test_a_shard_whose_worker_is_killed_is_done_by_another_one(
    runner: str, video: Path, tmp_path: Path
) -> None:
    config = fragile_config(tmp_path / "notes", runner, pts_ms=2500, deaths=2)
    summary = generate_dataset([str(video)], config, name="fragile", home=tmp_path / "home")
    assert (summary.shards_done, summary.shards_pending, summary.failures) == (6, 0, ())
    assert shards_of(tmp_path / "home") == [
        ("done", 2 if number == 2 else 0, None) for number in range(6)
    ]  # and whoever worked beside it was left alone


@pytest.mark.long
@pytest.mark.parametrize("runner", [PROCESSES, DASK])
def test_a_shard_that_kills_every_worker_fails_and_the_others_get_done(
    runner: str, video: Path, tmp_path: Path
) -> None:
    config = fragile_config(tmp_path / "notes", runner, pts_ms=2500, deaths=99)
    summary = generate_dataset([str(video)], config, name="fragile", home=tmp_path / "home")
    assert (summary.shards_done, summary.shards_pending) == (5, 1)  # it may be tried again
    (failure,) = summary.failures
    assert "3 workers or runs crashed on this shard" in str(failure)
    assert shards_of(tmp_path / "home")[2] == ("failed", 3, "worker_lost")


@pytest.mark.long
@pytest.mark.parametrize("runner", [PROCESSES, DASK, RAY])
def test_each_worker_loads_its_models_once_and_knows_its_share_of_the_cores(
    runner: str, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.execution.workers.available_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    config = fragile_config(tmp_path / "notes", runner)
    generate_dataset([str(video)], config, name="fragile", home=tmp_path / "home")
    workers = {path.name.partition("-")[2] for path in (tmp_path / "notes").glob("work-*")}
    assert str(os.getpid()) not in workers
    assert 1 <= len(workers) <= 2
    for worker in workers:
        assert (tmp_path / "notes" / f"load-{worker}").read_text() == "3\n"


@contextmanager
def cluster_without_the_database(environment: dict[str, str]) -> Iterator[str]:
    """Address of a Dask cluster whose one worker has another environment than we."""
    address = f"tcp://127.0.0.1:{free_port()}"
    begin = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--host", address]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
    started = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=variables)
        for command, variables in (
            (begin, None),
            ([*worker, "--nworkers", "1", "--nthreads", "1"], environment),
        )
    ]
    try:
        yield address
    finally:
        for process in started[::-1]:
            process.terminate()
            process.wait(30)


@needs_dask
def test_a_worker_without_the_runs_database_is_named_and_the_run_stops(video: Path, tmp_path: Path) -> None:
    """The worker's own database is another one: it has no such shard."""
    other = os.environ | {"MASKMILL_DATABASE_URL": f"sqlite:///{tmp_path / 'other.db'}"}
    config = fragile_config(tmp_path / "notes", "dask")
    with cluster_without_the_database(other) as address:
        config = config.model_copy(update={"address": address})
        with pytest.raises(OtherDatabase, match=r"no shard .*MASKMILL_DATABASE_URL"):
            generate_dataset([str(video)], config, name="fragile", home=tmp_path / "home")
    assert {state for state, _, _ in shards_of(tmp_path / "home")} == {"planned"}


@needs_dask
def test_nobody_at_the_address_is_told_so(video: Path, tmp_path: Path) -> None:
    import dask

    config = fragile_config(tmp_path / "notes", "dask")
    address = f"tcp://127.0.0.1:{free_port()}"
    config = config.model_copy(update={"address": address})
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ClusterUnreachable, match=address),
    ):
        generate_dataset([str(video)], config, name="fragile", home=tmp_path / "home")


class Ended:
    """A future whose result is an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self, *, raise_on_failure: bool) -> str:
        raise self._error


@needs_dask
def test_a_scheduler_that_goes_away_ends_the_run_and_fails_no_shard() -> None:
    from distributed.client import FutureCancelledError

    future: Any = Ended(FutureCancelledError("shard", "scheduler-connection-lost"))
    with (
        make_runner(load_config("offline", ["runner=dask", "workers=1"])) as workers,
        pytest.raises(ClusterUnreachable, match="run the same command again"),
    ):
        workers.outcome_of(future)


@needs_dask
def test_workers_elsewhere_want_a_database_and_a_prefect_server_that_they_can_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = load_config("offline", ["runner=dask", f"address={ELSEWHERE}"])
    monkeypatch.setenv("MASKMILL_DATABASE_URL", "sqlite:////tmp/here.db")
    with pytest.raises(ConfigError, match=r"PostgreSQL.*MASKMILL_DATABASE_URL"):
        check_runner(config)
    monkeypatch.setenv("MASKMILL_DATABASE_URL", "postgresql+psycopg://somewhere/maskmill")
    check_runner(config)
    with (
        temporary_settings({PREFECT_API_URL: None}),
        pytest.raises(ConfigError, match=r"prefect server start.*PREFECT_API_URL"),
    ):
        check_runner(config)


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_missing_extra_is_named(runner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=rf"pip install 'maskmill\[{runner}\]'"):
        check_runner(load_config("offline", [f"runner={runner}"]))


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("runner", [PROCESSES, DASK])
def test_workers_end_with_a_run_that_is_killed(runner: str, scene: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-m", "flows.cli.main", "run", str(scene), "--config", "offline", "--json"]
    command += ["--home", str(home), "--set", f"runner={runner}", "--set", "workers=2"]
    command += ["--set", "sampling.every_s=0", "--set", "sampling.shard_s=1"]
    environment = os.environ | {"PREFECT_HOME": str(tmp_path / "prefect")}
    run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    while not any((home / "images").glob("*/*")):  # until the workers are at work
        assert run.poll() is None
        time.sleep(0.1)
    assert len(processes_of(tmp_path)) > 2
    run.kill()  # it alone
    run.wait()
    end = time.monotonic() + 20
    while processes_of(tmp_path) and time.monotonic() < end:
        time.sleep(0.2)
    assert processes_of(tmp_path) == []
