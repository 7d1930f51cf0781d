"""Shards of videos and image sets, and the stored metadata of their sources."""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select

from configs.load import load_config
from configs.models import Ingest, Sampling
from db.frames.listing import source_of
from db.models.core import ImageRow, PassedOverRow, SourceRow, VideoRow
from db.runs.queries import failed_specs, latest_run, run_passed_over, summarize_run
from db.runs.writes import ShardRange, upsert_run
from labeling.storage.home import Home
from labeling.storage.outputs import encode_drawing
from tasks.execution.context import close_databases, database_of, open_context
from tasks.ingest import DRAWING, Ingested, ingest_spec, position_ranges, time_ranges
from tests.fakes.videos import encode_numbers, write_numbered_video
from tests.servers import send_file, serve

CONFIG = load_config("offline")
RUN = CONFIG.run_id()


@pytest.mark.parametrize(
    ("duration_ms", "ranges"),
    [
        (0, [(0, None)]),
        (59_999, [(0, None)]),
        (60_000, [(0, None)]),
        (60_001, [(0, 60_000), (60_000, None)]),
        (125_000, [(0, 60_000), (60_000, 120_000), (120_000, None)]),
    ],
)
def test_a_video_is_cut_into_shards_of_which_the_last_has_no_end(
    duration_ms: int, ranges: list[tuple[int, int | None]]
) -> None:
    assert time_ranges(duration_ms, Sampling(shard_s=60)) == [ShardRange(*r) for r in ranges]


def test_image_shards_are_fixed_cells() -> None:
    assert position_ranges([0, 1, 2], 4) == [ShardRange(0, 4)]
    assert position_ranges([9, 3], 4) == [ShardRange(0, 4), ShardRange(8, 12)]
    assert position_ranges([], 4) == []


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    created = Home(tmp_path / "home")
    created.create()
    with database_of(created).transaction() as session:
        upsert_run(session, RUN, name="test", config={}, code_version="test")
    yield created
    close_databases()


def write_images(folder: Path, *seeds: int) -> None:
    folder.mkdir(exist_ok=True)
    for seed in seeds:
        noise = np.random.default_rng(seed).integers(0, 256, (64, 96, 3), np.uint8)
        cv2.imwrite(str(folder / f"p{seed}.png"), noise)


def credits(home: Home) -> dict[str, tuple[str | None, str | None]]:
    """Return title and license of each video's source."""
    with database_of(home).session() as session:
        found = {video_id: source_of(session, video_id) for video_id in session.scalars(select(VideoRow.id))}
    return {video_id: (source.title, source.license) for video_id, source in found.items() if source}


def retry(home: Home) -> list[Ingested]:
    """Ingest the failed sources again by their names alone, without the list, as `--retry-failed` does."""
    with database_of(home).session() as session:
        specs = failed_specs(session, RUN)
    return [ingest_spec(open_context(home), spec, RUN, CONFIG) for spec in specs]


def test_each_set_of_a_grown_folder_has_its_license(home: Home, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,title,license\nimages,Street,CC0\n")
    write_images(tmp_path / "images", 1, 2)
    ingest_spec(open_context(home), str(tmp_path / "list.csv"), RUN, CONFIG)
    write_images(tmp_path / "images", 3)
    grown = ingest_spec(open_context(home), str(tmp_path / "list.csv"), RUN, CONFIG)
    assert len(grown.videos) == 2
    assert credits(home) == dict.fromkeys(grown.videos, ("Street", "CC0"))
    with database_of(home).session() as session:
        assert session.scalar(select(func.count()).select_from(SourceRow)) == 1


def test_a_folder_is_the_source_of_every_set_with_its_images(home: Home, tmp_path: Path) -> None:
    for number in range(4):
        write_images(tmp_path / f"part{number}", number)
        ingest_spec(open_context(home), str(tmp_path / f"part{number}"), RUN, CONFIG)
    write_images(tmp_path / "all", *range(4))
    (tmp_path / "list.csv").write_text("path,license\nall,CC0\n")
    whole = ingest_spec(open_context(home), str(tmp_path / "list.csv"), RUN, CONFIG)
    assert len(whole.videos) == 4
    assert credits(home) == dict.fromkeys(whole.videos, (None, "CC0"))  # "all" is the first by name


@pytest.mark.slow
@pytest.mark.parametrize("before", ["nothing", "an empty file", "no video"])
def test_a_list_row_that_is_retried_alone_keeps_license_and_title(
    home: Home, tmp_path: Path, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "list.csv").write_text("path,title,license\nclip.mp4,A clip,CC0\n")
    if before != "nothing":
        (lists / "clip.mp4").write_text("words " * 99 if before == "no video" else "")
    monkeypatch.chdir(tmp_path)  # a path in a list is relative to the list
    assert ingest_spec(open_context(home), str(lists / "list.csv"), RUN, CONFIG).videos == ()
    assert [found.videos for found in retry(home)] == [()]
    write_numbered_video(lists / "clip.mp4", fps=Fraction(10), frames=10, size_hw=(64, 96))
    [found] = retry(home)
    assert credits(home) == {found.videos[0]: ("A clip", "CC0")}
    assert retry(home) == []


def test_a_bad_archive_member_keeps_the_license_of_its_row(home: Home, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,license\nclips.zip,CC0\n")
    write_numbered_video(tmp_path / "clip.mp4", fps=Fraction(10), frames=10, size_hw=(64, 96))
    with ZipFile(tmp_path / "clips.zip", "w") as archive:
        archive.writestr("clip.mp4", "no video")
    ingest_spec(open_context(home), str(tmp_path / "list.csv"), RUN, CONFIG)
    with ZipFile(tmp_path / "clips.zip", "w") as archive:
        archive.write(tmp_path / "clip.mp4", "clip.mp4")
    [found] = retry(home)
    assert credits(home) == {found.videos[0]: (None, "CC0")}


def test_a_title_in_a_list_takes_precedence_over_the_page_on_retry(home: Home, tmp_path: Path) -> None:
    quick = CONFIG.model_copy(update={"ingest": Ingest(retries=0)})
    with serve() as site:
        (tmp_path / "list.csv").write_text(f"url,title,license\n{site.url('/page.mp4')},Mine,CC0\n")
        assert ingest_spec(open_context(home), str(tmp_path / "list.csv"), RUN, quick).videos == ()
        site.pages["/page.mp4"] = send_file(encode_numbers(range(20)))
        [found] = retry(home)
    assert credits(home) == {found.videos[0]: ("Mine", "CC0")}


def test_an_image_whose_name_is_not_utf_8_is_passed_over(home: Home, tmp_path: Path) -> None:
    write_images(tmp_path / "images", 1, 2)
    folder = os.fsencode(tmp_path / "images")
    os.rename(folder + b"/p2.png", folder + b"/caf\xe9.png")  # noqa: PTH104  # a name of bytes
    ingested = ingest_spec(open_context(home), str(tmp_path / "images"), RUN, CONFIG)
    assert (len(ingested.videos), ingested.failed) == (1, ())
    with database_of(home).session() as session:
        (found,) = session.scalars(select(PassedOverRow))
        assert session.scalar(select(func.count()).select_from(ImageRow)) == 1
    assert (found.reason, found.count, found.examples) == (
        "images whose names are not UTF-8: rename them", 1, ["caf?.png"],
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_images_with_too_many_pixels_are_passed_over_and_the_others_kept(home: Home, tmp_path: Path) -> None:
    write_images(tmp_path / "images", 1)
    Image.new("1", (13_300, 13_300)).save(tmp_path / "images" / "huge.png")
    ingested = ingest_spec(open_context(home), str(tmp_path / "images"), RUN, CONFIG)
    assert len(ingested.videos) == 1
    with database_of(home).session() as session:
        (reason,) = session.scalars(select(PassedOverRow.reason))
    assert "ingest.max_pixels" in reason


@pytest.mark.slow
@pytest.mark.parametrize("source", ["images", "walk.mp4"])
def test_a_source_of_too_many_pixels_is_refused_by_the_name_of_the_limit(
    home: Home, tmp_path: Path, source: str
) -> None:
    write_images(tmp_path / "images", 1)
    write_numbered_video(tmp_path / "walk.mp4", fps=Fraction(10), frames=3)
    small = CONFIG.model_copy(update={"ingest": CONFIG.ingest.model_copy(update={"max_pixels": 1000})})
    ingested = ingest_spec(open_context(home), str(tmp_path / source), RUN, small)
    assert not ingested.videos
    with database_of(home).session() as session:
        (failure,) = summarize_run(session, latest_run(session, RUN)).failures
    assert "ingest.max_pixels" in failure.message


def test_pictures_that_maskmill_drew_are_passed_over(home: Home, tmp_path: Path) -> None:
    write_images(tmp_path / "images", 1)
    pixels = np.full((64, 96, 3), 90, np.uint8)
    (tmp_path / "images" / "frame.png").write_bytes(encode_drawing(pixels))
    ingested = ingest_spec(open_context(home), str(tmp_path / "images"), RUN, CONFIG)
    assert (len(ingested.videos), ingested.failed) == (1, ())
    with database_of(home).session() as session:
        assert session.scalar(select(func.count()).select_from(ImageRow)) == 1
        (found,) = run_passed_over(session, RUN)
        assert (found.reason, found.count, found.examples) == (DRAWING, 1, ("frame.png",))
        assert run_passed_over(session, RUN, [str(tmp_path / "images")]) == (found,)
        assert run_passed_over(session, RUN, [str(tmp_path / "another")]) == ()
