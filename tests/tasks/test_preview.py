"""What a run would read, of videos whose stamps lie."""

from pathlib import Path

import pytest

from configs.load import validate_config
from labeling.storage.home import Home
from tasks.preview import preview_run
from tests.fakes.mattes import write_walk


def test_time_that_was_not_filmed_gives_no_frames(tmp_path: Path) -> None:
    two_hours_ms = 2 * 60 * 60 * 1000
    pts = [100 * n + (two_hours_ms if n >= 20 else 0) for n in range(40)]
    video = write_walk(tmp_path / "night.mkv", frames=40, pts=pts)
    block = {"kind": "python", "factory": "tests.fakes.segmenters:scripted"}
    config = validate_config({"teacher": block, "student": block}, "test")
    (source,) = preview_run([str(video)], config, Home(tmp_path / "home")).sources
    assert source.duration_s == pytest.approx(two_hours_ms / 1000 + 4, abs=0.5)
    assert source.frames == 8
    assert source.note.startswith("2 h 00 min of it without frames")
    assert not source.has_failed


def test_a_video_of_too_many_pixels_is_shown_as_a_failure(tmp_path: Path) -> None:
    video = write_walk(tmp_path / "walk.mp4", frames=4)
    block = {"kind": "python", "factory": "tests.fakes.segmenters:scripted"}
    tree = {"teacher": block, "student": block, "ingest": {"max_pixels": 64 * 96 - 1}}
    (source,) = preview_run([str(video)], validate_config(tree, "test"), Home(tmp_path / "home")).sources
    assert source.has_failed
    assert source.note.startswith("unsupported_video: ")
    assert "more pixels than ingest.max_pixels, 6,143" in source.note
