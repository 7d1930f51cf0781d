"""The HTML page of one matte, which lies beside its images."""

from collections.abc import Mapping
from dataclasses import dataclass

from labeling.report.page import render_page

COVERAGE_WORDS = {
    "seen": "seen without people in a sample",
    "all_frames": "found in another frame",
    "least_motion": "always covered: taken where least moves",
    "inpainted": "never seen: filled in from around",
}


@dataclass(frozen=True, slots=True)
class MattePage:
    """Contents of the page."""

    name: str
    """File name of the video."""
    frames: int
    frames_with_people: int
    most_people: int
    duration_s: float
    people: tuple[int, ...]
    """Largest number of people in each of equal parts of the frames."""
    coverage: Mapping[str, tuple[tuple[int, int, int], float]]
    """RGB and share of the pixels of each code in `coverage.png`; empty without a plate."""
    warnings: tuple[str, ...]
    alpha_videos: tuple[str, ...]
    """File names of the videos with alpha, also those of earlier commands: they show no background."""
    part: str = ""
    """The part of the video that was cut out, such as `from 00:05.000 to 00:08.000`; empty: all of it."""


def render_matte(page: MattePage) -> str:
    """Render the page; it shows `preview.webp` and `plate.png` of its folder.

    `coverage.png` is shown only if the pixels of the plate come from more than one place.
    """
    legend = [
        (f"#{red:02x}{green:02x}{blue:02x}", COVERAGE_WORDS[code], share)
        for code, ((red, green, blue), share) in page.coverage.items()
        if share
    ]
    return render_page("matte.html.j2", page=page, legend=legend)
