"""The stages from decoding to rows, with segmenters that record their input."""

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from configs.errors import ModelOutputWrong
from configs.load import validate_config
from configs.models import RunConfig
from labeling.pipeline import label_shard
from labeling.refinement.protocol import StatelessRefiner
from labeling.review.queue import review_priority
from labeling.segmenters.models import Models
from labeling.segmenters.refined import RefinedSegmenter
from labeling.storage.home import Home
from labeling.structures.frames import Clip, Frame, ImageFile
from labeling.structures.instances import COCO_KEYPOINTS, Instance, ModelCard
from labeling.structures.masks import Mask
from labeling.structures.records import LabeledShard
from tests.fakes.segmenters import (
    LEFT_PERSON,
    Box,
    FixedSegmenter,
    ScriptedPoseSegmenter,
    ScriptedSegmenter,
    one_person,
)
from tests.fakes.videos import textured_scene, write_images, write_numbered_video, write_scene_cuts


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_numbered_video(tmp_path / "v.mp4", fps=Fraction(10), frames=40)


def label(video: Path, tmp_path: Path, models: Models, **settings: Any) -> LabeledShard:
    return label_clip(Clip("v", video), tmp_path, models, **settings)


def label_clip(clip: Clip, tmp_path: Path, models: Models, **settings: Any) -> LabeledShard:
    home = Home(tmp_path / "home")
    home.create()
    block = {"kind": "python", "factory": "tests.fakes.segmenters:scripted"}
    config: RunConfig = validate_config({"teacher": block, "student": block} | settings, "test")
    return label_shard(clip, models, config, home)


def test_models_see_full_batches_whatever_the_filters_remove(video: Path, tmp_path: Path) -> None:
    teacher, student = one_person(), one_person()
    labeled = label(video, tmp_path, Models(teacher, student), batch=3, sampling={"every_s": 0.5})
    assert [len(batch) for batch in teacher.batches] == [3, 3, 2]
    assert [len(batch) for batch in student.batches] == [3, 3, 2]
    assert [row.pts_ms for row in labeled.frames] == list(range(0, 4000, 500))


def test_a_frame_the_pose_model_rejects_never_reaches_the_teacher(video: Path, tmp_path: Path) -> None:
    teacher = one_person()
    models = Models(teacher, one_person(), pose=one_person(found=False))
    pose_filter = {
        "segmenter": {"kind": "python", "factory": "tests.fakes.segmenters:scripted"},
        "people": "at_least_one",
    }
    labeled = label(video, tmp_path, models, pose_filter=pose_filter)
    assert teacher.batches == []
    assert {(row.decision, row.rule, row.image) for row in labeled.frames} == {
        ("rejected", "no_people", None)
    }
    assert labeled.counts == {"sampled": 8, "rejected:no_people": 8}


def test_after_a_kept_frame_the_gap_is_skipped_and_not_counted(video: Path, tmp_path: Path) -> None:
    sampling = {"every_s": 0.1, "min_gap_s": 1.0}
    for pose_filter in (None, {"people": "at_least_one"}):
        labeled = label(
            video, tmp_path, Models(one_person(), one_person()), sampling=sampling, pose_filter=pose_filter
        )
        assert [row.pts_ms for row in labeled.frames] == [0, 1000, 2000, 3000]


def test_the_mirrored_image_is_segmented_only_if_it_can_decide(video: Path, tmp_path: Path) -> None:
    teacher = one_person()
    labeled = label(video, tmp_path, Models(teacher, one_person(found=False)), batch=4)
    # hard and not rejected so far: each batch is followed by its mirror images
    assert [batch[0] for batch in teacher.batches] == [0, 0, 2000, 2000]
    assert {row.decision for row in labeled.frames} == {"review"}
    assert all("mirrored" in str(row.reasons[0]) for row in labeled.frames)
    agreeing, unsure, blind = one_person(), one_person(score=0.3), one_person(sees_mirrored=False)
    label(video, tmp_path, Models(agreeing, one_person()), batch=4)
    label(video, tmp_path, Models(unsure, one_person(found=False)), batch=4)
    trusted = label(video, tmp_path, Models(blind, one_person(found=False)), batch=4)
    assert [len(w.batches) for w in (agreeing, unsure, blind)] == [2, 2, 2]
    assert {row.decision for row in trusted.frames} == {"accepted"}


def test_the_verifier_runs_only_where_it_can_object(video: Path, tmp_path: Path) -> None:
    teacher, second = one_person(), one_person()
    models = Models(teacher, one_person(found=False), verifier=second)
    accepted = label(video, tmp_path, models, batch=4, trust={"min_flip_iou": 0.0, "min_verifier_iou": 0.7})
    assert second.batches == [[0, 500, 1000, 1500], [2000, 2500, 3000, 3500]]
    assert {row.decision for row in accepted.frames} == {"accepted"}
    assert "verifier" in accepted.seconds
    blind = one_person(found=False)
    objected = label(video, tmp_path, replace(models, verifier=blind), trust={"min_flip_iou": 0.0})
    assert {row.decision for row in objected.frames} == {"review"}
    assert all("1 person" in str(row.reasons[0]) and "0.70" in str(row.reasons[1]) for row in objected.frames)
    for agreed in (replace(models, student=one_person()), replace(models, teacher=one_person(score=0.3))):
        second.batches.clear()
        label(video, tmp_path, agreed, batch=4, trust={"min_flip_iou": 0.0})
        assert second.batches == []


def poses() -> ScriptedPoseSegmenter:
    """Return a segmenter of keypoints: the person on the left and, from the third second on, one more."""
    x, y, w, h = LEFT_PERSON
    two = [LEFT_PERSON, (x + 50, y, w, h)]
    return ScriptedPoseSegmenter([LEFT_PERSON], dict.fromkeys(range(3000, 4000, 100), two))


def test_a_person_only_a_verifier_without_masks_finds_is_for_review(video: Path, tmp_path: Path) -> None:
    models = Models(one_person(sees_mirrored=False), one_person(found=False), verifier=poses())
    labeled = label(video, tmp_path, models)
    decisions = {row.pts_ms: row.decision for row in labeled.frames}
    assert decisions == {t: "accepted" if t < 3000 else "review" for t in range(0, 4000, 500)}
    objection, mismatch = map(str, labeled.frames[-1].reasons[:2])
    assert "1 person" in objection
    assert "student missed 1 person" in mismatch


def test_a_mask_that_jumps_is_for_review_and_so_is_the_next(tmp_path: Path) -> None:
    image = textured_scene(3)(0)
    video = write_images(tmp_path / "still.mp4", (image for _ in range(10)), fps=Fraction(2))
    models, trust = (
        Models(one_person(at_ms={2000: (104, 0, 40, 20)}), one_person(found=False)),
        {"min_flip_iou": 0.0, "min_moving_fraction": 0.0},  # only the jump is looked for
    )
    reviewed = label(video, tmp_path, models, batch=3, trust=trust)
    reasons = {row.pts_ms: str(row.reasons[0]) for row in reviewed.frames if row.decision == "review"}
    assert list(reasons) == [2000, 2500]
    assert all("mask jumps" in reason and "0.50" in reason for reason in reasons.values())
    values = {row.pts_ms: row.priority for row in reviewed.frames if row.decision == "review"}
    assert values[2500] == pytest.approx(
        review_priority(trust=None, symmetric_difference_share=30 * 60 / (image.size / 3))
    )
    accepted = label(video, tmp_path, models, trust={**trust, "min_flow_iou": 0.0})
    assert {row.decision for row in accepted.frames} == {"accepted"}


@pytest.mark.slow
def test_a_mask_that_never_moves_is_for_review(tmp_path: Path) -> None:
    image = textured_scene(3)(0)
    video = write_images(tmp_path / "still.mp4", (image for _ in range(60)), fps=Fraction(2))
    models = Models(one_person(sees_mirrored=False), one_person(found=False))
    reviewed = label(video, tmp_path, models)
    assert {row.decision for row in reviewed.frames} == {"review"}
    for part in ("1 mask", "0 %", "5 %"):
        assert part in str(reviewed.frames[0].reasons[0])
    accepted = label(video, tmp_path, models, trust={"min_moving_fraction": 0.0})
    assert {row.decision for row in accepted.frames} == {"accepted"}


@pytest.mark.slow
def test_a_person_who_walks_outside_of_all_masks_is_for_review(tmp_path: Path) -> None:
    """The teacher finds the person who sways, and misses the one who crosses the room."""
    scene, x = textured_scene(3)(0), LEFT_PERSON[0]

    def draw(number: int) -> NDArray[np.uint8]:
        image = scene.copy()
        sway = 10 * (number % 2)
        image[LEFT_PERSON[1] : LEFT_PERSON[1] + LEFT_PERSON[3], x + sway : x + sway + 20] = 255
        if 20 <= number < 25:
            left = scene.shape[1] - 30 - 26 * (number - 20)
            image[10:80, left : left + 24] = 0
        return image

    video = write_images(tmp_path / "still.mp4", map(draw, range(60)), fps=Fraction(2))
    models = Models(one_person(sees_mirrored=False), one_person(found=False))
    reviewed = label(video, tmp_path, models, trust={"min_flow_iou": 0.0})
    rows = [row for row in reviewed.frames if row.decision == "review"]
    assert [row.pts_ms for row in rows] == [10_000, 10_500, 12_000]
    assert all("something moves" in str(row.reasons[0]) for row in rows)
    assert str(rows[0].reasons[0]).endswith(f"24x70 px at ({scene.shape[1] - 30}, 10)")
    assert rows[0].priority == pytest.approx(
        review_priority(trust=None, symmetric_difference_share=30 * 60 / (scene.size / 3))
    )
    accepted = label(video, tmp_path, models, trust={"min_flow_iou": 0.0, "min_missed_person_size": 0.0})
    assert {row.decision for row in accepted.frames} == {"accepted"}


@pytest.mark.parametrize(("step_ms", "decision"), [(500, "review"), (None, "accepted")])
def test_images_with_times_are_a_shot(tmp_path: Path, step_ms: int | None, decision: str) -> None:
    """Nothing in them moves over time."""
    path = tmp_path / "p.png"
    Image.fromarray(textured_scene(3)(0)).save(path)
    files = [ImageFile(n, path, pts_ms=None if step_ms is None else step_ms * n) for n in range(60)]
    models = Models(one_person(sees_mirrored=False), one_person(found=False))
    labeled = label_clip(Clip("p", images=tuple(files)), tmp_path, models)
    assert {row.decision for row in labeled.frames} == {decision}
    assert [row.index for row in labeled.frames] == list(range(60))
    times_ms = [None if step_ms is None else step_ms * n for n in range(60)]
    assert [row.pts_ms for row in labeled.frames] == times_ms


def test_kept_images_are_on_disk_when_the_rows_are_returned(video: Path, tmp_path: Path) -> None:
    labeled = label(video, tmp_path, Models(one_person(), one_person()))
    for row in labeled.frames:
        assert row.image is not None
        assert (tmp_path / "home" / row.image).stat().st_size > 0


def test_the_error_of_a_segmenter_ends_the_shard(video: Path, tmp_path: Path) -> None:
    broken = FixedSegmenter(ModelOutputWrong("the network gave NaN"))
    with pytest.raises(ModelOutputWrong, match="NaN"):
        label(video, tmp_path, Models(broken, one_person()))


class Refusing(StatelessRefiner):
    """Refines the person at `LEFT_PERSON` only."""

    card = ModelCard("python", "refusing", "", "{}")

    def refine(
        self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
    ) -> list[list[Instance]]:
        return [
            [
                replace(person, mask=Mask(person.mask.size_hw, person.mask.counts))
                if person.box_xywh == LEFT_PERSON
                else replace(person, not_refined=("too small",))
                for person in people
            ]
            for people in instances
        ]


def test_a_frame_states_why_masks_were_not_refined(video: Path, tmp_path: Path) -> None:
    two = ScriptedSegmenter([LEFT_PERSON], {1000: [LEFT_PERSON, (90, 20, 10, 30)]})
    teacher = RefinedSegmenter(two, [Refusing()])
    labeled = label(video, tmp_path, Models(teacher, one_person()), sampling={"every_s": 1})
    rows = {row.pts_ms: row for row in labeled.frames}
    assert str(rows[1000].reasons[-1]) == "1 of 2 masks not refined by python: too small"
    assert rows[0].reasons == ()
    assert [person.refined_by for person in rows[1000].teacher] == ["python:refusing", None]
    assert json.loads(labeled.cards["teacher"].settings)["refine"][0]["name"] == "refusing"


def test_people_get_tracks_that_end_at_a_cut(tmp_path: Path) -> None:
    scenes = [textured_scene(seed) for seed in range(2)]
    video = write_scene_cuts(tmp_path / "v.mp4", scenes, frames_each=20, fps=Fraction(10))
    models = Models(one_person(), one_person())
    labeled = label(video, tmp_path, models)
    assert [row.teacher[0].track_id for row in labeled.frames] == [1] * 4 + [2] * 4
    assert {row.student[0].track_id for row in labeled.frames} == {None}
    assert [(t.number, t.first_ms, t.last_ms, t.frames) for t in labeled.tracks] == [
        (1, 0, 1500, 4),
        (2, 2000, 3500, 4),
    ]
    again = label(video, tmp_path, models)
    assert [row.teacher for row in again.frames] == [row.teacher for row in labeled.frames]
    assert "track" in labeled.seconds


def test_frames_that_the_pose_filter_rejects_keep_tracks_alive(tmp_path: Path) -> None:
    video = write_images(tmp_path / "v.mp4", map(textured_scene(3), range(40)), fps=Fraction(10))
    x, y, w, h = LEFT_PERSON
    both = [LEFT_PERSON, (x + 50, y, w, h)]
    teacher = ScriptedSegmenter([LEFT_PERSON], dict.fromkeys(range(500, 3500, 100), both))
    labeled = label(
        video,
        tmp_path,
        Models(teacher, one_person()),
        pose_filter={"people": "single"},
        tracking={"lost_s": 1},
    )
    kept = [(row.pts_ms, row.teacher[0].track_id) for row in labeled.frames if row.agreement]
    assert kept == [(0, 1), (3500, 1)]
    assert [track.number for track in labeled.tracks] == [1]


def test_without_tracking_and_without_a_time_axis_there_are_no_tracks(video: Path, tmp_path: Path) -> None:
    models = Models(one_person(), one_person())
    labeled = label(video, tmp_path, models, tracking=None)
    path = tmp_path / "p.png"
    Image.fromarray(textured_scene(3)(0)).save(path)
    files = tuple(ImageFile(n, path, pts_ms=500 * n) for n in range(3))
    of_images = label_clip(Clip("p", images=files), tmp_path, models)
    for shard in (labeled, of_images):
        assert {one.track_id for row in shard.frames for one in row.teacher} == {None}
        assert shard.tracks == ()
        assert "track" not in shard.seconds


def test_stages_are_timed(video: Path, tmp_path: Path) -> None:
    labeled = label(video, tmp_path, Models(one_person(), one_person()))
    assert {"decode", "teacher", "student", "agreement", "store", "prepare"} <= set(labeled.seconds)


class FlickeringWrists(ScriptedSegmenter):
    """Drops the left wrist of every other frame."""

    def _instance(self, frame: Frame, box: Box) -> Instance:
        x, y, w, h = box
        dropped = COCO_KEYPOINTS.index("left_wrist") if frame.key % 400 else None
        keypoints = tuple(
            (x + w / 2, y + h / 2, 0.1 if number == dropped else 0.9) for number in range(len(COCO_KEYPOINTS))
        )
        found = super()._instance(frame, box)
        return replace(found, keypoints=keypoints)


def test_the_pose_filter_reads_keypoints_that_tracking_filled(tmp_path: Path) -> None:
    image = textured_scene(3)(0)
    video = write_images(tmp_path / "still.mp4", (image for _ in range(10)), fps=Fraction(5))
    models = Models(FlickeringWrists([LEFT_PERSON]), one_person())
    sampling, pose_filter = {"every_s": 0.2, "min_gap_s": 0}, {"full_body": True}
    rules = {}
    found = tuple(0.9 if name != "left_wrist" else 0.1 for name in COCO_KEYPOINTS)
    for keypoints in (True, False):
        tracking = {"keypoints": keypoints}
        labeled = label(
            video, tmp_path, models, sampling=sampling, pose_filter=pose_filter, tracking=tracking
        )
        rules[keypoints] = [row.rule for row in labeled.frames]
        stored = [tuple(score for _, _, score in one.keypoints or ()) for one in labeled.frames[1].teacher]
        assert stored == ([found] if keypoints else []), "what is stored is the teacher's"
    assert rules[False] == [None, "wrist_missing"] * 5
    assert rules[True] == [None] * 10
