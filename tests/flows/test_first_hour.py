"""What a new user meets after the first run: the last run, empty lists, deleting runs, the report, `doctor`."""

import json
import os
import resource
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner, Result

from configs.load import validate_config
from configs.models import RunConfig
from db.models.core import LeaseRow, RunRow, ShardRow, utc_now
from db.runs.leases import register_lease
from db.runs.queries import latest_run, planned_shards
from db.runs.writes import ShardRange, plan_shards, upsert_run
from flows.cli.main import app
from labeling.storage.home import Home
from tasks.begin import repeat_finished_run
from tasks.doctor import CheckResult, verdict
from tasks.execution.context import Context, close_databases, open_context
from tasks.execution.prefect_compat.temporary_server import _servers
from tasks.execution.process_identity import identify_process
from tasks.ingest import ingest_spec
from tasks.label import process_shard
from tests.conftest import ROOT
from tests.fakes.videos import write_numbered_video


def scripted(**changes: Any) -> RunConfig:
    factory = {"kind": "python", "factory": "tests.fakes.segmenters:scripted"}
    tree = {
        "teacher": factory | {"options": {"boxes": [[40, 40, 40, 80]]}},
        "student": factory | {"options": {"name": "student", "boxes": [[40, 40, 40, 30]]}},
    }
    return validate_config(tree | changes, "test")


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKMILL_HOME", str(tmp_path / "home"))
    write_numbered_video(tmp_path / "video.mp4", fps=Fraction(10), frames=20, size_hw=(160, 240))
    home = Home(tmp_path / "home")
    home.create()
    yield open_context(home)
    close_databases()


def begin(context: Context, config: RunConfig, name: str) -> str:
    with context.database.transaction() as session:
        tree = config.model_dump(mode="json")
        upsert_run(session, config.run_id(), name=name, config=tree, code_version=version("maskmill"))
    return config.run_id()


def make_run(context: Context, config: RunConfig, name: str = "good", source: str = "video.mp4") -> str:
    """Do what the flow does, without Prefect."""
    run_id = begin(context, config, name)
    ingest_spec(context, source, run_id, config)
    with context.database.session() as session:
        shards = planned_shards(session, run_id)
    for shard in shards:
        process_shard(context, shard, config)
    return run_id


def maskmill(*words: str, code: int = 0, stdin: str = "") -> Result:
    done = CliRunner().invoke(app, list(words), input=stdin)
    assert done.exit_code == code, done.output + repr(done.exception)
    return done


@pytest.mark.slow
def test_a_run_of_which_nothing_was_read_is_not_the_last_one(context: Context) -> None:
    good = make_run(context, scripted())
    empty = make_run(context, scripted(jpeg_quality=90), "mistyped", "nosuch.mp4")
    with context.database.session() as session:
        assert latest_run(session).id == good
        assert latest_run(session, empty).id == empty
    assert "4 were compared" in maskmill("status").stdout
    assert f"run {empty} (mistyped)" in maskmill("frames", "--run", empty).stderr
    assert f"for --run: {good[:6]} (good)" in maskmill("frames", "--run", empty).stderr


@pytest.mark.slow
def test_an_empty_list_says_why(context: Context) -> None:
    make_run(context, scripted())
    listed = maskmill("frames", "--decision", "easy")
    assert listed.stdout == ""
    assert "has no such frame: 4 accepted" in listed.stderr
    assert json.loads(maskmill("frames", "--decision", "easy", "--json").stdout) == []


def test_hard_frames_are_those_of_both_decisions(context: Context) -> None:
    make_run(context, scripted())
    rows = json.loads(maskmill("frames", "--decision", "hard", "--json").stdout)
    assert [row["decision"] for row in rows] == ["accepted"] * 4
    assert "hard" in maskmill("frames", "--decision", "harder", code=2).stderr


@pytest.mark.slow
def test_runs_are_deleted_after_a_question_and_images_of_others_stay(context: Context) -> None:
    first, second = make_run(context, scripted()), make_run(context, scripted(batch=4, jpeg_quality=80))
    images = sorted(file.name for file in context.home.root.rglob("*.jpg"))
    maskmill("runs", "rm", first, stdin="n\n", code=1)
    assert len(json.loads(maskmill("runs", "--json").stdout)) == 2
    assert first in maskmill("runs", "rm", first[:8], stdin="y\n").stdout
    assert [row["id"] for row in json.loads(maskmill("runs", "--json").stdout)] == [second]
    assert sorted(file.name for file in context.home.root.rglob("*.jpg")) == images
    maskmill("export", "coco", "dataset", "--run", second)
    assert make_run(context, scripted()) == first, "the same run can be made again"


def test_a_run_is_not_deleted_while_one_is_executing(context: Context) -> None:
    run = make_run(context, scripted())
    with context.database.transaction() as session:
        moments = {"started_at": utc_now(), "heartbeat_at": utc_now()}
        session.add(LeaseRow(id="one", flow="generate-dataset", host="here", **moments))
    assert "executing at here" in maskmill("runs", "rm", run, "--yes", code=2).stderr
    with context.database.session() as session:
        assert session.get(RunRow, run)


def test_a_run_that_has_work_left_is_the_last_one(context: Context) -> None:
    make_run(context, scripted())
    begun = scripted(jpeg_quality=85)
    begin(context, begun, "begun")
    with context.database.transaction() as session:
        video = session.query(ShardRow.video_id).limit(1).scalar()
        plan_shards(session, begun.run_id(), str(video), [ShardRange(0, None)])
    with context.database.session() as session:
        assert latest_run(session).name == "begun"
    assert "has no frame yet: run its command again" in maskmill("frames").stderr


@pytest.mark.slow
@pytest.mark.parametrize("display", [":0", ""])
def test_the_report_is_opened_where_there_is_a_browser(
    display: str, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def show(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", show)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    run = make_run(context, scripted())
    file = context.home.root / "reports" / f"{run}.html"
    assert str(file) in maskmill("open").stdout.replace("\n", "")
    assert opened == ([file.as_uri()] if display else [])
    assert file.stat().st_size > 10_000


def test_the_verdict_names_what_prevents_a_run() -> None:
    ok, slow = CheckResult("disk", True, ""), CheckResult("device", False, "", "advised")
    missing = CheckResult("teacher", False, "", "required")
    assert verdict([ok, slow], "lite") == "config lite can run; see device"
    assert verdict([ok, slow, missing], "lite") == "config lite cannot run: see teacher"
    assert [one.mark for one in (ok, slow, missing, CheckResult("extra s3", False, ""))] == [
        "ok",
        "warn",
        "FAIL",
        "--",
    ]


def test_doctor_ends_with_a_verdict_and_1_if_the_config_cannot_run(tmp_path: Path) -> None:
    good = maskmill("doctor", "--config", "offline", "--home", str(tmp_path)).stdout
    assert "config offline can run" in good.splitlines()[-1]
    (tmp_path / "mine.yaml").write_text("base: offline\nstudent: masks_folder:gone\n")
    words = ("doctor", "--config", str(tmp_path / "mine.yaml"), "--home", str(tmp_path))
    assert "cannot run: see student" in maskmill(*words, code=1).stdout.replace("\n", " ")
    assert {row["mark"] for row in json.loads(maskmill(*words, "--json", code=1).stdout)} >= {"ok", "FAIL"}


@pytest.mark.slow
def test_a_dry_run_says_what_would_be_read_and_writes_nothing(context: Context, tmp_path: Path) -> None:
    make_run(context, scripted())
    (tmp_path / "scripted.yaml").write_text(json.dumps(scripted().model_dump(mode="json")))
    (tmp_path / "clips").mkdir()
    (tmp_path / "video.mp4").rename(tmp_path / "clips" / "video.mp4")
    (tmp_path / "clips" / "notes.docx").write_text("no video")
    (tmp_path / "clips" / "broken.mp4").write_text("no video")
    words = ("run", "clips", "http://192.0.2.1/a.mp4", "--config", "scripted.yaml", "--dry-run")
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
    preview = json.loads(maskmill(*words, "--json", code=3).stdout)
    found = {Path(one["spec"]).name: one for one in preview["sources"]}
    assert (found["video.mp4"]["duration_s"], found["video.mp4"]["frames"]) == (2.0, 4)
    assert found["broken.mp4"]["note"].startswith("not_a_video")
    assert found["a.mp4"]["note"] == "would be downloaded"
    assert preview["frames"] == 4
    assert preview["seconds"] > 0
    assert preview["passed_over"]
    assert "nothing was read or written" in maskmill(*words, code=3).stdout
    nothing = maskmill("run", "clips/broken.mp4", *words[3:], code=4)
    assert "not_a_video" in nothing.stdout
    after = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
    assert {name for name in after if name.suffix not in (".db-wal", ".db-shm")} == {
        name for name in before if name.suffix not in (".db-wal", ".db-shm")
    }
    fresh = json.loads(maskmill(*words, "--home", "elsewhere", "--json", code=3).stdout)
    assert fresh["seconds"] is None
    assert not (tmp_path / "elsewhere").exists()


@pytest.fixture
def no_server() -> Iterator[None]:
    """Prefect as it is for a new user; other tests of this process have a server."""
    before = list(_servers)
    with temporary_settings({PREFECT_API_URL: None}):
        yield
    assert _servers == before, "a temporary server was started"


@pytest.mark.slow
@pytest.mark.usefixtures("no_server")
def test_a_run_that_is_done_is_closed_without_a_prefect_server(context: Context, tmp_path: Path) -> None:
    config = scripted()
    run = make_run(context, config)
    (tmp_path / "scripted.yaml").write_text(json.dumps(config.model_dump(mode="json")))
    done = maskmill("run", "video.mp4", "--config", "scripted.yaml")
    assert "nothing to do" in done.stdout
    with context.database.session() as session:
        row = session.get_one(RunRow, run)
        assert row.finished_at is not None
        assert (row.name, row.counts["compared"]) == ("scripted", 4)


@pytest.mark.usefixtures("no_server")
def test_a_run_is_not_done_while_its_sources_have_something_new(context: Context, tmp_path: Path) -> None:
    config, sources = scripted(), tmp_path / "clips"
    sources.mkdir()
    (tmp_path / "video.mp4").rename(sources / "a.mp4")
    run = make_run(context, config, source="clips")
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = str(identify_process(ended.pid))
    ended.communicate()
    with context.database.transaction() as session:
        register_lease(session, "killed", flow="generate-dataset", host="here", process=identity)
    found = repeat_finished_run(context.home, ["clips"], config, "good")
    assert found
    with context.database.session() as session:
        assert session.get(LeaseRow, "killed") is None
    assert (found.run_id, found.shards_worked, found.shards_done, found.videos_given) == (run, 0, 1, 1)
    write_numbered_video(sources / "b.mp4", fps=Fraction(10), frames=12, size_hw=(160, 240))
    assert repeat_finished_run(context.home, ["clips"], config, "good") is None, "a new file"
    (sources / "b.mp4").replace(sources / "a.mp4")
    assert repeat_finished_run(context.home, ["clips"], config, "good") is None, "new content"
    assert repeat_finished_run(context.home, ["clips"], scripted(batch=2), "good") is None, "another run"


LOADED = """
import sys
from flows.cli.main import app
try:
    app()
finally:
    heavy = {"prefect", "torch", "scipy", "alembic", "av", "httpx", "yt_dlp", "imagehash", "onnxruntime"}
    heavy |= {"numpy", "cv2", "PIL", "pycocotools"}
    print(*sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def run_python(*words: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env=environment, check=True
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["status"], ["runs"], ["frames", "--limit", "3"], ["config", "show", "lite"]]
)
def test_commands_that_only_read_load_little(words: list[str], context: Context) -> None:
    make_run(context, scripted())
    assert run_python("-c", LOADED, *words).stderr.split() == []


@pytest.mark.slow
def test_commands_that_only_read_take_little_more_than_what_they_require(context: Context) -> None:
    """In CPU time, the best of up to ten: the database and the command line alone are the lower bound.

    The goal is a ratio of 3; it is 2.7 to 3.2, by how busy the machine is.
    """
    make_run(context, scripted())
    best_s: dict[str, float] = {}

    def measure(name: str, *words: str) -> None:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run_python(*words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best_s[name] = min(taken_s, best_s.get(name, taken_s))

    for number in range(10):  # other processes disturb both sides
        measure("required", "-c", "import sqlalchemy, typer")
        for command in ("status", "runs", "frames"):
            measure(command, "-m", "flows.cli.start", command)
        if number >= 2 and max(best_s.values()) <= 3.5 * best_s["required"]:
            break
    assert max(best_s.values()) <= 3.5 * best_s["required"], best_s


@pytest.mark.slow
def test_a_report_without_a_name_lies_in_the_home(context: Context) -> None:
    run = make_run(context, scripted())
    file = context.home.root / "reports" / f"{run}.html"
    assert str(file) in maskmill("report").stdout.replace("\n", "")
    assert file.stat().st_size > 10_000
