"""Why a frame was decided as it was: a code and its values where the decision is made, words where it is shown."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast, get_args

from labeling.text.figures import count_of
from labeling.text.phrases import (
    format_masks,
    format_objects,
    format_people,
    format_percent,
    share_texts_below,
    texts_below,
)

ReasonCode = Literal[
    "no_person",
    "student_sees_more",
    "low_score",
    "keypoints_outside",
    "mirrored_differs",
    "no_threshold",
    "low_trust",
    "not_mirrored",
    "not_calibrated",
    "mask_jumps",
    "mask_changes",
    "verifier_sees_more",
    "verifier_sees_less",
    "verifier_differs",
    "verifier_keypoints_outside",
    "still_masks",
    "moves_outside",
    "track_gap",
    "doubtful_people",
    "person_missing",
    "carried",
    "not_refined",
    "miss",
    "split",
    "merge",
    "boundary",
    "overlap",
    "text",
]
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason of a decision. `str` gives its words for engineers.

    >>> str(Reason.of("low_score", value=0.48, minimum=0.7))
    'the teacher is unsure: lowest score 0.48 (minimum 0.70)'
    """

    code: ReasonCode
    values: Values = field(default_factory=dict)
    """Numbers, counts and texts by name, as JSON has them."""

    @classmethod
    def of(cls, code: ReasonCode, **values: Any) -> Self:
        return cls(code, values)

    @classmethod
    def from_json(cls, stored: Any) -> Self:
        """Return a stored reason; a text, as older versions stored it, has the code `text`.

        >>> Reason.from_json("too dark")
        Reason(code='text', values={'text': 'too dark'})
        """
        if isinstance(stored, dict) and stored.get("code") in get_args(ReasonCode):
            values = {name: value for name, value in stored.items() if name != "code"}
            return cls(cast(ReasonCode, stored["code"]), values)
        return cls("text", {"text": str(stored)})

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, **self.values}

    def __str__(self) -> str:
        return _WORDS[self.code](self.values)


def reason_texts(stored: Any) -> tuple[str, ...]:
    """Return the words of a list of stored reasons."""
    return tuple(str(Reason.from_json(one)) for one in stored)


def name_instances(values: Values) -> str:
    """Return `2 people`, or `2 objects` where a dataset has other categories."""
    return (format_objects if values.get("are_objects") else format_people)(values["people"])


def _below(text: str) -> Callable[[Values], str]:
    """Format `{value}` and `{minimum}` with as many digits as show the difference."""

    def words(values: Values) -> str:
        value, minimum = texts_below(_number(values["value"]), values["minimum"])
        return text.format(value=value, minimum=minimum)

    return words


def _share_below(text: str) -> Callable[[Values], str]:
    def words(values: Values) -> str:
        value, minimum = share_texts_below(_number(values["value"]), values["minimum"])
        return text.format(value=value, minimum=minimum)

    return words


def _number(value: float | None) -> float:
    """Return a stored number; JSON has no NaN."""
    return math.nan if value is None else value


def _counted(text: str) -> Callable[[Values], str]:
    """Format `{people}` and `{masks}`, each with its number."""

    def words(values: Values) -> str:
        masks = format_masks(values["masks"]) if "masks" in values else ""
        return text.format(people=name_instances(values), masks=masks)

    return words


def _nothing(values: Values) -> str:
    return "nothing" if values.get("are_objects") else "no person"


def _student_sees_more(values: Values) -> str:
    nothing = _nothing(values)
    if values.get("in_one_mask"):
        return f"the teacher found {nothing} in {count_of(values['people'], 'area')} of the student's mask"
    return f"the teacher found {nothing} where the student found {name_instances(values)}"


def _boundary(values: Values) -> str:
    outline = "joint outline" if values.get("in_one_mask") and values["people"] > 1 else "outline"
    return f"the student's {outline} of {name_instances(values)} is inaccurate"


def _still(values: Values) -> str:
    one = values["masks"] == 1
    subject = "1 mask barely moves" if one else f"{values['masks']} masks barely move"
    share, minimum = share_texts_below(values["value"], values["minimum"])
    return f"{subject} ({share} of its pixels, minimum {minimum}): {guess_about_still(values)}"


def guess_about_still(values: Values) -> str:
    return "it may be an object, not a person" if values["masks"] == 1 else "they may be objects, not people"


def place_text(values: Values) -> str:
    """Return `24x70 px at (3, 10)`."""
    return f"{values['w']}x{values['h']} px at ({values['x']}, {values['y']})"


def _track_gap(values: Values) -> str:
    have = "has" if values["people"] == 1 else "have"
    return f"{format_people(values['people'])} of the frames before and after it {have} no mask in this one"


def _doubtful_people(values: Values) -> str:
    doubtful, people = values["doubtful"], values["people"]
    who = format_people(people) if doubtful == people else f"{doubtful} of {people} people"
    return f"{who} may be wrong (lowest probability of being right {format_percent(values['value'])})"


def _not_refined(values: Values) -> str:
    count, total, by = values["masks"], values["of"], f"not refined by {values['text']}"
    return by if count == total else f"{count} of {total} masks {by}"


def _overlap(values: Values) -> str:
    shares = ", ".join(f"{category} {iou:.2f}" for category, iou in values.get("categories", ()))
    return f"student and teacher overlap with IoU {shares or format(values['value'], '.2f')}"


_WORDS: dict[ReasonCode, Callable[[Values], str]] = {
    "no_person": lambda values: f"the teacher found {_nothing(values)}",
    "student_sees_more": _student_sees_more,
    "low_score": _below("the teacher is unsure: lowest score {value} (minimum {minimum})"),
    "keypoints_outside": _share_below("keypoints lie outside the mask: {value} inside (minimum {minimum})"),
    "mirrored_differs": _below("the mirrored image gives another mask: IoU {value} (minimum {minimum})"),
    "no_threshold": lambda values: (
        f"the calibration has no threshold for a risk of {format_percent(values['risk'])} "
        f"(trust of this frame: {format_percent(values['value'])})"
    ),
    "low_trust": _share_below("the teacher is right with a probability of {value} (minimum {minimum})"),
    "not_mirrored": lambda values: (
        f"the teacher's scores alone do not suffice without the mirrored image ({values['value']:.2f})"
    ),
    "not_calibrated": lambda values: (
        f"the calibration knows people only, not {', '.join(values['categories'])}"
    ),
    "mask_jumps": _below(
        "the mask jumps: IoU {value} with the previous frame's mask moved by optical flow (minimum {minimum})"
    ),
    "mask_changes": _below(
        "a person's mask changes along the motion: IoU {value} with that in the previous frame (minimum {minimum})"
    ),
    "verifier_sees_more": _counted("the teacher found no person where the verifier found {people}"),
    "verifier_sees_less": _counted("the verifier found no person where the teacher found {people}"),
    "verifier_differs": _below("the verifier gives another mask: IoU {value} (minimum {minimum})"),
    "verifier_keypoints_outside": _share_below(
        "the verifier's keypoints lie outside the mask: {value} inside (minimum {minimum})"
    ),
    "still_masks": _still,
    "moves_outside": lambda values: (
        f"something moves where the teacher found no person: {place_text(values)}"
    ),
    "track_gap": _track_gap,
    "doubtful_people": _doubtful_people,
    "person_missing": _share_below(
        "a person may be missing: every person is found with a probability of {value} (minimum {minimum})"
    ),
    "carried": lambda _: "the masks were carried from a reviewed frame",
    "not_refined": _not_refined,
    "miss": _counted("the student missed {people}"),
    "split": _counted("the student split {people} into {masks}"),
    "merge": _counted("the student merged {people} into {masks}"),
    "boundary": _boundary,
    "overlap": _overlap,
    "text": lambda values: str(values["text"]),
}
