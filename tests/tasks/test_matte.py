"""The matte of one video, from its file to its folder."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect import flow

from configs.errors import ConfigError, DiskFull, Interrupted, SourceNotFound, UnsupportedVideo
from configs.matting import MatteSettings, PlateBlock
from labeling.matting.network import MattingNetwork
from labeling.matting.output import MatteFolder
from labeling.matting.temporal_network import TemporalNetwork
from labeling.segmenters.protocol import Segmenter
from labeling.storage.atomic import write_atomically
from labeling.storage.outputs import OUTPUT_MARK
from tasks.matte import MatteOrder, MatteSummary, find_failure, matte_video, matte_video_task
from tasks.matte_methods import STATE, MovingCamera, StaticCamera
from tests.conftest import ROOT
from tests.fakes.broken_videos import write_single_pixel
from tests.fakes.mattes import (
    FIRST_WITH_PERSON,
    find_walker,
    read_folder,
    times_of,
    write_network,
    write_temporal_network,
    write_walk,
)
from tests.fakes.segmenters import FixedSegmenter, ScriptedSegmenter
from tests.fakes.videos import Coding
from tests.labeling.report.page_reader import PageReader

FRAMES = 20
Check = Callable[[], None]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("network") / "tiny.onnx")


@pytest.fixture(scope="module")
def network(weights: Path) -> StaticCamera:
    return StaticCamera(MattingNetwork(weights))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_walk(tmp_path_factory.mktemp("video") / "walk.mp4", frames=FRAMES)


def order_of(video: Path, folder: Path, **changes: Any) -> MatteOrder:
    """With a small plate."""
    settings = {"plate": PlateBlock(samples=10, search_frames=0)} | changes
    return MatteOrder(video, folder, MatteSettings(**settings))


def go_on() -> None:
    """Never stops."""


def stop_after(calls: int) -> Check:
    left = calls

    def check() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Interrupted("stopped by the test")

    return check


@pytest.fixture(scope="module")
def whole(video: Path, network: StaticCamera, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an undisturbed matte of the video, which tests only read."""
    folder = tmp_path_factory.mktemp("whole") / "walk"
    matte_video(order_of(video, folder), find_walker(), network, go_on)
    return folder


@pytest.mark.slow
def test_every_frame_has_its_images_and_the_result_is_complete(
    video: Path, network: StaticCamera, tmp_path: Path
) -> None:
    out = tmp_path / "walk"
    summary = matte_video(order_of(video, out), find_walker(), network, go_on)
    names = [f"{index:05d}.png" for index in range(FRAMES)]
    for kind in ("alpha", "mask", "foreground"):
        assert sorted(path.name for path in (out / kind).iterdir()) == names
    folder = MatteFolder(out)
    for index in range(FRAMES):
        alpha = folder.read_alpha(index)
        assert alpha.shape == (64, 96)
        assert (alpha.max() > 200) == (index >= FIRST_WITH_PERSON)
        assert np.array_equal(folder.read_rgb("mask", index)[..., 0] > 0, alpha > 127)
        assert not folder.read_rgb("foreground", index)[alpha == 0].any()
    tree = json.loads((out / "matte.json").read_bytes())
    assert [record["index"] for record in tree["frames"]] == list(range(FRAMES))
    assert [record["time_s"] for record in tree["frames"]] == [i / 10 for i in range(FRAMES)]
    assert [record["status"] for record in tree["frames"]] == ["empty"] * 4 + ["matted"] * 16
    assert tree["models"] == {"teacher": "walker", "matting": "tiny.onnx"}
    assert {"maskmill", "output", "plate", "summary"} < tree.keys()
    assert (summary.frames, summary.frames_with_people, summary.error) == (FRAMES, 16, "")
    assert summary.frames_per_s > 0
    assert len(times_of(out / "composite.mp4")) == FRAMES
    state = json.loads((out / "progress.json").read_bytes())
    assert state == {"stage": "done", "frames_done": FRAMES, "frames_total": FRAMES, "error": None}
    page = (out / "report.html").read_text()
    assert "16 of 20 frames show people" in page
    assert page.count("<rect") == 16
    assert [path.name for path in out.rglob(".*")] == [OUTPUT_MARK]


@pytest.mark.slow
def test_the_same_order_again_does_nothing(video: Path, network: StaticCamera, tmp_path: Path) -> None:
    out = tmp_path / "walk"
    first = matte_video(order_of(video, out), find_walker(), network, go_on)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    teacher = find_walker()
    assert matte_video(order_of(video, out), teacher, network, go_on) == first
    assert teacher.batches == []
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.slow
def test_another_background_or_format_is_only_encoded_again(
    video: Path, network: StaticCamera, tmp_path: Path
) -> None:
    out = tmp_path / "walk"
    first = matte_video(order_of(video, out), find_walker(), network, go_on)
    images, composite = read_folder(out), (out / "composite.mp4").read_bytes()
    teacher = find_walker()
    again = matte_video(order_of(video, out, background="blur", format="webm"), teacher, network, go_on)
    assert teacher.batches == []
    assert (again.frames, again.frames_per_s) == (first.frames, first.frames_per_s)
    assert read_folder(out) == images
    assert (out / "composite.mp4").read_bytes() != composite
    assert (out / "walk.webm").is_file()
    assert "walk.webm" in (out / "report.html").read_text()
    with_alpha = (out / "walk.webm").read_bytes()
    matte_video(order_of(video, out, background="#0000ff"), teacher, network, go_on)
    assert (out / "walk.webm").read_bytes() == with_alpha
    links = [link["href"] for link in PageReader((out / "report.html").read_text()).named("a")]
    assert "walk.webm" in links, "a video with alpha shows no background: it stays true"


@pytest.mark.slow
def test_other_settings_and_another_video_are_refused_and_nothing_changes(
    video: Path, network: StaticCamera, tmp_path: Path
) -> None:
    out = tmp_path / "walk"
    matte_video(order_of(video, out), find_walker(), network, go_on)
    before = read_folder(out), (out / "matte.json").read_bytes(), (out / "progress.json").read_bytes()
    (tmp_path / "other").mkdir()
    other = write_walk(tmp_path / "other" / "walk.mp4", frames=8)
    for order, teacher in (
        (order_of(video, out, plate=PlateBlock(samples=11)), find_walker()),
        (order_of(other, out), find_walker()),
        (order_of(video, out), ScriptedSegmenter(name="another")),
    ):
        with pytest.raises(ConfigError, match="name another --out"):
            matte_video(order, teacher, network, go_on)
    assert before == (
        read_folder(out),
        (out / "matte.json").read_bytes(),
        (out / "progress.json").read_bytes(),
    )


def test_without_people_alpha_is_zero_and_the_status_is_empty(network: StaticCamera, tmp_path: Path) -> None:
    video = write_walk(tmp_path / "room.mp4", frames=6, empty=True)
    summary = matte_video(order_of(video, tmp_path / "out"), ScriptedSegmenter(), network, go_on)
    folder = MatteFolder(tmp_path / "out")
    assert (summary.frames, summary.frames_with_people) == (6, 0)
    assert not any(folder.read_alpha(index).any() for index in range(6))
    assert {record["status"] for record in folder.frame_records()} == {"empty"}


@pytest.mark.parametrize("size_hw", [(16, 16), (17, 33)])
def test_the_smallest_videos_and_a_single_frame_are_matted(
    network: StaticCamera, tmp_path: Path, size_hw: tuple[int, int]
) -> None:
    lossless = Coding(codec="ffv1", pix_fmt="bgr0")
    video = write_walk(tmp_path / "small.mkv", frames=1, size_hw=size_hw, coding=lossless)
    teacher = ScriptedSegmenter([(2, 2, 8, 10)])
    summary = matte_video(order_of(video, tmp_path / "out"), teacher, network, go_on)
    assert (summary.frames, summary.frames_with_people) == (1, 1)
    assert MatteFolder(tmp_path / "out").read_alpha(0).shape == size_hw


def test_a_video_of_one_pixel_and_a_missing_one_are_refused_in_words(
    network: StaticCamera, tmp_path: Path
) -> None:
    tiny = write_single_pixel(tmp_path / "pixel.mkv")
    with pytest.raises(UnsupportedVideo, match="too small"):
        matte_video(order_of(tiny, tmp_path / "a"), find_walker(), network, go_on)
    with pytest.raises(SourceNotFound):
        matte_video(order_of(tmp_path / "none.mp4", tmp_path / "b"), find_walker(), network, go_on)
    state = json.loads((tmp_path / "a" / "progress.json").read_bytes())
    assert (state["stage"], state["error"]["code"]) == ("failed", "unsupported_video")


@pytest.mark.parametrize(
    ("max_pixels", "start_s", "code"),
    [(64 * 96, 1.9, ""), (64 * 96 - 1, 0.0, "unsupported_video"), (64 * 96, 2.0, "no_such_part")],
)
def test_what_cannot_be_matted_is_known_from_the_video_alone(
    video: Path, tmp_path: Path, max_pixels: int, start_s: float, code: str
) -> None:
    order = order_of(video, tmp_path / "out", start_s=start_s)
    failure = find_failure(order, max_pixels)
    assert (failure.error if failure else "") == code
    if failure:
        state = json.loads((tmp_path / "out" / "progress.json").read_bytes())
        assert (state["stage"], state["error"]) == ("failed", {"code": code, "message": failure.message})


@pytest.mark.slow
@pytest.mark.parametrize("calls", [1, 2, 3, 4, 6, 9, 20])
def test_a_cancelled_matte_continues_with_the_same_bytes(
    video: Path, network: StaticCamera, whole: Path, tmp_path: Path, calls: int
) -> None:
    """In the plate, between frames, and while encoding."""
    out = tmp_path / "walk"
    with pytest.raises(Interrupted):
        matte_video(order_of(video, out), find_walker(), network, stop_after(calls))
    assert not (out / "matte.json").exists()
    matte_video(order_of(video, out), find_walker(), network, go_on)
    assert read_folder(out) == read_folder(whole)
    one, other = (json.loads((folder / "matte.json").read_bytes()) for folder in (out, whole))
    assert one["frames"] == other["frames"]


@pytest.mark.slow
def test_after_a_full_disk_the_same_order_continues(
    video: Path, network: StaticCamera, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, written = tmp_path / "walk", 0

    def fill_up(path: Path, content: bytes) -> None:
        nonlocal written
        written += path.parent.name == "foreground"
        if written > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomically(path, content)

    with monkeypatch.context() as patch:
        patch.setattr("labeling.matting.output.write_atomically", fill_up)
        with pytest.raises(DiskFull, match="run the same command again"):
            matte_video(order_of(video, out), find_walker(), network, go_on)
    assert 0 < MatteFolder(out).frames_done() < FRAMES
    assert matte_video(order_of(video, out), find_walker(), network, go_on).frames == FRAMES
    assert read_folder(out) == read_folder(whole)


MOVING = """
import sys
from pathlib import Path
from labeling.matting.temporal_network import TemporalNetwork
from tasks.matte import matte_video
from tasks.matte_methods import MovingCamera
from tests.fakes.mattes import find_walker
from tests.tasks.test_matte import go_on, order_of
video, out, weights = map(Path, sys.argv[1:])
matte_video(order_of(video, out, camera="moving"), find_walker(), MovingCamera(TemporalNetwork(weights)), go_on)
"""
WORK = """
import sys
from pathlib import Path
from labeling.matting.network import MattingNetwork
from tasks.matte import matte_video
from tasks.matte_methods import StaticCamera
from tests.fakes.mattes import find_walker
from tests.tasks.test_matte import go_on, order_of
video, out, weights = map(Path, sys.argv[1:])
matte_video(order_of(video, out, format="webm"), find_walker(), StaticCamera(MattingNetwork(weights)), go_on)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_matte_continues_with_the_same_bytes(weights: Path, tmp_path: Path) -> None:
    """Killed with -9 in the plate, among the frames and while encoding, one after the other in one folder."""
    video = write_walk(tmp_path / "walk.mp4", frames=60)
    out, whole = tmp_path / "walk", tmp_path / "whole"

    def start(folder: Path) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", WORK, str(video), str(folder), str(weights)]
        return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)})

    matte_video(
        order_of(video, whole, format="webm"), find_walker(), StaticCamera(MattingNetwork(weights)), go_on
    )
    for reached in ("progress.json", "alpha/00010.png", ".writing-composite.mp4"):
        process = start(out)
        while not (out / reached).exists() and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (out / "matte.json").exists()
    assert start(out).wait(300) == 0
    assert read_folder(out) == read_folder(whole)
    one, other = (json.loads((folder / "matte.json").read_bytes()) for folder in (out, whole))
    assert one["frames"] == other["frames"]
    assert [record["index"] for record in one["frames"]] == list(range(60))
    assert not list(out.rglob(".writing-*"))


@pytest.fixture(scope="module")
def temporal_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_temporal_network(tmp_path_factory.mktemp("network") / "temporal.onnx")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.long
def test_a_killed_matte_of_a_moving_camera_continues_with_the_same_bytes(
    temporal_weights: Path, tmp_path: Path
) -> None:
    """Killed before a state was kept, after it, and among the last frames."""
    video = write_walk(tmp_path / "walk.mp4", frames=60)
    out, whole = tmp_path / "walk", tmp_path / "whole"

    def start(folder: Path) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", MOVING, str(video), str(folder), str(temporal_weights)]
        return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)})

    method = MovingCamera(TemporalNetwork(temporal_weights))
    matte_video(order_of(video, whole, camera="moving"), find_walker(), method, go_on)
    for reached in ("alpha/00005.png", STATE, "alpha/00050.png"):
        process = start(out)
        while not (out / reached).exists() and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (out / "matte.json").exists()
    assert start(out).wait(300) == 0
    assert read_folder(out) == read_folder(whole)
    frames = [json.loads((folder / "matte.json").read_bytes())["frames"] for folder in (out, whole)]
    assert frames[0] == frames[1]
    assert not (out / STATE).exists()


@pytest.mark.slow
def test_a_moving_camera_has_no_plate(temporal_weights: Path, video: Path, tmp_path: Path) -> None:
    method = MovingCamera(TemporalNetwork(temporal_weights))
    order = order_of(video, tmp_path / "out", camera="moving")
    summary = matte_video(order, find_walker(), method, go_on)
    assert (summary.frames, summary.error) == (FRAMES, "")
    assert ["short training" in warning for warning in summary.warnings] == [True]
    assert not (tmp_path / "out" / "plate.png").exists()
    assert "Background plate" not in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert len(list((tmp_path / "out" / "alpha").iterdir())) == FRAMES


@pytest.mark.slow
def test_a_matte_of_the_other_kind_of_camera_is_refused(
    temporal_weights: Path, network: StaticCamera, video: Path, tmp_path: Path
) -> None:
    matte_video(order_of(video, tmp_path / "out"), find_walker(), network, go_on)
    with pytest.raises(ConfigError, match="camera"):
        matte_video(
            order_of(video, tmp_path / "out", camera="moving"),
            find_walker(),
            MovingCamera(TemporalNetwork(temporal_weights)),
            go_on,
        )


@pytest.mark.usefixtures("prefect")
def test_an_unexpected_exception_fails_its_video_only(
    video: Path, network: StaticCamera, tmp_path: Path
) -> None:
    @flow
    def matte_both() -> list[MatteSummary]:
        teachers: dict[str, Segmenter] = {"bad": FixedSegmenter(KeyError("shape")), "good": find_walker()}
        return [
            matte_video_task(order_of(video, tmp_path / name), teacher, network, go_on)
            for name, teacher in teachers.items()
        ]

    bad, good = matte_both()
    assert (bad.error, good.error, good.frames) == ("unexpected", "", FRAMES)
    assert bad.message.startswith(f"{video}: KeyError: 'shape'; report it")
    progress = json.loads((tmp_path / "bad" / "progress.json").read_bytes())
    assert (progress["stage"], progress["error"]["code"]) == ("failed", "unexpected")


def test_a_failed_summary_has_the_code_and_the_words() -> None:
    failed = MatteSummary.failed("a.mp4", "", SourceNotFound("a.mp4: no such file"))
    assert (failed.error, failed.message, failed.frames) == ("not_found", "a.mp4: no such file", 0)
