"""kill -9 at any moment, and again: the same rows and the same COCO bytes as undisturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from labeling.synthetic.scene import render_scene
from tests.fakes.videos import encode_numbers, read_numbers
from tests.flows.dump import dump_files, dump_rows
from tests.prefect_server import plant_database
from tests.servers import send_stream, serve

KILLS = int(os.environ.get("MASKMILL_TEST_KILLS", "4"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.mp4"
    render_scene(path, seconds=12, size_hw=(180, 320))
    return path


def start(source: Path | str, home: Path, tmp_path: Path, *, server: str = "") -> "subprocess.Popen[bytes]":
    """Without a Prefect server it starts a temporary one, which takes longer than the work."""
    command = [sys.executable, "-m", "flows.cli.main", "run", str(source), "--config", "offline", "--json"]
    command += ["--set", "sampling.shard_s=3", "--set", "sampling.every_s=0.2", "--home", str(home)]
    prefect_home = tmp_path / "prefect"
    if not prefect_home.exists():
        prefect_home.mkdir()
        plant_database(prefect_home / "prefect.db")
    environment = os.environ | {"PREFECT_HOME": str(prefect_home), "PREFECT_API_URL": server}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


def wait_for_images(process: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    """Until the first shard is being worked on."""
    while not any((tmp_path / "home" / "images").glob("*/*")):
        assert process.poll() is None
        time.sleep(0.2)


def export(home: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "flows.cli.main", "export", "coco", str(folder), "--home", str(home)]
    subprocess.run(
        [*command, "--decision", "easy", "--decision", "accepted"], check=True, capture_output=True
    )


@pytest.fixture
def server(prefect: None) -> str:
    """Address of a Prefect server that stays."""
    return str(PREFECT_API_URL.value())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_is_killed_at_random_and_taken_up_again_gives_the_same_dataset(
    scene: Path, tmp_path: Path, server: str
) -> None:
    """The first dies together with Prefect's temporary server, and the last has one with the same Prefect home."""
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "home"
    begin = time.monotonic()
    assert start(scene, undisturbed, tmp_path, server=server).wait(300) == 0
    whole_s = time.monotonic() - begin
    random_moments = random.Random(2)  # noqa: S311  # moments, not secrets
    for number in range(KILLS):
        process = start(scene, killed, tmp_path, server=server if number else "")
        if number:
            time.sleep(random_moments.uniform(0.4, 1.0) * whole_s)
        else:
            wait_for_images(process, tmp_path)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start(scene, killed, tmp_path).wait(300) == 0
    assert dump_rows(killed) == dump_rows(undisturbed)
    export(undisturbed, tmp_path / "a")
    export(killed, tmp_path / "b")
    assert dump_files(tmp_path / "a") == dump_files(tmp_path / "b")


def processes_of(tmp_path: Path) -> list[str]:
    """Command lines of what runs with Prefect's home here, whoever started it."""
    marked, found = f"PREFECT_HOME={tmp_path / 'prefect'}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended, or is not ours
            if marked in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_prefects_temporary_server_ends_with_a_run_that_is_killed(scene: Path, tmp_path: Path) -> None:
    process = start(scene, tmp_path / "home", tmp_path)
    wait_for_images(process, tmp_path)
    assert any("uvicorn" in line for line in processes_of(tmp_path))
    process.kill()  # it alone: nobody tells the server
    process.wait()
    end = time.monotonic() + 15
    while processes_of(tmp_path) and time.monotonic() < end:
        time.sleep(0.2)
    assert processes_of(tmp_path) == []


@pytest.mark.slow
def test_ctrl_c_while_a_camera_is_recorded_keeps_what_came(tmp_path: Path, server: str) -> None:
    home = tmp_path / "home"
    with serve() as site:
        site.pages["/cam"] = send_stream(encode_numbers(range(600), form="mpegts"), seconds=60, pieces=600)
        process = start(f"camera:{site.url('/cam')}", home, tmp_path, server=server)
        while not list(home.rglob("1.mp4")):
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
    rows = dump_rows(home)
    assert len(rows["video"]) == len(rows["source"]) == 1
    assert rows["shard"]  # planned: the next run of this config works on it
    (kept,) = (path for path in (home / "videos").rglob("*") if path.is_file())
    numbers = read_numbers(kept)
    assert numbers == list(range(len(numbers)))


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_signal_to_the_group_stops_within_seconds_and_the_same_command_goes_on(
    scene: Path, tmp_path: Path, signum: signal.Signals, server: str
) -> None:
    process = start(scene, tmp_path / "home", tmp_path)
    wait_for_images(process, tmp_path)
    begin = time.monotonic()
    os.killpg(process.pid, signum)  # as terminals and service managers do: to Prefect's temporary server too
    assert process.wait(20) == 128 + signum
    assert time.monotonic() - begin < 5
    assert start(scene, tmp_path / "home", tmp_path, server=server).wait(300) == 0
