from collections.abc import Iterator
from importlib import resources

import pytest

from configs.errors import MaskmillError, SourceError
from labeling.report.charts import AgreementHistogram, funnel_rows, histogram_chart
from labeling.report.wording import advice_for, listing, rate, summary_sentence
from labeling.text.figures import duration, percent
from tests.labeling.report.page_reader import PageReader

COUNTS = {
    "sampled": 1000,
    "rejected:blurred": 100,
    "rejected:no_people": 300,
    "compared": 600,
    "easy": 540,
    "hard": 60,
    "accepted": 45,
    "review": 15,
}


@pytest.mark.parametrize(
    ("counts", "videos", "images", "sentence"),
    [
        (COUNTS, 1, 0, "Of 1,000 frames sampled from 1 video, 600 were compared: the student got 60 wrong (10.0 %). The teacher is trusted on 45 of these; 15 wait for review by a person."),
        ({"sampled": 1, "compared": 1, "easy": 1}, 0, 1, "Of 1 frame sampled from 1 image, 1 was compared: the student agrees with the teacher on all of them."),
        ({"sampled": 9, "rejected:blurred": 9}, 2, 3, "Of 9 frames sampled from 2 videos and 3 images, none was compared: the filters rejected every one."),
        ({"sampled": 2, "compared": 2, "easy": 1, "hard": 1, "review": 1}, 1, 0, "Of 2 frames sampled from 1 video, 2 were compared: the student got 1 wrong (50.0 %). The teacher is trusted on 0 of these; 1 waits for review by a person."),
    ],
)  # fmt: skip
def test_the_sentence_fits_the_numbers(
    counts: dict[str, int], videos: int, images: int, sentence: str
) -> None:
    assert summary_sentence(counts, videos=videos, images=images) == sentence


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
        for a in PageReader(str(histogram_chart(histogram))).named("rect")
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
