"""Review items as Label Studio tasks."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from configs.categories import PERSON
from configs.errors import LabelStudioError
from configs.models import Review
from labeling.review.label_studio.brush_rle import encode_brush
from labeling.review.label_studio.project import (
    COMPARED,
    IMAGE,
    KEYPOINTS,
    LOCKED,
    MASKS,
    PROPOSED,
    QUESTIONS,
    locked_label,
    numbered_label,
    student_label,
)
from labeling.review.label_studio.questions import make_questions
from labeling.review.records import ProposedInstance, ReviewItem
from labeling.structures.frames import RgbImage
from labeling.structures.instances import COCO_KEYPOINTS
from labeling.structures.masks import Mask, union_masks

STUDENT_REGION = "student"
"""Region id of the student's mask."""
_FORMAT = 6
"""Increase it with every change to the predictions, so that open tasks are replaced."""
_KEYPOINT_SIZE = 0.5
"""Radius of a keypoint in per cent of the image's width."""
_DIGITS = 4
"""Digits of numbers that people see and may sort by. Label Studio sorts them as text: no exponents."""
_OUR_ID = re.compile(f"i(0|[1-9][0-9]{{0,18}})(?:-(?:{'|'.join(COCO_KEYPOINTS)}))?")
"""Id of one of our regions or keypoints; instance ids have 63 bits."""


def make_task(
    item: ReviewItem, settings: Review, image_url: str, image: RgbImage | None = None
) -> dict[str, Any]:
    """Return a task with the predictions of student and teacher, in the format of the import request.

    `image`: for the pictures of questions about doubtful persons. Empty masks are not shown. The teacher comes last: an import into a new project makes the last version
    the one that annotations start from.

    Raises:
        LabelStudioError: Label Studio would accept the task and display it wrongly.
    """
    if problems := list(_find_problems(item, settings, image_url)):
        raise LabelStudioError(
            f"frame {item.frame_id} cannot be displayed for review: {'; '.join(problems)}; run it again, or report this"
        )
    predictions = []
    if settings.show_student and (seen := _seen_by_student(item)):
        region = _brush_region(STUDENT_REGION, seen, student_label(settings))
        predictions.append({"model_version": COMPARED, "score": item.iou, "result": [region]})
    predictions.append(_teacher_prediction(item, settings))
    people = [person for person in item.teacher if person.mask]
    questions = make_questions(people, item.student, settings, image)
    locked = [str(person.id) for person in people if person.is_doubtful is False]
    data = _task_data(item, settings, image_url) | {QUESTIONS: questions, LOCKED: locked}
    return {"data": data, "predictions": predictions}


def _seen_by_student(item: ReviewItem) -> Mask:
    """Return the student's masks of all categories as one, which may be empty."""
    return union_masks(list(item.student.values()), item.size_hw)


def region_id(instance_id: int) -> str:
    """Return the region id of an instance, which Label Studio keeps through edits."""
    return f"i{instance_id}"


def keypoint_id(instance_id: int, index: int) -> str:
    return f"{region_id(instance_id)}-{COCO_KEYPOINTS[index]}"


def instance_id_of(name: str) -> int | None:
    """Return the instance id in a `region_id` or a `keypoint_id`; None: Label Studio made the id."""
    found = _OUR_ID.fullmatch(name)
    return int(found[1]) if found else None


def shown_keypoints(instance: ProposedInstance, settings: Review) -> Iterator[int]:
    """Yield the positions in `COCO_KEYPOINTS` of confident keypoints inside the image; none: not shown at all."""
    height, width = instance.mask.size_hw
    has_points = settings.show_keypoints and instance.category == PERSON
    for index, (x, y, confidence) in enumerate(instance.keypoints or () if has_points else ()):
        is_sure = confidence > 0 and confidence >= settings.min_keypoint_score
        if is_sure and 0 <= x <= width and 0 <= y <= height:
            yield index


def prediction_fingerprint(item: ReviewItem, settings: Review) -> str:
    """Return a SHA-256 of everything that determines the predictions, as 64 hexadecimal digits."""
    shown = {
        "format": _FORMAT,
        "shown_as": [
            settings.label,
            settings.show_student,
            settings.min_keypoint_score if settings.show_keypoints else None,
        ],
        "size_hw": item.size_hw,
        "teacher": [
            [
                *(person.id, person.mask.counts.decode(), person.score, person.keypoints),
                *(person.is_doubtful, person.category),
            ]
            for person in item.teacher
            if person.mask
        ],
        "teacher_model": item.teacher_model,
        "student": {category: mask.counts.decode() for category, mask in item.student.items() if mask},
        "student_model": item.student_model,
    }
    canonical = json.dumps(shown, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _find_problems(item: ReviewItem, settings: Review, image_url: str) -> Iterator[str]:
    """Yield what Label Studio does not check."""
    people = [person for person in item.teacher if person.mask]
    masks = {f"mask of instance {person.id}": person.mask for person in people}
    if settings.show_student:
        masks |= {f"mask of the student ({category})": mask for category, mask in item.student.items()}
    shares = {"iou": item.iou, "value": item.value}
    for person in people:
        shares[f"score of instance {person.id}"] = person.score
        for index in shown_keypoints(person, settings):
            shares[f"confidence of {keypoint_id(person.id, index)}"] = (person.keypoints or ())[index][2]
    if not image_url:
        yield "its image has no URL"
    if min(item.size_hw) < 1:
        yield f"its image has {_format_size(item.size_hw)} pixels"
    for name, share in shares.items():
        if not 0 <= share <= 1:  # also true for NaN
            yield f"the {name} is {share}, not in [0, 1]"
    for name, mask in masks.items():
        if mask.size_hw != item.size_hw:
            yield f"the {name} has {_format_size(mask.size_hw)} pixels, the image {_format_size(item.size_hw)}"
    if repeated := [key for key, times in Counter(person.id for person in people).items() if times > 1]:
        yield f"instance ids {repeated} are not unique"


def _format_size(size_hw: tuple[int, int]) -> str:
    return f"{size_hw[1]}x{size_hw[0]}"


def _task_data(item: ReviewItem, settings: Review, image_url: str) -> dict[str, Any]:
    """Return the task's data; label and keypoints are recorded to read the answers whatever the settings then."""
    return {
        "frame_id": str(item.frame_id),  # text, because integers in JavaScript are exact only up to 2^53
        IMAGE: image_url,
        "why": item.why,
        "title": item.title,
        "iou": round(item.iou, _DIGITS),
        "value": f"{item.value:.6f}",  # a distant person covers a thousandth of the pixels
        "teacher_model": item.teacher_model,
        "student_model": item.student_model,
        "label": settings.label,
        "shows_keypoints": settings.show_keypoints,
        "min_keypoint_score": settings.min_keypoint_score,
    }


def _teacher_prediction(item: ReviewItem, settings: Review) -> dict[str, Any]:
    people = [person for person in item.teacher if person.mask]
    result = [_person_region(person, position, settings) for position, person in enumerate(people)]
    result += [
        _keypoint_region(person, index) for person in people for index in shown_keypoints(person, settings)
    ]
    score = min((person.score for person in people), default=0.0)
    return {"model_version": PROPOSED, "score": score, "result": result}


def _person_region(person: ProposedInstance, position: int, settings: Review) -> dict[str, Any]:
    """Return a person's mask; Label Studio lets no annotator change or delete one that is locked."""
    is_locked = person.is_doubtful is False
    label = (
        locked_label(settings, person.category)
        if is_locked
        else numbered_label(settings, position, person.category)
    )
    region = _brush_region(region_id(person.id), person.mask, label) | {"score": person.score}
    return region | ({"readonly": True} if is_locked else {})


def _brush_region(name: str, mask: Mask, label: str) -> dict[str, Any]:
    value = {"format": "rle", "rle": list(encode_brush(mask)), "brushlabels": [label]}
    size = _image_fields(mask.size_hw)
    return {"id": name, "type": "brushlabels", "from_name": MASKS, **size, "value": value}


def _keypoint_region(person: ProposedInstance, index: int) -> dict[str, Any]:
    """Return a keypoint as a child of its person's region."""
    height, width = person.mask.size_hw
    x, y, confidence = (person.keypoints or ())[index]
    position = {"x": 100 * x / width, "y": 100 * y / height, "width": _KEYPOINT_SIZE}
    return {
        "id": keypoint_id(person.id, index),
        "parentID": region_id(person.id),
        "type": "keypointlabels",
        "from_name": KEYPOINTS,
        **_image_fields(person.mask.size_hw),
        "score": confidence,
        "value": {**position, "keypointlabels": [COCO_KEYPOINTS[index]]},
    }


def _image_fields(size_hw: tuple[int, int]) -> dict[str, Any]:
    return {
        "to_name": IMAGE,
        "origin": "prediction",
        "original_width": size_hw[1],
        "original_height": size_hw[0],
        "image_rotation": 0,
    }
