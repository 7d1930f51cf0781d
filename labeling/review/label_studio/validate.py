"""Checks that Label Studio does not make: do a task's predictions fit the label config and the image?"""

import re
from collections.abc import Iterator
from typing import Any

from configs.models import Review
from labeling.errors import LabelStudioError
from labeling.review.label_studio.project import IMAGE, KEYPOINTS, MASKS, STUDENT, TEACHER, student_label
from labeling.structures.instances import COCO_KEYPOINTS

_VALUE = re.compile(r"[01]\.[0-9]{6}")
"""The same number of digits everywhere, because it is sorted as text."""


def check_task(task: dict[str, Any], size_hw: tuple[int, int], settings: Review) -> None:
    """Refuse a task that Label Studio would accept and display wrongly, or not at all.

    `size_hw`: of the image, in pixels.

    Raises:
        LabelStudioError: names the frame and everything that is wrong.
    """
    wrong = [*_check_data(task["data"]), *_check_versions(task["predictions"])]
    if min(size_hw) < 1:
        wrong.append(f"its image has {_format_size(size_hw)} pixels")
    for prediction in task["predictions"]:
        wrong += _check_prediction(prediction, size_hw, settings)
    if wrong:
        raise LabelStudioError(
            f"the task of frame {task['data'].get('frame_id')} would be displayed wrongly: {'; '.join(wrong)}; "
            "run the frame again, or report this"
        )


def _check_data(data: dict[str, Any]) -> Iterator[str]:
    for field in ("frame_id", IMAGE, "why", "title"):
        if not isinstance(data.get(field), str):
            yield f"{field} is {data.get(field)!r}, not text"
    if not str(data.get("frame_id")).isdecimal():
        yield f"frame_id is {data.get('frame_id')!r}, not a number"
    if not data.get(IMAGE):
        yield "the image has no URL"
    if not _is_share(data.get("iou")):
        yield f"iou is {data.get('iou')!r}, not in [0, 1]"
    if not _VALUE.fullmatch(str(data.get("value"))):
        yield f"value is {data.get('value')!r}, not text such as '0.012345'"


def _check_versions(predictions: list[dict[str, Any]]) -> Iterator[str]:
    """Check that the teacher's prediction is last, as `make_task` explains."""
    versions = [prediction["model_version"] for prediction in predictions]
    if versions not in ([TEACHER], [STUDENT, TEACHER]):
        yield f"predictions are {versions}, not {[TEACHER]} or {[STUDENT, TEACHER]}"


def _check_prediction(
    prediction: dict[str, Any], size_hw: tuple[int, int], settings: Review
) -> Iterator[str]:
    version, regions = prediction["model_version"], prediction["result"]
    label = student_label(settings) if version == STUDENT else settings.label
    if prediction["score"] is not None and not _is_share(prediction["score"]):
        yield f"the {version}'s score is {prediction['score']!r}, not in [0, 1]"
    ids = [region["id"] for region in regions]
    if len(set(ids)) != len(ids):
        yield f"the {version}'s region ids {ids} are not unique"
    for region in regions:
        if (size := _size(region)) != size_hw:
            yield f"region {region['id']}: its image has {_format_size(size)} pixels, not {_format_size(size_hw)}"
        check = _check_mask if region["type"] == "brushlabels" else _check_keypoint
        yield from (f"region {region['id']}: {wrong}" for wrong in check(region, label))


def _check_mask(region: dict[str, Any], label: str) -> Iterator[str]:
    yield from _check_names(region, MASKS)
    if region["value"]["brushlabels"] != [label]:
        yield f"its label is {region['value']['brushlabels']}, not {[label]}"
    height, width = _size(region)
    values = int.from_bytes(region["value"]["rle"][:4])
    if values != 4 * height * width:
        yield f"it has {values} values, an image of {width}x{height} has {4 * height * width}"


def _check_keypoint(region: dict[str, Any], label: str) -> Iterator[str]:
    yield from _check_names(region, KEYPOINTS)
    value = region["value"]
    if region["type"] != "keypointlabels" or not set(value.get("keypointlabels", "?")) <= set(COCO_KEYPOINTS):
        yield "it is neither a mask nor a COCO keypoint"
    elif not (_is_share(value["x"] / 100) and _is_share(value["y"] / 100)):
        yield f"its position ({value['x']} %, {value['y']} %) is outside the image"


def _check_names(region: dict[str, Any], from_name: str) -> Iterator[str]:
    names = (region["from_name"], region["to_name"])
    if names != (from_name, IMAGE):
        yield f"it belongs to {names}, not {(from_name, IMAGE)}"
    if not _is_share(region.get("score", 0.0)):
        yield f"its score is {region['score']!r}, not in [0, 1]"


def _size(region: dict[str, Any]) -> tuple[int, int]:
    return region["original_height"], region["original_width"]


def _format_size(size_hw: tuple[int, int]) -> str:
    return f"{size_hw[1]}x{size_hw[0]}"


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1  # false for NaN
