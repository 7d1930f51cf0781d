"""Fake-motion clips on disk: what is written, continued, refused and left out."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from configs.errors import AlreadyRunning, ConfigError, NotAVideo
from configs.synthesis import FakeMotionBlock
from labeling.datasets.formats.kitti_flow import decode_flow
from labeling.datasets.moving_clips import ClipFolder
from labeling.datasets.readers.coco import read_coco_file
from labeling.structures.frames import Clip
from labeling.synthetic.fake_motion import FakeMotion
from labeling.video.decode import decode_clip
from tasks.synthesize import SynthesisOrder, SynthesisSummary, synthesize_clips

SETTINGS = FakeMotionBlock(width=96, height=64, duration_s=0.25, second_person=1.0)
FRAMES = 6


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A folder with two cut-outs."""
    folder = tmp_path / "people"
    folder.mkdir()
    for number in range(2):
        rgba = np.random.default_rng(number).integers(0, 255, (100, 50, 4), dtype=np.uint8)
        rgba[..., 3] = 0
        rgba[8:-8, 8:-8, 3] = 255
        cv2.imwrite(str(folder / f"{number}.png"), rgba)
    return folder


def make(
    to: Path,
    people: Path,
    clips: int = 2,
    *,
    backgrounds: tuple[Path, ...] = (),
    settings: FakeMotionBlock = SETTINGS,
) -> SynthesisSummary:
    wall = to.parent / "wall.png"
    cv2.imwrite(str(wall), np.full((80, 120, 3), 90, np.uint8))
    return synthesize_clips(SynthesisOrder((str(people),), clips, to, backgrounds or (wall,), settings))


def test_a_clip_has_video_alpha_flow_and_tracked_masks(people: Path, tmp_path: Path) -> None:
    to = tmp_path / "out"
    summary = make(to, people)
    assert (summary.clips, summary.written, summary.frames, summary.cutouts) == (2, 2, 2 * FRAMES, 2)
    clip = to / "clips" / "00001"
    assert [len(list((clip / kind).iterdir())) for kind in ("frames", "alpha", "flow")] == [6, 6, 5]
    decoded = [one.to_rgb() for one in decode_clip(Clip("x", clip / "video.mp4"))]
    assert [image.shape for image in decoded] == [(64, 96, 3)] * FRAMES
    flow, is_valid = decode_flow((clip / "flow" / "00000.png").read_bytes())
    alpha = cv2.imread(str(clip / "alpha" / "00000.png"), cv2.IMREAD_UNCHANGED)
    assert alpha is not None
    assert alpha[is_valid].min() >= 253
    assert not flow[alpha == 0].any()

    images = list(read_coco_file(Path(summary.coco)))
    assert [image.file_name for image in images[:2]] == ["00000_00000.jpg", "00000_00001.jpg"]
    assert {track for image in images for track in image.tracks} <= {
        "00000/1",
        "00000/2",
        "00001/1",
        "00001/2",
    }
    assert sum(len(image.people) for image in images) == summary.instances
    assert all((to / "coco" / "images" / image.file_name).is_file() for image in images)


def test_a_killed_work_continues_with_the_same_clips(people: Path, tmp_path: Path) -> None:
    whole = make(tmp_path / "whole", people)
    to = tmp_path / "out"
    make(to, people, clips=1)
    (to / "clips" / ".writing-00001" / "frames").mkdir(parents=True)  # what kill -9 leaves
    continued = make(to, people)
    assert (continued.clips, continued.written) == (2, 1)
    assert not list((to / "clips").glob(".writing-*"))
    first, second = (Path(summary.coco).read_bytes() for summary in (whole, continued))
    assert first == second


def test_a_folder_of_other_settings_is_refused(people: Path, tmp_path: Path) -> None:
    make(tmp_path / "out", people, clips=1)
    with pytest.raises(ConfigError, match=r"other settings or data \(settings differ\)"):
        make(tmp_path / "out", people, settings=SETTINGS.model_copy(update={"seed": 5}))


def test_a_folder_that_another_process_writes_is_refused(people: Path, tmp_path: Path) -> None:
    with ClipFolder(tmp_path / "out").exclusive(), pytest.raises(AlreadyRunning, match="name another --to"):
        make(tmp_path / "out", people, clips=1)


def test_unreadable_backgrounds_are_left_out_and_the_rest_goes_on(people: Path, tmp_path: Path) -> None:
    backgrounds = tmp_path / "backgrounds"
    backgrounds.mkdir()
    (backgrounds / "broken.mp4").write_bytes(b"no video")
    (backgrounds / "broken.png").write_bytes(b"no image")
    cv2.imwrite(str(backgrounds / "wall.png"), np.full((80, 120, 3), 90, np.uint8))
    summary = make(tmp_path / "out", people, clips=1, backgrounds=(backgrounds, tmp_path / "gone"))
    assert (summary.clips, summary.backgrounds) == (1, 1)
    assert [Path(failure.name).name for failure in summary.failures] == ["broken.mp4", "broken.png", "gone"]
    assert json.loads((tmp_path / "out/clips/00000/clip.json").read_text())["background"] == "wall.png"


def test_a_clip_whose_background_fails_while_it_is_rendered_is_left_out(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise NotAVideo("wall.png is not a readable image: remove it")

    monkeypatch.setattr(FakeMotion, "frames", fail)
    summary = make(tmp_path / "out", people, clips=1)
    assert (summary.clips, summary.frames) == (0, 0)
    assert [(failure.name, failure.code) for failure in summary.failures] == [("clip 0", "not_a_video")]
    assert not list((tmp_path / "out" / "clips").iterdir())


def test_without_people_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no person can be read"):
        make(tmp_path / "out", tmp_path / "empty")
    assert not (tmp_path / "out").exists()
