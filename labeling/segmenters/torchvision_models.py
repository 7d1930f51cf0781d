"""torchvision's networks as segmenters: Mask R-CNN, Keypoint R-CNN, LR-ASPP and DeepLabV3."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import ConfigError, WeightsCorrupt
from configs.segmenters import TorchvisionBlock
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.segmenters.torchvision_outputs import InstanceNetwork, SemanticNetwork
from labeling.segmenters.weights import check_sha256, find_weights
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard

if TYPE_CHECKING:
    import torch

RANDOM_SEED = 0
_NO_STATISTICS = "num_batches_tracked"
"""Counters of batch norm that published detectors lack and inference does not use."""


class TorchvisionSegmenter(StatelessSegmenter):
    """A torchvision network on `device`, `batch` images at a time.

    Keypoint R-CNN, a pose model, has no masks: those of its instances are filled boxes. Semantic
    networks give one instance for all people in an image.
    """

    def __init__(self, block: TorchvisionBlock, *, weights_dir: Path | None, device: str, batch: int) -> None:
        self._block = block
        self._batch = batch
        member = _weights_member(block)
        self._is_semantic = "rcnn" not in block.model
        if block.weights == "random":
            self._sha256 = "random"
            net = _build(block, seed=RANDOM_SEED)
        else:
            path = find_weights(f"{block.model}:{member.name}", weights_dir)
            self._sha256 = check_sha256(path, "")
            net = _build(block, seed=RANDOM_SEED, has_aux=block.model.startswith("deeplab"))
            load_state(net, _read_state(path), block.model, member.name)
        person = member.meta["categories"].index("person")
        wrap = SemanticNetwork if self._is_semantic else InstanceNetwork
        self._network = wrap(net, person=person, device=device, block=block, transforms=member.transforms())

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind", "model", "refine"})
        gives_keypoints = self._block.model.startswith("keypoint")
        return ModelCard(
            kind=self._block.kind,
            name=self._block.model,
            weights_sha256=self._sha256,
            settings=json.dumps(settings, sort_keys=True, separators=(",", ":")),
            gives_instances=not self._is_semantic,
            gives_masks=not gives_keypoints,
        )

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Segment each frame, best score first; frames may differ in size."""
        images = [frame.rgb for frame in frames]
        found: list[list[Instance]] = []
        for start in range(0, len(images), self._batch):
            found += self._network.infer(images[start : start + self._batch])
        return found


def _weights_member(block: TorchvisionBlock) -> Any:
    """Return the member of the model's weights enum; for random weights, the default's."""
    from torchvision.models import get_model_weights

    weights = get_model_weights(block.model)
    if block.weights in ("random", "DEFAULT"):
        return weights.DEFAULT
    if block.weights not in weights.__members__:
        known = ", ".join(["DEFAULT", *(member.name for member in weights), "random"])
        raise ConfigError(
            f"{block.model}: there are no weights named {block.weights!r}: choose one of {known}"
        )
    return weights[block.weights]


def _build(block: TorchvisionBlock, *, seed: int, has_aux: bool = False) -> "torch.nn.Module":
    """Return the untrained network, initialized by `seed` without touching torch's global state."""
    import torch
    from torchvision.models import get_model

    options: dict[str, Any] = {}
    if "rcnn" in block.model:
        options["box_score_thresh"] = block.min_score
        if block.min_size is not None:
            options["min_size"] = block.min_size
    elif has_aux:
        options["aux_loss"] = True
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        net: torch.nn.Module = get_model(block.model, weights=None, weights_backbone=None, **options)
    return net.eval()


def _read_state(path: Path) -> dict[str, Any]:
    import torch

    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # torch raises errors of pickle, of zipfile and its own
        raise WeightsCorrupt(
            f"weights {path} cannot be read: {exc}; remove the file and fetch it again"
        ) from exc
    return state


def load_state(net: "torch.nn.Module", state: dict[str, Any], model: str, member: str) -> None:
    """Load published weights into an untrained network.

    torchvision trained the first Mask and Keypoint R-CNN with frozen batch norm, whose epsilon it sets to
    0 for the weights COCO_V1 (`overwrite_eps`). Batch norm in evaluation mode with the same epsilon is
    equivalent.
    """
    import torch

    try:
        missing, unexpected = net.load_state_dict(state, strict=False)
    except RuntimeError as exc:
        raise WeightsCorrupt(
            f"weights {model}:{member} do not fit {model} ({exc}): fetch them again"
        ) from exc
    wrong = [key for key in (*missing, *unexpected) if not key.endswith(_NO_STATISTICS)]
    if wrong:
        raise WeightsCorrupt(
            f"weights {model}:{member} do not fit {model}: {len(wrong)} wrong keys, such as "
            f"{wrong[0]!r}: fetch them again"
        )
    if model in ("maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn") and member == "COCO_V1":
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eps = 0.0
