"""Review items as Label Studio's tasks."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from configs.models import Review
from labeling.review.label_studio.brush_rle import encode_brush
from labeling.review.label_studio.project import IMAGE, KEYPOINTS, MASKS, STUDENT, TEACHER, student_label
from labeling.review.label_studio.validate import check_task
from labeling.review.records import ProposedInstance, ReviewItem
from labeling.structures.instances import COCO_KEYPOINTS
from labeling.structures.masks import Mask

STUDENT_REGION = "student"
"""Region id of the student's mask."""

_FORMAT = 2
"""Raised with every change to what tasks look like, so that those in Label Studio are replaced."""

_KEYPOINT_SIZE = 0.5
"""Radius of a joint in per cent of the image's width."""

_DIGITS = 4
"""Of what people see and may sort by. Label Studio sorts numbers as text: no exponents."""

_OUR_NAME = re.compile(f"i(0|[1-9][0-9]{{0,18}})(?:-(?:{'|'.join(COCO_KEYPOINTS)}))?")
"""A region's or a joint's; ids have 63 bits."""


def make_task(item: ReviewItem, settings: Review, image_url: str) -> dict[str, Any]:
    """Give a task with the student's and the teacher's predictions, ready for the import call.

    An empty mask is nobody and is not shown. The teacher comes last: an import into a new project makes
    the last version the one that annotations start from.

    Raises:
        LabelStudioError: it would not be shown as meant: a number that is none, a mask of another image.
    """
    predictions = []
    if settings.show_student and item.student:
        predictions.append(_student_prediction(item.student, item.iou, settings))
    predictions.append(_teacher_prediction(item, settings))
    task = {"data": _task_data(item, settings, image_url), "predictions": predictions}
    check_task(task, item.size_hw, settings)
    return task


def region_id(instance_id: int) -> str:
    """What the region of one of our instances is called; Label Studio keeps it through edits."""
    return f"i{instance_id}"


def keypoint_id(instance_id: int, joint: int) -> str:
    return f"{region_id(instance_id)}-{COCO_KEYPOINTS[joint]}"


def named_instance(name: str) -> int | None:
    """The instance that a `region_id` or a `keypoint_id` stands for; None: one that Label Studio made up."""
    found = _OUR_NAME.fullmatch(name)
    return int(found[1]) if found else None


def shown_keypoints(instance: ProposedInstance) -> Iterator[int]:
    """Positions in `COCO_KEYPOINTS` of the joints that lie in the image and have a confidence."""
    height, width = instance.mask.size_hw
    for joint, (x, y, confidence) in enumerate(instance.keypoints or ()):
        if confidence > 0 and 0 <= x <= width and 0 <= y <= height:
            yield joint


def prediction_fingerprint(item: ReviewItem, settings: Review) -> str:
    """64 hexadecimal digits of everything the two predictions are made of: another one, other predictions."""
    shown = {
        "format": _FORMAT,
        "shown_as": [settings.label, settings.show_student, settings.show_keypoints],
        "size_hw": item.size_hw,
        "teacher": [
            [one.id, one.mask.counts.decode(), one.score, one.keypoints] for one in item.teacher if one.mask
        ],
        "teacher_model": item.teacher_model,
        "student": item.student.counts.decode() if item.student else None,
        "student_model": item.student_model,
    }
    canonical = json.dumps(shown, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _task_data(item: ReviewItem, settings: Review, image_url: str) -> dict[str, Any]:
    """JavaScript's numbers end at 2^53: the frame's id is text. How masks and joints were shown is kept
    with them, for their answers are read by that, whatever the settings are by then."""
    return {
        "frame_id": str(item.frame_id),
        IMAGE: image_url,
        "why": item.why,
        "title": item.title,
        "iou": round(item.iou, _DIGITS),
        "value": f"{item.value:.6f}",  # a person in the distance has a thousandth of the pixels
        "teacher_model": item.teacher_model,
        "student_model": item.student_model,
        "label": settings.label,
        "shows_keypoints": settings.show_keypoints,
    }


def _teacher_prediction(item: ReviewItem, settings: Review) -> dict[str, Any]:
    shown = [one for one in item.teacher if one.mask]
    result = [_mask_region(one, settings.label) for one in shown]
    if settings.show_keypoints:
        result += [region for one in shown for region in _keypoint_regions(one)]
    score = min((one.score for one in shown), default=0.0)
    return {"model_version": TEACHER, "score": score, "result": result}


def _student_prediction(mask: Mask, iou: float, settings: Review) -> dict[str, Any]:
    region = _brush_region(STUDENT_REGION, mask, student_label(settings))
    return {"model_version": STUDENT, "score": iou, "result": [region]}


def _mask_region(instance: ProposedInstance, label: str) -> dict[str, Any]:
    region = _brush_region(region_id(instance.id), instance.mask, label)
    return {**region, "score": instance.score}


def _brush_region(name: str, mask: Mask, label: str) -> dict[str, Any]:
    value = {"format": "rle", "rle": list(encode_brush(mask)), "brushlabels": [label]}
    return {"id": name, "type": "brushlabels", "from_name": MASKS, **_place(mask.size_hw), "value": value}


def _place(size_hw: tuple[int, int]) -> dict[str, Any]:
    height, width = size_hw
    return {
        "to_name": IMAGE,
        "origin": "prediction",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }


def _keypoint_regions(instance: ProposedInstance) -> list[dict[str, Any]]:
    """Each below its person's region."""
    regions = []
    for joint in shown_keypoints(instance):
        x, y, confidence = (instance.keypoints or ())[joint]
        regions.append(
            {
                "id": keypoint_id(instance.id, joint),
                "parentID": region_id(instance.id),
                "type": "keypointlabels",
                "from_name": KEYPOINTS,
                **_place(instance.mask.size_hw),
                "score": confidence,
                "value": {
                    **_in_per_cent(x, y, instance.mask.size_hw),
                    "keypointlabels": [COCO_KEYPOINTS[joint]],
                },
            }
        )
    return regions


def _in_per_cent(x: float, y: float, size_hw: tuple[int, int]) -> dict[str, float]:
    return {"x": 100 * x / size_hw[1], "y": 100 * y / size_hw[0], "width": _KEYPOINT_SIZE}
