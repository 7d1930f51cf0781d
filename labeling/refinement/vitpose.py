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
        found: list[Keypoints] = []
        for start in range(0, len(people), _AT_ONCE):
            found += self._locate(frame, [one.box_xywh for one in people[start : start + _AT_ONCE]])
        return [replace(one, keypoints=points) for one, points in zip(people, found, strict=True)]

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
        return [_keypoints(pose) for pose in poses]


def _keypoints(pose: Any) -> Keypoints:
    scores = pose["scores"].clamp(0, 1).tolist()
    return tuple((x, y, score) for (x, y), score in zip(pose["keypoints"].tolist(), scores, strict=True))


def _classes(config: Any) -> tuple[Any, Any]:
    import transformers as t

    return {"vitpose": (t.VitPoseForPoseEstimation, t.VitPoseImageProcessor)}[config.model_type]
