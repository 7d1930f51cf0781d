"""Which frames are chosen, known by the numbers burnt into them."""

import gc
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from configs.models import Sampling
from labeling.sampling.select import MinGap, ShotBounds, SkippedFrame, select_frames
from labeling.structures.frames import Clip, Frame, ImageFile
from labeling.video.color import VideoImage
from labeling.video.decode import Decoded
from tests.fakes import videos
from tests.fakes.videos import Coding, draw_number, read_number, write_images, write_numbered_video

NTSC = Fraction(30000, 1001)
VIDEOS = (
    "pets2009_s2l1/vtest.avi",
    "clips/sam2_bedroom.mp4",
    "clips/intel_one-by-one-person-detection.mp4",
)
EVERY_FRAME = Sampling(every_s=0, min_gap_s=0)


def select(clip: Clip, sampling: Sampling, *, gap_here: bool = True) -> list[Frame]:
    chosen = [item for item in select_frames(clip, sampling, gap_here=gap_here) if isinstance(item, Frame)]
    assert all(frame.video_id == clip.video_id for frame in chosen)
    return chosen


def numbers(clip: Clip, sampling: Sampling, *, gap_here: bool = True) -> list[int]:
    return [read_number(frame.rgb) for frame in select(clip, sampling, gap_here=gap_here)]


def first_at_or_after(times: list[Fraction], every_s: Fraction) -> list[int]:
    """Independent of the code under test: search the first frame for each instant of the grid."""
    found: list[int] = []
    instant = Fraction(0)
    while instant <= times[-1]:
        index = next(i for i, t in enumerate(times) if t >= instant)
        if index not in found:
            found.append(index)
        instant += every_s
    return found


@pytest.mark.slow
@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30), Fraction(60), NTSC], ids=str)
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_the_first_frame_at_or_after_each_instant_is_chosen(
    fps: Fraction, rotation_deg: int, tmp_path: Path
) -> None:
    path = write_numbered_video(
        tmp_path / "v.mp4", fps=fps, frames=150, size_hw=(72, 96), coding=Coding(rotation_deg=rotation_deg)
    )
    chosen = select(Clip("v", path), Sampling(every_s=0.3, min_gap_s=0))
    expected = first_at_or_after([i / fps for i in range(150)], Fraction(3, 10))
    assert [read_number(frame.rgb) for frame in chosen] == expected
    assert [(frame.t, frame.pts_ms) for frame in chosen] == [
        (i / fps, round(1000 * i / fps)) for i in expected
    ]


def test_a_variable_rate_is_sampled_by_time_not_by_count(tmp_path: Path) -> None:
    pts = [0, 33, 66, 499, 501, 502, 1600, 1650, 1999, 2000, 2040, 2900, 3100]
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(30), frames=len(pts), pts=pts)
    times = [Fraction(p, 1000) for p in pts]
    sampling = Sampling(every_s=0.5, min_gap_s=0)
    expected = first_at_or_after(times, Fraction(1, 2))
    assert expected == [0, 4, 6, 9, 11, 12]
    assert numbers(Clip("v", path), sampling) == expected
    bounds = [Fraction(b) for b in ("0", "0.5", "1.62", "2.01", "3")]
    shards = [
        numbers(Clip("v", path, a, b), sampling) for a, b in zip(bounds, [*bounds[1:], None], strict=True)
    ]
    assert [number for shard in shards for number in shard] == expected


@pytest.mark.parametrize("name", ["v.mp4", "v.ts", "v.avi"])
@pytest.mark.slow
def test_shards_sample_the_same_frames_as_the_whole_video(name: str, tmp_path: Path) -> None:
    coding = Coding(options={"g": "48", "bf": "3"})
    path = write_numbered_video(tmp_path / name, fps=NTSC, frames=250, size_hw=(72, 96), coding=coding)
    sampling = Sampling(every_s=0.4, min_gap_s=0)
    whole = select(Clip("v", path), sampling)
    shards = [
        frame
        for start_s in range(0, 10, 2)
        for frame in select(Clip("v", path, Fraction(start_s), Fraction(start_s + 2)), sampling)
    ]
    assert [(f.t, f.pts_ms, f.sharpness) for f in shards] == [(f.t, f.pts_ms, f.sharpness) for f in whole]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(shards, whole, strict=True))


def test_the_gap_is_exact(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(30), frames=30)
    sampling = Sampling(every_s=0, min_gap_s=0.5)
    assert numbers(Clip("v", path), sampling) == [0, 15]
    assert numbers(Clip("v", path), sampling, gap_here=False) == list(range(30))


@pytest.mark.slow
@pytest.mark.parametrize("fps", [Fraction(24), Fraction(60), NTSC], ids=str)
def test_kept_frames_are_never_closer_than_the_gap(fps: Fraction, tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "v.mp4", fps=fps, frames=200, size_hw=(72, 96))
    kept = select(Clip("v", path), Sampling(every_s=0.1, min_gap_s=0.35))
    assert len(kept) > 5
    assert min(b.t - a.t for a, b in pairwise(kept)) >= Fraction(7, 20)


def test_a_gap_counts_from_the_last_kept_frame_in_exact_fractions() -> None:
    def frame(t: Fraction) -> Frame:
        return Frame("v", round(t * 1000), draw_number(0), t=t)

    gap = MinGap(0.1)
    assert gap.allows(frame(Fraction(1, 3)))
    gap.keep(frame(Fraction(1, 3)))
    assert not gap.allows(frame(Fraction(1, 3) + Fraction(1, 10) - Fraction(1, 10**12)))
    assert gap.allows(frame(Fraction(1, 3) + Fraction(1, 10)))


def test_frames_in_one_millisecond_count_once_also_across_shards(tmp_path: Path) -> None:
    pts = [0, 10, 20_001, 20_004, 20_012, 40_000]  # in 1/20 ms: 2 and 3 round to 1000 ms
    path = write_numbered_video(
        tmp_path / "v.mp4", fps=Fraction(30), frames=6, pts=pts, time_base=Fraction(1, 20_000)
    )
    whole = select(Clip("v", path), EVERY_FRAME)
    assert [(frame.pts_ms, read_number(frame.rgb)) for frame in whole] == [
        (0, 0),
        (1000, 2),
        (1001, 4),
        (2000, 5),
    ]
    bound = Fraction(20_003, 20_000)
    shards = numbers(Clip("v", path, end_s=bound), EVERY_FRAME) + numbers(Clip("v", path, bound), EVERY_FRAME)
    assert shards == [0, 2, 4, 5]


def test_frames_that_are_not_sampled_are_never_converted_to_rgb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(30), frames=90)
    converted: list[VideoImage] = []
    convert = VideoImage.to_rgb

    def count(image: VideoImage) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        converted.append(image)
        return convert(image)

    monkeypatch.setattr(VideoImage, "to_rgb", count)
    sampling = Sampling(every_s=0.5, min_gap_s=0, max_hash_distance=6)
    assert len(select(Clip("v", path), sampling)) == len(converted) == 6
    skipped = list(select_frames(Clip("v", path), Sampling(min_sharpness=1e9), gap_here=True))
    assert [type(item) for item in skipped] == [SkippedFrame] * 6
    assert len(converted) == 6


def test_blurred_frames_are_skipped_with_their_sharpness(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (96, 144, 3), dtype=np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 3), dtype=np.uint8)
    lossless = Coding("ffv1", pix_fmt="bgr0")
    path = write_images(tmp_path / "v.mkv", [sharp, blurred, sharp], fps=Fraction(10), coding=lossless)
    sampling = EVERY_FRAME.model_copy(update={"min_sharpness": 20.0})
    items = list(select_frames(Clip("v", path), sampling, gap_here=True))
    assert [(item.pts_ms, getattr(item, "rule", "")) for item in items] == [
        (0, ""),
        (100, "blurred"),
        (200, ""),
    ]
    luma = cv2.cvtColor(blurred, cv2.COLOR_RGB2GRAY)
    assert items[1].sharpness == pytest.approx(cv2.Laplacian(luma, cv2.CV_64F).var(), rel=0.1)
    assert items[1].sharpness < 20 < items[0].sharpness


def test_a_near_duplicate_of_any_of_the_last_eight_is_skipped(tmp_path: Path) -> None:
    scenes = [draw_number(n) for n in (1, 2000, 3, 1, 2000, 77, 3)]
    path = write_images(tmp_path / "v.mp4", scenes, fps=Fraction(10), coding=Coding(options={"qp": "20"}))
    sampling = Sampling(every_s=0, min_gap_s=0, max_hash_distance=6, shot_threshold=250)
    rules = [
        getattr(item, "rule", "kept") for item in select_frames(Clip("v", path), sampling, gap_here=True)
    ]
    assert rules == ["kept", "kept", "kept", "near_duplicate", "near_duplicate", "kept", "near_duplicate"]
    without = sampling.model_copy(update={"max_hash_distance": None})
    assert len(select(Clip("v", path), without)) == 7


def test_the_memory_of_duplicates_ends_with_the_shot(tmp_path: Path) -> None:
    first, second = videos.textured_scene(0)(0), videos.textured_scene(2)(0)
    lossless = Coding("ffv1", pix_fmt="bgr0")
    path = write_images(tmp_path / "v.mkv", [first, first, second, first], fps=Fraction(10), coding=lossless)
    sampling = Sampling(every_s=0, min_gap_s=0, max_hash_distance=6)
    items = list(select_frames(Clip("v", path), sampling, gap_here=True))
    assert [type(item) for item in items] == [Frame, SkippedFrame, Frame, Frame]
    assert [item.shot for item in items] == [0, 0, 200, 300]


def test_planted_cuts_begin_shots_at_their_exact_times(tmp_path: Path) -> None:
    scenes = [videos.textured_scene(seed) for seed in range(3)]
    path = videos.write_scene_cuts(tmp_path / "v.mp4", scenes, frames_each=20, fps=Fraction(25))
    whole = select(Clip("v", path), EVERY_FRAME)
    assert [frame.shot for frame in whole] == [0] * 20 + [800] * 20 + [1600] * 20
    in_shot = select(Clip("v", path, Fraction("0.4"), Fraction("1.2")), EVERY_FRAME)
    assert [frame.shot for frame in in_shot] == [400] * 10 + [800] * 10
    at_cut = select(Clip("v", path, Fraction("0.8"), Fraction("0.84")), EVERY_FRAME)
    assert [frame.shot for frame in at_cut] == [800]


@pytest.mark.parametrize(
    ("start_s", "end_s", "expected"),
    [
        ("0", "0.6", ShotBounds(starts_with_cut=True, last_shot=0)),  # the beginning of the video
        ("0.4", "0.8", ShotBounds(starts_with_cut=False, last_shot=400)),
        ("0.8", "1.2", ShotBounds(starts_with_cut=True, last_shot=800)),
        (
            "0.4",
            "0.88",
            ShotBounds(starts_with_cut=False, last_shot=800),
        ),  # no frame after the cut is sampled
    ],
)
def test_a_clip_knows_whether_its_shots_go_on_before_and_after_it(
    start_s: str, end_s: str, expected: ShotBounds, tmp_path: Path
) -> None:
    scenes = [videos.textured_scene(seed) for seed in range(2)]
    path = videos.write_scene_cuts(tmp_path / "v.mp4", scenes, frames_each=20, fps=Fraction(25))
    clip, bounds = Clip("v", path, Fraction(start_s), Fraction(end_s)), ShotBounds()
    list(select_frames(clip, Sampling(every_s=0.5), gap_here=True, bounds=bounds))
    assert bounds == expected


def test_cuts_between_frames_that_are_not_sampled_are_found(tmp_path: Path) -> None:
    scenes = [videos.textured_scene(seed) for seed in range(2)]
    path = videos.write_scene_cuts(tmp_path / "v.mp4", scenes, frames_each=20, fps=Fraction(25))
    frames = select(Clip("v", path), Sampling(every_s=0.5, min_gap_s=0.4))
    assert [(frame.pts_ms, frame.shot) for frame in frames] == [(0, 0), (520, 0), (1000, 800), (1520, 800)]


def album(folder: Path, *, fps: int | None = None) -> Clip:
    """Return four images at positions 10 to 13; with `fps`, the first is at 0 ms."""
    paths = [folder / name for name in ("a.png", "b.jpg", "c.png", "d.png")]
    Image.fromarray(draw_number(5)).save(paths[0])
    paths[1].write_text("no image")
    Image.fromarray(draw_number(5)).save(paths[2])
    Image.fromarray(np.full((96, 144, 3), 90, np.uint8)).save(paths[3])
    files = (ImageFile(10 + i, path, pts_ms=fps and 1000 * i // fps) for i, path in enumerate(paths))
    return Clip("album", images=tuple(files))


def test_images_of_a_folder_have_no_time_and_an_unreadable_one_is_skipped(tmp_path: Path) -> None:
    sampling = Sampling(every_s=5, min_gap_s=5, max_hash_distance=20, min_sharpness=1)
    items = list(select_frames(album(tmp_path), sampling, gap_here=True))
    assert [(item.index, item.pts_ms, item.shot, item.name, getattr(item, "rule", "")) for item in items] == [
        (10, None, 10, "a.png", ""),
        (11, None, 11, "b.jpg", "unreadable"),
        (12, None, 12, "c.png", ""),
        (13, None, 13, "d.png", "blurred"),
    ]
    assert [read_number(item.rgb) for item in items if isinstance(item, Frame)] == [5, 5]


def test_images_with_times_have_an_index_and_a_time_and_are_one_shot(tmp_path: Path) -> None:
    items = list(select_frames(album(tmp_path, fps=2), Sampling(min_sharpness=0), gap_here=True))
    assert [(item.index, item.pts_ms, item.shot) for item in items] == [
        (10, 0, 0),
        (11, 500, 0),
        (12, 1000, 0),
        (13, 1500, 0),
    ]
    assert [item.t for item in items if isinstance(item, Frame)] == [0, 1, Fraction(3, 2)]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(30), frames=300)
    sampling = Sampling(every_s=0, min_gap_s=0, max_hash_distance=0)

    def count_alive() -> list[int]:
        gc.collect()
        kinds = [type(thing) for thing in gc.get_objects()]
        return [kinds.count(kind) for kind in (Decoded, VideoImage, Frame)]

    before = count_alive()  # other tests' frames may still be held by their errors
    alive = []
    for index, _ in enumerate(select_frames(Clip("v", path), sampling, gap_here=True)):
        if index % 50 == 40:
            alive.append([now - then for now, then in zip(count_alive(), before, strict=True)])
    assert len(alive) == 6
    assert max(max(counts) for counts in alive) <= 3


def real_clips(shared: Path) -> dict[str, Callable[[int], videos.Image]]:
    """First images of the shared videos, all scaled to one size."""

    def scaled(rgb: videos.Image) -> videos.Image:
        return np.asarray(cv2.resize(rgb, (320, 240), interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def reader(path: Path) -> Callable[[int], videos.Image]:
        clip = Clip("v", path, end_s=Fraction(2))
        frames = [scaled(frame.rgb) for frame in select(clip, EVERY_FRAME)]
        return frames.__getitem__

    return {name: reader(shared / "data" / name) for name in VIDEOS}


@pytest.mark.shared
@pytest.mark.slow
def test_cuts_between_real_videos_are_found_exactly(shared: Path, tmp_path: Path) -> None:
    clips = list(real_clips(shared).values())
    order = [clips[i] for i in (0, 1, 2, 0, 2, 1)]
    path = videos.write_scene_cuts(tmp_path / "v.mp4", order, frames_each=15, fps=Fraction(25))
    frames = select(Clip("v", path), EVERY_FRAME)
    assert sorted({frame.shot for frame in frames}) == [0, 600, 1200, 1800, 2400, 3000]


@pytest.mark.shared
@pytest.mark.parametrize("name", VIDEOS)
def test_no_cut_is_found_inside_a_real_shot(name: str, shared: Path) -> None:
    frames = select(Clip("v", shared / "data" / name), Sampling(every_s=0.5, min_gap_s=0))
    assert len(frames) > 10
    assert {frame.shot for frame in frames} == {0}


@pytest.mark.shared
def test_no_cut_is_found_in_a_fast_dance(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/davis2016/JPEGImages/dance-twirl"
    images = [np.asarray(Image.open(path).reduce(3))[:, :284] for path in sorted(folder.iterdir())]
    path = write_images(tmp_path / "v.mp4", images, fps=Fraction(24))
    frames = select(Clip("v", path), Sampling(every_s=0.2, min_gap_s=0))
    assert len(frames) == 19
    assert {frame.shot for frame in frames} == {0}


def test_a_gap_equal_to_the_sampling_step_loses_no_frame_at_25_fps(tmp_path: Path) -> None:
    path = videos.write_numbered_video(tmp_path / "v.mp4", fps=Fraction(25), frames=75)
    sampling = Sampling(every_s=0.5, min_gap_s=0.5)
    times = [frame.pts_ms for frame in select_frames(Clip("v", path), sampling, gap_here=True)]
    assert times == [0, 520, 1000, 1520, 2000, 2520]
