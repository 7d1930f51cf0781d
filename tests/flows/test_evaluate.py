"""`maskmill evaluate`: its errors, its table and its JSON, with real networks on real ground truth."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli.main import app


def maskmill(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in ("evaluate", *words)])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "no ground truth: name a SETS.yaml, or --images with --coco or --masks"),
        (("sets.yaml", "--images", "x"), "sets.yaml names its own images"),
        (("--images", "x"), "set either coco (a file) or masks (a folder)"),
        (("gone.yaml",), "cannot read gone.yaml"),
        (("typo.yaml",), "labeled set typo.yaml: streets: unknown key 'mask'; did you mean 'masks'?"),
        (("empty.yaml",), "empty.yaml: no labeled set"),
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
        "mask_encoding: cdnet, every: 50}\n"
        f"streets: {{images: {data}/pennfudan/images, masks: {data}/pennfudan/masks, every: 15}}\n"
    )
    words = (
        "--config",
        "lite",
        "--set",
        f"weights_dir={shared / 'weights'}",
        "--figures",
        to,
        "--report",
        page,
    )
    done = maskmill(sets, *words)
    assert done.exit_code == 0, done.output
    for name in ("office", "streets", "all"):
        assert done.stdout.count(f"\n{name} ") == (5 if name == "office" else 6)
    figures = json.loads(to.read_text())
    assert {name: one["frames"] for name, one in figures["sets"].items()} == {
        "office": 11,
        "streets": 5,
        "all": 16,
    }
    assert len(figures["frames"]) == 16
    assert figures["sets"]["streets"]["teacher_iou"] > 0.75
    assert figures["sets"]["office"]["student_iou"] > 0.5
    assert figures["sets"]["streets"]["teacher_people"]["masks"]["iou"] > 0.75
    assert figures["sets"]["office"]["teacher_people"] is None  # one mask for everybody
    assert figures["sets"]["streets"]["student_people"] is None
    html = page.read_text()
    assert "People found by the teacher" in html
    assert "People found by the student" not in html
    compared = 16 - figures["sets"]["all"]["rejected"]
    assert compared >= 14
    trusting = figures["sets"]["all"]["trusting"]
    assert trusting["count"] > 10
    assert 0 <= trusting["error"] < 0.5
    assert html.count("<circle") == 2 * compared + len(trusting["curve"]) + len(trusting["risk_coverage"])
    assert f"{figures['sets']['streets']['teacher_iou']:.3f}" in html


Columns = tuple[int, int]
"""From, and how many: everybody is as high as the image."""

FRAMES: tuple[tuple[dict[int, Columns], list[Columns]], ...] = (
    # people by their track, what the teacher sees; the student always somebody at 29, 4 wide
    ({1: (0, 6)}, [(0, 6)]),
    ({1: (0, 6)}, [(0, 6), (40, 10)]),  # the second in a crowd
    ({1: (0, 6)}, [(40, 6)]),
    ({1: (0, 6)}, [(0, 6)]),
    ({2: (0, 20), 3: (20, 20)}, [(0, 20), (20, 10)]),
    ({}, []),  # nobody, and not for that an image of which masks are known
)
CROWD = {"image_id": 1, "category_id": 1, "iscrowd": 1, "bbox": [40, 0, 20, 40]}


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """A folder with images, what two models saw in them, and a truth of boxes with tracks."""
    images, annotations = [], [CROWD]
    for number, (people, seen) in enumerate(FRAMES):
        name = f"{number}.png"
        images.append({"id": number, "file_name": name, "height": 40, "width": 60})
        for track, (x, w) in people.items():
            box = {"image_id": number, "category_id": 1, "bbox": [x, 0, w, 40], "track_id": track}
            annotations.append(box)
        for folder, masks in (("images", []), ("teacher", seen), ("student", [(29, 4)])):
            save_masks(tmp_path / folder / name, masks)
    (tmp_path / "boxes.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    sides = {side: {"kind": "masks_folder", "path": str(tmp_path / side)} for side in ("teacher", "student")}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(sides))
    return tmp_path


def save_masks(path: Path, masks: list[Columns]) -> None:
    values = np.zeros((40, 60), np.uint8)
    for number, (x, w) in enumerate(masks, start=1):
        values[:, x : x + w] = number
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(values).save(path)


def evaluate_boxes(folder: Path) -> Result:
    words = ("--images", folder / "images", "--coco", folder / "boxes.json", "--config", folder / "mine.yaml")
    return maskmill(*words, "--figures", folder / "figures.json", "--report", folder / "page.html")


def test_a_truth_of_boxes_tells_whom_the_models_find_and_whom_the_review_shows(boxes: Path) -> None:
    done = evaluate_boxes(boxes)
    assert done.exit_code == 0, done.output
    figures = json.loads((boxes / "figures.json").read_text())
    one = figures["sets"]["images"]
    assert one["teacher_people"] == {
        "masks": None,
        "boxes": {"people": 6, "iou": 0.75, "missed": 1, "recall": 5 / 6, "precision": 5 / 6},
    }
    assert one["student_people"]["boxes"]["missed"] == 5
    assert (one["without_masks"], one["teacher_iou"], one["mining"]["failures"]) == (6, None, 0)
    shown = ("budget", "people", "people_shown", "people_shown_by_lowest_iou")
    assert [one["reviewing"][key] for key in shown] == [1, 3, 2, 1]
    assert figures["frames"][4]["teacher_people"]["boxes"] == {
        "best_ious": [1.0, 0.5],
        "matched": 2,
        "seen": 2,
    }
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["images", "-", "-", "-", "-", "-", "6", "0.750", "1", "0.833", "0.833"] in rows
    assert ["images", "6", "1", "-", "-", "-", "3", "2", "1"] in rows


def test_people_whom_a_roi_hides_are_shown_by_no_review(boxes: Path) -> None:
    roi = np.zeros((40, 60), np.uint8)
    roi[:, :20] = 255  # 3 stands at 20
    Image.fromarray(roi).save(boxes / "roi.png")
    words = ("--images", boxes / "images", "--coco", boxes / "boxes.json", "--roi", boxes / "roi.png")
    done = maskmill(*words, "--config", boxes / "mine.yaml", "--figures", boxes / "figures.json")
    assert done.exit_code == 0, done.output
    figures = json.loads((boxes / "figures.json").read_text())
    assert [frame["tracks"] for frame in figures["frames"][4:]] == [["2"], []]
    assert figures["sets"]["images"]["reviewing"]["people"] == 2


def test_the_page_of_a_truth_of_boxes_has_nothing_about_masks(boxes: Path) -> None:
    evaluate_boxes(boxes)
    html = (boxes / "page.html").read_text()
    assert "6 labeled images with boxes only." in html
    assert "People found by the teacher" in html
    assert "83.3 %" in html
    assert "By lowest IoU" in html
    assert "<h2>Teacher</h2>" not in html
    assert "Accepted, but not good" not in html


def test_a_box_that_is_none_is_told_by_its_annotation(boxes: Path) -> None:
    tree = json.loads((boxes / "boxes.json").read_text())
    tree["annotations"].append({"id": 99, "image_id": 0, "category_id": 1, "bbox": [1, 2]})
    (boxes / "boxes.json").write_text(json.dumps(tree))
    done = evaluate_boxes(boxes)
    assert done.exit_code == 0
    (note,) = json.loads((boxes / "figures.json").read_text())["notes"]
    assert note.startswith("images left out: an annotation cannot be read: 1 (the first: ")
    assert "image '0.png', annotation 99: bbox [1, 2] is not" in note
    assert f"note: {note}" in " ".join(done.stdout.split())


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    image = np.zeros((20, 30), np.uint8)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(image).save(tmp_path / folder / "1.png")
    words = ("--images", tmp_path / "images", "--masks", tmp_path / "masks", "--config", "offline")
    done = maskmill(*words, "--figures", tmp_path)
    assert done.exit_code == 2
    assert "is a folder: name a file to write" in " ".join(done.stderr.split())


def test_mattes_beside_labeled_images(boxes: Path) -> None:
    (boxes / "sets.yaml").write_text(
        "people: {images: images, coco: boxes.json}\nmatted: {matte: teacher, alpha: student}\n"
    )
    words = (boxes / "sets.yaml", "--config", boxes / "mine.yaml")
    done = maskmill(*words, "--json", "--report", boxes / "page.html")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert (set(figures["sets"]), set(figures["mattes"])) == ({"people", "all"}, {"matted", "all"})
    assert figures["plates"] == {}
    html = (boxes / "page.html").read_text()
    assert "6 labeled images with boxes only. 1 matte compared with ground truth." in html
    assert html.index("Order of the review queue") < html.index("Worst frames of the mattes")


def test_images_of_another_size_than_the_ground_truth_are_refused_on_the_page(boxes: Path) -> None:
    (boxes / "sets.yaml").write_text("matted: {matte: matte, cdnet: truth, images: images}\n")
    for folder in ("matte", "truth"):
        (boxes / folder).mkdir()
        Image.fromarray(np.full((20, 30), 255, np.uint8)).save(boxes / folder / "1.png")
    assert maskmill(boxes / "sets.yaml", "--config", "offline").exit_code == 0
    done = maskmill(boxes / "sets.yaml", "--config", "offline", "--report", boxes / "page.html")
    assert done.exit_code == 2
    assert "1.png is 60x40 px, the ground truth 30x20 px" in " ".join(done.stderr.split())


def test_a_wrong_matte_is_refused_before_models_are_loaded(boxes: Path) -> None:
    (boxes / "sets.yaml").write_text("office: {matte: gone, cdnet: images}\n")
    done = maskmill(boxes / "sets.yaml", "--config", "default")
    assert done.exit_code == 2
    assert "(config) matte: " in " ".join(done.stderr.split())
    assert "gone is not a folder; check the path" in " ".join(done.stderr.split())
