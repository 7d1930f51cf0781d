"""Masks sent to a real Label Studio and accepted unchanged: no pixel may differ."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from scipy import ndimage

from configs.models import Review
from labeling.review.label_studio.annotations import read_annotations
from labeling.review.label_studio.project import PROPOSED, label_config
from labeling.review.label_studio.tasks import make_task
from labeling.review.records import ReviewedFrame, ReviewItem
from labeling.structures.masks import BoolArray, iou_matrix
from tests.labeling.review.label_studio.results import item_of, keypoints_at, person
from tests.labeling.strategies import blobs
from tests.studio_server import RunningStudio

pytestmark = [pytest.mark.labelstudio, pytest.mark.slow]

UHD = (2160, 3840)
Images = list[BoolArray]


def shape(size_hw: tuple[int, int], rows: slice, columns: slice) -> BoolArray:
    drawn = np.zeros(size_hw, dtype=np.bool_)
    drawn[rows, columns] = True
    return drawn


def ring(size_hw: tuple[int, int], *, holes: int) -> BoolArray:
    """A rectangle with holes of one row each, and a separate pixel in the corner."""
    h, w = size_hw
    drawn = shape(size_hw, slice(h // 5, 4 * h // 5), slice(w // 5, 4 * w // 5))
    for hole in range(holes):
        drawn[h // 5 + 2 + 2 * hole, w // 5 + 1 : 4 * w // 5 - 1] = False
    drawn[-1, -1] = True
    return drawn


def hand_drawn(size_hw: tuple[int, int]) -> Iterator[Images]:
    h, w = size_hw
    rest, whole = slice(None), shape(size_hw, slice(None), slice(None))
    step = max(2, w // 40)
    yield [
        shape(size_hw, slice(y, y + 1), slice(x, x + 1))
        for y, x in ((0, 0), (h // 2, w // 3), (h - 1, w - 1))
    ]
    yield [ring(size_hw, holes=holes) for holes in (0, 1, 5)]
    yield [whole, shape(size_hw, slice(1, h), rest), whole]
    yield [
        shape(size_hw, slice(h // 4, 3 * h // 4), slice(i * w // 8, i * w // 8 + w // 2)) for i in range(3)
    ]
    yield [
        shape(size_hw, rest, slice(0, w, step)),
        shape(size_hw, slice(0, h, step), rest),
        ~ring(size_hw, holes=3),
    ]


def random_images(rng: np.random.Generator, size_hw: tuple[int, int]) -> Images:
    """Two smooth masks with several parts and holes that overlap, and one of noise in a corner."""
    coarse = 4 if size_hw == UHD else 1
    small_hw = size_hw[0] // coarse, size_hw[1] // coarse
    smooth = [
        one.repeat(coarse, axis=0).repeat(coarse, axis=1)
        for one in blobs(int(rng.integers(2**31)), small_hw, sigma=min(small_hw) / 15)
    ]
    noise = shape(size_hw, slice(0, 40), slice(0, 40)) & (rng.random(size_hw) < 0.3)
    return [*smooth, noise]


def all_images() -> Iterator[Images]:
    """Yield three overlapping people per frame."""
    rng = np.random.default_rng(5)
    for size_hw in ((57, 21), (360, 480), (120, 121), UHD):
        yield from hand_drawn(size_hw)
    for size_hw in [(57, 21), (97, 160), (360, 480)] * 28:
        yield random_images(rng, size_hw)
    yield random_images(rng, UHD)


def make_items() -> list[ReviewItem]:
    keypoints = keypoints_at(nose=(5.25, 7.5, 0.7), left_knee=(1 / 3, 1e-9, 0.123456789))
    return [
        item_of(
            *(person(1000 * number + i, one, keypoints=keypoints) for i, one in enumerate(images)),
            frame_id=2**62 + number,
            student=images[0],
        )
        for number, images in enumerate(all_images())
    ]


def accept(http: httpx.Client, project: int, task_id: int) -> None:
    """Submit the teacher's prediction like a browser does without a change (observed in 1.23)."""
    task = http.get(f"/api/tasks/{task_id}", params={"project": project}).raise_for_status().json()
    [shown] = [one for one in task["predictions"] if one["model_version"] == PROPOSED]
    annotation: dict[str, Any] = {
        "lead_time": 1.561,
        "result": shown["result"],
        "draft_id": 0,
        "parent_prediction": shown["id"],
        "parent_annotation": None,
        "started_at": "2026-05-01T15:27:45.757Z",
        "project": str(project),
    }
    http.post(
        f"/api/tasks/{task_id}/annotations", params={"project": project}, json=annotation
    ).raise_for_status()


@pytest.fixture(scope="module")
def items() -> list[ReviewItem]:
    return make_items()


@pytest.fixture(scope="module")
def frames(studio: RunningStudio, items: list[ReviewItem]) -> list[ReviewedFrame]:
    """The items as they were reviewed, in the same order."""
    settings = Review()
    project = studio.server.find_or_create_project("round trip", label_config(settings), "")
    tasks = studio.server.import_tasks(project, [make_task(item, settings, "/data/x.jpg") for item in items])
    with studio.http() as http:
        for task in tasks:
            accept(http, project, task)
    by_frame = {str(item.frame_id): item for item in items}
    found: dict[int, ReviewedFrame] = {}
    for task_json in studio.server.changed_tasks(project, None):
        item = by_frame[task_json["data"]["frame_id"]]
        [frame] = read_annotations(
            task_json,
            settings=settings,
            proposed=item.teacher,
            size_hw=item.size_hw,
            users=studio.server.user_emails(),
        )
        found[frame.frame_id] = frame
    return [found[item.frame_id] for item in items]


def test_the_set_is_large_and_covers_holes_parts_single_pixels_full_frames_and_4k(
    items: list[ReviewItem],
) -> None:
    masks = [one.mask for item in items for one in item.teacher]
    small = [one for one in masks if one.size_hw != UHD]
    assert len(masks) >= 300
    assert len(masks) - len(small) >= 18
    assert sum(one.size_hw == (57, 21) for one in masks) >= 90
    assert sum(one.area_px == 1 for one in masks) >= 12
    assert sum(one.area_px == one.size_hw[0] * one.size_hw[1] for one in masks) >= 8
    assert sum(ndimage.label(one.to_array())[1] > 1 for one in small) >= 150
    assert sum(_has_hole(one.to_array()) for one in small) >= 100


def _has_hole(drawn: BoolArray) -> bool:
    return bool((ndimage.binary_fill_holes(drawn) != drawn).any())


def test_every_mask_comes_back_unchanged(items: list[ReviewItem], frames: list[ReviewedFrame]) -> None:
    for item, frame in zip(items, frames, strict=True):
        before, after = [one.mask for one in item.teacher], [one.mask for one in frame.instances]
        assert after == before
        assert [iou_matrix([first], [second])[0, 0] for first, second in zip(before, after, strict=True)] == [
            1.0
        ] * 3


def test_every_person_comes_back_as_the_same_untouched_person(
    items: list[ReviewItem], frames: list[ReviewedFrame]
) -> None:
    for item, frame in zip(items, frames, strict=True):
        assert [one.source_id for one in frame.instances] == [one.id for one in item.teacher]
        assert {one.origin for one in frame.instances} == {"prediction"}
        assert [one.keypoints for one in frame.instances] == [one.keypoints for one in item.teacher]


def test_every_frame_comes_back_as_correct_with_its_annotator(
    studio: RunningStudio, frames: list[ReviewedFrame]
) -> None:
    assert {(one.verdict, one.problems, one.note) for one in frames} == {("correct", (), "")}
    assert {(one.annotator, one.seconds) for one in frames} == {(studio.access.email, 1.561)}
