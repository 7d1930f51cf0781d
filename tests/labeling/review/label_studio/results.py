"""Review items, and the results that an annotator's browser submits."""

from collections.abc import Sequence
from typing import Any

from configs.categories import PERSON
from configs.models import Review
from labeling.review.label_studio.annotations import read_annotations
from labeling.review.label_studio.brush_rle import encode_brush
from labeling.review.label_studio.project import IMAGE, KEYPOINTS, MASKS, NOTE, VERDICT
from labeling.review.label_studio.tasks import make_task
from labeling.review.records import ProposedInstance, ReviewedFrame, ReviewItem
from labeling.structures.instances import COCO_KEYPOINTS, Keypoints
from labeling.structures.masks import BoolArray, Mask

Result = dict[str, Any]

ALL_KEYPOINTS = Review(show_keypoints=True, min_keypoint_score=0)
NO_KEYPOINTS = Review(show_keypoints=False)


def person(
    number: int,
    pixels: BoolArray,
    *,
    score: float = 0.9,
    keypoints: Keypoints | None = None,
    category: str = PERSON,
) -> ProposedInstance:
    return ProposedInstance(number, Mask.from_array(pixels), score, keypoints, category=category)


def keypoints_at(**points: tuple[float, float, float]) -> Keypoints:
    """Make keypoints from some of them, `nose=(x, y, confidence)`; the others are (0, 0, 0)."""
    return tuple(points.get(name, (0.0, 0.0, 0.0)) for name in COCO_KEYPOINTS)


def item_of(
    *people: ProposedInstance,
    frame_id: int = 7,
    size_hw: tuple[int, int] | None = None,
    student: BoolArray | None = None,
    iou: float = 0.25,
    image: str = "ab/abcd.jpg",
) -> ReviewItem:
    return ReviewItem(
        frame_id=frame_id,
        image=image,
        size_hw=size_hw or people[0].mask.size_hw,
        why="student missed 1 person; teacher unsure: mask flickers",
        title="street.mp4, 0:42.5",
        iou=iou,
        value=0.125,
        teacher=people,
        teacher_model="lite:person",
        student={} if student is None else {PERSON: Mask.from_array(student)},
        student_model="lite:selfie",
    )


def shown_results(item: ReviewItem, settings: Review | None = None) -> list[Result]:
    """The results of an unchanged submit: the teacher's prediction."""
    results: list[Result] = make_task(item, settings or ALL_KEYPOINTS, "/x.jpg")["predictions"][-1]["result"]
    return results


def region(pixels: BoolArray, name: str = "Xy3_abc-90", *, label: str = "person", **changes: Any) -> Result:
    """A brush region drawn by hand."""
    height, width = pixels.shape
    drawn = {
        "id": name,
        "type": "brushlabels",
        "from_name": MASKS,
        "to_name": IMAGE,
        "origin": "manual",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": list(encode_brush(Mask.from_array(pixels))),
            "brushlabels": [label],
        },
    }
    return {**drawn, **changes}


def keypoint(
    name: str, x: float, y: float, size_hw: tuple[int, int], *, number: str = "Keyp0int", **changes: Any
) -> Result:
    """A keypoint placed by hand, in pixels."""
    value = {"x": 100 * x / size_hw[1], "y": 100 * y / size_hw[0], "width": 0.5, "keypointlabels": [name]}
    placed = {
        "id": number,
        "type": "keypointlabels",
        "from_name": KEYPOINTS,
        "to_name": IMAGE,
        "origin": "manual",
        "original_width": size_hw[1],
        "original_height": size_hw[0],
        "image_rotation": 0,
        "value": value,
    }
    return {**placed, **changes}


def tick(verdict: str) -> Result:
    value = {"choices": [verdict]}
    return {"id": "Ch0ice", "type": "choices", "from_name": VERDICT, "to_name": IMAGE, "value": value}


def write(*lines: str) -> Result:
    value = {"text": list(lines)}
    return {"id": "N0te", "type": "textarea", "from_name": NOTE, "to_name": IMAGE, "value": value}


def annotation_of(results: list[Result] | None, **fields: Any) -> dict[str, Any]:
    """One annotation in Label Studio's JSON."""
    made: dict[str, Any] = {
        "id": 5,
        "completed_by": {"id": 3, "email": "ann@example.org", "first_name": "", "last_name": ""},
        "result": results,
        "was_cancelled": False,
        "lead_time": 12.5,
        "created_at": "2026-05-01T10:00:00.000001Z",
        "updated_at": "2026-05-01T12:00:00.000002+02:00",
    }
    return {**made, **fields}


def task_json(
    item: ReviewItem, *annotations: dict[str, Any], settings: Review | None = None
) -> dict[str, Any]:
    """A task in the format of Label Studio's task list."""
    task = make_task(item, settings or ALL_KEYPOINTS, "/x.jpg")
    return {"id": 40, **task, "annotations": list(annotations)}


def read_back(
    item: ReviewItem,
    results: list[Result],
    settings: Review | None = None,
    categories: Sequence[str] = (PERSON,),
) -> ReviewedFrame:
    """Read a task whose only annotation has these results."""
    [frame] = read_annotations(
        task_json(item, annotation_of(results), settings=settings),
        settings=settings or ALL_KEYPOINTS,
        proposed=item.teacher,
        size_hw=item.size_hw,
        users={},
        categories=categories,
    )
    return frame
