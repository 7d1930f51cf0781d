"""All clips of a video together decode each of its frames about once; joined recordings follow each other."""

from fractions import Fraction
from pathlib import Path

import pytest

from labeling.structures.frames import Clip
from labeling.video.cursors import Cursor, CursorCache
from labeling.video.decode import DecodeStats, decode_clip
from labeling.video.gaps import find_gaps
from labeling.video.probe import probe_video
from tests.fakes.videos import Coding, read_number, write_numbered_video

ONE_KEY = Coding(options={"g": "10000", "keyint_min": "10000", "sc_threshold": "0"})
PROGRAM_STREAM = Coding(codec="mpeg2video", options={"g": "10", "bf": "2"}, container_format="mpeg")
CODINGS = {"one-key.mp4": ONE_KEY, "program-stream.mp4": PROGRAM_STREAM}


def clips_of(path: Path, *, clips: int, length_s: int) -> list[Clip]:
    ends = [Fraction(length_s * (i + 1)) for i in range(clips - 1)]
    return [Clip("v", path, Fraction(length_s * i), end) for i, end in enumerate([*ends, None])]


@pytest.mark.slow
@pytest.mark.parametrize("name", CODINGS)
def test_clips_one_after_the_other_decode_each_frame_once(name: str, tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / name, fps=Fraction(25), frames=600, coding=CODINGS[name])
    stats, times = DecodeStats(), []
    for clip in clips_of(path, clips=2, length_s=12):
        times += [one.t for one in decode_clip(clip, stats=stats)]
    assert times == [one.t for one in decode_clip(Clip("v", path))]
    assert len(times) >= 598  # FFmpeg stamps some frames of program streams twice
    assert stats.decoded <= 1.1 * 600


@pytest.mark.slow
def test_the_lead_in_of_a_clip_that_goes_on_is_the_frame_before_it(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(10), frames=400, coding=ONE_KEY)
    first, second = clips_of(path, clips=2, length_s=20)
    assert len(list(decode_clip(first))) == 200
    numbers = [read_number(one.to_rgb()) for one in decode_clip(second, with_lead_in=True)]
    assert numbers == list(range(199, 400))


@pytest.mark.slow
def test_a_clip_before_the_position_and_a_changed_file_are_decoded_anew(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(10), frames=300, coding=ONE_KEY)
    late = next(decode_clip(Clip("v", path, Fraction(25))))
    early = next(decode_clip(Clip("v", path, Fraction(15))))
    assert [read_number(one.to_rgb()) for one in (late, early)] == [250, 150]
    write_numbered_video(path, fps=Fraction(10), frames=290, coding=ONE_KEY)
    assert len(list(decode_clip(Clip("v", path, Fraction(26))))) == 30


def test_a_process_holds_four_cursors(tmp_path: Path) -> None:
    class Frames:
        is_closed = False

        def __iter__(self) -> "Frames":
            return self

        def __next__(self) -> None:
            raise StopIteration

        def close(self) -> None:
            self.is_closed = True

    readers = [Frames() for _ in range(6)]
    cache: CursorCache = CursorCache()  # type: ignore[type-arg]  # of frames that are never read
    for number, reader in enumerate(readers):
        cache.keep((str(number), 0, 0), Cursor(reader, is_seekable=True))
    assert [reader.is_closed for reader in readers] == [True, True, False, False, False, False]


def write_joined(path: Path, *numbers: int, form: str = "mpegts") -> Path:
    """Join recordings of so many frames, each with its own stamps from the start."""
    coding = Coding(container_format=form, options={"g": "10"})
    parts = [
        write_numbered_video(path.with_name(f"part{i}.ts"), fps=Fraction(10), frames=frames, coding=coding)
        for i, frames in enumerate(numbers)
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [(60, 60), (40, 25, 31)])
def test_joined_recordings_follow_each_other(lengths: tuple[int, ...], tmp_path: Path) -> None:
    path = write_joined(tmp_path / "joined.mp4", *lengths)
    total = sum(lengths)
    assert probe_video(path).duration_s == Fraction(total, 10)
    assert find_gaps(path, Fraction(10)) == ()
    frames = list(decode_clip(Clip("v", path)))
    assert [one.t for one in frames] == [Fraction(i, 10) for i in range(total)]
    assert [read_number(one.to_rgb()) for one in frames] == [i for length in lengths for i in range(length)]
    later = decode_clip(Clip("v", path, Fraction(5), Fraction(7)))
    assert [one.t for one in later] == [Fraction(i, 10) for i in range(50, 70)]


def test_a_playlist_with_a_discontinuity_has_all_frames(shared: Path, tmp_path: Path) -> None:
    parts = shared / "cases" / "30-hls" / "www"
    path = tmp_path / "joined.mp4"
    path.write_bytes((parts / "a.ts").read_bytes() + (parts / "b.ts").read_bytes())
    times = [one.t for one in decode_clip(Clip("v", path))]
    assert times == [Fraction(i, 10) for i in range(120)]
