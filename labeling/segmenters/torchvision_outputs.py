"""Inference with torchvision's networks, and conversion of their output to instances."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from configs.segmenters import TorchvisionBlock
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance, Keypoints
from labeling.structures.masks import BoxXywh, Mask, fill_box, mask_areas
from labeling.structures.probability_maps import FloatMap, instances_from_map, stable_threshold

Rows = NDArray[np.intp]

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

MIN_AREA = 0.001
"""A semantic mask below this share of the image is no person."""


class _OnDevice:
    """A network on its device; on CUDA in half precision and channels last."""

    def __init__(self, net: "torch.nn.Module", device: str) -> None:
        import torch

        self._device = device
        self._net = net.to(device)
        if device == "cuda":
            self._net = self._net.to(memory_format=torch.channels_last)

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        return torch.autocast("cuda") if self._device == "cuda" else nullcontext()

    def _to_tensor(self, rgb: RgbImage) -> "torch.Tensor":
        """Return 3xHxW in [0, 1] on the device; bytes are transferred, not floats."""
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).to(self._device)
        return pixels.permute(2, 0, 1).float().div(255)


class InstanceNetwork(_OnDevice):
    """Mask R-CNN or Keypoint R-CNN. Only people go through the heads for masks and keypoints."""

    def __init__(
        self, net: "torch.nn.Module", *, person: int, device: str, block: TorchvisionBlock, transforms: object
    ) -> None:
        super().__init__(net, device)
        self._block = block
        heads: Any = net.roi_heads
        heads.postprocess_detections = _narrow_to_class(heads.postprocess_detections, person)

    def infer(self, images: Sequence[RgbImage]) -> list[list[Instance]]:
        """Return one list per image, best score first; images may differ in size."""
        import torch

        with torch.inference_mode(), self._autocast():
            found: list[Tensors] = self._net([self._to_tensor(rgb) for rgb in images])
        return [
            self._read(output, (rgb.shape[0], rgb.shape[1]))
            for output, rgb in zip(found, images, strict=True)
        ]

    def _read(self, found: "Tensors", size_hw: tuple[int, int]) -> list[Instance]:
        scores = found["scores"].float().cpu().numpy()
        kept = np.flatnonzero(scores >= self._block.min_score)
        boxes = [_xywh(corners) for corners in found["boxes"].float().cpu().numpy()[kept].tolist()]
        keypoints = self._read_keypoints(found, kept)
        masks, stability = self._read_masks(found, kept, boxes, size_hw)
        rows = zip(masks, scores[kept].tolist(), boxes, keypoints, stability, strict=True)
        return [
            Instance(mask, min(score, 1.0), box, person_keypoints, stability=share)
            for mask, score, box, person_keypoints, share in rows
            if mask
        ]

    def _read_masks(
        self, found: "Tensors", kept: Rows, boxes: list[BoxXywh], size_hw: tuple[int, int]
    ) -> tuple[list[Mask], Sequence[float | None]]:
        """Return the masks and their stability: the definition of `stability_share`, from counts.

        On a CPU, numpy counts a mask's pixels 20 times as fast as torch.
        """
        if "masks" not in found:
            return [cover_box(box, size_hw) for box in boxes], [None] * len(boxes)
        probability, threshold = found["masks"][:, 0], self._block.mask_threshold
        inside, stable = (
            (probability > limit).cpu().numpy()[kept] for limit in (threshold, stable_threshold(threshold))
        )
        masks = Mask.from_stack(inside)
        areas = mask_areas(masks).clip(min=1)
        shares = [float(np.count_nonzero(part) / area) for area, part in zip(areas, stable, strict=True)]
        return masks, shares

    @staticmethod
    def _read_keypoints(found: "Tensors", kept: Rows) -> Sequence[Keypoints | None]:
        if "keypoints" not in found:
            return [None] * len(kept)
        confidences = found["keypoints_scores"].float().sigmoid().cpu().numpy()[kept]  # they are logits
        positions = found["keypoints"].float().cpu().numpy()[kept, :, :2]
        joined = np.concatenate([positions, confidences[:, :, None]], axis=2).tolist()
        return [tuple((x, y, confidence) for x, y, confidence in person) for person in joined]


class SemanticNetwork(_OnDevice):
    """LR-ASPP or DeepLabV3: one person map, thus at most one instance per image."""

    def __init__(
        self, net: "torch.nn.Module", *, person: int, device: str, block: TorchvisionBlock, transforms: Any
    ) -> None:
        net.aux_classifier = None  # type: ignore[assignment]  # used in training only
        super().__init__(net, device)
        self._person = person
        self._block = block
        self._transforms = transforms

    def infer(self, images: Sequence[RgbImage]) -> list[list[Instance]]:
        """Return one list per image; consecutive images of one size form a batch."""
        found: list[list[Instance]] = []
        for _, group in groupby(images, key=lambda rgb: rgb.shape):
            found += [
                instances_from_map(probability, mask_threshold=self._block.mask_threshold, min_area=MIN_AREA)
                for probability in self._infer_batch(list(group))
            ]
        return found

    def _infer_batch(self, images: Sequence[RgbImage]) -> list[FloatMap]:
        """Return HxW person probabilities: softmax at the network's size, then bilinear to the images'."""
        import torch

        with torch.inference_mode():
            batch = self._transforms(torch.stack([self._to_tensor(rgb) for rgb in images]))
            with self._autocast():
                logits = self._net(batch)["out"]
            person = logits.float().softmax(dim=1)[:, self._person, None]
            sized = torch.nn.functional.interpolate(
                person, size=images[0].shape[:2], mode="bilinear", align_corners=False
            )
        return list(sized[:, 0].cpu().numpy())


def _narrow_to_class(postprocess: Any, class_id: int) -> Any:
    """Wrap a detector's post-processing so that it gets two classes: this one and all others.

    The class keeps its probability and its boxes. Only this class goes through suppression, the limit
    on detections per image, and the mask and keypoint heads.
    """

    def narrowed(class_logits: Any, box_regression: Any, *rest: Any) -> Any:
        import torch

        logits = class_logits.float()
        others = torch.arange(logits.shape[1], device=logits.device) != class_id
        pair = torch.stack([logits[:, others].logsumexp(dim=1), logits[:, class_id]], dim=1)
        boxes = box_regression.reshape(len(logits), -1, 4)[:, [0, class_id]].flatten(start_dim=1)
        return postprocess(pair, boxes, *rest)

    return narrowed


def cover_box(box_xywh: BoxXywh, size_hw: tuple[int, int]) -> Mask:
    """Return the mask of every pixel that a box touches."""
    x, y, w, h = box_xywh
    left, top, right, bottom = np.floor(x), np.floor(y), np.ceil(x + w), np.ceil(y + h)
    return fill_box((left, top, right - left, bottom - top), size_hw)


def _xywh(corners: list[float]) -> BoxXywh:
    x0, y0, x1, y1 = corners
    return x0, y0, x1 - x0, y1 - y0
