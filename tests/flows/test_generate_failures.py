"""Sources, models, disks and bugs that make a run fail, partly or completely."""

import errno
import json
import shutil
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from configs.errors import ConfigError, DiskFull, WeightsMissing
from configs.load import validate_config
from db.models.core import ShardRow
from flows.generate import generate_dataset
from labeling.pipeline import label_shard
from labeling.segmenters.factory import forget_models
from labeling.sources.content_store import sha256_of
from labeling.storage.home import Home
from labeling.structures.frames import Clip
from labeling.structures.masks import Mask
from labeling.structures.records import LabeledShard
from labeling.video.probe import VideoFacts, probe_video
from tasks.execution.context import database_of
from tests.flows.dump import dump_rows
from tests.flows.scripted_runs import (
    WHOLE,
    closed_databases,
    failing_run,
    home,
    rows_by_ms,
    run,
    scripted_config,
    video,
)

__all__ = ["closed_databases", "home", "video"]
pytestmark = pytest.mark.usefixtures("prefect")


def test_a_bad_source_is_stored_with_its_reason_and_the_others_are_labeled(
    video: Path, home: Path, tmp_path: Path
) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.touch()
    text.write_text("this is no video\n" * 100)
    missing = tmp_path / "missing.mp4"
    summary = run([empty, video, text, missing], scripted_config({"boxes": [WHOLE]}, {}), home)
    assert summary.counts["sampled"] == 6
    found = {Path(failure.what).name: failure.code for failure in summary.failures}
    assert found == {"empty.mp4": "empty_video", "text.mp4": "not_a_video", "missing.mp4": "not_found"}
    assert all(Path(f.what).name in f.message for f in summary.failures)


def test_a_repaired_source_is_no_longer_a_failure(video: Path, home: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.mp4"
    later.touch()
    config = scripted_config({"boxes": [WHOLE]}, {})
    assert [f.code for f in failing_run([later], config, home).failures] == ["empty_video"]
    shutil.copy(video, later)
    mended = run([later], config, home)
    assert mended.failures == ()
    assert mended.counts["sampled"] == 6


def test_an_unexpected_error_in_one_source_is_raised_after_the_others_are_done(
    video: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "odd.mp4"
    shutil.copy(video, odd)

    def probe(path: Path) -> VideoFacts:
        if path == odd:
            raise ZeroDivisionError("a rate of 0")
        return probe_video(path)

    monkeypatch.setattr("tasks.ingest.probe_video", probe)
    with pytest.raises(ZeroDivisionError, match="a rate of 0"):
        run([odd, video], scripted_config({"boxes": [WHOLE]}, {}), home)
    assert len(rows_by_ms(home)) == 6


def test_a_failure_of_an_earlier_execution_is_not_reported_again(
    video: Path, home: Path, tmp_path: Path
) -> None:
    config = scripted_config({"boxes": [WHOLE]}, {})
    assert len(failing_run([tmp_path / "missing.mp4"], config, home).failures) == 1
    assert run([video], config, home).failures == ()


def test_a_run_fails_if_all_its_sources_fail_even_if_others_were_done_earlier(
    video: Path, home: Path, tmp_path: Path
) -> None:
    config = scripted_config({"boxes": [WHOLE]}, {})
    run([video], config, home)
    gone = [str(tmp_path / "gone.mp4"), str(tmp_path / "away.mp4")]
    state: Any = generate_dataset(gone, config, name="test", home=home, return_state=True)
    assert state.is_failed()
    assert str(state.message).startswith("2 of 2 sources failed: away.mp4: not_found: ")


def test_a_run_with_nothing_new_or_with_one_good_source_is_completed(
    video: Path, home: Path, tmp_path: Path
) -> None:
    config = scripted_config({"boxes": [WHOLE]}, {})
    run([video], config, home)
    again: Any = generate_dataset([str(video)], config, name="test", home=home, return_state=True)
    assert (again.is_completed(), again.name) == (True, "NothingToDo")
    sources = [str(video), str(tmp_path / "gone.mp4")]
    half: Any = generate_dataset(sources, config, name="test", home=home, return_state=True)
    assert (half.is_completed(), half.name) == (True, "CompletedWithFailures")


def test_a_password_in_a_source_is_refused_before_it_is_stored(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"\$CAMERA_PASSWORD") as caught:
        generate_dataset(["rtsp://me:hunter2@127.0.0.1/live"], scripted_config({}, {}), home=home)
    assert "hunter2" not in str(caught.value)


def test_a_segmenter_error_fails_its_shards_which_can_be_retried(
    video: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = scripted_config({"boxes": [WHOLE]}, {}, sampling={"shard_s": 2})

    def out_of_memory(*_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr("tests.fakes.segmenters.ScriptedSegmenter.segment", out_of_memory)
        failed = failing_run([video], config, home)
    assert [f.code for f in failed.failures] == ["model", "model"]
    assert all("CUDA out of memory" in f.message for f in failed.failures)
    retried = generate_dataset([], config, name="test", home=home, retry_failed=True)
    assert (retried.failures, retried.counts["sampled"]) == ((), 6)


def test_changed_weights_are_refused_in_the_same_run(video: Path, home: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks.json"
    pixels = np.zeros((96, 144), np.uint8)
    pixels[20:80, 40:80] = 1
    found = {"image_id": f"{sha256_of(video)[:12]}_0", "category_id": 1, "score": 1.0}
    counts = Mask.from_array(pixels).counts.decode()
    record = found | {"segmentation": {"size": [96, 144], "counts": counts}}
    masks.write_text(json.dumps([record]))
    block = {"kind": "masks_folder", "path": str(masks)}
    config = validate_config({"teacher": block, "student": block}, "test")
    run([video], config, home)
    masks.write_text(json.dumps([record], indent=1))
    forget_models()
    with pytest.raises(ConfigError, match="weights changed"):
        run([video], config, home)


def test_a_full_disk_stops_the_run_which_continues_after_space_is_freed(
    video: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = scripted_config({"boxes": [WHOLE]}, {}, sampling={"shard_s": 1})
    written = 0

    def fill_up(path: Path, content: bytes) -> None:
        nonlocal written
        written += 1
        if written > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(content)

    with monkeypatch.context() as patch:
        patch.setattr("labeling.storage.image_store.write_atomically", fill_up)
        with pytest.raises(DiskFull, match="run the same command again"):
            run([video], config, home)
    with database_of(Home(home.resolve())).session() as session:
        states = session.scalars(select(ShardRow.state).order_by(ShardRow.start_ms)).all()
    assert states == ["done", "planned", "planned"]
    assert run([video], config, home).counts["accepted"] == 6


@pytest.mark.parametrize("workers", [1, 2])
def test_after_a_full_disk_no_further_shard_is_started(
    video: Path, home: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    config = scripted_config({"boxes": [WHOLE]}, {}, sampling={"shard_s": 0.5}, workers=workers)
    started = 0
    all_started = Barrier(workers)

    def fill_up(*_: object, **__: object) -> None:
        nonlocal started
        started += 1
        all_started.wait(60)
        raise DiskFull("no room left")

    with monkeypatch.context() as patch:
        patch.setattr("tasks.label.label_shard", fill_up)
        with pytest.raises(DiskFull):
            run([video], config, home)
    assert started == workers  # of 6 shards, and without retries
    assert run([video], config, home).shards_done == 6


def test_an_unexpected_error_in_one_shard_is_raised_after_the_others_are_done(
    video: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = scripted_config({"boxes": [WHOLE]}, {}, sampling={"shard_s": 1})

    def label(clip: Clip, *rest: Any, **named: Any) -> LabeledShard:
        if clip.start_s == 0:
            raise ZeroDivisionError("a bug")
        return label_shard(clip, *rest, **named)

    monkeypatch.setattr("tasks.label.label_shard", label)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run([video], config, home)
    assert list(rows_by_ms(home)) == [1000, 1500, 2000, 2500]


def test_a_run_without_sources_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError, match="no sources"):
        run([], scripted_config({}, {}), home)


def test_missing_weights_name_file_folder_and_the_offline_preset(
    video: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKMILL_CACHE", str(tmp_path / "cache"))
    config = validate_config({"teacher": "lite", "student": "selfie", "weights_dir": str(tmp_path)}, "test")
    with pytest.raises(WeightsMissing, match=r"FastestDet\.onnx.*offline") as caught:
        run([video], config, home)
    assert str(tmp_path) in str(caught.value)


def test_frames_that_failed_by_their_masks_are_retried_and_the_others_stay(
    home: Path, tmp_path: Path
) -> None:
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    for number in range(4):
        mask = np.zeros((60, 80), np.uint8)
        mask[10:50, 20 + number : 50 + number] = 255
        Image.fromarray(mask // 2 + 40 + number).convert("RGB").save(images / f"p{number}.png")
        Image.fromarray(mask if number != 2 else mask[:30]).save(masks / f"p{number}.png")
    block = {"kind": "masks_folder", "path": str(masks)}
    config = validate_config({"teacher": block, "student": block}, "test")
    failed = run([images], config, home)
    assert [(failure.code, failure.frame, failure.retryable) for failure in failed.failures] == [
        ("model_output", "p2.png", True)
    ]
    before = dump_rows(home)["instance"]
    Image.fromarray(mask).save(masks / "p2.png")
    forget_models()
    assert generate_dataset([str(images)], config, name="test", home=home).counts["easy"] == 3
    retried = generate_dataset([], config, name="test", home=home, retry_failed=True)
    assert (retried.failures, retried.counts["easy"], retried.counts["sampled"]) == ((), 4, 4)
    after = dump_rows(home)["instance"]
    assert [row for row in after if row in before] == before
    assert len(after) == len(before) + 2
