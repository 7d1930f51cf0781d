"""Many bad sources beside good videos: each is reported with its reason, and the good ones are labeled."""

import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from configs.load import validate_config
from db.runs.queries import RunSummary
from flows.generate import generate_dataset
from tasks.execution.context import close_databases
from tests.fakes.broken_videos import (
    write_single_pixel,
    write_sound_only,
    write_text_as_video,
    write_truncated,
    write_zero_frames,
)
from tests.fakes.videos import write_numbered_video

pytestmark = pytest.mark.usefixtures("prefect")

MB = 1 << 20


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory, prefect: None) -> Iterator[RunSummary]:
    folder = tmp_path_factory.mktemp("bad")
    write_numbered_video(folder / "good.mp4", fps=Fraction(10), frames=20)
    write_numbered_video(folder / "one_frame.mp4", fps=Fraction(10), frames=1)
    (folder / "empty.mp4").touch()
    write_text_as_video(folder / "text.mp4")
    write_truncated(folder / "cut_index.mp4", faststart=False)
    write_truncated(folder / "cut_end.mp4", faststart=True)
    write_zero_frames(folder / "zero_frames.mp4")
    write_sound_only(folder / "sound.mp4")
    write_single_pixel(folder / "pixel.mkv")
    with zipfile.ZipFile(folder / "escapes.zip", "w") as archive:
        archive.write(folder / "good.mp4", "../../escaped.mp4")
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.mp4", bytes(300 * MB))
    block = {
        "kind": "python",
        "factory": "tests.fakes.segmenters:scripted",
        "options": {"boxes": [[4, 4, 20, 40]]},
    }
    config = validate_config({"teacher": block, "student": block}, "test")
    sources = [str(folder), str(folder / "escapes.zip"), str(folder / "bomb.zip")]
    yield generate_dataset(sources, config, name="test", home=folder.parent / "bad-home")
    close_databases()
    assert not (folder.parent.parent / "escaped.mp4").exists()


def test_the_good_videos_are_labeled(summary: RunSummary) -> None:
    assert summary.videos == 2
    assert summary.counts["sampled"] == 4 + 1
    assert summary.shards_pending == 0


def test_each_bad_source_is_reported_with_its_reason(summary: RunSummary) -> None:
    found = {Path(f.what.split("!")[0]).name: f.code for f in summary.failures}
    assert found == {
        "empty.mp4": "empty_video",
        "text.mp4": "not_a_video",
        "cut_index.mp4": "truncated",
        "cut_end.mp4": "truncated",
        "zero_frames.mp4": "empty_video",
        "sound.mp4": "not_a_video",
        "pixel.mkv": "unsupported_video",
        "escapes.zip": "unsafe_archive",
        "bomb.zip": "unsafe_archive",
    }


def test_each_reason_names_the_file(summary: RunSummary) -> None:
    for failure in summary.failures:
        assert Path(failure.what.split("!")[0]).name in failure.message, failure
