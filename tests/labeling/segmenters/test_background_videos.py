"""What the background segmenter finds in videos whose stamps, sizes, looks or overlays mislead."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from configs.segmenters import BackgroundBlock
from labeling.comparison.iou import union_iou
from labeling.segmenters.background import BackgroundSegmenter
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, union_masks
from labeling.video.decode import decode_clip
from labeling.video.gaps import find_gaps
from labeling.video.images import read_image
from labeling.video.probe import probe_video
from tests.fakes.videos import write_images

EVERY = 5
"""Frames from one that is segmented to the next: half a second."""
PADDING_PX = 60
"""The figure may be partly outside of the image."""


def segment(path: Path) -> list[tuple[RgbImage, list[Instance]]]:
    clip = Clip("v", path, gaps=find_gaps(path, probe_video(path).fps))
    prepared = BackgroundSegmenter(BackgroundBlock()).prepare(clip)
    frames = [Frame("v", one.pts_ms, one.to_rgb(), t=one.t) for one in list(decode_clip(clip))[::EVERY]]
    return [(frame.rgb, prepared.segment([frame])[0]) for frame in frames]


def painted_figure(rgb: RgbImage, shape: NDArray[np.float32]) -> Mask:
    """Return the figure of the videos, `shape`, at the place where the image is red."""
    scale = rgb.shape[0] / 240
    resized = cv2.resize(shape, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    is_inside = resized > 0.5
    red = (rgb[:, :, 0] > 150) & (rgb[:, :, 1] < 110) & (rgb[:, :, 2] < 110)
    padded = np.pad(red.astype(np.float32), PADDING_PX)
    *_, (x, y) = cv2.minMaxLoc(
        cv2.matchTemplate(padded, np.where(is_inside, 1, -1).astype(np.float32), cv2.TM_CCORR)
    )
    figure = np.zeros(padded.shape, dtype=bool)
    figure[y : y + is_inside.shape[0], x : x + is_inside.shape[1]] = is_inside
    return Mask.from_array(figure[PADDING_PX:-PADDING_PX, PADDING_PX:-PADDING_PX])


@pytest.fixture
def shape(shared: Path) -> NDArray[np.float32]:
    """The figure, cut out of an exact mask."""
    mask = read_image(shared / "cases" / "06-ignore-flag" / "exact" / "p1.png")[:, :, 0] > 0
    x, y, w, h = (round(side) for side in Mask.from_array(mask).box_xywh)
    return np.pad(mask[y : y + h, x : x + w].astype(np.float32), 8)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "frames", "least_iou"),
    [
        ("25-last-sample-of-13-hours/segment.mp4", 21, 0.91),
        ("26-camera-off-for-hours/night.mkv", 60, 0.91),
        ("27-webm-duration-too-long/paused.webm", 24, 0.9),
        ("22-size-changes/adaptive.mkv", 48, 0.85),
    ],
)
def test_the_person_is_found_whatever_stamps_and_sizes_say(
    shared: Path, shape: NDArray[np.float32], name: str, frames: int, least_iou: float
) -> None:
    ious = []
    for rgb, people in segment(shared / "cases" / name):
        figure = painted_figure(rgb, shape)
        ious.append(union_iou(union_masks([one.mask for one in people], figure.size_hw), figure))
    assert len(ious) == frames
    assert np.mean(ious) >= least_iou


@pytest.mark.long
@pytest.mark.shared
def test_an_empty_room_with_a_clock_has_no_instances(shared: Path) -> None:
    found = segment(shared / "cases" / "33-timestamp-overlay" / "empty.mp4")
    assert [len(people) for _, people in found] == [0] * 80


@pytest.mark.slow
def test_an_empty_room_by_day_and_in_infrared_has_no_instances(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    day = cv2.resize(
        rng.integers(50, 200, (8, 10, 3)).astype(np.float32), (160, 120), interpolation=cv2.INTER_CUBIC
    )
    gray = day.mean(axis=2, keepdims=True)
    infrared = np.repeat(40 + 0.7 * (255 - gray), 3, axis=2)
    looks = [day if number < 200 else infrared for number in range(400)]
    images = (np.clip(look + rng.normal(0, 3, look.shape), 0, 255).astype(np.uint8) for look in looks)
    path = write_images(tmp_path / "camera.mp4", images, fps=Fraction(10))
    assert [len(people) for _, people in segment(path)] == [0] * 80
