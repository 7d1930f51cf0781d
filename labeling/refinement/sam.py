"""Segment Anything as a refiner: each person is drawn again, from the box and the surest keypoints.

Kirillov et al., "Segment Anything", 2023; Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from configs.refinement import SamBlock
from labeling.refinement.pretrained import load_network
from labeling.refinement.protocol import StatelessRefiner
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask, iou_matrix

Point = tuple[float, float]
_IGNORED = -10
"""Label of a point that only fills the row: people of one image have the same number of points."""


class SamRefiner(StatelessRefiner):
    """A promptable network on `device`; an image is encoded once for all its people."""

    def __init__(self, block: SamBlock, *, device: str) -> None:
        self._block = block
        expected = "a model that takes boxes: SAM, SAM 2, EdgeTAM or SAM 3's tracker"
        self._network = load_network(block, _classes, device=device, expected=expected)

    @property
    def card(self) -> ModelCard:
        return self._network.card

    def refine(
        self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
    ) -> list[list[Instance]]:
        return [self._refine_frame(*pair) for pair in zip(frames, instances, strict=True)]

    def _refine_frame(self, frame: Frame, people: Sequence[Instance]) -> list[Instance]:
        prompted = [one for one in people if one.mask]
        drawn = iter(self._draw(frame, prompted) if prompted else [])
        return [self._judge(one, *next(drawn)) if one.mask else one for one in people]

    def _judge(self, person: Instance, mask: Mask, iou: float) -> Instance:
        """Return the person with the new mask and its score, or with the mask before and the reason."""
        before = float(iou_matrix([person.mask], [mask])[0, 0])
        reason = ""
        if iou < self._block.min_iou:
            reason = f"it expects an IoU of {iou:.2f} (minimum {self._block.min_iou:.2f})"
        elif before < self._block.min_iou_before:
            reason = (
                f"its IoU with the mask before is {before:.2f} (minimum {self._block.min_iou_before:.2f})"
            )
        if reason:
            return replace(person, not_refined=(*person.not_refined, reason))
        return replace(person, mask=mask, score=person.score * iou)

    def _draw(self, frame: Frame, people: Sequence[Instance]) -> list[tuple[Mask, float]]:
        """Return each person's mask, and the IoU that the network expects it to have with the truth."""
        points = [self._points(person) for person in people]
        processor = self._network.processor
        inputs = processor(
            images=np.ascontiguousarray(frame.rgb),
            input_boxes=[[_corners(person) for person in people]],
            return_tensors="pt",
            **_fill(points),
        )
        sizes = inputs.pop("original_sizes")
        padded = {"reshaped_input_sizes": inputs.pop("reshaped_input_sizes", None)}  # of the first SAM alone
        outputs = self._network.infer(inputs, multimask_output=False)
        (logits,) = processor.post_process_masks(
            outputs.pred_masks.float().cpu(),
            original_sizes=sizes,
            binarize=False,
            **{key: value for key, value in padded.items() if value is not None},
        )
        threshold = float(torch.logit(torch.tensor(self._block.mask_threshold)))
        ious = outputs.iou_scores[0, :, 0].float().clamp(0, 1).tolist()
        return [
            (Mask.from_array(one.numpy()), iou)
            for one, iou in zip(logits[:, 0] > threshold, ious, strict=True)
        ]

    def _points(self, person: Instance) -> list[Point]:
        """Return the keypoints of the most confidence inside the mask's box."""
        x, y, w, h = person.mask.box_xywh
        usable = [
            (confidence, (px, py))
            for px, py, confidence in person.keypoints or ()
            if confidence >= self._block.min_confidence and x <= px < x + w and y <= py < y + h
        ]
        usable.sort(key=lambda one: -one[0])
        return [point for _, point in usable[: self._block.keypoints]]


def _fill(points: Sequence[Sequence[Point]]) -> dict[str, Any]:
    """Return the points as the processor takes them, image by image, or nothing if there are none.

    >>> _fill([[(1.0, 2.0)], []])
    {'input_points': [[[[1.0, 2.0]], [[0.0, 0.0]]]], 'input_labels': [[[1], [-10]]]}
    """
    longest = max(map(len, points))
    if not longest:
        return {}
    filled = [[list(point) for point in (*some, *[(0.0, 0.0)] * (longest - len(some)))] for some in points]
    labels = [[1] * len(some) + [_IGNORED] * (longest - len(some)) for some in points]
    return {"input_points": [filled], "input_labels": [labels]}


def _corners(person: Instance) -> list[float]:
    x, y, w, h = person.mask.box_xywh
    return [x, y, x + w, y + h]


def _classes(config: Any) -> tuple[Any, Any]:
    """Published folders of videos' models are those of images, too; their own processor would be that of videos."""
    import transformers as t
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASK_GENERATION_MAPPING

    processors: dict[str, Any] = {
        "sam": t.SamProcessor,
        "sam_hq": t.SamHQProcessor,
        "sam2": t.Sam2Processor,
        "sam2_video": t.Sam2Processor,
        "edgetam": t.Sam2Processor,
        "edgetam_video": t.Sam2Processor,
        "sam3_tracker": t.Sam3TrackerProcessor,
        "sam3_video": t.Sam3TrackerProcessor,
    }
    return MODEL_FOR_MASK_GENERATION_MAPPING[type(config)], processors[config.model_type]
