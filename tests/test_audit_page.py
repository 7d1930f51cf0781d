"""The command of docs/audit.md, on drawn people with planted faults, and its errors."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from configs.load import load_config
from flows.cli.main import app
from labeling.audit.records import open_mask_file
from labeling.segmenters.lite import LiteSegmenter
from labeling.storage.home import Home
from labeling.structures.masks import Mask
from tasks.audit import Audit, audit_files, name_files
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "audit.md").read_text("utf-8")
SIZE_HW = (120, 200)
PEOPLE = ((20, 30, 30, 70), (70, 30, 30, 70), (130, 20, 40, 80))
"""x, y, width and height of the people in each image, of whom it has the first, the first two, or all."""
CONFIG = """
teacher: {kind: masks_folder, path: teacher.json}
student: background
"""


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, words)])


def label(number: int, image_id: int, box: tuple[int, int, int, int]) -> dict[str, Any]:
    x, y, w, h = box
    outline = [x, y, x + w, y, x + w, y + h, x, y + h]
    return {
        "id": number, "image_id": image_id, "category_id": 1, "segmentation": [outline],
        "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0,
    }  # fmt: skip


def coco(images: range, boxes: dict[int, list[tuple[int, int, int, int]]]) -> dict[str, Any]:
    height, width = SIZE_HW
    records = [{"id": n, "file_name": f"{n}.png", "height": height, "width": width} for n in images]
    pairs = [(n, box) for n in images for box in boxes[n]]
    labels = [label(100 * n + number, n, box) for number, (n, box) in enumerate(pairs)]
    return {"images": records, "annotations": labels, "categories": [{"id": 1, "name": "person"}]}


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight images in two splits, the labels of four of them wrong; a fifth image is in both splits."""
    monkeypatch.chdir(tmp_path)
    truth = {n: list(PEOPLE[: 1 + n % 3]) for n in range(9)}
    Path("images").mkdir()
    for n in range(9):
        pixels = np.random.default_rng(n % 8).integers(0, 256, (12, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize(SIZE_HW[::-1], Image.Resampling.BICUBIC).save(f"images/{n}.png")
    Path("teacher.json").write_text(json.dumps(coco(range(9), truth)))
    Path("mine.yaml").write_text(CONFIG)
    wrong = {n: list(boxes) for n, boxes in truth.items()}
    del wrong[1][1]  # missing
    wrong[2][2] = (150, 20, 40, 80)  # shifted
    wrong[4] = [(20, 30, 80, 70)]  # merged
    wrong[7][0] = (20, 30, 45, 70)  # leaking
    Path("train.json").write_text(json.dumps(coco(range(5), wrong)))
    Path("val.json").write_text(json.dumps(coco(range(5, 9), wrong)))
    return tmp_path


@pytest.mark.usefixtures("dataset")
def test_the_command_of_the_page_lists_the_planted_faults_and_the_leak() -> None:
    (line,) = re.findall(r"```sh\nmaskmill audit (.*)\n```", PAGE)
    done = run(*shlex.split(line.replace("--config lite", "--config mine.yaml")))
    assert done.exit_code == 0, done.output
    assert "4 suspects" in done.stdout
    tree = json.loads(Path("audit/audit.json").read_text())
    found = {(one["kind"], one["split"], one["image"]) for one in tree["suspects"]}
    assert found == {
        ("missing", "train", "1.png"),
        ("shifted", "train", "2.png"),
        ("merged", "train", "4.png"),
        ("leaking", "val", "7.png"),
    }
    (shifted,) = (one for one in tree["suspects"] if one["kind"] == "shifted")
    assert shifted["shift_xy"] == [-20, 0]
    assert shifted["annotations"] == ["204"]
    assert [(one["first"], one["second"]) for one in tree["leaks"]] == [
        (["train", "0.png"], ["val", "8.png"])
    ]
    assert tree["counts"]["train"] == {"images": 5, "labels": 7, "people": 9}
    page = Path("audit/audit.html").read_text()
    assert page.count("<figure>") == 6
    assert "moved 20 px left" in page


@pytest.mark.usefixtures("dataset")
def test_a_record_that_is_unsound_costs_only_itself_and_what_is_missing_is_counted() -> None:
    tree = json.loads(Path("train.json").read_text())
    tree["annotations"][0]["segmentation"] = [[1, 2, 3]]
    tree["annotations"][-1]["bbox"] = [150, 20, 30, 30]  # far from its mask, as where two masks are exchanged
    tree["annotations"].append(label(900, 77, PEOPLE[0]))
    tree["annotations"].append("text")
    tree["images"][3]["file_name"] = "gone.png"
    Path("train.json").write_text(json.dumps(tree))
    Path("images/2.png").write_bytes(b"no image")
    done = run("train.json", "--images", "images", "--config", "mine.yaml", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [(one["image"], one["annotation"]) for one in found["faults"]] == [
        ("", "900"),
        ("", ""),
        ("0.png", "0"),
        ("4.png", "406"),
    ]
    assert found["counts"]["train"]["images"] == 3
    assert any("not in images: 1" in line for line in found["notes"])
    assert any("not_a_video: 1" in line for line in found["notes"])


@pytest.mark.usefixtures("dataset")
def test_files_with_only_boxes_are_compared_as_boxes() -> None:
    tree = json.loads(Path("train.json").read_text())
    for one in tree["annotations"]:
        del one["segmentation"]
    Path("train.json").write_text(json.dumps(tree))
    done = run("train.json", "--images", "images", "--config", "mine.yaml", "--json")
    kinds = {(one["kind"], one["image"]) for one in json.loads(done.stdout)["suspects"]}
    assert kinds == {("missing", "1.png"), ("shifted", "2.png"), ("merged", "4.png")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("gone.json", "--images", "images"), "gone.json is not a file: name a COCO annotation file"),
        (("train.json", "--images", "gone"), "--images gone is not a folder"),
        (("images/0.png", "--images", "images"), "images/0.png is not JSON"),
        (
            ("train.json", "val.json", "train.json", "--images", "a", "--images", "b"),
            "2 folders for 3 COCO files",
        ),
        (("train.json", "--images", "images", "--to", "val.json"), "--to val.json is a file: name a folder"),
        (("train.json", "--images", "images", "--person-category", "cat"), "no category is called 'cat'"),
    ],
)
@pytest.mark.usefixtures("dataset")
def test_wrong_use_is_told(words: tuple[str, ...], told: str) -> None:
    done = run(*words, "--config", "mine.yaml")
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.split())


@pytest.mark.usefixtures("dataset")
def test_crowds_are_neither_labels_nor_missing_people() -> None:
    tree = json.loads(Path("train.json").read_text())
    crowd = label(901, 1, PEOPLE[1]) | {
        "iscrowd": 1,
        "segmentation": {"size": list(SIZE_HW), "counts": _runs(PEOPLE[1])},
    }
    tree["annotations"].append(crowd)
    Path("train.json").write_text(json.dumps(tree))
    done = run("train.json", "--images", "images", "--config", "mine.yaml", "--json")
    found = json.loads(done.stdout)
    assert "missing" not in {one["kind"] for one in found["suspects"]}
    assert found["counts"]["train"]["labels"] == 7


def _runs(box: tuple[int, int, int, int]) -> list[int]:
    x, y, w, h = box
    pixels = np.zeros(SIZE_HW, dtype=np.bool_)
    pixels[y : y + h, x : x + w] = True
    return [int(run) for run in Mask.from_array(pixels).to_runs()]


@pytest.mark.shared
def test_a_second_audit_uses_the_kept_predictions_of_real_networks(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three images in batches of two, the last one's predictions are lost, as by a kill before they were written."""
    monkeypatch.setattr("tasks.audit.BATCH", 2)
    coco = shared / "data" / "coco_mini"
    tree = json.loads((coco / "annotations" / "instances_train2017.json").read_text())
    people = [one["image_id"] for one in tree["annotations"] if one["category_id"] == 1]
    tree["images"] = [image for image in tree["images"] if image["id"] in people][:3]
    ids = {image["id"] for image in tree["images"]}
    tree["annotations"] = [one for one in tree["annotations"] if one["image_id"] in ids]
    path, home = tmp_path / "small.json", Home(tmp_path / "home")
    path.write_text(json.dumps(tree))

    def audit() -> Audit:
        with open_mask_file() as masks:
            files = name_files([path], [coco / "train2017"])
            config = load_config("lite", [f"weights_dir={shared / 'weights'}"])
            return audit_files(files, config, home, masks, config_name="lite")

    first = audit()
    written = [
        one for one in home.predictions.glob("*/*/*.json.gz") if not one.parent.name.endswith("-boxes")
    ]
    assert len(written) == 2
    assert list(home.predictions.glob("*/*-boxes/*.json.gz"))
    max(written, key=lambda file: file.stat().st_mtime_ns).unlink()
    second = audit()
    monkeypatch.setattr(LiteSegmenter, "_segment_box", None)  # what it saw in boxes is kept too
    third = audit()
    assert (first.known, second.known, third.known) == (0, 2, 3)
    assert first.to_tree() == second.to_tree() == third.to_tree()
