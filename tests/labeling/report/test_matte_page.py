"""The page of a matte."""

from dataclasses import replace

from labeling.report.matte_page import COVERAGE_WORDS, MattePage, render_matte
from tests.labeling.report.page_reader import PageReader

COLORS = {code: (index, 0, 0) for index, code in enumerate(COVERAGE_WORDS)}


def read_page(**shares: float) -> PageReader:
    coverage = {code: (COLORS[code], share) for code, share in shares.items()}
    return PageReader(render_matte(MattePage("a.mp4", 2, 1, 1, 0.1, (0, 1), coverage, (), ())))


def images_of(page: PageReader) -> list[str | None]:
    return [image["src"] for image in page.named("img")]


def test_a_plate_that_was_seen_as_a_whole_says_so_without_a_white_image() -> None:
    page = read_page(seen=1.0, inpainted=0.0)
    assert images_of(page) == ["preview.webp", "plate.png"]
    assert "every pixel was seen without people in a sample" in page.text


def test_the_colors_of_a_coverage_map_are_named_in_its_caption() -> None:
    page = read_page(seen=0.9996, inpainted=0.0004, all_frames=0.0)
    assert images_of(page) == ["preview.webp", "plate.png", "coverage.png"]
    assert [tag for tag, _ in page.elements].count("figcaption") == 2
    assert "over 99.9 % seen without people in a sample under 0.1 % never seen" in page.text
    assert "found in another frame" not in page.text


def test_a_moving_camera_has_no_plate_on_its_page() -> None:
    assert images_of(read_page()) == ["preview.webp"]


def test_the_page_of_a_part_says_which_part() -> None:
    whole = MattePage("a.mp4", 2, 1, 1, 0.1, (0, 1), {}, (), ())
    page = PageReader(render_matte(replace(whole, part="from 00:05.000 to its end")))
    assert "A part of the video: from 00:05.000 to its end." in page.text
    assert "A part of" not in PageReader(render_matte(whole)).text
