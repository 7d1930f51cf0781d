"""A shard that is labeled again from its record, with its video gone, as it is from the video."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import SourceError
from configs.load import validate_config
from configs.models import RunConfig
from labeling.pipeline import label_shard
from labeling.segmenters.models import Models
from labeling.storage.home import Home
from labeling.structures.frames import Clip, Frame
from labeling.structures.records import LabeledShard
from labeling.trust.shard_record import ShardRecord
from labeling.trust.static_regions import StaticRegionDetector
from labeling.video.decode import decode_clip
from labeling.video.lazy import open_pixels
from tests.fakes.mattes import find_walker, write_walk
from tests.fakes.videos import write_numbered_video


def config(**changed: Any) -> RunConfig:
    block = {"kind": "python", "factory": "tests.fakes.segmenters:scripted"}
    return validate_config({"teacher": block, "student": block, "batch": 2} | changed, "test")


def label(clip: Clip, folder: Path, settings: RunConfig) -> LabeledShard:
    home = Home(folder / "home")
    home.create()
    record = ShardRecord.read(folder / "kept", clip, settings)
    return label_shard(clip, Models(find_walker(), find_walker()), settings, home, record=record)


@pytest.mark.slow
def test_tracks_motion_and_images_are_the_same_without_the_video(tmp_path: Path) -> None:
    video = write_walk(tmp_path / "walk.mp4", frames=40)
    clip, hard = Clip("v", video), {"hard_below": 1.0}
    trust = {"min_score": 0, "min_flow_iou": 0.1}
    label(clip, tmp_path, config(trust=trust))
    video.rename(tmp_path / "away.mp4")
    again = label(clip, tmp_path, config(trust=trust, agreement=hard))
    (tmp_path / "away.mp4").rename(video)
    fresh = label(clip, tmp_path / "fresh", config(trust=trust, agreement=hard))
    assert again.frames == fresh.frames
    assert {one.track_id for row in again.frames for one in row.teacher} >= {1, 2}
    assert {row.image for row in again.frames} != {None}
    assert [track.end and track.end.to_json() for track in again.tracks] == [
        track.end and track.end.to_json() for track in fresh.tracks
    ]
    assert again.counts == fresh.counts


@pytest.mark.slow
def test_other_sampling_or_tracking_is_measured_anew(tmp_path: Path) -> None:
    video = write_walk(tmp_path / "walk.mp4", frames=40)
    clip = Clip("v", video)
    label(clip, tmp_path, config())
    video.unlink()
    assert len(label(clip, tmp_path, config()).frames) > 1
    for changed in ({"sampling": {"every_s": 0.1}}, {"tracking": {"kind": "mask", "lost_s": 0.5}}):
        with pytest.raises(SourceError):
            label(clip, tmp_path, config(**changed))


def test_a_damaged_record_is_no_record(tmp_path: Path) -> None:
    clip = Clip("v", write_walk(tmp_path / "walk.mp4", frames=20))
    label(clip, tmp_path, config())
    files = list((tmp_path / "kept").rglob("*.npz"))
    assert len(files) == 2
    for file in files:
        file.write_bytes(file.read_bytes()[:-40])
    assert not ShardRecord.read(tmp_path / "kept", clip, config()).is_known
    assert len(label(clip, tmp_path, config()).frames) > 1


def test_static_regions_are_the_same_after_they_were_written(tmp_path: Path) -> None:
    rng, detector = np.random.default_rng(0), StaticRegionDetector()
    for number in range(12):
        rgb = np.full((90, 120, 3), 100, np.uint8)
        rgb[20:60, 8 * number : 8 * number + 12] = 240
        noise = rng.integers(0, 3, rgb.shape, dtype=np.uint8)
        detector.observe(Frame("v", 500 * number, rgb + noise))
    record = ShardRecord(regions=detector)
    mask = find_walker().segment([Frame("v", 500, rgb)])[0][0].mask
    restored = StaticRegionDetector.from_observation(record.regions.to_observation())
    assert restored.moving_fraction(mask, 500) == detector.moving_fraction(mask, 500) is not None


def test_only_what_is_asked_for_is_decoded_and_it_is_the_same(tmp_path: Path) -> None:
    clip = Clip("v", write_numbered_video(tmp_path / "v.mp4", fps=Fraction(10), frames=30))
    frames = list(decode_clip(clip))
    with open_pixels(clip, held=2) as pixels:
        for number in (7, 9, 3, 9):
            lazy = pixels.frame(frames[number].t, (1, 1))
            assert (lazy.read() == frames[number].to_rgb()).all()
        assert pixels.decoded == 4 - 1, "the last one was still held"
        assert (lazy.mirror().read() == frames[9].to_rgb()[:, ::-1]).all()
        with pytest.raises(SourceError, match=r"no frame at 0\.250 s"):
            pixels.frame(Fraction(1, 4), (1, 1)).read()
