"""ViTPose as a refiner: keypoints for the people whom a segmenter found.

Xu et al., "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation", 2022.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from configs.errors import ConfigError
from configs.refinement import VitPoseBlock
from labeling.refinement.pretrained import load_network
from labeling.refinement.protocol import StatelessRefiner
from labeling.structures.frames import Frame
from labeling.structures.instances import COCO_KEYPOINTS, Instance, Keypoints, ModelCard

_AT_ONCE = 32
"""Crops of people in one batch."""
_COCO = 0
"""Number of the data set, for networks that were trained on several ("ViTPose++")."""


class VitPoseRefiner(StatelessRefiner):
    """A network on `device` that looks at the crop around each box; masks stay as they are."""

    def __init__(self, block: VitPoseBlock, *, device: str) -> None:
        self._network = load_network(block, _classes, device=device, expected="a model of ViTPose")
        count = self._network.model.config.num_labels
        if count != len(COCO_KEYPOINTS):
            raise ConfigError(
                f"refine: vitpose: {block.model} gives {count} keypoints: name a model of COCO's {len(COCO_KEYPOINTS)}"
            )
        self._experts = int(self._network.model.config.backbone_config.num_experts)

    @property
    def card(self) -> ModelCard:
        return self._network.card

    def refine(
        self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
    ) -> list[list[Instance]]:
        return [self._refine_frame(*pair) for pair in zip(frames, instances, strict=True)]

    def _refine_frame(self, frame: Frame, people: Sequence[Instance]) -> list[Instance]:
        boxes = [one.box_xywh for one in people if min(one.box_xywh[2:]) > 0]
        found: list[Keypoints] = []
        for start in range(0, len(boxes), _AT_ONCE):
            found += self._locate(frame, boxes[start : start + _AT_ONCE])
        located = iter(found)
        return [replace(one, keypoints=next(located)) if min(one.box_xywh[2:]) > 0 else one for one in people]

    def _locate(self, frame: Frame, boxes: Sequence[Sequence[float]]) -> list[Keypoints]:
        """Return the keypoints in each box, in pixels of the frame."""
        processor = self._network.processor
        inputs = processor(
            images=[np.ascontiguousarray(frame.rgb)],
            boxes=[[list(box) for box in boxes]],
            return_tensors="pt",
            input_data_format="channels_last",
        )
        if self._experts > 1:
            inputs["dataset_index"] = torch.full((len(boxes),), _COCO)
        outputs = self._network.infer(inputs)
        outputs.heatmaps = outputs.heatmaps.float()
        (poses,) = processor.post_process_pose_estimation(outputs, boxes=[[list(box) for box in boxes]])
        return [_keypoints(pose, frame.size_hw) for pose in poses]


def _keypoints(pose: Any, size_hw: tuple[int, int]) -> Keypoints:
    """Return keypoints inside the image: on a flat heat map the sub-pixel position is anywhere, or not a number."""
    points, scores = pose["keypoints"].numpy(), pose["scores"].clamp(0, 1).numpy()
    scores = np.where(np.isfinite(points).all(axis=1), scores, 0.0)
    inside = np.clip(np.nan_to_num(points, nan=0.0), 0, (size_hw[1], size_hw[0]))
    return tuple((float(x), float(y), float(score)) for (x, y), score in zip(inside, scores, strict=True))


def _classes(config: Any) -> tuple[Any, Any]:
    import transformers as t

    return {"vitpose": (t.VitPoseForPoseEstimation, t.VitPoseImageProcessor)}[config.model_type]
