"""Progress on stderr: what it says of a run, and lines of libraries that are kept out of it."""

import os
import time
from pathlib import Path
from threading import Event

import pytest

from configs.errors import DiskFull
from db.runs.frame_progress import VideoProgress, frame_progress
from flows.cli import working as working_module
from flows.cli.progress import FrameRate, describe_progress, watch_mattes, watch_progress
from flows.cli.working import working
from labeling.matting.output import MatteFolder
from labeling.runtime.frame_counts import FramesDone, frames_in_progress
from labeling.runtime.native_output import without_lines
from labeling.storage.home import Home
from tasks.execution.context import Context
from tasks.matte_methods import report_progress
from tests.flows.test_first_hour import context, make_run, scripted  # noqa: F401 - a fixture

STREET = VideoProgress("a", "street.mp4", done=100, hard=30, expected=200, is_finished=False)
YARD = VideoProgress("b", "yard.mp4", done=50, hard=5, expected=50, is_finished=True)


def test_a_line_names_the_source_rate_time_left_and_hard_frames() -> None:
    now = iter([0.0, 0.0, 10.0, 10.0])
    rate = FrameRate(lambda: next(now))
    describe_progress([STREET, YARD], [], rate)
    text, done, total = describe_progress([STREET, YARD], [FramesDone("a", 20, 2)], rate)
    assert text == (
        "street.mp4 · 120/200 frames · source 1 of 2, 170/250 frames in all · 2.0 frames/s · ETA 40 s · hard 37"
    )
    assert (done, total) == (170, 250)


def test_the_last_line_is_that_of_the_whole_run() -> None:
    assert describe_progress([YARD], [], FrameRate())[0] == "done · 50/50 frames · hard 5"


@pytest.mark.usefixtures("workplace")
def test_the_database_gives_frames_by_source(workplace: Context) -> None:
    run = make_run(workplace, scripted())
    with workplace.database.session() as session:
        (found,) = frame_progress(session, run)
    assert (found.title, found.done, found.hard, found.expected) == ("video.mp4", 4, 4, 4)
    assert not frames_in_progress()


def test_a_full_disk_is_reported_by_the_run_and_not_by_its_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Event()

    def open_on_a_full_disk(_home: Home) -> Context:
        tried.set()
        raise DiskFull("no room left")

    monkeypatch.setattr("flows.cli.progress.open_context", open_on_a_full_disk)
    Home(tmp_path).database.touch()
    with watch_progress(tmp_path, "run", lambda *_: None):  # an error of its thread would fail this test
        assert tried.wait(10)


@pytest.fixture
def workplace(context: Context) -> Context:  # noqa: F811 - the fixture of the other module
    return context


def test_without_a_terminal_a_line_comes_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(working_module, "LINE_S", 0.05)
    with working("rendering") as update:
        time.sleep(0.2)
        update("half", 1, 2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 3
    assert lines[0].startswith("rendering (0 s)")
    assert lines[-1].startswith("half")


def test_a_matte_in_progress_is_reported_and_one_of_an_earlier_run_is_not(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    folders = [MatteFolder(tmp_path / name) for name in ("earlier", "now")]
    for folder in folders:
        folder.create()
        report_progress(folder, "matte", 1, 1)
    with watch_mattes([folder.root for folder in folders], lambda *state: seen.append(state)):
        report_progress(folders[1], "encode", 12, 50)
    assert seen[-1] == ("now · writing videos · 12/50 frames · source 2 of 2", 12, 50)
    assert not any("earlier" in text for text, *_ in seen)


def test_a_line_of_a_library_is_removed_and_others_stay(capfd: pytest.CaptureFixture[str]) -> None:
    with without_lines(b"XNNPACK"):
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nERROR: real\n")
    assert capfd.readouterr().err == "ERROR: real\n"
