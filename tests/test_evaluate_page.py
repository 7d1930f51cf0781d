"""The commands of docs/evaluate.md, on mattes and a plate of the rendered scene."""

import json
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from flows.cli.main import app
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray, union_masks
from labeling.synthetic.scene import Scene
from tests.conftest import ROOT
from tests.labeling.evaluation.matted_scenes import save_images

PAGE = (ROOT / "docs" / "evaluate.md").read_text("utf-8")
SIZE_HW = (192, 256)
FRAMES = range(200, 204)


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    return str(found)


@pytest.fixture(scope="module")
def frames() -> list[tuple[RgbImage, BoolArray]]:
    scene = Scene(size_hw=SIZE_HW)
    rendered = [scene.frame(number) for number in FRAMES]
    return [(rgb, union_masks(masks, SIZE_HW).to_array()) for rgb, masks in rendered]


def soften(person: BoolArray) -> NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(person.astype(np.uint8) * 255, (0, 0), 1.0), dtype=np.uint8)


@pytest.mark.slow
def test_the_command_of_the_page_compares_mattes_and_a_plate(
    frames: list[tuple[RgbImage, BoolArray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rgb, people = [one for one, _ in frames], [one for _, one in frames]
    assert min(person.sum() for person in people) > 100
    save_images(Path("out/dance/alpha"), {f"{n:05}.png": np.uint8(200) * one for n, one in enumerate(people)})
    save_images(Path("dance/alpha"), {f"{n:05}.png": soften(one) for n, one in enumerate(people)})
    save_images(Path("dance/frames"), {f"{n:05}.png": one for n, one in enumerate(rgb)})
    save_images(Path("out/office/alpha"), {f"{n:05}.png": soften(one) for n, one in enumerate(people)})
    moving = [np.where(one, 255, 0).astype(np.uint8) for one in people]
    save_images(Path("office/groundtruth"), {f"gt{n:06}.png": one for n, one in enumerate(moving, start=1)})
    save_images(Path("office/input"), {f"in{n:06}.jpg": one for n, one in enumerate(rgb, start=1)})
    roi = np.full(SIZE_HW, 255, np.uint8)
    save_images(Path("office"), {"ROI.bmp": roi, "empty.png": rgb[0]})
    save_images(Path("out/office"), {"plate.png": rgb[-1]})
    Path("videos.yaml").write_text(block("yaml"))
    for line in block("sh").splitlines():
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    figures = json.loads(Path("figures.json").read_text())
    assert (figures["sets"], figures["frames"]) == ({}, [])
    assert set(figures["mattes"]) == {"dance", "office", "all"}
    dance, office = figures["mattes"]["dance"], figures["mattes"]["office"]
    assert (dance["frames"], dance["offset"], office["offset"]) == (4, 0, 1)
    assert dance["alpha"]["messddt"] > 0
    assert office["alpha"] is None
    assert office["masks"]["f"] > 0.97
    assert len(office["sweep"]) == 19
    assert figures["plates"]["office"]["age"] > 0
    assert 0.5 < figures["plates"]["office"]["ms_ssim"] < 1
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["office", "4", "0", "1", "(inferred)"] in rows
    assert [row[0] for row in rows].count("all") == 3
    html = Path("evaluation.html").read_text()
    assert "2 mattes and 1 background plate compared with ground truth." in html
    assert html.count("<img ") == 8
    assert "IoU of both models" not in html
