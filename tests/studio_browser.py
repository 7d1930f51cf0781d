"""An annotator: a headless Chromium with a user logged in to Label Studio."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.browser import open_page
from tests.studio_server import RunningStudio

if TYPE_CHECKING:
    from playwright.sync_api import Page

_DRAWN = "document.querySelectorAll('.konvajs-content canvas').length"
_IMAGE = ".lsf-image > canvas"
"""Covers exactly the image, without its margins."""


@dataclass(frozen=True)
class ImageBox:
    """Position of the image on the page, in pixels of the page."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Annotator:
    """A user with the page of one task open."""

    page: "Page"
    url: str

    def open(self, project: int, task: int, *, size_wh: tuple[int, int] = (1280, 720)) -> None:
        """Open a task in a window of that size, and wait until the page does not change any more."""
        self.page.set_viewport_size({"width": size_wh[0], "height": size_wh[1]})
        self.page.goto(f"{self.url}/projects/{project}/data?task={task}")
        self.page.wait_for_selector(_IMAGE, state="attached")
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_function(f"{_DRAWN} > 0")
        self._wait_until_still()

    def find_image(self) -> ImageBox:
        box = self.page.locator(_IMAGE).first.bounding_box()
        assert box is not None
        return ImageBox(box["x"], box["y"], box["width"], box["height"])

    def screenshot(self) -> NDArray[np.uint8]:
        """Return the screen, HxWx3."""
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"))

    def select(self, position: int, *, text: str = "person") -> None:
        """Select the region of a person, or of another category, in the list, counted from the top."""
        self.page.locator(".lsf-outliner-item").filter(has_text=text).nth(position).click()

    def press_label(self, text: str) -> None:
        """Press the button of a label."""
        self.page.locator(".lsf-label").filter(has_text=text).click()

    def draw(self, points_xy: Sequence[tuple[float, float]]) -> None:
        """Draw one stroke with the selected tool through these points of the page."""
        self.page.mouse.move(*points_xy[0])
        self.page.mouse.down()
        for point in points_xy[1:]:
            self.page.mouse.move(*point, steps=10)
        self.page.mouse.up()
        self._wait_until_still()

    def submit(self) -> dict[str, Any]:
        """Press the button, and wait for the response; returns what the browser sent."""
        with self.page.expect_response(
            lambda answer: "/annotations" in answer.url and answer.request.method == "POST"
        ) as waiting:
            self.page.locator("button").filter(has_text="Submit").click()
        assert waiting.value.ok
        return dict(waiting.value.request.post_data_json or {})

    def _wait_until_still(self) -> None:
        """Wait until the page has looked the same for a second: masks are decoded one after the other."""
        before, unchanged = None, 0
        for _ in range(60):
            self.page.wait_for_timeout(300)
            now = self.page.screenshot()
            unchanged = unchanged + 1 if now == before else 0
            if unchanged == 3:
                return
            before = now
        pytest.fail("the page kept changing")


@contextmanager
def annotate(studio: RunningStudio) -> Iterator[Annotator]:
    """Log in with the server's own user, until the end of the block."""
    with open_page() as page:
        page.goto(f"{studio.access.url}/user/login/")
        page.fill("#email", studio.access.email)
        page.fill("#password", studio.access.password)
        page.click("[type=submit]")
        page.wait_for_url(lambda url: "login" not in url)
        yield Annotator(page, studio.access.url)
