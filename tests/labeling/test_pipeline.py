"""The stages between decoding and rows, with segmenters that note what they are shown."""

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


class Witness(StatelessSegmenter):
    """Sees a rectangle on the left, and notes each batch's times and whether images were mirrored."""

    def __init__(self, *, found: bool = True, score: float = 0.9, sees_mirrored: bool = True) -> None:
        self.card = ModelCard("python", "witness", "", "{}", sees_mirrored=sees_mirrored)
        self.batches: list[list[int]] = []
        self._found = found
        self._score = score

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        self.batches.append([frame.t_ms for frame in frames])
        return [self._look(frame) for frame in frames]

    def _look(self, frame: Frame) -> list[Instance]:
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


def test_models_see_full_batches_whatever_was_filtered_before(video: Path, tmp_path: Path) -> None:
    teacher, student = Witness(), Witness()
    labeled = label(video, tmp_path, Models(teacher, student), batch=3, sampling={"every_s": 0.5})
    assert [len(batch) for batch in teacher.batches] == [3, 3, 2]
    assert [len(batch) for batch in student.batches] == [3, 3, 2]
    assert [row.t_ms for row in labeled.frames] == list(range(0, 4000, 500))


def test_a_frame_the_pose_model_rejects_never_reaches_the_teacher(video: Path, tmp_path: Path) -> None:
    teacher = Witness()
    models = Models(teacher, Witness(), pose=Witness(found=False))
    wanted = {"segmenter": {"kind": "python", "factory": "tests.scripted:scripted"}, "people": "at_least_one"}
    labeled = label(video, tmp_path, models, pose_filter=wanted)
    assert teacher.batches == []
    assert {(row.decision, row.rule, row.image) for row in labeled.frames} == {
        ("rejected", "no_people", None)
    }
    assert labeled.counts == {"looked_at": 8, "rejected:no_people": 8}


def test_after_a_kept_frame_the_gap_is_skipped_and_not_counted(video: Path, tmp_path: Path) -> None:
    sampling = {"every_s": 0.1, "min_gap_s": 1.0}
    for pose_filter in (None, {"people": "at_least_one"}):
        labeled = label(
            video, tmp_path, Models(Witness(), Witness()), sampling=sampling, pose_filter=pose_filter
        )
        assert [row.t_ms for row in labeled.frames] == [0, 1000, 2000, 3000]


def test_the_mirrored_image_is_only_asked_for_where_it_decides(video: Path, tmp_path: Path) -> None:
    teacher = Witness()
    labeled = label(video, tmp_path, Models(teacher, Witness(found=False)), batch=4)
    # hard and trusted so far: each batch is followed by its mirrored one
    assert [batch[0] for batch in teacher.batches] == [0, 0, 2000, 2000]
    assert {row.decision for row in labeled.frames} == {"review"}
    assert all("mirrored" in row.reasons[0] for row in labeled.frames)
    agreeing, unsure, blind = Witness(), Witness(score=0.3), Witness(sees_mirrored=False)
    label(video, tmp_path, Models(agreeing, Witness()), batch=4)
    label(video, tmp_path, Models(unsure, Witness(found=False)), batch=4)
    trusted = label(video, tmp_path, Models(blind, Witness(found=False)), batch=4)
    assert [len(w.batches) for w in (agreeing, unsure, blind)] == [2, 2, 2]
    assert {row.decision for row in trusted.frames} == {"accepted"}


def test_a_second_model_is_only_asked_where_it_could_object(video: Path, tmp_path: Path) -> None:
    teacher, second = Witness(), Witness()
    models = Models(teacher, Witness(found=False), verifier=second)
    believed = label(video, tmp_path, models, batch=4, trust={"min_flip_iou": 0.0, "min_verifier_iou": 0.7})
    assert second.batches == [[0, 500, 1000, 1500], [2000, 2500, 3000, 3500]]
    assert {row.decision for row in believed.frames} == {"accepted"}
    assert "verifier" in believed.seconds
    blind = Witness(found=False)
    objected = label(video, tmp_path, replace(models, verifier=blind), trust={"min_flip_iou": 0.0})
    assert {row.reasons[:2] for row in objected.frames} == {
        (
            "the verifier found no person where the teacher found 1 person",
            "the verifier gives another mask: IoU 0.00 (minimum 0.70)",
        )
    }
    for agreed in (replace(models, student=Witness()), replace(models, teacher=Witness(score=0.3))):
        second.batches.clear()
        label(video, tmp_path, agreed, batch=4, trust={"min_flip_iou": 0.0})
        assert second.batches == []


class Posed(Witness):
    """Finds joints but no outlines, of the person on the left and, from the third second on, of one more."""

    def _look(self, frame: Frame) -> list[Instance]:
        x, y, w, h = BODY
        boxes = [BODY, (x + 50, y, w, h)][: 2 if frame.t_ms >= 3000 else 1]
        joints = [tuple((x + w / 2, y + h / 2, 0.9) for _ in COCO_KEYPOINTS) for x, y, w, h in boxes]
        empty = Mask.empty(frame.size_hw)
        return [Instance(empty, 0.9, box, place) for box, place in zip(boxes, joints, strict=True)]


def test_somebody_whom_only_a_second_model_without_masks_sees_is_for_review(
    video: Path, tmp_path: Path
) -> None:
    models = Models(Witness(sees_mirrored=False), Witness(found=False), verifier=Posed())
    labeled = label(video, tmp_path, models)
    decisions = {row.t_ms: row.decision for row in labeled.frames}
    assert decisions == {t: "accepted" if t < 3000 else "review" for t in range(0, 4000, 500)}
    assert labeled.frames[-1].reasons[:2] == (
        "the teacher found no person where the verifier found 1 person",
        "the student missed 1 person",
    )


class Jumper(Witness):
    """Sees the same rectangle in every frame but one, where it is elsewhere."""

    def _look(self, frame: Frame) -> list[Instance]:
        if frame.t_ms != 2000:
            return super()._look(frame)
        pixels = np.zeros(frame.size_hw, np.uint8)
        pixels[:20, -40:] = 1
        return [Instance(Mask.from_array(pixels), 0.9, (0.0, 0.0, 40.0, 20.0))]


def test_a_mask_that_jumps_is_for_review_and_so_is_the_one_after_it(tmp_path: Path) -> None:
    image = textured_scene(3)(0)
    video = write_images(tmp_path / "still.mp4", (image for _ in range(10)), fps=Fraction(2))
    models, trust = Models(Jumper(), Witness(found=False)), {"min_flip_iou": 0.0}
    doubted = label(video, tmp_path, models, batch=3, trust=trust)
    reasons = {row.t_ms: row.reasons[0] for row in doubted.frames if row.decision == "review"}
    jumps = "the mask jumps: IoU 0.00 with the previous frame's mask moved by optical flow (minimum 0.50)"
    assert reasons == {2000: jumps, 2500: jumps}
    values = {row.t_ms: row.value for row in doubted.frames if row.decision == "review"}
    assert values[2500] == pytest.approx(
        review_priority(trust=None, symmetric_difference_share=30 * 60 / (image.size / 3))
    )
    believed = label(video, tmp_path, models, trust={**trust, "min_flow_iou": 0.0})
    assert {row.decision for row in believed.frames} == {"accepted"}


def test_what_never_moves_is_not_believed_to_be_somebody(tmp_path: Path) -> None:
    image = textured_scene(3)(0)
    video = write_images(tmp_path / "still.mp4", (image for _ in range(60)), fps=Fraction(2))
    models = Models(Witness(sees_mirrored=False), Witness(found=False))
    doubted = label(video, tmp_path, models)
    assert {row.decision for row in doubted.frames} == {"review"}
    assert doubted.frames[0].reasons[0] == (
        "1 mask barely moves (0 % of its pixels, minimum 5 %): it may be an object, not a person"
    )
    believed = label(video, tmp_path, models, trust={"min_moving_fraction": 0.0})
    assert {row.decision for row in believed.frames} == {"accepted"}


def test_a_frame_in_which_somebody_walks_outside_of_all_masks_is_for_review(tmp_path: Path) -> None:
    """The teacher sees one person, who sways, and not the other, who crosses the room, for a second behind the first."""
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
    models = Models(Witness(sees_mirrored=False), Witness(found=False))
    doubted = label(video, tmp_path, models, trust={"min_flow_iou": 0.0})
    rows = [row for row in doubted.frames if row.decision == "review"]
    assert [row.t_ms for row in rows] == [10_000, 10_500, 12_000]
    words = [row.reasons[0].split(": ") for row in rows]
    assert {said for said, _ in words} == {"something moves where the teacher found no person"}
    assert words[0][1] == f"24x70 px at ({scene.shape[1] - 30}, 10)"
    assert rows[0].value == pytest.approx(
        review_priority(trust=None, symmetric_difference_share=30 * 60 / (scene.size / 3))
    )
    believed = label(video, tmp_path, models, trust={"min_flow_iou": 0.0, "min_missed_person_size": 0.0})
    assert {row.decision for row in believed.frames} == {"accepted"}


@pytest.mark.parametrize(("step_ms", "decision"), [(500, "review"), (None, "accepted")])
def test_images_that_have_times_are_a_shot(tmp_path: Path, step_ms: int | None, decision: str) -> None:
    """By time, nothing in them moves."""
    path = tmp_path / "p.png"
    Image.fromarray(textured_scene(3)(0)).save(path)
    files = [ImageFile(n, path, t_ms=None if step_ms is None else step_ms * n) for n in range(60)]
    models = Models(Witness(sees_mirrored=False), Witness(found=False))
    labeled = label_clip(Clip("p", images=tuple(files)), tmp_path, models)
    assert {row.decision for row in labeled.frames} == {decision}
    assert [row.t_ms for row in labeled.frames] == list(range(60))


def test_kept_images_are_on_disk_before_their_rows(video: Path, tmp_path: Path) -> None:
    labeled = label(video, tmp_path, Models(Witness(), Witness()))
    for row in labeled.frames:
        assert row.image is not None
        assert (tmp_path / "home" / row.image).stat().st_size > 0


def test_a_segmenter_s_failure_ends_the_shard_with_its_own_error(video: Path, tmp_path: Path) -> None:
    class Breaks(Witness):
        def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
            raise ModelOutputWrong("the network gave NaN")

    with pytest.raises(ModelOutputWrong, match="NaN"):
        label(video, tmp_path, Models(Breaks(), Witness()))


def test_stages_are_timed(video: Path, tmp_path: Path) -> None:
    labeled = label(video, tmp_path, Models(Witness(), Witness()))
    assert {"decode", "teacher", "student", "agreement", "store", "prepare"} <= set(labeled.seconds)
