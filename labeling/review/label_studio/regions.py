"""The results of one annotation: masks, joints, verdict and note, as far as they can be understood."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard

from pydantic import BaseModel, Field, ValidationError

from configs.models import Review
from labeling.errors import LabelStudioError
from labeling.review.label_studio.brush_rle import decode_brush
from labeling.review.label_studio.project import NOTE, VERDICT, student_label
from labeling.structures.instances import COCO_KEYPOINTS
from labeling.structures.masks import Mask, union_masks


@dataclass(frozen=True, slots=True)
class MaskRegion:
    """One brush region."""

    name: str
    """Label Studio's region id: kept through edits, new for a duplicate."""
    mask: Mask
    """May be empty."""


@dataclass(frozen=True, slots=True)
class KeypointRegion:
    """One joint."""

    name: str
    parent: str
    """Region id of the mask below which it hangs; empty: none."""
    joint: int
    """Position in `COCO_KEYPOINTS`."""
    x_px: float
    y_px: float


@dataclass(frozen=True, slots=True)
class ParsedResult:
    """One annotation's results."""

    masks: tuple[MaskRegion, ...]
    """In order of their first part; parts with one region id are one."""
    joints: tuple[KeypointRegion, ...]
    verdict: str
    """What was ticked; empty: nothing."""
    note: str
    problems: tuple[str, ...]
    """Regions that were left out, and why."""


_ANSWERS = frozenset(
    ("choices", "textarea", "rating", "number", "taxonomy", "datetime", "pairwise", "ranker", "relation")
)
"""Types of results that are no region, though one that is asked about a region repeats its place."""


class _Result(BaseModel):
    """One entry of an annotation, of any kind."""

    id: str = ""
    type: str
    from_name: str = ""
    value: dict[str, Any] = Field(default_factory=dict)
    original_width: int | None = None
    original_height: int | None = None
    parent: str | None = Field(None, alias="parentID")

    @property
    def is_region(self) -> bool:
        """Something on the image, of a kind that we may not know, not an answer about it."""
        return self.type not in _ANSWERS and (self.original_width is not None or self.type.endswith("labels"))

    @property
    def labels(self) -> list[str]:
        found = self.value.get(self.type)
        return found if isinstance(found, list) else []


def read_answer(results: Iterable[Any], size_hw: tuple[int, int], settings: Review) -> ParsedResult:
    """Sort an annotation's results; what is no region of ours is a problem and left out.

    Results of other controls that are not regions are passed over: a team may ask for more.
    """
    masks: dict[str, list[Mask]] = {}
    joints, said, problems = [], {VERDICT: "", NOTE: ""}, []
    for position, raw in enumerate(results):
        try:
            result = _Result.model_validate(raw)
            if result.type == "keypointlabels":
                joints.append(_read_keypoint(result, size_hw))
            elif result.is_region:
                mask = _read_mask(result, size_hw, settings)
                masks.setdefault(result.id or f"#{position}", []).append(mask)
            elif result.from_name in said:
                said[result.from_name] = _read_text(result)
        except (LabelStudioError, ValidationError) as exc:
            problems.append(f"region {_name(raw, position)} left out: it {_say(exc)}")
    merged = tuple(MaskRegion(name, union_masks(parts, size_hw)) for name, parts in masks.items())
    return ParsedResult(merged, tuple(joints), said[VERDICT], said[NOTE], tuple(problems))


def _read_mask(result: _Result, size_hw: tuple[int, int], settings: Review) -> Mask:
    """Raises LabelStudioError, worded to follow "it"."""
    if result.type != "brushlabels":
        raise LabelStudioError(f"is a {result.type}: only brush masks and joints are read")
    if result.labels != [settings.label]:
        advice = "the student's mask, which is only for comparing; delete or relabel it"
        is_student = result.labels == [student_label(settings)]
        raise LabelStudioError(
            f"is called {', '.join(map(str, result.labels)) or 'nothing'}, not {settings.label}"
            + (f": {advice}" if is_student else "")
        )
    _check_place(result, size_hw)
    try:
        return decode_brush(result.value.get("rle") or b"", size_hw)
    except LabelStudioError as exc:
        raise LabelStudioError(f"cannot be decoded: {exc}") from exc


def _check_place(result: _Result, size_hw: tuple[int, int]) -> None:
    """`image_rotation` does not matter: masks and joints lie on the image as it is stored, however
    people turned it on the screen (tried with strokes and a moved joint at 90 degrees)."""
    size = (result.original_height, result.original_width)
    if size != size_hw:
        raise LabelStudioError(
            f"is of an image of {size[1]}x{size[0]} pixels, the frame has {size_hw[1]}x{size_hw[0]}"
        )


def _read_keypoint(result: _Result, size_hw: tuple[int, int]) -> KeypointRegion:
    """Raises LabelStudioError, worded to follow "it"."""
    if len(result.labels) != 1 or result.labels[0] not in COCO_KEYPOINTS:
        raise LabelStudioError(f"is called {result.labels}, which is none of COCO's joints")
    _check_place(result, size_hw)
    x, y = result.value.get("x"), result.value.get("y")
    if not (_is_number(x) and _is_number(y)):
        raise LabelStudioError(f"lies at ({x!r}, {y!r}), which is no place")
    return KeypointRegion(
        name=result.id,
        parent=result.parent or "",
        joint=COCO_KEYPOINTS.index(result.labels[0]),
        x_px=x * size_hw[1] / 100,
        y_px=y * size_hw[0] / 100,
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _read_text(result: _Result) -> str:
    """What was ticked or written, on several lines where it is several."""
    said = result.value.get("choices") or result.value.get("text") or []
    return "\n".join(map(str, said)) if isinstance(said, list) else str(said)


def _name(raw: Any, position: int) -> str:
    return str(raw.get("id") or f"#{position}") if isinstance(raw, dict) else f"#{position}"


def _say(exc: LabelStudioError | ValidationError) -> str:
    if isinstance(exc, LabelStudioError):
        return str(exc)
    first = exc.errors()[0]
    return f"is not as Label Studio writes it: {'.'.join(map(str, first['loc']))} {first['msg'].lower()}"
