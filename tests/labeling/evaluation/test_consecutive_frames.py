"""Errors over time of labeled sets: which images are consecutive frames of a video, and what is compared."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from configs.load import change_config, load_labeled_sets
from labeling.evaluation.summary import SetSummary
from tasks.evaluate import evaluate
from tests.labeling.evaluation.matted_scenes import save_images

SIZE_HW = (128, 192)
AREA_PX = 128 * 192
STEP_PX = 4


def person(x: int, *, top: int = 24) -> NDArray[np.uint8]:
    values = np.zeros(SIZE_HW, np.uint8)
    values[top:104, x : x + 60] = 1
    return values


def photo(x: int) -> NDArray[np.uint8]:
    """Draw a textured person, who walks, in front of a textured wall."""
    random = np.random.default_rng(0)
    wall, cloth = (random.integers(0, 256, (24, 36), dtype=np.uint8) for _ in range(2))
    behind, pattern = (cv2.resize(one, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC) for one in (wall, cloth))
    gray = np.where(person(x) > 0, np.roll(pattern, x, axis=1), behind)
    return np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Six frames; the teacher lacks the upper quarter of the person, the student a changing part."""
    places = [8 + STEP_PX * number for number in range(6)]
    names = [f"{number:03}.png" for number in range(6)]
    tops = (24, 44, 24, 44, 24, 44)
    sides: dict[str, list[NDArray[np.uint8]]] = {
        "images": [photo(x) for x in places],
        "truth": [person(x) for x in places],
        "teacher": [person(x, top=44) for x in places],
        "student": [person(x, top=top) for x, top in zip(places, tops, strict=True)],
    }
    for side, images in sides.items():
        save_images(tmp_path / side, dict(zip(names, images, strict=True)))
    return tmp_path


def measure(folder: Path, *changes: str, **keys: object) -> SetSummary:
    block = {"images": str(folder / "images"), **keys}
    if "coco" not in keys:
        block["masks"] = str(folder / "truth")
    sides = {side: {"kind": "masks_folder", "path": str(folder / side)} for side in ("teacher", "student")}
    found = evaluate(load_labeled_sets({"video": block}), change_config(sides, [*changes], "test"))
    assert found.figures()["sets"]["video"].keys() >= {"teacher_over_time", "student_over_time"}
    return found.sets["video"]


def test_masks_that_move_with_the_person_flicker_less_along_the_motion_than_masks_that_change(
    video: Path,
) -> None:
    found = measure(video, fps=25)
    teacher, student = found.teacher_over_time, found.student_over_time
    assert teacher is not None
    assert student is not None
    assert (teacher.pairs, student.pairs) == (5, 5)
    assert teacher.ssda == pytest.approx(np.sqrt(20 * 60))
    # the missing part moves: at both of its ends, 4 columns of 20 pixels change
    assert teacher.dtssd == pytest.approx(np.sqrt(2 * 4 * 20 / AREA_PX))
    assert student.dtssd == pytest.approx(np.sqrt(20 * 60 / AREA_PX))
    assert teacher.messddt is not None
    assert student.messddt is not None
    assert teacher.messddt < 0.1 * student.messddt
    assert student.messddt == pytest.approx(20 * 60 / AREA_PX, rel=0.2)


def test_perfect_masks_have_no_error_over_time(video: Path) -> None:
    found = measure(video, f"teacher.path={video / 'truth'}", fps=25).teacher_over_time
    assert found is not None
    assert (found.ssda, found.dtssd, found.messddt) == (0, 0, 0)


@pytest.mark.parametrize(
    ("keys", "pairs"),
    [
        ({}, None),  # no time
        ({"fps": 25, "every": 2}, 2),  # every second frame: one step
        ({"fps": 0.5}, None),  # 2 s apart
    ],
)
def test_only_images_close_in_time_are_pairs(video: Path, keys: dict[str, Any], pairs: int | None) -> None:
    found = measure(video, **keys).teacher_over_time
    assert (found.pairs if found else None) == pairs


def test_a_missing_label_is_a_gap(video: Path) -> None:
    (video / "truth" / "002.png").unlink()
    found = measure(video, fps=25).teacher_over_time
    assert found is not None
    assert found.pairs == 3


def test_videos_of_a_coco_file_are_apart(video: Path) -> None:
    """As `maskmill synthesize` writes them: `video_id` and `t_ms` in each image's record."""
    images, annotations = [], []
    for number in range(6):
        rle = coco_mask.encode(np.asfortranarray(person(8 + STEP_PX * number)))
        size = {"height": SIZE_HW[0], "width": SIZE_HW[1]}
        record = {"id": number, "file_name": f"{number:03}.png", **size}
        images.append({**record, "video_id": f"{number // 3}", "t_ms": 40 * (number % 3)})
        segmentation = {"size": [*SIZE_HW], "counts": rle["counts"].decode()}
        annotations.append(
            {"id": number + 1, "image_id": number, "category_id": 1, "segmentation": segmentation}
        )
    path = video / "clips.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    found = measure(video, coco=str(path)).teacher_over_time
    assert found is not None
    assert found.pairs == 4
