"""Segment Anything as a refiner: each person is drawn again, from the box and the surest keypoints.

Kirillov et al., "Segment Anything", 2023; Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024.
"""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from configs.errors import ConfigError
from configs.refinement import SamBlock
from labeling.refinement.protocol import StatelessRefiner
from labeling.runtime.hub import ModelFolder, find_model, load_pretrained, read_pretrained
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask

Point = tuple[float, float]
_IGNORED = -10
"""Label of a point that only fills the row: people of one image have the same number of points."""


class SamRefiner(StatelessRefiner):
    """A promptable network on `device`; an image is encoded once for all its people."""

    def __init__(self, block: SamBlock, *, device: str) -> None:
        self._block, self._device = block, device
        self._folder = find_model(block.model, revision=block.revision)
        model, self._processor = _load(block, self._folder)
        self._model = model.to(device).eval()

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind", "model", "revision"})
        return ModelCard(
            self._block.kind, self._folder.name, self._folder.sha256, json.dumps(settings, sort_keys=True)
        )

    def refine(
        self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
    ) -> list[list[Instance]]:
        return [self._refine_frame(*pair) for pair in zip(frames, instances, strict=True)]

    def _refine_frame(self, frame: Frame, people: Sequence[Instance]) -> list[Instance]:
        prompted = [one for one in people if one.mask]
        drawn = iter(self._draw(frame, prompted) if prompted else [])
        return [self._judge(one, *next(drawn)) if one.mask else one for one in people]

    def _judge(self, person: Instance, mask: Mask, iou: float) -> Instance:
        if iou < self._block.min_iou:
            reason = f"it expects an IoU of {iou:.2f} (minimum {self._block.min_iou:.2f})"
            return replace(person, not_refined=(*person.not_refined, reason))
        return replace(person, mask=mask)

    def _draw(self, frame: Frame, people: Sequence[Instance]) -> list[tuple[Mask, float]]:
        """Return each person's mask, and the IoU that the network expects it to have with the truth."""
        points = [self._points(person) for person in people]
        inputs = self._processor(
            images=np.ascontiguousarray(frame.rgb),
            input_boxes=[[_corners(person) for person in people]],
            return_tensors="pt",
            **_fill(points),
        ).to(self._device)
        sizes = inputs.pop("original_sizes")
        padded = {"reshaped_input_sizes": inputs.pop("reshaped_input_sizes", None)}  # of the first SAM alone
        half = torch.autocast("cuda") if self._device == "cuda" else nullcontext()
        with torch.inference_mode(), half:
            outputs = self._model(**inputs, multimask_output=False)
        (logits,) = self._processor.post_process_masks(
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


def _load(block: SamBlock, folder: ModelFolder) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoProcessor
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASK_GENERATION_MAPPING

    config = read_pretrained(AutoConfig, folder)
    if type(config) not in MODEL_FOR_MASK_GENERATION_MAPPING:
        raise ConfigError(
            f"refine: sam: {block.model} is {config.model_type}, which takes no boxes: name a model of SAM, SAM 2, "
            "EdgeTAM or SAM 3's tracker"
        )
    model = load_pretrained(MODEL_FOR_MASK_GENERATION_MAPPING[type(config)], folder)
    return model, read_pretrained(AutoProcessor, folder)
