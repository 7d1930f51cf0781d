"""A run with images in a bucket, compared with one on this machine's disk."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs.environment import IMAGE_STORE
from configs.errors import StoreDenied, StoreUnreachable
from configs.load import load_config
from db.frames.dataset import dataset_frames
from db.runs.queries import RunSummary
from flows.cli.main import app
from flows.generate import generate_dataset
from labeling.datasets.formats.coco import write_coco
from labeling.datasets.object_store import export_to
from labeling.storage.home import Home
from labeling.synthetic.scene import render_scene
from tasks.execution.context import database_of
from tests.flows.dump import dump_files, dump_rows
from tests.store_server import TestBucket

pytestmark = pytest.mark.usefixtures("prefect")
DECISIONS = ("easy", "accepted", "review")
CHANGES = ["sampling.shard_s=2"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_scene(tmp_path_factory.mktemp("scene") / "scene.mp4", seconds=6, size_hw=(180, 320))


@pytest.fixture(scope="module")
def local_home(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run on the disk, for comparison."""
    home = tmp_path_factory.mktemp("local") / "home"
    run(scene, home)
    return home


@pytest.fixture
def in_bucket(bucket: TestBucket, local_home: Path, monkeypatch: pytest.MonkeyPatch) -> TestBucket:
    """A bucket that is set as the image store."""
    monkeypatch.setenv(IMAGE_STORE.name, f"{bucket.url}/kept")
    return bucket


def run(scene: Path, home: Path) -> RunSummary:
    return generate_dataset([str(scene)], load_config("offline", CHANGES), name="offline", home=home)


def export(home: Path, target: str) -> None:
    place = Home(home)
    with database_of(place).session() as session:
        run_id = load_config("offline", CHANGES).run_id()
        frames = dataset_frames(session, run_id, place, decisions=DECISIONS)
        export_to(target, lambda folder, images: write_coco(frames, folder, images=images))


def kept_files(home: Path) -> dict[str, bytes]:
    return {f"kept/{name}": content for name, content in dump_files(home / "images").items()}


def images_in(bucket: TestBucket) -> dict[str, bytes]:
    objects = bucket.objects()
    objects.pop("kept/.maskmill", None)
    return objects


def assert_same(home: Path, local_home: Path, bucket: TestBucket, folder: Path) -> None:
    """Check that rows, images and COCO bytes equal those of the run on the disk."""
    assert dump_rows(home) == dump_rows(local_home)
    assert not (home / "images").exists()
    export(home, str(folder / "from_bucket"))
    kept = images_in(bucket)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(IMAGE_STORE.name)
        assert kept == kept_files(local_home)
        export(local_home, str(folder / "from_disk"))
    files = dump_files(folder / "from_bucket")
    assert len(files) == 12 + 3
    assert files == dump_files(folder / "from_disk")


def test_a_run_into_a_bucket_gives_the_rows_and_the_dataset_of_one_on_the_disk(
    scene: Path, local_home: Path, in_bucket: TestBucket, tmp_path: Path
) -> None:
    assert run(scene, tmp_path / "home").shards_worked == 3
    assert_same(tmp_path / "home", local_home, in_bucket, tmp_path)


def test_commands_that_show_images_read_them_from_the_bucket(
    scene: Path, in_bucket: TestBucket, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    run(scene, home)
    frame = dump_rows(home)["frame"][0][0]
    for command in (
        ["show", frame, "-o", str(tmp_path / "1.png")],
        ["report", str(tmp_path / "report.html")],
    ):
        assert CliRunner().invoke(app, [*command, "--home", str(home)]).exit_code == 0
    assert (tmp_path / "1.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image/jpeg" in (tmp_path / "report.html").read_text()
    in_bucket.gate.seen.clear()
    for target in (f"{in_bucket.url}/set", str(tmp_path / "on_disk")):
        command = ["export", "coco", target, "--home", str(home)]
        done = CliRunner().invoke(app, [*command, *(f"--decision={one}" for one in DECISIONS)])
        assert done.exit_code == 0, done.output
    sent = {name.removeprefix("set/"): one for name, one in in_bucket.objects().items() if name[:3] == "set"}
    assert sent == dump_files(tmp_path / "on_disk")


@pytest.mark.long
def test_a_home_moves_into_a_bucket_by_copying_its_images(
    local_home: Path, in_bucket: TestBucket, tmp_path: Path
) -> None:
    client = in_bucket.server.client()
    for name, content in kept_files(local_home).items():
        client.put_object(Bucket=in_bucket.name, Key=name, Body=content)
    export(local_home, str(tmp_path / "from_bucket"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(IMAGE_STORE.name)
        export(local_home, str(tmp_path / "from_disk"))
    assert dump_files(tmp_path / "from_bucket") == dump_files(tmp_path / "from_disk")


def test_an_image_in_the_bucket_is_not_uploaded_again(
    scene: Path, in_bucket: TestBucket, tmp_path: Path
) -> None:
    run(scene, tmp_path / "first")
    in_bucket.gate.seen.clear()
    run(scene, tmp_path / "second")
    assert [path.rpartition("/")[2] for path in in_bucket.gate.puts()] == [".maskmill"]


def test_a_server_that_answers_503_for_a_while_is_retried(
    scene: Path, local_home: Path, in_bucket: TestBucket, tmp_path: Path
) -> None:
    in_bucket.gate.fail_after_puts, in_bucket.gate.fail_for_s = 4, 3.0
    assert run(scene, tmp_path / "home").shards_pending == 0
    assert in_bucket.gate.failed > 2
    assert_same(tmp_path / "home", local_home, in_bucket, tmp_path)


def test_an_unreachable_server_stops_the_run_which_continues_afterwards(
    scene: Path,
    local_home: Path,
    in_bucket: TestBucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labeling.storage.object_store.RETRY_FOR_S", 2.0)
    home, gate = tmp_path / "home", in_bucket.gate
    gate.fail_after_puts, gate.fail_for_s = 6, 1000.0
    with pytest.raises(StoreUnreachable, match="same command again"):
        run(scene, home)
    rows = dump_rows(home)
    assert any("planned" in row for row in rows["shard"])
    named = {value for row in rows["decision"] for value in row if value.startswith("images/")}
    gate.recover()
    assert named <= {name.replace("kept/", "images/") for name in images_in(in_bucket)}
    assert run(scene, home).shards_pending == 0
    assert_same(home, local_home, in_bucket, tmp_path)


def test_a_missing_bucket_and_refused_keys_are_reported_before_the_run(
    scene: Path, in_bucket: TestBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(IMAGE_STORE.name, "s3://nobody-made-this/kept")
    began = time.monotonic()
    with pytest.raises(StoreDenied, match="s3://nobody-made-this/kept: there is no such bucket"):
        run(scene, tmp_path / "home")
    in_bucket.gate.fail_with = 403
    monkeypatch.setenv(IMAGE_STORE.name, f"{in_bucket.url}/kept")
    with pytest.raises(StoreDenied, match=r"refuses our keys .*AWS_SECRET_ACCESS_KEY"):
        run(scene, tmp_path / "home")
    assert time.monotonic() - began < 20
    assert not (tmp_path / "home" / "maskmill.db").exists()


@pytest.mark.long
def test_a_killed_run_leaves_only_orphans_and_can_be_repeated(
    scene: Path, local_home: Path, in_bucket: TestBucket, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    in_bucket.gate.latency_s = 0.3
    command = [sys.executable, "-m", "flows.cli.main", "run", str(scene), "--config", "offline", "--json"]
    changes = [f"--set={change}" for change in CHANGES]
    child = subprocess.Popen(
        [*command, *changes, "--home", str(home)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 120
        while len(in_bucket.gate.puts()) < 3:
            assert child.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    in_bucket.gate.latency_s = 0.0
    assert run(scene, home).shards_pending == 0
    assert_same(home, local_home, in_bucket, tmp_path)
