"""`maskmill evaluate`: its errors, its table and its JSON, with real networks on real ground truth."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli import app


def maskmill(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in ("evaluate", *words)])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "no ground truth: name a SETS.yaml, or --images with --coco or --masks"),
        (("sets.yaml", "--images", "x"), "sets.yaml names its own pictures"),
        (("--images", "x"), "wants either coco (a file) or masks (a folder)"),
        (("gone.yaml",), "no readable file gone.yaml"),
        (("typo.yaml",), "labelled set typo.yaml: streets: unknown key 'mask'; did you mean 'masks'?"),
        (("empty.yaml",), "empty.yaml: no labelled set"),
    ],
)
def test_wrong_use_is_told(
    words: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("typo.yaml").write_text("streets: {images: x, mask: y}\n")
    Path("empty.yaml").write_text("")
    done = maskmill(*words, "--config", "offline")
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.split())


@pytest.mark.shared
def test_figures_of_real_networks_on_real_ground_truth(shared: Path, tmp_path: Path) -> None:
    data, sets, to, page = (
        shared / "data",
        *(tmp_path / name for name in ("sets.yaml", "figures.json", "page.html")),
    )
    sets.write_text(
        f"office: {{images: {data}/cdnet_office/input, masks: {data}/cdnet_office/groundtruth, "
        "codes: cdnet, every: 50}\n"
        f"streets: {{images: {data}/pennfudan/images, masks: {data}/pennfudan/masks, every: 15}}\n"
    )
    words = ("--config", "lite", "--set", f"weights_dir={shared / 'weights'}", "--json", to, "--report", page)
    done = maskmill(sets, *words)
    assert done.exit_code == 0, done.output
    for name in ("office", "streets", "all"):
        assert done.stdout.count(f"\n{name} ") == 5
    figures = json.loads(to.read_text())
    assert {name: one["frames"] for name, one in figures["sets"].items()} == {
        "office": 11,
        "streets": 5,
        "all": 16,
    }
    assert len(figures["frames"]) == 16
    assert figures["sets"]["streets"]["teacher_iou"] > 0.75
    assert figures["sets"]["office"]["student_iou"] > 0.5
    html = page.read_text()
    compared = 16 - figures["sets"]["all"]["rejected"]
    assert compared >= 14
    trusting = figures["sets"]["all"]["trusting"]
    assert trusting["count"] > 10
    assert 0 <= trusting["error"] < 0.5
    assert html.count("<circle") == 2 * compared + len(trusting["curve"]) + len(trusting["risk_coverage"])
    assert f"{figures['sets']['streets']['teacher_iou']:.3f}" in html


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    picture = np.zeros((20, 30), np.uint8)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(picture).save(tmp_path / folder / "1.png")
    words = ("--images", tmp_path / "images", "--masks", tmp_path / "masks", "--config", "offline")
    done = maskmill(*words, "--json", tmp_path)
    assert done.exit_code == 2
    assert "is a folder: name a file to write" in " ".join(done.stderr.split())
