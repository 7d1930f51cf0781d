"""Questions about doubtful persons, which annotators answer by a choice instead of drawing.

A question shows the proposed outline of the person, and that of the other model where it differs. It is part of the task's
data, with the other model's mask, so that an answer names the pixels that were shown.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import cv2
import numpy as np

from configs.models import Review
from labeling.comparison.student_beside import seen_around
from labeling.review.label_studio.project import (
    NO_PERSON,
    OTHER,
    PERSON_COLORS,
    RIGHT,
    WRONG,
    category_label,
    numbered_label,
)
from labeling.review.records import ProposedInstance
from labeling.structures.frames import RgbImage
from labeling.structures.masks import Mask, iou_matrix, union_masks
from labeling.visualization.contact_sheet import encode_jpeg
from labeling.visualization.frames import draw_contours

MIN_OTHER_IOU, MAX_OTHER_IOU = 0.3, 0.95
"""The other model's mask is shown if its IoU with the proposed one lies between: below it is another thing, above the same."""
_PICTURE_H = 120
"""Height of a picture in pixels."""
_MARGIN = 0.25
"""Around the masks of a picture, as a share of their longer side."""
_QUALITY = 80


def make_questions(
    people: Sequence[ProposedInstance], other: Mapping[str, Mask], settings: Review, image: RgbImage | None
) -> list[dict[str, Any]]:
    """Return a question for each doubtful one of a frame's shown people and objects.

    `other`: all that the other model found, by category. Without an `image` the answers have no pictures.
    """
    questions = []
    for position, person in enumerate(people):
        if person.is_doubtful:
            mask = other_outline(person.mask, other.get(person.category))
            color = PERSON_COLORS[position % len(PERSON_COLORS)]
            question = {
                "id": str(person.id),
                "title": numbered_label(settings, position, person.category),
                "answers": _answers(
                    person.mask, mask, image, color, category_label(settings, person.category)
                ),
            }
            questions.append(question | ({"other": mask.counts.decode()} if mask else {}))
    return questions


def other_outline(mask: Mask, other: Mask | None) -> Mask | None:
    """Return what the other model sees in and around a person's box; None: nothing that annotators could choose.

    >>> half = Mask.from_coco({"size": [2, 4], "counts": [0, 4, 4]})
    >>> other_outline(half, Mask.from_coco({"size": [2, 4], "counts": [0, 2, 6]})).area_px
    2
    >>> other_outline(half, half)
    """
    seen = seen_around(mask, other) if other else None
    if not seen:
        return None
    return seen if MIN_OTHER_IOU <= iou_matrix([mask], [seen])[0, 0] <= MAX_OTHER_IOU else None


def _answers(
    mask: Mask, other: Mask | None, image: RgbImage | None, color: str, label: str
) -> list[Mapping[str, str]]:
    answers = [(RIGHT, "right", mask), *([(OTHER, "this one is right", other)] if other else [])]
    masks = [shown for *_, shown in answers]
    return [
        *(
            {"value": value, "html": _picture(shown, masks, image, color) + text}
            for value, text, shown in answers
        ),
        {"value": WRONG, "html": "wrong outline: leave out"},
        {"value": NO_PERSON, "html": f"no {escape(label)}"},
    ]


def _picture(mask: Mask, together: Sequence[Mask], image: RgbImage | None, color: str) -> str:
    """Return an outline on the part of the image that shows the masks, as HTML; empty without an image.

    Label Studio removes images with data URLs, but not such backgrounds.
    """
    if image is None:
        return ""
    left, top, right, bottom = _surroundings(together)
    size = (max(1, round((right - left) * _PICTURE_H / (bottom - top))), _PICTURE_H)
    drawn = np.asarray(
        cv2.resize(image[top:bottom, left:right], size, interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
    crop = mask.to_crop((left, top, right - left, bottom - top))
    pixels = np.asarray(cv2.resize(crop.astype(np.uint8), size) > 0, dtype=np.bool_)
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    draw_contours(drawn, pixels, (red, green, blue))
    code = b64encode(encode_jpeg(drawn, quality=_QUALITY)).decode()
    style = (
        f"display:block;width:{size[0]}px;height:{size[1]}px;background:url(data:image/jpeg;base64,{code})"
    )
    return f"<span style='{style}'></span>"


def _surroundings(masks: Sequence[Mask]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the part of the image around masks."""
    height, width = masks[0].size_hw
    x, y, w, h = union_masks(masks, (height, width)).box_xywh
    margin = _MARGIN * max(w, h)
    left, top = max(0, int(x - margin)), max(0, int(y - margin))
    return left, top, min(width, int(x + w + margin) + 1), min(height, int(y + h + margin) + 1)
