"""A network of two classes, from images to a COCO file with two categories."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image
from pycocotools.coco import COCO
from sqlalchemy import select

from configs.errors import ConfigError
from configs.load import load_ground_truth, validate_config
from configs.models import RunConfig
from db.models.core import AgreementRow, DecisionRow, FrameRow, InstanceRow
from flows.generate import generate_dataset
from labeling.storage.home import Home
from labeling.structures.reasons import reason_texts
from tasks.evaluate import evaluate
from tasks.execution.context import close_databases, database_of, open_context
from tasks.export import ExportOrder, write_dataset
from tests.labeling.segmenters.tiny_networks import save_onnx

pytestmark = pytest.mark.usefixtures("prefect")

HW = (60, 80)
PERSON, CAT = (slice(10, 50), slice(20, 35)), (slice(40, 55), slice(50, 70))


@pytest.fixture(autouse=True)
def closed_databases() -> Iterator[None]:
    yield
    close_databases()


def paint(number: int, *, with_cat: bool) -> NDArray[np.uint8]:
    """Paint a person in red and a cat in green, on a background that differs between images."""
    image = np.zeros((*HW, 3), np.uint8)
    image[:, : 3 * number + 1] = 30 * number
    image[(*PERSON, 0)] = 255
    if with_cat:
        image[(*CAT, 1)] = 255
    return image


def configured(folder: Path, *, teacher_of_cats: int = 1, student_of_cats: int = 2) -> RunConfig:
    """Cats are in the green channel, 1; a model that looks for them in the blue one, 2, finds none."""
    network = save_onnx(
        folder / "channels.onnx",
        [helper.make_node("Identity", ["image"], ["map"])],
        input_shape=[1, 3, *HW],
        outputs=[("map", TensorProto.FLOAT)],
    )
    block: dict[str, Any] = {"kind": "onnx", "path": str(network), "input_hw": list(HW)}
    tree = {
        "teacher": block | {"classes": {0: "person", teacher_of_cats: "cat"}},
        "student": block | {"classes": {0: "person", student_of_cats: "cat"}},
        "trust": {"min_moving_fraction": 0.0},
    }
    return validate_config(tree, "test")


def test_two_classes_become_two_categories_with_an_agreement_of_each(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        image = paint(number, with_cat=number == 1)
        Image.fromarray(image).save(tmp_path / "images" / f"p{number}.png")
    home, config = Home(tmp_path / "home"), configured(tmp_path)
    generate_dataset([str(tmp_path / "images")], config, name="test", home=home.root)
    with database_of(home).session() as session:
        rows = session.execute(
            select(FrameRow.name, DecisionRow.decision, AgreementRow.category_ious, DecisionRow.reasons)
            .join(DecisionRow, DecisionRow.frame_id == FrameRow.id)
            .join(AgreementRow, AgreementRow.frame_id == FrameRow.id)
            .order_by(FrameRow.name)
        ).all()
        found = session.execute(select(InstanceRow.role, InstanceRow.category).order_by(InstanceRow.id)).all()
    decided = {
        name: (decision, ious and [[category, round(iou, 6)] for category, iou in ious])
        for name, decision, ious, _ in rows
    }
    assert decided == {
        "p0.png": ("easy", None),
        "p1.png": ("accepted", [["cat", 0.0], ["person", 1.0]]),
        "p2.png": ("easy", None),
    }
    assert list(reason_texts(rows[1].reasons)) == [
        "the student missed 1 object",
        "student and teacher overlap with IoU cat 0.00, person 1.00",
    ]
    assert (
        sorted(map(tuple, found))
        == [("student", "person")] * 3 + [("teacher", "cat")] + [("teacher", "person")] * 3
    )

    context, folder = open_context(home), tmp_path / "coco"
    write_dataset(context, str(folder), ExportOrder(decisions=("accepted", "easy")))
    coco = COCO(str(folder / "annotations" / "instances.json"))
    assert [(one["id"], one["name"]) for one in coco.dataset["categories"]] == [(1, "person"), (2, "cat")]
    assert "skeleton" not in coco.cats[2]
    masks = {one["category_id"]: coco.annToMask(one) for one in coco.anns.values()}
    expected = {1: np.zeros(HW, np.uint8), 2: np.zeros(HW, np.uint8)}
    expected[1][PERSON], expected[2][CAT] = 1, 1
    assert [(masks[key] == expected[key]).all() for key in (1, 2)] == [True, True]
    assert sorted(one["category_id"] for one in coco.anns.values()) == [1, 1, 1, 2]

    write_dataset(context, str(tmp_path / "yolo"), ExportOrder("yolo-seg", decisions=("accepted", "easy")))
    lines = [line for path in (tmp_path / "yolo/labels").iterdir() for line in path.read_text().splitlines()]
    assert sorted(line.split()[0] for line in lines) == ["0", "0", "0", "1"]


def _annotation(number: int, image: int, category: int, place: tuple[slice, slice]) -> dict[str, Any]:
    rows, columns = place
    box = [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
    left, top, right, bottom = columns.start, rows.start, columns.stop, rows.stop
    polygon = [left, top, right, top, right, bottom, left, bottom]
    return {
        "id": number, "image_id": image, "category_id": category, "bbox": box, "segmentation": [polygon],
        "area": box[2] * box[3], "iscrowd": 0,
    }  # fmt: skip


def test_each_category_is_evaluated_as_a_set_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(2):
        Image.fromarray(paint(number, with_cat=number == 1)).save(tmp_path / "images" / f"p{number}.png")
    truth = {
        "images": [{"id": n, "file_name": f"p{n}.png", "width": HW[1], "height": HW[0]} for n in range(2)],
        "categories": [{"id": 4, "name": "person"}, {"id": 9, "name": "cat"}],
        "annotations": [_annotation(n, n, 4, PERSON) for n in range(2)] + [_annotation(2, 1, 9, CAT)],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    sets = load_ground_truth({"mine": {"images": tmp_path / "images", "coco": tmp_path / "truth.json"}})
    found = evaluate(sets, configured(tmp_path))
    by_set = {
        name: (one.with_people, round(one.teacher_iou or 0, 3), round(one.student_iou or 0, 3))
        for name, one in found.sets.items()
    }
    assert by_set == {"mine/person": (2, 1, 1), "mine/cat": (1, 1, 0), "all": (3, 1, 0.667)}
    assert {(f.dataset, f.name): f.agreement for f in found.frames if f.name == "p1.png"} == {
        ("mine/person", "p1.png"): pytest.approx(1),
        ("mine/cat", "p1.png"): pytest.approx(0, abs=1e-6),
    }
    masks = load_ground_truth({"mine": {"images": tmp_path / "images", "masks": tmp_path / "images"}})
    with pytest.raises(ConfigError, match=r"PNG masks have no categories.* cat: give a COCO file"):
        evaluate(masks, configured(tmp_path))
    truth["categories"][1]["name"] = "dog"
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    with pytest.raises(ConfigError, match="dog"):
        evaluate(sets, configured(tmp_path))
