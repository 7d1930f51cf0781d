"""The stages from decoding to rows, with segmenters that record their input."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from configs.load import validate_config
from configs.models import RunConfig
from labeling.errors import ModelOutputWrong
from labeling.pipeline import Models, label_shard
from labeling.review.queue import review_priority
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.storage.home import Home
from labeling.structures.frames import Clip, Frame, ImageFile
from labeling.structures.instances import COCO_KEYPOINTS, Instance, ModelCard
from labeling.structures.masks import Mask
from labeling.structures.records import LabeledShard
from tests.planted import textured_scene, write_images, write_planted_video

BODY = (40, 20, 30, 60)


class FixedSegmenter(StatelessSegmenter):
    """Finds a rectangle on the left, and records the times of each batch."""

    def __init__(self, *, found: bool = True, score: float = 0.9, sees_mirrored: bool = True) -> None:
        self.card = ModelCard("python", "fixed", "", "{}", sees_mirrored=sees_mirrored)
        self.batches: list[list[int]] = []
        self._found = found
        self._score = score

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        self.batches.append([frame.t_ms for frame in frames])
        return [self._find(frame) for frame in frames]

    def _find(self, frame: Frame) -> list[Instance]:
        if not self._found:
            return []
        x, y, w, h = BODY
        pixels = np.zeros(frame.size_hw, np.uint8)
        pixels[y : y + h, x : x + w] = 1
        return [Instance(Mask.from_array(pixels), self._score, BODY)]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_planted_video(tmp_path / "v.mp4", fps=Fraction(10), frames=40)


def label(video: Path, tmp_path: Path, models: Models, **settings: Any) -> LabeledShard:
    return label_clip(Clip("v", video), tmp_path, models, **settings)


def label_clip(clip: Clip, tmp_path: Path, models: Models, **settings: Any) -> LabeledShard:
    home = Home(tmp_path / "home")
    home.create()
    block = {"kind": "python", "factory": "tests.scripted:scripted"}
    config: RunConfig = validate_config({"teacher": block, "student": block} | settings, "test")
    return label_shard(clip, models, config, home)


def test_models_see_full_batches_whatever_the_filters_remove(video: Path, tmp_path: Path) -> None:
    teacher, student = FixedSegmenter(), FixedSegmenter()
    labeled = label(video, tmp_path, Models(teacher, student), batch=3, sampling={"every_s": 0.5})
    assert [len(batch) for batch in teacher.batches] == [3, 3, 2]
    assert [len(batch) for batch in student.batches] == [3, 3, 2]
    assert [row.t_ms for row in labeled.frames] == list(range(0, 4000, 500))


def test_a_frame_the_pose_model_rejects_never_reaches_the_teacher(video: Path, tmp_path: Path) -> None:
    teacher = FixedSegmenter()
    models = Models(teacher, FixedSegmenter(), pose=FixedSegmenter(found=False))
    pose_filter = {
        "segmenter": {"kind": "python", "factory": "tests.scripted:scripted"},
        "people": "at_least_one",
    }
    labeled = label(video, tmp_path, models, pose_filter=pose_filter)
    assert teacher.batches == []
    assert {(row.decision, row.rule, row.image) for row in labeled.frames} == {
        ("rejected", "no_people", None)
    }
    assert labeled.counts == {"looked_at": 8, "rejected:no_people": 8}


def test_after_a_kept_frame_the_gap_is_skipped_and_not_counted(video: Path, tmp_path: Path) -> None:
    sampling = {"every_s": 0.1, "min_gap_s": 1.0}
    for pose_filter in (None, {"people": "at_least_one"}):
        labeled = label(
            video,
            tmp_path,
            Models(FixedSegmenter(), FixedSegmenter()),
            sampling=sampling,
            pose_filter=pose_filter,
        )
        assert [row.t_ms for row in labeled.frames] == [0, 1000, 2000, 3000]


def test_the_mirrored_image_is_segmented_only_if_it_can_decide(video: Path, tmp_path: Path) -> None:
    teacher = FixedSegmenter()
    labeled = label(video, tmp_path, Models(teacher, FixedSegmenter(found=False)), batch=4)
    # hard and not rejected so far: each batch is followed by its mirror images
    assert [batch[0] for batch in teacher.batches] == [0, 0, 2000, 2000]
    assert {row.decision for row in labeled.frames} == {"review"}
    assert all("mirrored" in row.reasons[0] for row in labeled.frames)
    agreeing, uncertain, unmirrored = (
        FixedSegmenter(),
        FixedSegmenter(score=0.3),
        FixedSegmenter(sees_mirrored=False),
    )
    label(video, tmp_path, Models(agreeing, FixedSegmenter()), batch=4)
    label(video, tmp_path, Models(uncertain, FixedSegmenter(found=False)), batch=4)
    trusted = label(video, tmp_path, Models(unmirrored, FixedSegmenter(found=False)), batch=4)
    assert [len(model.batches) for model in (agreeing, uncertain, unmirrored)] == [2, 2, 2]
    assert {row.decision for row in trusted.frames} == {"accepted"}


def test_the_verifier_runs_only_where_it_can_object(video: Path, tmp_path: Path) -> None:
    teacher, verifier = FixedSegmenter(), FixedSegmenter()
    models = Models(teacher, FixedSegmenter(found=False), verifier=verifier)
    accepted = label(video, tmp_path, models, batch=4, trust={"min_flip_iou": 0.0, "min_verifier_iou": 0.7})
    assert verifier.batches == [[0, 500, 1000, 1500], [2000, 2500, 3000, 3500]]
    assert {row.decision for row in accepted.frames} == {"accepted"}
    assert "verifier" in accepted.seconds
    empty = FixedSegmenter(found=False)
    objected = label(video, tmp_path, replace(models, verifier=empty), trust={"min_flip_iou": 0.0})
    assert {row.decision for row in objected.frames} == {"review"}
    assert all("1 person" in row.reasons[0] and "0.70" in row.reasons[1] for row in objected.frames)
    for agreed in (
        replace(models, student=FixedSegmenter()),
        replace(models, teacher=FixedSegmenter(score=0.3)),
    ):
        verifier.batches.clear()
        label(video, tmp_path, agreed, batch=4, trust={"min_flip_iou": 0.0})
        assert verifier.batches == []


class PoseOnly(FixedSegmenter):
    """Finds keypoints but no masks: of the person on the left and, from 3 s on, of a second one."""

    def _find(self, frame: Frame) -> list[Instance]:
        x, y, w, h = BODY
        boxes = [BODY, (x + 50, y, w, h)][: 2 if frame.t_ms >= 3000 else 1]
        keypoints = [tuple((x + w / 2, y + h / 2, 0.9) for _ in COCO_KEYPOINTS) for x, y, w, h in boxes]
        empty = Mask.empty(frame.size_hw)
        return [Instance(empty, 0.9, box, points) for box, points in zip(boxes, keypoints, strict=True)]


def test_a_person_only_a_verifier_without_masks_finds_is_for_review(video: Path, tmp_path: Path) -> None:
    models = Models(FixedSegmenter(sees_mirrored=False), FixedSegmenter(found=False), verifier=PoseOnly())
    labeled = label(video, tmp_path, models)
    decisions = {row.t_ms: row.decision for row in labeled.frames}
    assert decisions == {t: "accepted" if t < 3000 else "review" for t in range(0, 4000, 500)}
    objection, mismatch = labeled.frames[-1].reasons[:2]
    assert "1 person" in objection
    assert "student missed 1 person" in mismatch


class Jumper(FixedSegmenter):
    """Finds the same rectangle in every frame except one."""

    def _find(self, frame: Frame) -> list[Instance]:
        if frame.t_ms != 2000:
            return super()._find(frame)
        pixels = np.zeros(frame.size_hw, np.uint8)
        pixels[:20, -40:] = 1
        return [Instance(Mask.from_array(pixels), 0.9, (0.0, 0.0, 40.0, 20.0))]


def test_a_mask_that_jumps_is_for_review_and_so_is_the_next(tmp_path: Path) -> None:
    image = textured_scene(3)(0)
    video = write_images(tmp_path / "still.mp4", (image for _ in range(10)), fps=Fraction(2))
    models, trust = Models(Jumper(), FixedSegmenter(found=False)), {"min_flip_iou": 0.0}
    reviewed = label(video, tmp_path, models, batch=3, trust=trust)
    reasons = {row.t_ms: row.reasons[0] for row in reviewed.frames if row.decision == "review"}
    assert list(reasons) == [2000, 2500]
    assert all("mask jumps" in reason and "0.50" in reason for reason in reasons.values())
    values = {row.t_ms: row.value for row in reviewed.frames if row.decision == "review"}
    assert values[2500] == pytest.approx(
        review_priority(trust=None, symmetric_difference_share=30 * 60 / (image.size / 3))
    )
    accepted = label(video, tmp_path, models, trust={**trust, "min_flow_iou": 0.0})
    assert {row.decision for row in accepted.frames} == {"accepted"}


def test_a_mask_that_never_moves_is_for_review(tmp_path: Path) -> None:
    image = textured_scene(3)(0)
    video = write_images(tmp_path / "still.mp4", (image for _ in range(60)), fps=Fraction(2))
    models = Models(FixedSegmenter(sees_mirrored=False), FixedSegmenter(found=False))
    reviewed = label(video, tmp_path, models)
    assert {row.decision for row in reviewed.frames} == {"review"}
    for part in ("1 mask", "0 %", "5 %"):
        assert part in reviewed.frames[0].reasons[0]
    accepted = label(video, tmp_path, models, trust={"min_moving_fraction": 0.0})
    assert {row.decision for row in accepted.frames} == {"accepted"}


def test_a_person_who_walks_outside_of_all_masks_is_for_review(tmp_path: Path) -> None:
    """The teacher finds the person who sways, and misses the one who crosses the room."""
    scene, x = textured_scene(3)(0), BODY[0]

    def draw(number: int) -> NDArray[np.uint8]:
        image = scene.copy()
        sway = 10 * (number % 2)
        image[BODY[1] : BODY[1] + BODY[3], x + sway : x + sway + 20] = 255
        if 20 <= number < 25:
            left = scene.shape[1] - 30 - 26 * (number - 20)
            image[10:80, left : left + 24] = 0
        return image

    video = write_images(tmp_path / "still.mp4", map(draw, range(60)), fps=Fraction(2))
    models = Models(FixedSegmenter(sees_mirrored=False), FixedSegmenter(found=False))
    reviewed = label(video, tmp_path, models, trust={"min_flow_iou": 0.0})
    rows = [row for row in reviewed.frames if row.decision == "review"]
    assert [row.t_ms for row in rows] == [10_000, 10_500, 12_000]
    assert all("something moves" in row.reasons[0] for row in rows)
    assert rows[0].reasons[0].endswith(f"24x70 px at ({scene.shape[1] - 30}, 10)")
    assert rows[0].value == pytest.approx(
        review_priority(trust=None, symmetric_difference_share=30 * 60 / (scene.size / 3))
    )
    accepted = label(video, tmp_path, models, trust={"min_flow_iou": 0.0, "min_missed_person_size": 0.0})
    assert {row.decision for row in accepted.frames} == {"accepted"}


@pytest.mark.parametrize(("step_ms", "decision"), [(500, "review"), (None, "accepted")])
def test_images_with_times_are_a_shot(tmp_path: Path, step_ms: int | None, decision: str) -> None:
    """Nothing in them moves over time."""
    path = tmp_path / "p.png"
    Image.fromarray(textured_scene(3)(0)).save(path)
    files = [ImageFile(n, path, t_ms=None if step_ms is None else step_ms * n) for n in range(60)]
    models = Models(FixedSegmenter(sees_mirrored=False), FixedSegmenter(found=False))
    labeled = label_clip(Clip("p", images=tuple(files)), tmp_path, models)
    assert {row.decision for row in labeled.frames} == {decision}
    assert [row.t_ms for row in labeled.frames] == list(range(60))


def test_kept_images_are_on_disk_when_the_rows_are_returned(video: Path, tmp_path: Path) -> None:
    labeled = label(video, tmp_path, Models(FixedSegmenter(), FixedSegmenter()))
    for row in labeled.frames:
        assert row.image is not None
        assert (tmp_path / "home" / row.image).stat().st_size > 0


def test_the_error_of_a_segmenter_ends_the_shard(video: Path, tmp_path: Path) -> None:
    class Breaks(FixedSegmenter):
        def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
            raise ModelOutputWrong("the network gave NaN")

    with pytest.raises(ModelOutputWrong, match="NaN"):
        label(video, tmp_path, Models(Breaks(), FixedSegmenter()))


def test_stages_are_timed(video: Path, tmp_path: Path) -> None:
    labeled = label(video, tmp_path, Models(FixedSegmenter(), FixedSegmenter()))
    assert {"decode", "teacher", "student", "agreement", "store", "prepare"} <= set(labeled.seconds)
