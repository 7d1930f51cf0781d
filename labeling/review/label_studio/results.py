"""Parser for the results of one annotation: masks, keypoints, answers, verdict and note."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from pydantic import BaseModel, Field, ValidationError

from configs.categories import PERSON
from configs.errors import LabelStudioError
from configs.models import Review
from labeling.review.label_studio.brush_rle import decode_brush
from labeling.review.label_studio.project import (
    ANSWER,
    NOTE,
    VERDICT,
    LabelMeaning,
    category_label,
    label_meanings,
    student_label,
)
from labeling.structures.instances import COCO_KEYPOINTS
from labeling.structures.masks import Mask, union_masks

_NOT_REGIONS = frozenset(
    ("choices", "textarea", "rating", "number", "taxonomy", "datetime", "pairwise", "ranker", "relation")
)
"""Result types that are no region, although a per-region choice repeats the region's coordinates."""


@dataclass(frozen=True, slots=True)
class MaskRegion:
    """One brush region; its mask may be empty."""

    region_id: str
    """Label Studio's region id: kept through edits, new for a duplicate."""
    mask: Mask
    number: int | None = None
    """Number in its label, counted from 1: the instance of that position among the shown ones; None: a new one."""
    category: str = PERSON


@dataclass(frozen=True, slots=True)
class KeypointRegion:
    """One keypoint."""

    region_id: str
    parent: str
    """Region id of its parent mask in the outliner; empty: none."""
    index: int
    """Position in `COCO_KEYPOINTS`."""
    x_px: float
    y_px: float


@dataclass(frozen=True, slots=True)
class ParsedResult:
    """The results of one annotation."""

    masks: tuple[MaskRegion, ...]
    """In order of their first part; parts with the same region id are merged."""
    keypoints: tuple[KeypointRegion, ...]
    verdict: str
    """The selected choice; empty: none."""
    note: str
    problems: tuple[str, ...]
    """Ignored regions, with the reason."""
    answers: Mapping[int, str] = field(default_factory=dict)
    """To the questions about doubtful persons, by position; none: no answer was chosen."""


class _Result(BaseModel):
    """One entry of an annotation, of any type."""

    id: str = ""
    type: str
    from_name: str = ""
    value: dict[str, Any] = Field(default_factory=dict)
    original_width: int | None = None
    original_height: int | None = None
    parent: str | None = Field(None, alias="parentID")

    @property
    def is_region(self) -> bool:
        """True for a region of any type, known or not."""
        return self.type not in _NOT_REGIONS and (
            self.original_width is not None or self.type.endswith("labels")
        )

    @property
    def labels(self) -> list[str]:
        labels = self.value.get(self.type)
        return labels if isinstance(labels, list) else []


def parse_result(
    results: Iterable[Any],
    size_hw: tuple[int, int],
    settings: Review,
    categories: Sequence[str] = (PERSON,),
) -> ParsedResult:
    """Parse an annotation's results; each region that cannot be used becomes a problem.

    `categories`: those that its masks may have. Results of other controls that are not regions are ignored: a team may
    add its own questions.
    """
    known = label_meanings(settings, categories)
    masks: dict[str, list[Mask]] = {}
    meanings: dict[str, LabelMeaning] = {}
    keypoints, texts, problems = [], {VERDICT: "", NOTE: ""}, []
    answers: dict[int, str] = {}
    for position, raw in enumerate(results):
        try:
            result = _Result.model_validate(raw)
            if result.type == "keypointlabels":
                keypoints.append(_read_keypoint(result, size_hw))
            elif result.is_region:
                name = result.id or f"#{position}"
                meaning = _read_label(result, settings, known, meanings.get(name))
                mask = _read_mask(result, size_hw)
                masks.setdefault(name, []).append(mask)
                meanings[name] = meaning
            elif result.from_name in texts:
                texts[result.from_name] = _read_text(result)
            elif (question := result.from_name.removeprefix(ANSWER)).isdecimal():
                answers[int(question)] = _read_text(result)
        except (LabelStudioError, ValidationError) as exc:
            problems.append(f"region {_name(raw, position)} ignored: {_explain(exc)}")
    merged = tuple(
        MaskRegion(key, union_masks(parts, size_hw), meanings[key].number, meanings[key].category)
        for key, parts in masks.items()
    )
    return ParsedResult(merged, tuple(keypoints), texts[VERDICT], texts[NOTE], tuple(problems), answers)


def _read_label(
    result: _Result, settings: Review, known: Mapping[str, LabelMeaning], before: LabelMeaning | None
) -> LabelMeaning:
    """Return the meaning of a brush mask's label; `before`: that of an earlier part of the same region."""
    if result.type != "brushlabels":
        raise LabelStudioError(f"its type is {result.type}; only brush masks and keypoints are read")
    if result.labels == [student_label(settings)]:
        raise LabelStudioError(
            "it is the other model's mask, which is shown only for comparison; delete or relabel it"
        )
    meaning = known.get(str(result.labels[0])) if len(result.labels) == 1 else None
    if meaning is None:
        labels = ", ".join(map(str, result.labels)) or "missing"
        words = dict.fromkeys(category_label(settings, one.category) for one in known.values())
        raise LabelStudioError(f"its label is {labels}, not {' or '.join(words)}")
    if before is not None and before.category != meaning.category:
        raise LabelStudioError(f"its parts are {before.category} and {meaning.category}; give it one label")
    return meaning


def _read_mask(result: _Result, size_hw: tuple[int, int]) -> Mask:
    _check_size(result, size_hw)
    try:
        return decode_brush(result.value.get("rle") or b"", size_hw)
    except LabelStudioError as exc:
        raise LabelStudioError(f"its mask cannot be decoded: {exc}") from exc


def _check_size(result: _Result, size_hw: tuple[int, int]) -> None:
    """Check the image size. `image_rotation` does not matter: coordinates refer to the stored image.

    This was tested with strokes and a moved keypoint on an image rotated by 90 degrees.
    """
    size = (result.original_height, result.original_width)
    if size != size_hw:
        raise LabelStudioError(
            f"its image has {size[1]}x{size[0]} pixels, the frame has {size_hw[1]}x{size_hw[0]}"
        )


def _read_keypoint(result: _Result, size_hw: tuple[int, int]) -> KeypointRegion:
    if len(result.labels) != 1 or result.labels[0] not in COCO_KEYPOINTS:
        raise LabelStudioError(f"its label is {result.labels}, which is not a COCO keypoint")
    _check_size(result, size_hw)
    x, y = result.value.get("x"), result.value.get("y")
    if not (_is_number(x) and _is_number(y)):
        raise LabelStudioError(f"its position ({x!r}, {y!r}) is not a pair of numbers")
    return KeypointRegion(
        region_id=result.id,
        parent=result.parent or "",
        index=COCO_KEYPOINTS.index(result.labels[0]),
        x_px=x * size_hw[1] / 100,
        y_px=y * size_hw[0] / 100,
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _read_text(result: _Result) -> str:
    """Return the selected choices or the written text, one per line."""
    texts = result.value.get("choices") or result.value.get("text") or []
    return "\n".join(map(str, texts)) if isinstance(texts, list) else str(texts)


def _name(raw: Any, position: int) -> str:
    return str(raw.get("id") or f"#{position}") if isinstance(raw, dict) else f"#{position}"


def _explain(exc: LabelStudioError | ValidationError) -> str:
    if isinstance(exc, LabelStudioError):
        return str(exc)
    first = exc.errors()[0]
    return f"not in Label Studio's format: {'.'.join(map(str, first['loc']))} {first['msg'].lower()}"
