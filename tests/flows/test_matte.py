"""`maskmill matte`, as a person and as a script use it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from prefect.settings import PREFECT_API_URL
from typer.testing import CliRunner, Result

from configs.errors import ConfigError, NotAVideo, UnsupportedVideo
from configs.matting import MatteSettings
from flows.cli.main import app
from flows.matte import plan_mattes
from labeling.synthetic.scene import render_scene
from tasks.execution.context import close_databases
from tasks.matte import MatteOrder, MatteSummary
from tests.conftest import ROOT
from tests.fakes.broken_videos import write_text_as_video, write_truncated, write_zero_frames
from tests.fakes.mattes import add_beeps, beeps_in, read_folder, times_of, write_network, write_walk
from tests.prefect_server import plant_database

CONFIG = """
teacher: {kind: python, factory: "tests.fakes.mattes:walker"}
student: {kind: python, factory: "tests.fakes.segmenters:scripted"}
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKMILL_HOME", str(tmp_path / "home"))
    (tmp_path / "walker.yaml").write_text(CONFIG)
    write_network(tmp_path / "tiny.onnx")
    yield tmp_path
    close_databases()


def matte(*arguments: str, code: int = 0) -> Result:
    options = ["--config", "walker.yaml", "--weights", "tiny.onnx"]
    result = CliRunner().invoke(app, ["matte", *arguments, *options])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def planned(*sources: str, out: Path) -> list[str]:
    """Names of the folders, or codes of the errors."""
    return [
        one.folder.name if isinstance(one, MatteOrder) else one.error
        for one in plan_mattes(sources, out, MatteSettings())
    ]


def errors(*sources: str, out: Path) -> list[str]:
    return [
        one.message for one in plan_mattes(sources, out, MatteSettings()) if isinstance(one, MatteSummary)
    ]


def test_folders_and_patterns_are_expanded_and_each_video_is_matted_once(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("in/a.mp4", "in/deep/b.mp4"):
        write_text_as_video(tmp_path / name)
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "thumbnail.jpg")
    out = tmp_path / "out"
    assert planned("in", out=out) == ["a", "b"]
    assert planned("in/*.mp4", "in/a.mp4", "in", out=out) == ["a", "b"]


def test_equal_and_hostile_names_get_folders_of_their_own_inside_out(tmp_path: Path) -> None:
    names = [
        "x/a.mp4",
        "y/a.mp4",
        "z/A.mp4",
        "a-2.mp4",
        "..mp4",
        "...mp4",
        " .mp4",
        "b:c?.mp4",
        "-rf.mp4",
        "é" * 100 + ".mp4",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_text_as_video(tmp_path / name)
    out = tmp_path / "out"
    folders = planned(*(str(tmp_path / name) for name in names), out=out)
    assert folders[:4] == ["a", "a-2", "A-3", "a-2-2"]
    assert folders[4:7] == ["video", "video-2", "video-3"]
    assert folders[7:9] == ["b_c_", "-rf"]
    assert folders[9].startswith("ééé")
    assert len(folders[9].encode()) <= 120
    assert all((out / name).resolve().parent == out for name in folders)


def test_results_of_an_earlier_run_are_no_sources(tmp_path: Path) -> None:
    write_text_as_video(tmp_path / "a.mp4")
    result = tmp_path / "a"
    for kind in ("alpha", "mask"):
        (result / kind).mkdir(parents=True)
        Image.new("L", (8, 8)).save(result / kind / "00000.png")
    (result / "identity.json").write_text("{}")
    write_text_as_video(result / "composite.mp4")
    assert planned(".", out=tmp_path) == ["a"]
    assert planned("a", out=tmp_path) == ["not_found"]
    assert planned("a/composite.mp4", out=tmp_path / "other") == ["composite"]


def test_a_source_without_suffix_in_out_is_not_overwritten(tmp_path: Path) -> None:
    write_text_as_video(tmp_path / "clip")
    assert planned(str(tmp_path / "clip"), out=tmp_path) == ["clip-2"]


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("rtsp://camera/live", "unsupported_video", "record it to a file"),
        ("/dev/video0", "unsupported_video", "record it to a file"),
        ("https://example.com/v.mp4", "unsupported_video", "download the video"),
        ("images", "unsupported_video", "join them to a video"),
        ("images/1.jpg", NotAVideo.code, "a single image"),
        ("missing.mp4", "not_found", "no such file"),
        ("missing/*.mp4", "not_found", "nothing matches"),
    ],
)
def test_what_is_no_video_file_is_refused_in_a_sentence(
    tmp_path: Path, source: str, code: str, words: str
) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "1.jpg")
    assert planned(source, out=tmp_path / "out") == [code]
    assert words in errors(source, out=tmp_path / "out")[0]
    assert UnsupportedVideo.code == "unsupported_video"


@pytest.mark.usefixtures("prefect")
def test_a_rendered_scene_becomes_a_folder_and_the_same_command_again_does_nothing(tmp_path: Path) -> None:
    render_scene(tmp_path / "scene.mp4", seconds=2, size_hw=(120, 160))
    shown = matte("scene.mp4", "--out", "out")
    out = tmp_path / "out" / "scene"
    frames = len(times_of(tmp_path / "scene.mp4"))
    assert len(times_of(out / "composite.mp4")) == frames
    assert all(len(list((out / kind).iterdir())) == frames for kind in ("alpha", "mask", "foreground"))
    assert len(json.loads((out / "matte.json").read_bytes())["frames"]) == frames
    progress = shown.stderr.splitlines()
    assert progress[0] == "starting (0 s)"
    assert any(line.startswith(f"scene · done · {frames}/{frames} frames (") for line in progress)
    for word in ("scene.mp4", str(frames), "frames/s", "report.html"):
        assert word in shown.stdout
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert "nothing to do" not in shown.stdout
    assert "nothing to do" in matte("scene.mp4", "--out", "out").stdout
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

    images = read_folder(out)
    assert "nothing to do" not in matte("scene.mp4", "--out", "out", "--background", "blur").stdout
    assert read_folder(out) == images

    result = matte(
        "scene.mp4", "--out", "out", "--set", "teacher.factory=tests.fakes.segmenters:scripted", code=2
    )
    assert "name another --out" in result.output
    assert matte("scene.mp4", "--out", "new", "--background", "greeen", code=2)
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("prefect")
def test_broken_videos_are_listed_in_words_and_the_others_are_done(tmp_path: Path) -> None:
    write_walk(tmp_path / "good.mp4", frames=6)
    write_text_as_video(tmp_path / "text.mp4")
    write_truncated(tmp_path / "half.mp4", faststart=False)
    result = matte("text.mp4", "good.mp4", "half.mp4", "gone.mp4", "--out", "out", code=3)
    assert (tmp_path / "out" / "good" / "matte.json").is_file()
    for word in ("not_a_video", "truncated", "not_found", "no such file"):
        assert word in result.output
    rows: list[dict[str, Any]] = json.loads(
        matte("text.mp4", "good.mp4", "--out", "out", "--json", code=3).stdout
    )
    assert [row["error"] for row in rows] == ["not_a_video", ""]


@pytest.mark.usefixtures("prefect")
def test_if_all_videos_are_broken_the_exit_code_says_so(tmp_path: Path) -> None:
    write_zero_frames(tmp_path / "zero.mp4")
    write_text_as_video(tmp_path / "text.mp4")
    result = matte("zero.mp4", "text.mp4", "--out", "out", code=4)
    assert "empty_video" in result.output
    assert json.loads((tmp_path / "out" / "zero" / "progress.json").read_bytes())["stage"] == "failed"


@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
def test_a_part_of_a_video_is_cut_out_with_its_sound(tmp_path: Path) -> None:
    write_walk(tmp_path / "silent.mp4", frames=20)
    add_beeps(tmp_path / "silent.mp4", tmp_path / "walk.mp4", [0.3, 0.9, 1.7], seconds=2)
    part = matte("walk.mp4", "--out", "out", "--start", "0.5", "--end", "1.5")
    assert "the background was learned from 1 s alone" in part.output
    made = json.loads((tmp_path / "out" / "walk" / "matte.json").read_bytes())
    assert [one["time_s"] for one in made["frames"]] == pytest.approx([0.5 + 0.1 * i for i in range(10)])
    assert [one["index"] for one in made["frames"]] == list(range(10))
    composite = tmp_path / "out" / "walk" / "composite.mp4"
    assert times_of(composite) == pytest.approx([0.1 * i for i in range(10)], abs=1e-3)
    assert beeps_in(composite) == pytest.approx([0.4], abs=0.05)
    refused = matte("walk.mp4", "--out", "out", code=2)
    assert "(part)" in refused.stderr
    assert (
        "--end 1 s is not after --start 2 s"
        in matte("walk.mp4", "--out", "o", "--start", "2", "--end", "1", code=2).stderr
    )
    (tmp_path / "walker.yaml").write_text(CONFIG.replace("mattes:walker", "mattes:none"))
    late = matte("walk.mp4", "--out", "late", "--start", "7", code=4).output
    assert "is 2.00 s long" in late, "refused before the teacher is loaded, which does not exist"


def test_only_missing_files_fail_at_once(tmp_path: Path) -> None:
    result = matte("gone.mp4", "gone2.mp4", "--out", "out", code=4)
    assert "gone.mp4, gone2.mp4" in result.output
    assert not (tmp_path / "home").exists()
    assert ConfigError.code == "config"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize("signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_signal_to_the_group_ends_the_command_and_the_next_one_continues(
    tmp_path: Path, signum: signal.Signals
) -> None:
    write_walk(tmp_path / "walk.mp4", frames=100)
    command = [sys.executable, "-m", "flows.cli.main", "matte", "walk.mp4", "--out", "out"]
    command += ["--config", "walker.yaml", "--weights", "tiny.onnx"]
    (tmp_path / "prefect").mkdir()
    plant_database(tmp_path / "prefect" / "prefect.db")
    environment = os.environ | {"PREFECT_HOME": str(tmp_path / "prefect")}
    environment["PYTHONPATH"] = str(ROOT)

    def start(server: str = "") -> "subprocess.Popen[bytes]":
        variables = environment | {"PREFECT_API_URL": server}
        return subprocess.Popen(command, env=variables, start_new_session=True)

    process = start()
    while not (tmp_path / "out" / "walk" / "alpha" / "00008.png").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signum)  # as terminals and service managers do: to Prefect's temporary server too
    assert process.wait(20) == 128 + signum
    assert not (tmp_path / "out" / "walk" / "matte.json").exists()
    assert start(str(PREFECT_API_URL.value())).wait(300) == 0
    assert len(json.loads((tmp_path / "out" / "walk" / "matte.json").read_bytes())["frames"]) == 100


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("prefect")
@pytest.mark.long
def test_the_shipped_network_with_the_lite_teacher_cuts_people_out(shared: Path, tmp_path: Path) -> None:
    from labeling.matting.network import shipped_weights

    if not shipped_weights().is_file():
        pytest.skip("the package has no weights yet")
    render_scene(tmp_path / "scene.mp4", seconds=2, size_hw=(240, 320))
    options = ["--out", "out", "--set", f"weights_dir={shared / 'weights'}", "--json"]
    result = CliRunner().invoke(app, ["matte", "scene.mp4", *options])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert row["frames"] == 50
    assert row["frames_with_people"] > 10
