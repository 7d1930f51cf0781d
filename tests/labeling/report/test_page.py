import base64
import dataclasses
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest

from configs.errors import MaskmillError, SourceError
from labeling.report.charts import funnel_rows, histogram_chart
from labeling.report.contents import (
    AgreementHistogram,
    ExampleImage,
    FrameCounts,
    ModelLine,
    ReportData,
    RunHeader,
    SourceFailure,
    SourceLine,
    StageTime,
)
from labeling.report.page import render_report
from labeling.report.wording import advice_for, listing, rate, summarize
from labeling.text.figures import duration, percent
from labeling.visualization.encode import encode_jpeg

JPEG = encode_jpeg(np.full((9, 12, 3), 90, dtype=np.uint8), quality=80)

COUNTS = FrameCounts.from_counts(
    {
        "sampled": 1000,
        "rejected:blurred": 100,
        "rejected:no_people": 300,
        "compared": 600,
        "easy": 540,
        "hard": 60,
        "accepted": 45,
        "review": 15,
    }
)

NOTHING = FrameCounts.from_counts({})


class _Reader(HTMLParser):
    """All elements with their attributes, and all text outside styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def _tile(title: str = "Evening walk", **changes: object) -> ExampleImage:
    tile = ExampleImage(
        JPEG, title, 83_040, "", 0.31, "review", ("the mirrored image disagrees",), ("miss", "miss")
    )
    return dataclasses.replace(tile, **changes)  # type: ignore[arg-type] # tests use existing fields


def _report(**changes: object) -> ReportData:
    data = ReportData(
        run=RunHeader(
            run_id="3f9a1c0be7d24456",
            config_name="street-night",
            code_version="0.1.0",
            models=(ModelLine("teacher", "torchvision:maskrcnn_resnet50_fpn_v2", "73cbd019" + "0" * 56),),
            started_at=datetime(2026, 5, 30, 22, 4, tzinfo=UTC),
            finished_at=datetime(2026, 5, 31, 1, 17, tzinfo=UTC),
        ),
        videos=3,
        images=0,
        counts=COUNTS,
        histogram=AgreementHistogram((5,) * 10 + (55,) * 10, both_empty=7, hard_below=0.5),
        causes=(("miss", 31), ("boundary", 52)),
        tiles=(_tile(),),
        stages=(StageTime("decode", 12.0, 1000), StageTime("teacher", 48.0, 600)),
        sources=(
            SourceLine("walk.mp4", title="Evening walk", license="CC-BY-4.0", frames=1000, hard=60),
            SourceLine("https://video.example/x", failure=SourceFailure("removed", "x: taken down")),
        ),
    )
    return dataclasses.replace(data, **changes)  # type: ignore[arg-type] # tests use existing fields


def _read(**changes: object) -> _Reader:
    return _Reader(render_report(_report(**changes)))


def test_the_page_has_the_results() -> None:
    text = _read().text
    for expected in (
        "street-night",
        "3f9a1c0be7d24456",
        "torchvision:maskrcnn_resnet50_fpn_v2",
        "Of 1,000 frames sampled from 3 videos, 600 were compared: the student got 60 wrong (10.0 %).",
        "7 frames in which neither found a person",
        "01:23.040",
        "IoU 0.31",
        "the mirrored image disagrees",
        "miss (2)",
        "x: taken down",
        advice_for("removed"),
        "CC-BY-4.0",
    ):
        assert expected in text


def test_the_page_requires_no_other_files() -> None:
    page = render_report(_report())
    reader = _Reader(page)
    assert not reader.named("script")
    assert not reader.named("link")
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") for image in reader.named("img"))
    assert "url(" not in page
    assert "@import" not in page
    policy = next(meta for meta in reader.named("meta") if meta.get("http-equiv"))
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_an_image_is_embedded_unchanged() -> None:
    (image,) = _read().named("img")
    assert base64.b64decode((image["src"] or "").partition(",")[2]) == JPEG


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'--></style>{{ 7 * 7 }}"]
)
def test_no_text_from_outside_becomes_markup(hostile: str) -> None:
    run = RunHeader(hostile, hostile, hostile, (ModelLine(hostile, hostile, hostile),))
    reader = _read(
        run=run,
        counts=FrameCounts.from_counts({"sampled": 9, f"rejected:{hostile}": 9}),
        causes=((hostile, 1),),
        tiles=(ExampleImage(JPEG, hostile, None, hostile, 0.1, hostile, (hostile,), (hostile,)),),
        stages=(StageTime(hostile, 1.0, 1),),
        sources=(
            SourceLine(hostile, hostile, hostile, hostile, hostile),
            SourceLine(hostile, failure=SourceFailure(hostile, hostile, hostile)),
        ),
    )
    plain = _read()
    assert {name for name, _ in reader.elements} <= {name for name, _ in plain.elements} | {"ul", "li"}
    assert not any(key.startswith("on") for _, attributes in reader.elements for key in attributes)
    assert len(reader.named("img")) == 1
    assert reader.text.count(re.sub(r"\s+", " ", hostile.replace("_", " "))) >= 15


def test_only_web_addresses_become_links() -> None:
    addresses = ["https://a.example/1", "HTTP://a.example/2", "javascript:alert(1)", "data:text/html,x", None]
    sources = tuple(SourceLine(f"source {i}", url=address) for i, address in enumerate(addresses))
    assert [link["href"] for link in _read(sources=sources).named("a")] == addresses[:2]


def test_an_image_of_a_folder_shows_its_name_instead_of_a_time() -> None:
    text = _read(tiles=(_tile(pts_ms=None, name="IMG_0042.jpg"),)).text
    assert "IMG_0042.jpg" in text
    assert "01:23.040" not in text


def test_tiles_are_drawn_only_once() -> None:
    drawn = []

    def tiles() -> Iterator[ExampleImage]:
        for number in range(4):
            drawn.append(number)
            yield _tile(f"title {number}")

    reader = _read(tiles=tiles())
    assert drawn == [0, 1, 2, 3]
    assert [f"title {n}" in reader.text for n in range(4)] == [True] * 4


def test_the_same_data_give_the_same_page() -> None:
    assert render_report(_report()) == render_report(_report())


def test_a_name_with_undecodable_bytes_still_makes_a_page() -> None:
    page = render_report(_report(tiles=(_tile("w\udce9g.mp4"),)))
    assert "w?g.mp4" in page.encode("utf-8").decode("utf-8")


def test_a_run_without_frames_has_a_page() -> None:
    reader = _read(
        videos=0,
        counts=NOTHING,
        histogram=AgreementHistogram((0,) * 20, 0, 0.5),
        causes=(),
        tiles=(),
        stages=(),
    )
    assert "No frame was sampled. 1 source failed: see below." in reader.text
    assert not reader.named("img")


@pytest.mark.parametrize(
    ("counts", "videos", "images", "sentence"),
    [
        (COUNTS, 1, 0, "Of 1,000 frames sampled from 1 video, 600 were compared: the student got 60 wrong (10.0 %). The teacher is trusted on 45 of these; 15 wait for review by a person."),
        (FrameCounts(1, (), 1, 1, 0, 0, 0), 0, 1, "Of 1 frame sampled from 1 image, 1 was compared: the student agrees with the teacher on all of them."),
        (FrameCounts(9, (("blurred", 9),), 0, 0, 0, 0, 0), 2, 3, "Of 9 frames sampled from 2 videos and 3 images, none was compared: the filters rejected every one."),
        (FrameCounts(2, (), 2, 1, 1, 0, 1), 1, 0, "Of 2 frames sampled from 1 video, 2 were compared: the student got 1 wrong (50.0 %). The teacher is trusted on 0 of these; 1 waits for review by a person."),
    ],
)  # fmt: skip
def test_the_sentence_fits_the_numbers(counts: FrameCounts, videos: int, images: int, sentence: str) -> None:
    assert summarize(_report(counts=counts, videos=videos, images=images)) == sentence


def test_the_funnel_draws_rejections_at_the_right_end_of_the_remaining_frames() -> None:
    rows = {row.label: (row.after, row.frames) for row in funnel_rows(COUNTS)}
    assert rows == {
        "sampled": (0, 1000),
        "no people": (700, 300),
        "blurred": (600, 100),
        "compared": (0, 600),
        "easy": (60, 540),
        "hard": (0, 60),
        "accepted": (0, 45),
        "review": (45, 15),
    }


def _bars(histogram: AgreementHistogram) -> list[tuple[str, float, float, float]]:
    """(class, left %, width %, height px) of every bar in the chart."""
    return [
        (str(a["class"]), float(str(a["x"])[:-1]), float(str(a["width"])[:-1]), float(str(a["height"])))
        for a in _Reader(str(histogram_chart(histogram))).named("rect")
    ]


def test_bars_are_as_high_as_their_counts_and_colored_by_the_threshold() -> None:
    bars = _bars(AgreementHistogram((10, 0, 20, 40), both_empty=99, hard_below=0.5))
    assert [bar[0] for bar in bars] == ["hard", "easy", "easy"]
    heights = [bar[3] for bar in bars]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.1)
    assert heights[2] == pytest.approx(4 * heights[0], abs=0.1)
    assert [bar[1] for bar in bars] == pytest.approx([1.5, 51.5, 76.5])


def test_the_bin_of_the_threshold_has_two_colors_that_meet_there() -> None:
    hard, easy = _bars(AgreementHistogram((0, 8, 0, 0), both_empty=0, hard_below=0.3))
    assert (hard[0], easy[0]) == ("hard", "easy")
    assert hard[1] + hard[2] == pytest.approx(30)
    assert easy[1] == pytest.approx(30)
    assert hard[3] == easy[3]


def test_one_frame_among_a_million_is_still_drawn() -> None:
    bars = _bars(AgreementHistogram((1, 1_000_000), both_empty=0, hard_below=0.5))
    assert [bar[3] >= 1 for bar in bars] == [True, True]


@pytest.mark.parametrize("hard_below", [0.0, 1.0])
def test_a_threshold_at_either_end_leaves_one_color(hard_below: float) -> None:
    colors = {bar[0] for bar in _bars(AgreementHistogram((3, 4), 0, hard_below))}
    assert colors == ({"hard"} if hard_below else {"easy"})


def _subclasses(error: type[MaskmillError]) -> Iterator[type[MaskmillError]]:
    for below in error.__subclasses__():
        yield below
        yield from _subclasses(below)


@pytest.mark.parametrize("error", list(_subclasses(SourceError)))
def test_every_failure_of_a_source_comes_with_advice_of_its_own(error: type[MaskmillError]) -> None:
    assert advice_for(error.code) != advice_for("an unknown code")


def test_stages_show_their_rate_and_share() -> None:
    text = _read().text
    assert re.search(r"decode 12 s 1,000 83\.3 20\.0 %", text)
    assert re.search(r"teacher 48 s 600 12\.5 80\.0 %", text)


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (1, 3, "33.3 %"),
        (3, 3, "100 %"),
        (1, 10**6, "under 0.1 %"),
        (10**6 - 1, 10**6, "over 99.9 %"),
    ],
)
def test_a_share_is_never_rounded_to_0_or_100_percent(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.25, "0.25 s"), (9.96, "10 s"), (59.4, "59 s"), (59.9, "1 min 00 s"), (72, "1 min 12 s"), (3599.9, "1 h 00 min"), (4000, "1 h 07 min")],
)  # fmt: skip
def test_a_duration_has_suitable_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_rate_needs_frames_and_time() -> None:
    assert [rate(600, 48), rate(None, 48), rate(600, 0), rate(123_456, 1)] == ["12.5", "", "", "123,456"]


def test_causes_are_listed_once_with_their_counts() -> None:
    assert listing(("miss", "boundary", "miss")) == "miss (2), boundary"


def test_template_and_styles_are_in_the_package() -> None:
    shipped = {entry.name for entry in resources.files("labeling.report").iterdir()}
    assert {"report.html.j2", "report.css"} <= shipped
