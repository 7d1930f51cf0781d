"""A segmenter whose masks are refined."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from configs.errors import ModelOutputWrong
from labeling.refinement.protocol import Refiner, refiner_label
from labeling.segmenters.models import settings_of
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask, iou_matrix
from labeling.structures.reasons import Reason

MIN_IOU = 0.3
"""A refined mask that overlaps less with the mask before is another object; the mask before is kept."""


class RefinedSegmenter:
    """A segmenter followed by refiners, in order.

    Each instance states which refiners changed its mask (`refined_by`), by how much (`iou_before`), and
    why others did not (`not_refined`). Mirrored frames are refined in their original orientation, because
    a plate is not mirrored.
    """

    def __init__(self, teacher: Segmenter, refiners: Sequence[Refiner]) -> None:
        self._teacher = teacher
        self._refiners = tuple(refiners)

    @property
    def card(self) -> ModelCard:
        """The segmenter's card; its settings also name the refiners."""
        card = self._teacher.card
        settings = settings_of(card) or {"settings": card.settings}
        settings["refine"] = [_describe(refiner.card) for refiner in self._refiners]
        return replace(card, settings=json.dumps(settings, sort_keys=True, separators=(",", ":")))

    def prepare(self, clip: Clip) -> "RefinedSegmenter":
        teacher = self._teacher.prepare(clip)
        return RefinedSegmenter(
            teacher, [refiner.prepare(clip, teacher.segment) for refiner in self._refiners]
        )

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Segment each frame and refine the masks.

        Raises:
            ModelOutputWrong: a refiner lost instances or changed the size of a mask.
        """
        found = self._teacher.segment(frames)
        upright = [frame.mirror() if frame.is_mirrored else frame for frame in frames]
        first = [_mirror_if(frame, people) for frame, people in zip(frames, found, strict=True)]
        refined = first
        for refiner in self._refiners:
            refined = _apply(refiner, upright, refined)
        compared = [_with_ious(*pair) for pair in zip(first, refined, strict=True)]
        return [_mirror_if(frame, people) for frame, people in zip(frames, compared, strict=True)]


def describe_unrefined(instances: Sequence[Instance]) -> tuple[Reason, ...]:
    """Return why masks of a frame were not refined.

    >>> from labeling.structures.masks import Mask
    >>> mask = Mask.from_coco({"size": [2, 3], "counts": [2, 3, 1]})
    >>> left = Instance(mask, 0.9, mask.box_xywh, not_refined=("matting: the camera moves by 4.1 px",))
    >>> print(*describe_unrefined([left]))
    not refined by matting: the camera moves by 4.1 px
    >>> print(*describe_unrefined([left, Instance(mask, 0.9, mask.box_xywh)]))
    1 of 2 masks not refined by matting: the camera moves by 4.1 px
    """
    counts = Counter(reason for instance in instances for reason in instance.not_refined)
    return tuple(
        Reason.of("not_refined", text=reason, masks=count, of=len(instances))
        for reason, count in counts.items()
    )


def _apply(
    refiner: Refiner, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
) -> list[list[Instance]]:
    """Run one refiner and accept its masks one by one; those of people whom it adds come last."""
    card = refiner.card
    refined = refiner.refine(frames, instances)
    if len(refined) != len(instances) or any(
        len(after) < len(before) for before, after in zip(instances, refined, strict=True)
    ):
        raise ModelOutputWrong(
            f"{refiner_label(card)}: {[len(people) for people in refined]} instances for "
            f"{[len(people) for people in instances]}; return each instance, in order"
        )
    return [
        [
            *(_accept(card, *pair) for pair in zip(before, after, strict=False)),
            *(replace(one, refined_by=refiner_label(card)) for one in after[len(before) :] if one.mask),
        ]
        for before, after in zip(instances, refined, strict=True)
    ]


def _accept(card: ModelCard, before: Instance, after: Instance) -> Instance:
    """Return the instance with its new mask, or with the mask before and the reason."""
    if not before.mask:
        return before
    if given := after.not_refined[len(before.not_refined) :]:
        return _keep(card, before, *given)
    if not after.mask:
        return _keep(card, before, "the refined mask is empty")
    iou = float(iou_matrix([before.mask], [after.mask])[0, 0])
    if iou < MIN_IOU:
        return _keep(card, before, f"the refined mask has an IoU of {iou:.2f} with the mask before")
    scored = replace(before, keypoints=after.keypoints, score=after.score)
    if after.mask is before.mask:  # keypoints alone
        return scored
    has_own_box = before.box_xywh == before.mask.box_xywh
    names = [before.refined_by, refiner_label(card)]
    return replace(
        scored,
        mask=after.mask,
        box_xywh=after.mask.box_xywh if has_own_box else before.box_xywh,
        refined_by=", ".join(name for name in names if name),
    )


def _keep(card: ModelCard, instance: Instance, *reasons: str) -> Instance:
    named = [f"{card.kind}: {reason}" for reason in reasons]
    return replace(instance, not_refined=(*instance.not_refined, *named))


def _with_ious(before: Sequence[Instance], after: Sequence[Instance]) -> list[Instance]:
    """Return the refined instances with the IoU of mask and mask before; 0 for a person whom a refiner added."""
    masks = [*(one.mask for one in before), *(Mask.empty(one.mask.size_hw) for one in after[len(before) :])]
    return [
        one
        if one.refined_by is None
        else replace(one, iou_before=float(iou_matrix([mask], [one.mask])[0, 0]))
        for mask, one in zip(masks, after, strict=True)
    ]


def _mirror_if(frame: Frame, people: Sequence[Instance]) -> list[Instance]:
    return [person.mirror(frame.size_hw[1]) if frame.is_mirrored else person for person in people]


def _describe(card: ModelCard) -> dict[str, Any]:
    known = {"kind": card.kind, "name": card.name, "weights_sha256": card.weights_sha256}
    return {**settings_of(card), **known}
