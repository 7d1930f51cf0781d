"""The page in a real browser, as a video editor and a member of the team use it."""

import re
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows.web.jobs import JobStore
from labeling.storage.home import Home
from tasks.execution.context import close_databases
from tasks.execution.process_identity import ProcessIdentity
from tests.browser import expect, open_page
from tests.planted_reviews import person_frames, plant_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WAIT_MS = 240_000
SIZES = ((1280, 860), (390, 844))


class Server:
    """The server as a process that can be killed."""

    def __init__(self, home: Path, *, seconds_per_frame: float) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._home, self._pace = home, seconds_per_frame
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.fakes.web_server"]
        command += [str(self._home), str(self._port), str(self._pace)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        assert "open http" in self._process.stdout.readline()

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(sent)
        self._process.communicate(timeout=120)

    def running_process(self) -> ProcessIdentity:
        (job,) = JobStore(self._home / "jobs").list()
        process = ProcessIdentity.parse(job.process)
        assert process
        return process


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "home", seconds_per_frame=0.5)
    yield made
    made.stop()


@pytest.fixture
def page() -> Iterator["Page"]:
    with open_page(timeout_ms=WAIT_MS) as page:
        page.set_viewport_size({"width": 1280, "height": 860})
        yield page


@pytest.fixture
def three_files(tmp_path: Path, video: bytes) -> list[Path]:
    """Two videos, and between them a file that is none."""
    files = {"Take 1.mp4": video, "broken.mp4": b"no video" * 50, "Take 2.mp4": video}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return [tmp_path / name for name in files]


def fits(page: "Page") -> bool:
    """Return whether no part of the page is wider than the window."""
    return bool(page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth"))


def test_an_editor_uploads_follows_compares_and_downloads_although_the_server_is_killed(
    server: Server, page: "Page", three_files: list[Path]
) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#start")).to_be_disabled()
    page.set_input_files("#files", three_files)
    page.click("button[aria-label='White']")
    page.click("#start")
    page.wait_for_selector(".video.running .live img")
    expect(page.locator(".video.running .status")).to_contain_text(re.compile(r"frame \d+ of 12"))

    process = server.running_process()
    server.stop(signal.SIGKILL)
    page.wait_for_selector("#offline:not([hidden])")
    while not process.is_gone():
        page.wait_for_timeout(100)
    server.start()

    page.wait_for_selector(".job[data-state=done]")
    expect(page.locator("#offline")).to_be_hidden()
    expect(page.locator(".job")).to_have_count(1)
    expect(page.locator(".video")).to_have_count(3)
    expect(page.locator(".video.failed")).to_have_count(1)
    expect(page.locator(".video.failed")).to_contain_text("not a video")
    check_comparison(page)
    check_downloads(page)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert fits(page)
    page.click(".job .plain")
    page.click("#confirm button[value=delete]")
    page.wait_for_selector("#empty:not([hidden])")
    assert errors == []


def check_comparison(page: "Page") -> None:
    page.wait_for_selector("text=Compare")
    page.locator("text=Compare").first.click()
    assert page.locator("#before").evaluate("it => it.decode().then(() => it.naturalWidth)") == 144
    sources = [page.locator(f"#{side}").get_attribute("src") for side in ("before", "after")]
    assert sources[0] != sources[1]
    page.locator("#split").focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#before")).to_have_css("clip-path", re.compile(" 55% "))
    page.locator("#moment").fill("0")
    expect(page.locator("#after")).to_have_attribute("src", re.compile(r"after-00\.jpg$"))
    page.click("#compare-close")


def check_downloads(page: "Page") -> None:
    with page.expect_download() as waiting:
        page.click("text=Download all")
    with zipfile.ZipFile(waiting.value.path()) as archive:
        names = set(archive.namelist())
    assert {"Take 1/composite.mp4", "Take 2/alpha/00011.png", "not processed.txt"} <= names
    with page.expect_download() as waiting:
        page.locator(".video .actions a").first.click()
    assert waiting.value.suggested_filename == "Take 1.zip"


def test_files_are_dropped_and_removed_and_mistakes_are_reported_at_once(
    server: Server, page: "Page", three_files: list[Path]
) -> None:
    page.goto(server.url)
    page.evaluate(
        """names => {
          const transfer = new DataTransfer();
          for (const name of names) transfer.items.add(new File(["x".repeat(50)], name));
          window.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        ["notes.txt", "a.mp4"],
    )
    expect(page.locator("#chosen li")).to_have_count(2)
    page.click("[aria-label='Remove a.mp4']")
    expect(page.locator("#start")).to_have_text("Start with 1 file")
    page.click("text=Picture or video")
    page.click("#start")
    expect(page.locator("#form-error")).to_contain_text("Choose a picture")
    page.click("text=Blur")
    page.click("#start")
    expect(page.locator(".video.failed")).to_contain_text("This is not a video")


def test_the_team_browses_frames_and_switches_layers(tmp_path: Path, page: "Page") -> None:
    home = Home(tmp_path / "home")
    plant_run(home, person_frames(55))
    close_databases()
    server = Server(home.root, seconds_per_frame=0)
    try:
        page.goto(f"{server.url}/runs")
        page.click("text=planted")
        expect(page.locator(".sheet figure")).to_have_count(48)
        assert (
            page.locator(".sheet img").first.evaluate("it => it.decode().then(() => it.naturalWidth)") == 400
        )
        page.click("#next")
        page.wait_for_url(re.compile("after="))
        expect(page.locator(".sheet figure")).to_have_count(7)
        page.select_option("select[name=decision]", "accepted")
        page.click(".filters button")
        expect(page.locator(".empty")).to_contain_text("No frame matches")
        page.click("text=Show all frames")
        page.locator(".sheet a").first.click()
        page.wait_for_selector(".layer[data-layer=difference]")
        page.click("text=Student")
        visible = page.locator(".layer:not([hidden])")
        expect(visible).to_have_count(1)
        expect(visible).to_have_attribute("data-layer", "student")
        page.click("text=Image only")
        expect(visible).to_have_count(0)
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            assert fits(page)
    finally:
        server.stop()
