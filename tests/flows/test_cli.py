"""The command line, as a person and as a script use it."""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from flows.cli.main import app
from tasks.execution.context import close_databases
from tests.conftest import ROOT
from tests.fakes.broken_videos import write_text_as_video
from tests.fakes.videos import write_numbered_video

SCRIPTED = """
teacher: {kind: python, factory: "tests.fakes.segmenters:scripted", options: {boxes: [[40, 40, 40, 80]]}}
student: {kind: python, factory: "tests.fakes.segmenters:scripted", options: {name: student, boxes: [[40, 40, 40, 30]]}}
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKMILL_HOME", str(tmp_path / "home"))
    (tmp_path / "scripted.yaml").write_text(SCRIPTED)
    write_numbered_video(tmp_path / "video.mp4", fps=Fraction(10), frames=20, size_hw=(160, 240))
    yield tmp_path
    close_databases()


def maskmill(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def as_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(maskmill(*arguments, "--json", code=code).stdout)


HELP = """
import sys
from flows.cli.main import app
try:
    app(["--help"])
finally:
    loaded = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
    print(*sorted(name for name in loaded if not name.startswith("_")), file=sys.stderr)
"""
TERMINAL = {
    "annotated_doc",
    "attr",
    "click",
    "markdown_it",
    "mdurl",
    "pygments",
    "rich",
    "shellingham",
    "typer",
}
"""What Typer loads to write its help."""


def test_help_names_the_commands_and_loads_nothing_else() -> None:
    """So that it answers at once: numpy alone would take as long as all of it."""
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, cwd=ROOT, check=True)
    for command in ("run", "status", "frames", "show", "report", "export", "models", "db", "doctor"):
        assert re.search(rf"\b{command}\b", done.stdout)
    assert set(done.stderr.split()) - TERMINAL == {"configs", "flows"}


@pytest.mark.slow
def test_help_takes_little_longer_than_a_bare_typer_program() -> None:
    """Compare the best of several runs with a bare Typer program, which is the lower bound."""
    bare = "import typer; app = typer.Typer(); app.command()(lambda: None); app(['--help'])"
    assert best_s("-m", "flows.cli.main", "--help") < 2 * best_s("-c", bare)


def best_s(*words: str) -> float:
    """CPU seconds of a Python process, the best of three: they hardly depend on what else runs."""
    taken = []
    for _ in range(3):
        begin = _cpu_of_children_s()
        subprocess.run([sys.executable, *words], capture_output=True, cwd=ROOT, check=True)
        taken.append(_cpu_of_children_s() - begin)
    return min(taken)


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.usefixtures("prefect")
def test_a_run_is_browsed_shown_reported_and_exported(workplace: Path) -> None:
    printed = maskmill("run", "video.mp4", "--config", "scripted.yaml").stdout
    assert "Of 4 frames sampled from 1 video, 4 were compared: the student got 4 wrong (100 %)." in printed
    assert as_json("status")["counts"]["accepted"] == 4
    (listed,) = as_json("runs")
    assert (listed["name"], listed["finished"], listed["sampled"], listed["hard"]) == (
        "scripted",
        True,
        4,
        4,
    )
    assert datetime.fromisoformat(listed["worked_at"]).tzinfo == UTC
    frames = as_json("frames", "--decision", "accepted", "--order", "time", "--limit", "3")
    assert [frame["pts_ms"] for frame in frames] == [0, 500, 1000]
    assert frames[0]["iou"] == pytest.approx(30 / 80)
    assert "student" in maskmill("frames").stdout
    maskmill("show", str(frames[0]["id"]), "-o", "frame.png")
    assert (workplace / "frame.png").read_bytes().startswith(b"\x89PNG")
    maskmill("report", "report.html")
    page = (workplace / "report.html").read_text()
    assert page.count("data:image/jpeg") == 4 + 2, "four frames and the strips of two people"
    for kind, made in (
        ("coco", "annotations/instances.json"),
        ("yolo-seg", "data.yaml"),
        ("masks", "frames.jsonl"),
        ("mots", "frames.jsonl"),
        ("youtube-vis", "annotations/youtube_vis.json"),
    ):
        assert as_json("export", kind, kind)["frames"] == 4
        assert (workplace / kind / made).is_file()


@pytest.mark.usefixtures("prefect")
@pytest.mark.slow
def test_a_run_with_a_bad_source_ends_with_3_and_lists_it(workplace: Path) -> None:
    write_text_as_video(workplace / "text.mp4")
    summary = as_json("run", "text.mp4", "video.mp4", "--config", "scripted.yaml", code=3)
    assert [failure["code"] for failure in summary["failures"]] == ["not_a_video"]
    assert summary["counts"]["sampled"] == 4
    (workplace / "text.mp4").write_bytes((workplace / "video.mp4").read_bytes())
    again = as_json("run", "--retry-failed", "--config", "scripted.yaml")
    assert again["failures"] == []


@pytest.mark.usefixtures("prefect")
def test_a_run_of_which_every_source_is_bad_ends_with_4_and_lists_them(workplace: Path) -> None:
    write_text_as_video(workplace / "text.mp4")
    bad = ("run", "text.mp4", "gone.mp4", "--config", "scripted.yaml")
    summary = as_json(*bad, code=4)
    assert [failure["code"] for failure in summary["failures"]] == ["not_a_video", "not_found"]
    maskmill("run", "video.mp4", "--config", "scripted.yaml")
    printed = maskmill(*bad, code=4).stdout
    assert printed.startswith("nothing was read: no frame was added to run")
    assert "what it found earlier is as it was" in printed
    assert "not_found" in printed
    assert not re.search(r"^next:|sampled", printed, re.MULTILINE), "of another execution"


@pytest.mark.slow
def test_a_run_of_missing_paths_fails_before_prefect_starts(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")  # no server there
    command = [sys.executable, "-X", "importtime", "-m", "flows.cli.main", "run", "missing.mp4", "nowhere"]
    done = subprocess.run(
        [*command, "--config", "scripted.yaml", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 4
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "not_found"
    assert "missing.mp4, nowhere" in error["message"]
    assert not re.search(r"\| +prefect$", done.stderr, re.MULTILINE)
    assert not (workplace / "home").exists()


@pytest.mark.usefixtures("prefect")
@pytest.mark.slow
def test_the_same_command_again_says_that_nothing_was_to_do() -> None:
    assert "nothing to do" not in maskmill("run", "video.mp4", "--config", "scripted.yaml").stdout
    assert "nothing to do" in maskmill("run", "video.mp4", "--config", "scripted.yaml").stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["run", "video.mp4", "--config", "lite", "--set", "agreement.hard_bellow=1"],
            "did you mean 'hard_below'",
        ),
        (["run", "v\udcff.mp4"], "v?.mp4: the name is not UTF-8"),
        (["run", "video.mp4", "--config", "lita"], "did you mean the preset 'lite'"),
        (
            ["run", "video.mp4", "--config", "lite", "--set", "teacher=yolo"],
            "choose one of torchvision, transformers, lite",
        ),
        (["run", "--config", "lite"], "no sources"),
        (["run", "rtsp://me:hunter2@127.0.0.1/live", "--config", "lite"], "environment variable"),
        (["status"], "maskmill run"),
        (["frames"], "maskmill run"),
        (["frames", "--decision", "maybe"], "rejected, easy, accepted, review"),
        (["report", "x.html"], "maskmill run"),
        (["export", "coco", "x"], "maskmill run"),
        (["runs"], "maskmill run"),
        (["models", "fetch", "lita"], "fastestdet"),
        (["frames", "--limit", "many"], "--limit"),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_to_do(arguments: list[str], complaint: str) -> None:
    printed = maskmill(*arguments, code=2)
    assert complaint in printed.stderr
    assert "hunter2" not in printed.output
    assert "Traceback" not in printed.stderr


@pytest.mark.usefixtures("prefect")
@pytest.mark.slow
def test_runs_are_listed_the_last_one_worked_on_first(workplace: Path) -> None:
    stricter = ["run", "video.mp4", "--config", "scripted.yaml", "--set", "agreement.hard_below=0.1"]
    maskmill(*stricter)
    maskmill("run", "video.mp4", "--config", "scripted.yaml")
    assert [row["hard"] for row in as_json("runs")] == [4, 0]
    again = maskmill(*stricter).stdout
    rows = as_json("runs")
    assert [row["hard"] for row in rows] == [0, 4]
    here, other = (row["id"] for row in rows)
    assert f"commands without --run mean run {here} again, no longer {other}" in again
    assert "commands without" not in maskmill(*stricter).stdout
    assert maskmill("runs").stdout.count("finished") == 2
    write_text_as_video(workplace / "text.mp4")
    failed = maskmill("run", "text.mp4", "--config", "scripted.yaml", code=4).stdout
    assert f"commands without --run mean run {other} again, no longer {here}" in failed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["status"], "no_run_yet", "maskmill run"),
        (["frames", "--limit", "many"], "usage", "--limit"),
        (["frobnicate"], "usage", "frobnicate"),
        (["export", "coco"], "usage", "DIR"),
    ],
)
def test_an_error_is_json_too_when_asked(arguments: list[str], code: str, message: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "flows.cli.main", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["code"] == code
    assert message in error["message"]
    assert done.stderr == ""


@pytest.mark.usefixtures("prefect")
def test_a_home_that_cannot_be_written_ends_with_1(workplace: Path) -> None:
    (workplace / "taken").write_text("a file")
    printed = maskmill("run", "video.mp4", "--config", "scripted.yaml", "--home", "taken", code=1)
    assert "choose another --home" in " ".join(printed.stderr.split())


def test_doctor_tells_what_is_there_and_what_is_missing(workplace: Path) -> None:
    findings = {f["what"]: f for f in as_json("doctor", "--config", "offline")}
    assert findings["teacher"]["ok"]
    assert findings["student"]["ok"]
    assert {
        "device",
        "extra lite",
        "extra torch",
        "extra transformers",
        "database",
        "JavaScript runtime",
        "disk",
        "Prefect",
    } <= set(findings)


def test_models_are_listed_with_license_and_place() -> None:
    rows = as_json("models", "list")
    assert {"FastestDet.onnx", "pose_landmark_lite.tflite", "selfie_segmentation.tflite"} <= {
        r["file"] for r in rows
    }
    assert all(row["license"] for row in rows)


@pytest.mark.shared
def test_the_weights_of_presets_are_fetched_by_their_names(shared: Path) -> None:
    weights = str(shared / "weights")
    found = as_json("models", "fetch", "lite", "surveillance", "offline", "--weights-dir", weights)
    assert list(found) == ["fastestdet", "pose_landmark_lite", "selfie_segmentation"]
    assert all(Path(path).is_file() for path in found.values())
    assert "offline: requires no weights" in maskmill("models", "fetch", "offline").stdout


@pytest.mark.usefixtures("prefect")
def test_db_upgrade_of_a_current_database_says_so() -> None:
    maskmill("run", "video.mp4", "--config", "scripted.yaml")
    assert "up to date" in maskmill("db", "upgrade").stdout
