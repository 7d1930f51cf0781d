"""A headless Chromium with one page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.requirements import require_module, skip_or_fail

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page
    from playwright.sync_api._generated import LocatorAssertions

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def open_page(*, timeout_ms: int = 60_000) -> Iterator["Page"]:
    """Start the browser of this machine, until the end of the block."""
    require_module("browser", "playwright")
    chromium = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if chromium is None:
        skip_or_fail("browser", "no chromium on the PATH")
    from playwright.sync_api import expect as playwright_expect
    from playwright.sync_api import sync_playwright

    playwright_expect.set_options(timeout=timeout_ms)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(timeout_ms)
        yield page
        browser.close()


def expect(locator: "Locator") -> "LocatorAssertions":
    """Return assertions about a part of the page, which wait until they are true.

    What a script of the page writes is there only some time after the page has loaded.
    """
    from playwright.sync_api import expect as playwright_expect

    return playwright_expect(locator)
