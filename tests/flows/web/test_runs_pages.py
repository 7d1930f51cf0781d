"""Pages of runs: list, gallery with filters and pages, one frame with its layers, links."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from db.frames.gallery import ReviewTask
from labeling.review.label_studio.credentials import Credentials, write_credentials
from labeling.storage.home import Home
from tasks.execution.context import close_databases
from tasks.gallery import task_url
from tests.flows.web.conftest import IDLE, client_of
from tests.planted_reviews import PlantedFrame, PlantedRun, box_mask, person_frames, plant_run

EASY = PlantedFrame([box_mask(10, 10, 30, 80)], [box_mask(10, 10, 30, 80)], decision="easy")
COUNT = 60


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    yield Home(tmp_path / "home")
    close_databases()


@pytest.fixture
def run(home: Home) -> PlantedRun:
    return plant_run(home, [*person_frames(COUNT), EASY])


@pytest.fixture
def browser(home: Home, run: PlantedRun) -> Iterator[httpx.Client]:
    with client_of(home.root, command=IDLE) as client:
        yield client


def shown_frames(page: str) -> list[int]:
    return [int(found) for found in re.findall(r'href="/runs/\w+/frames/(\d+)"', page)]


def test_a_home_without_runs_says_how_to_start_one(idle: httpx.Client) -> None:
    assert "No runs yet" in idle.get("/runs").text
    missing = idle.get("/runs/0123456789abcdef")
    assert (missing.status_code, "There is no run yet" in missing.text) == (404, True)
    assert not list(Path().glob("maskmill.db"))


@pytest.mark.slow
def test_runs_are_listed_with_links_to_frames_and_report(browser: httpx.Client, run: PlantedRun) -> None:
    page = browser.get("/runs").text
    assert f'href="/runs/{run.id}"' in page
    assert "Not finished" in page
    report = browser.get(f"/runs/{run.id}/report.html")
    assert "<html" in report.text
    assert "script" not in report.headers["content-security-policy"]


@pytest.mark.slow
def test_pages_of_a_gallery_show_each_frame_once(browser: httpx.Client, run: PlantedRun) -> None:
    first = browser.get(f"/runs/{run.id}").text
    (following,) = re.findall(r'id="next" href="([^"]+)"', first)
    second = browser.get(following.replace("&amp;", "&")).text
    assert 'id="next"' not in second
    frames = [*shown_frames(first), *shown_frames(second)]
    assert len(shown_frames(first)) == 48
    assert sorted(frames) == sorted(run.frames)


@pytest.mark.slow
def test_filters_choose_frames(browser: httpx.Client, run: PlantedRun) -> None:
    assert shown_frames(browser.get(f"/runs/{run.id}?decision=easy").text) == [run.frames[-1]]
    assert shown_frames(browser.get(f"/runs/{run.id}?low=1").text) == [run.frames[-1]]
    assert len(shown_frames(browser.get(f"/runs/{run.id}?cause=miss&high=0.9").text)) == 48
    assert shown_frames(browser.get(f"/runs/{run.id}?cause=split").text) == []
    assert "No frame matches" in browser.get(f"/runs/{run.id}?video={'0' * 64}").text


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        "decision=<script>",
        "low=-1",
        "low=nan",
        "after=x",
        "after=1e999_1",
        "after=0.5_99999999999999999999",
        "cause=%00",
    ],
)
def test_hostile_filters_are_harmless(browser: httpx.Client, run: PlantedRun, query: str) -> None:
    answer = browser.get(f"/runs/{run.id}?{query}")
    assert answer.status_code in (200, 404)
    assert "<script>" not in answer.text


@pytest.mark.slow
def test_a_frame_has_layers_over_its_image(browser: httpx.Client, run: PlantedRun) -> None:
    address = f"/runs/{run.id}/frames/{run.frames[0]}"
    page = browser.get(address).text
    assert page.count('class="layer"') == 3
    assert "The student missed a person" in page
    image = Image.open(io.BytesIO(browser.get(f"{address}/image.jpg").content))
    assert image.size == (160, 120)
    layers = {
        name: np.asarray(Image.open(io.BytesIO(browser.get(f"{address}/{name}.png").content)))
        for name in ("teacher", "student", "difference")
    }
    assert all(layer.shape == (120, 160, 4) for layer in layers.values())
    teacher_only, both, outside = (50, 25), (22, 105), (5, 5)
    assert tuple(layers["teacher"][teacher_only][:3]) == (86, 180, 233)
    assert layers["student"][teacher_only][3] == 0
    assert tuple(layers["difference"][teacher_only][:3]) == (86, 180, 233)
    assert tuple(layers["difference"][both][:3]) == (190, 194, 200)
    assert all(layer[outside][3] == 0 for layer in layers.values())
    assert browser.get(f"{address}/thumbnail.jpg").content.startswith(b"\xff\xd8")


@pytest.mark.slow
def test_unknown_frames_runs_and_layers_are_answered_in_words(browser: httpx.Client, run: PlantedRun) -> None:
    for address in (
        f"/runs/{run.id}/frames/1",
        f"/runs/{run.id}/frames/1/image.jpg",
        f"/runs/{run.id}/frames/{run.frames[0]}/secret.png",
        "/runs/ffff",
        "/runs/%25",
    ):
        answer = browser.get(address)
        assert answer.status_code == 404
        assert "Go to the start page" in answer.text


def test_tasks_in_label_studio_are_linked(home: Home) -> None:
    task = ReviewTask("https://studio.example", 3, 14, "open")
    assert task_url(task, home) == "https://studio.example/projects/3/data?task=14"
    local = ReviewTask("local", 3, 14, "open")
    assert task_url(local, home) is None
    home.create()
    write_credentials(home.root, Credentials("http://127.0.0.1:8080", "secret"))
    assert task_url(local, home) == "http://127.0.0.1:8080/projects/3/data?task=14"
    assert task_url(ReviewTask("javascript:alert(1)", 3, 14, "open"), home) is None
