"""Times and contents of a source are those that are measured, not those that are stamped or declared."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from configs.load import load_config
from db.models.core import ShardRow
from db.runs.clips import shard_clip
from db.runs.queries import run_passed_over
from db.runs.writes import upsert_run
from labeling.background.samples import read_samples, sample_times, widen_range
from labeling.sources.passed_over import PassedOver
from labeling.storage.home import Home
from labeling.structures.frames import Clip
from labeling.video.gaps import find_gaps, to_filmed, to_stamped
from labeling.video.images import find_levels, read_image
from labeling.video.probe import probe_video
from tasks.execution.context import close_databases, database_of, open_context
from tasks.ingest import MORE_PAGES, NOT_FILMED, NOT_THERE, OTHER_STREAM, ingest_spec
from tests.fakes.videos import read_number, write_numbered_video

CONFIG = load_config("offline")
RUN = CONFIG.run_id()
CASES = "cases"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    created = Home(tmp_path / "home")
    created.create()
    with database_of(created).transaction() as session:
        upsert_run(session, RUN, name="test", config={}, code_version="test")
    yield created
    close_databases()


def ingest(home: Home, path: Path) -> tuple[list[tuple[int, int | None]], tuple[PassedOver, ...], Clip]:
    """Return the shards, what was passed over, and the clip of the first shard."""
    context = open_context(home)
    assert ingest_spec(context, str(path), RUN, CONFIG).failed == ()
    with context.database.session() as session:
        shards = session.scalars(select(ShardRow).order_by(ShardRow.start_ms)).all()
        clip = shard_clip(session, shards[0], Path)
        return [(s.start_ms, s.end_ms) for s in shards], run_passed_over(session, RUN), clip


def with_gap(path: Path, *, first: int = 20, gap_ms: int = 200_000, second: int = 20) -> Path:
    """Write frames of 100 ms, nothing for a while, and frames again."""
    pts = [100 * i for i in range(first)] + [100 * first + gap_ms + 100 * i for i in range(second)]
    return write_numbered_video(path, fps=Fraction(10), frames=first + second, pts=pts)


def test_shards_in_which_nothing_was_filmed_are_not_planned(home: Home, tmp_path: Path) -> None:
    shards, passed_over, clip = ingest(home, with_gap(tmp_path / "night.mkv"))
    assert shards == [(0, 60_000), (180_000, None)]
    assert clip.gaps == ((Fraction(19, 10), Fraction(202)),)
    assert [(one.reason, one.count) for one in passed_over] == [(NOT_FILMED, 200)]


def test_samples_are_spread_over_filmed_time_and_taken_once(tmp_path: Path) -> None:
    path = with_gap(tmp_path / "night.mkv")
    clip = Clip("night", path, gaps=find_gaps(path, Fraction(10)))
    numbers = [read_number(rgb) for rgb in read_samples(clip, 60)]
    assert len(numbers) == len(set(numbers)) >= 38
    assert len(list(read_samples(clip, 8))) == 8
    start_s, end_s = widen_range(clip, probe_video(path).duration_s)
    assert float(end_s - start_s) == pytest.approx(4.0, abs=0.2)
    stamps = [float(to_stamped(t, clip.gaps)) for t in sample_times(start_s, end_s, 8)]
    assert sum(stamp < 3 for stamp in stamps) == sum(stamp > 200 for stamp in stamps) == 4


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
@pytest.mark.parametrize(
    ("pts", "gap_s"),
    [
        ([*range(0, 3900, 100), 47_000_000], (3.8, 47_000.0)),
        ([0, *range(3_600_100, 3_603_900, 100)], (0.0, 3600.1)),
        ([*range(0, 2000, 100), *range(10_802_000, 10_804_000, 100)], (1.9, 10_802.0)),
    ],
    ids=["the last stamp", "the first stamp", "in the middle"],
)
def test_a_gap_is_that_of_the_frames_in_the_order_in_which_they_are_shown(
    pts: list[int], gap_s: tuple[float, float], suffix: str, tmp_path: Path
) -> None:
    """Frames are decoded in another order, with other stamps."""
    path = write_numbered_video(tmp_path / f"v.{suffix}", fps=Fraction(10), frames=len(pts), pts=pts)
    ((start, end),) = find_gaps(path, Fraction(10))
    assert (float(start), float(end)) == pytest.approx(gap_s, abs=0.11)


def test_a_time_lapse_has_no_gaps(tmp_path: Path) -> None:
    pts = [60_000 * i for i in range(5)]
    path = write_numbered_video(tmp_path / "lapse.mkv", fps=Fraction(1, 60), frames=5, pts=pts)
    assert find_gaps(path, Fraction(1, 60)) == ()


@pytest.mark.parametrize("time_s", [0, 5, 10, 30, 61, 100])
def test_filmed_and_stamped_time_are_inverse_outside_gaps(time_s: int) -> None:
    gaps = [(Fraction(20), Fraction(25)), (Fraction(40), Fraction(60))]
    assert to_stamped(to_filmed(Fraction(time_s), gaps), gaps) == time_s


@pytest.mark.parametrize(
    ("name", "duration_s", "lacking_s"),
    [
        ("25-last-sample-of-13-hours/segment.mp4", 10.1, 47721.7),
        ("25-last-sample-of-13-hours/mvhd.mp4", 10.1, 0),
        ("27-webm-duration-too-long/paused.webm", 12, 18),
        ("27-webm-duration-too-long/joined-late.flv", 12, 3588),
        ("27-webm-duration-too-long/whole.webm", 12, 0),
    ],
)
def test_the_duration_is_that_of_the_frames(
    shared: Path, name: str, duration_s: float, lacking_s: float
) -> None:
    facts = probe_video(shared / CASES / name)
    assert float(facts.duration_s) == pytest.approx(duration_s, abs=0.1)
    assert float(facts.lacking_s) == pytest.approx(lacking_s, abs=0.1)
    assert facts.fps == 10


def test_what_is_declared_and_not_there_is_told(shared: Path, home: Home) -> None:
    shards, passed_over, _ = ingest(home, shared / CASES / "25-last-sample-of-13-hours" / "segment.mp4")
    assert shards == [(0, None)]
    assert [(one.reason, one.count) for one in passed_over] == [(NOT_THERE, 47722)]


def test_a_second_video_stream_is_told(shared: Path, home: Home) -> None:
    _, passed_over, _ = ingest(home, shared / CASES / "20-two-video-streams" / "dual.mp4")
    assert [(one.reason, one.count) for one in passed_over] == [(OTHER_STREAM, 1)]


def write_thermal(folder: Path, ranges: list[tuple[int, int]]) -> None:
    folder.mkdir()
    for number, (low, high) in enumerate(ranges):
        levels = np.linspace(low, high, 64 * 48).astype(np.uint16).reshape(48, 64)
        Image.fromarray(levels).save(folder / f"t{number}.png")


def test_images_of_16_bits_have_the_range_of_their_set(home: Home, tmp_path: Path) -> None:
    write_thermal(tmp_path / "t", [(7200, 7600), (7500, 8100)])
    _, _, clip = ingest(home, tmp_path / "t")
    assert clip.levels is not None
    assert clip.levels == pytest.approx((7200, 8100), abs=3)
    dark, bright = (read_image(image.path, clip.levels) for image in clip.images)
    assert (dark.min(), bright.max()) == (0, 255)
    assert dark.max() == pytest.approx(113, abs=2)  # the same level is the same gray in both
    assert bright.min() == pytest.approx(85, abs=2)


def test_images_of_8_bits_and_photos_of_16_bits_keep_their_levels(tmp_path: Path) -> None:
    write_thermal(tmp_path / "photo", [(0, 65535)])
    assert find_levels([tmp_path / "photo" / "t0.png"]) == (0, 65535)
    Image.new("L", (64, 48), 7).save(tmp_path / "p.png")
    assert find_levels([tmp_path / "p.png"]) is None


def test_further_pages_of_an_image_are_told(home: Home, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    pages = [Image.new("RGB", (64, 48), (i, 0, 0)) for i in range(3)]
    pages[0].save(tmp_path / "scans" / "s.tiff", save_all=True, append_images=pages[1:])
    _, passed_over, _ = ingest(home, tmp_path / "scans")
    assert [(one.reason, one.count, one.examples) for one in passed_over] == [(MORE_PAGES, 2, ("s.tiff",))]


def test_the_same_source_again_replaces_what_was_told(home: Home, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_numbered_video(tmp_path / "in" / "v.mp4", fps=Fraction(10), frames=3)
    (tmp_path / "in" / "a.doc").touch()
    assert [one.count for one in ingest(home, tmp_path / "in")[1]] == [1]
    (tmp_path / "in" / "a.doc").unlink()
    assert ingest(home, tmp_path / "in")[1] == ()
