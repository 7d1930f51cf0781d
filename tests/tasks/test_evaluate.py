"""Evaluation against ground truth where every figure can be counted by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.errors import ConfigError
from configs.load import change_config, load_labeled_sets
from tasks.evaluate import evaluate

SIZE_HW = (40, 60)
Columns = tuple[int, int]
"""First column and number of columns: a person is as high as the image."""

FRAMES: dict[str, tuple[Columns, Columns, Columns]] = {
    # truth, teacher, student
    "agreed.png": ((0, 20), (0, 20), (0, 20)),
    "student_missed.png": ((0, 20), (0, 20), (0, 4)),
    "teacher_wrong.png": ((0, 20), (30, 20), (0, 20)),
    "both_wrong.png": ((0, 20), (30, 20), (45, 10)),
    "nobody.png": ((0, 0), (0, 0), (0, 0)),
}


def write(path: Path, columns: Columns) -> None:
    values = np.zeros(SIZE_HW, np.uint8)
    values[:, columns[0] : sum(columns)] = 1
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name, sides in FRAMES.items():
        write(tmp_path / "images" / name, (0, 0))
        for side, columns in zip(("truth", "teacher", "student"), sides, strict=True):
            write(tmp_path / side / name, columns)
    return tmp_path


def test_every_figure_matches_the_count_by_hand(images: Path) -> None:
    sets = load_labeled_sets({"by hand": {"images": images / "images", "masks": images / "truth"}})
    found = evaluate(sets, change_config(_models(images), [], "test"))
    assert {frame.name: frame.decision for frame in found.frames} == {
        "agreed.png": "easy",
        "both_wrong.png": "accepted",
        "nobody.png": "easy",
        "student_missed.png": "accepted",
        "teacher_wrong.png": "review",
    }
    one = found.sets["by hand"]
    assert found.sets["all"] == one
    assert (one.frames, one.with_people, one.rejected) == (5, 4, 0)
    assert one.student_iou == pytest.approx((1 + 0.2 + 1 + 0) / 4, abs=1e-6)
    assert one.teacher_iou == pytest.approx((1 + 1 + 0 + 0) / 4, abs=1e-6)
    assert (one.mining.failures, one.mining.recall) == (2, 1)
    assert one.mining.precision == pytest.approx(2 / 3)
    accepting = one.accepting
    assert (accepting.hard, accepting.accepted, accepting.precision, accepting.recall) == (3, 2, 0.5, 1)
    assert accepting.good_among_hard == pytest.approx(1 / 3)
    assert accepting.bad_among_hard == pytest.approx(2 / 3)
    height = SIZE_HW[0]
    assert {frame.name: frame.corrected_px for frame in found.frames if frame.corrected_px} == {
        "both_wrong.png": 40 * height,
        "teacher_wrong.png": 40 * height,
    }
    reviewing = one.reviewing
    assert (reviewing.waiting, reviewing.budget) == (1, 1)
    assert reviewing.corrected == 0.5
    assert reviewing.gain == pytest.approx(1.5)
    assert reviewing.gain_over_lowest_iou == 1


def test_the_page_shows_only_images_with_wrong_labels(images: Path) -> None:
    sets = load_labeled_sets({"<b>": {"images": images / "images", "masks": images / "truth"}})
    page = evaluate(sets, change_config(_models(images), [], "test")).page("by hand & more")
    assert page.count("<img ") == 1
    accepted, missed = page.split("Failures that are not found")
    assert "both_wrong.png</p>" in accepted
    assert "There are none." in missed
    assert "in 33.3 % of the hard frames, and in 50.0 % of the 2 that would be accepted" in page
    assert "by hand &amp; more" in page
    assert "<b>" not in page


def test_rejected_frames_are_counted_but_not_compared(images: Path) -> None:
    sets = load_labeled_sets({"by hand": {"images": images / "images", "masks": images / "truth"}})
    found = evaluate(sets, change_config(_models(images), ["pose_filter.people=at_least_one"], "test"))
    (nobody,) = (frame for frame in found.frames if frame.decision == "rejected")
    assert (nobody.name, nobody.agreement, nobody.teacher_iou) == ("nobody.png", None, None)
    assert found.sets["all"].rejected == 1


def test_images_of_a_video_have_tables_over_time_and_others_have_none(images: Path) -> None:
    block = {"images": images / "images", "masks": images / "truth"}
    sets = load_labeled_sets({"video": {**block, "fps": 25}, "images": block})
    found = evaluate(sets, change_config(_models(images), [], "test"))
    over_time = found.sets["video"].teacher_over_time
    assert over_time is not None
    assert (over_time.pairs, over_time.messddt) == (4, None)  # strips have no optical flow
    assert found.sets["images"].teacher_over_time is None
    assert found.sets["all"].teacher_over_time == over_time
    page = found.page("by hand")
    assert page.count("over time</h2>") == 2
    assert f"{1000 * over_time.dtssd:.3f}" in page
    without = evaluate({"images": sets["images"]}, change_config(_models(images), [], "test"))
    assert "over time" not in without.page("by hand")


def test_a_set_cannot_be_called_all(images: Path) -> None:
    sets = load_labeled_sets({"all": {"images": images / "images", "masks": images / "truth"}})
    with pytest.raises(ConfigError, match="cannot be called 'all'"):
        evaluate(sets, change_config(_models(images), [], "test"))


def test_ground_truth_of_another_size_is_refused(images: Path) -> None:
    Image.fromarray(np.ones((7, 7), np.uint8)).save(images / "truth" / "agreed.png")
    sets = load_labeled_sets({"by hand": {"images": images / "images", "masks": images / "truth"}})
    with pytest.raises(ConfigError, match=r"agreed\.png: the mask is 7x7 px"):
        evaluate(sets, change_config(_models(images), [], "test"))


def _models(folder: Path) -> dict[str, object]:
    return {side: {"kind": "masks_folder", "path": str(folder / side)} for side in ("teacher", "student")}
