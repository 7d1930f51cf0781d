"""`maskmill evaluate`: its errors, its table and its JSON, with real networks on real ground truth."""

import json
from pathlib import Path

import pytest
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
    data, sets, to = shared / "data", tmp_path / "sets.yaml", tmp_path / "figures.json"
    sets.write_text(
        f"office: {{images: {data}/cdnet_office/input, masks: {data}/cdnet_office/groundtruth, "
        "codes: cdnet, every: 50}\n"
        f"streets: {{images: {data}/pennfudan/images, masks: {data}/pennfudan/masks, every: 15}}\n"
    )
    done = maskmill(sets, "--config", "lite", "--set", f"weights_dir={shared / 'weights'}", "--json", to)
    assert done.exit_code == 0, done.output
    for name in ("office", "streets", "all"):
        assert done.stdout.count(f"\n{name} ") == 4
    figures = json.loads(to.read_text())
    assert {name: one["frames"] for name, one in figures["sets"].items()} == {
        "office": 11,
        "streets": 5,
        "all": 16,
    }
    assert len(figures["frames"]) == 16
    assert figures["sets"]["streets"]["teacher_iou"] > 0.75
    assert figures["sets"]["office"]["student_iou"] > 0.5
