"""Segmentation networks of Hugging Face's `transformers`: folders of weights that many tools write and read."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from configs.errors import ConfigError
from configs.segmenters import TransformersBlock
from labeling.runtime.hub import ModelFolder, find_model, load_pretrained, read_pretrained
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.segmenters.query_masks import class_probabilities, people_from_queries
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.probability_maps import instances_from_map

_PEOPLE = ("person", "people", "human", "pedestrian")
_SEES_NONE_CLASS = {"mask2former", "maskformer", "oneformer", "eomt", "eomt_dinov3", "detr"}
"""Families whose last class is "no object"."""
_SCORED_BY_MASK = {"mask2former", "maskformer", "oneformer", "eomt", "eomt_dinov3"}
_PADDED_SQUARE = {"eomt", "eomt_dinov3"}
"""Families that see the image in the upper left of a square."""
_SHOWN_LABELS = 20


class TransformersSegmenter(StatelessSegmenter):
    """A network on `device`, `batch` images at a time; on CUDA in half precision."""

    def __init__(self, block: TransformersBlock, *, device: str, batch: int) -> None:
        self._block, self._batch = block, batch
        self._folder = find_model(block.model, revision=block.revision)
        self._network = _load(block, self._folder, device)

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind", "model", "revision", "refine"})
        return ModelCard(
            kind=self._block.kind,
            name=self._folder.name,
            weights_sha256=self._folder.sha256,
            settings=json.dumps(settings, sort_keys=True, separators=(",", ":")),
            gives_instances=self._network.gives_instances,
        )

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Segment each frame, best score first; consecutive frames of one size form a batch."""
        found: list[list[Instance]] = []
        for _, group in groupby((frame.rgb for frame in frames), key=lambda rgb: rgb.shape):
            images = list(group)
            for start in range(0, len(images), self._batch):
                found += self._network.infer(images[start : start + self._batch])
        return found


class _Network(ABC):
    """One family: how its inputs are made, and its outputs read."""

    gives_instances = True

    def __init__(self, model: Any, processor: Any, block: TransformersBlock, device: str) -> None:
        self._model, self._processor = model.to(device).eval(), processor
        self._block, self._device = block, device
        self._family = str(model.config.model_type)

    def infer(self, images: Sequence[RgbImage]) -> list[list[Instance]]:
        """Return the people of each image; all have the same size."""
        half = torch.autocast("cuda") if self._device == "cuda" else nullcontext()
        inputs = self._prepare([np.ascontiguousarray(rgb) for rgb in images])
        with torch.inference_mode(), half:
            outputs = self._model(**inputs.to(self._device))
            size_hw = (images[0].shape[0], images[0].shape[1])
            return self._read(outputs, size_hw, len(images))

    def _prepare(self, images: list[RgbImage]) -> Any:
        return self._processor(images=images, return_tensors="pt", input_data_format="channels_last")

    @abstractmethod
    def _read(self, outputs: Any, size_hw: tuple[int, int], count: int) -> list[list[Instance]]: ...

    def _people(self, scores: Any, logits: Any, size_hw: tuple[int, int]) -> list[Instance]:
        return people_from_queries(
            scores, logits, size_hw, self._block, scored_by_mask=self._family in _SCORED_BY_MASK
        )


class _QueryNetwork(_Network):
    """RF-DETR, Mask2Former, MaskFormer, EoMT, DETR: each query is an object, or none."""

    def __init__(self, model: Any, processor: Any, block: TransformersBlock, device: str) -> None:
        super().__init__(model, processor, block, device)
        self._labels = find_labels(model.config.id2label, block)

    def _read(self, outputs: Any, size_hw: tuple[int, int], count: int) -> list[list[Instance]]:
        is_mask_classifier = "class_queries_logits" in outputs
        classes = outputs.class_queries_logits if is_mask_classifier else outputs.logits
        masks = outputs.masks_queries_logits if is_mask_classifier else outputs.pred_masks
        scores = class_probabilities(classes, self._labels, has_none=self._family in _SEES_NONE_CLASS)
        if self._family in _PADDED_SQUARE:
            masks = self._crop(masks, size_hw)
        return [self._people(scores[i], masks[i], size_hw) for i in range(count)]

    def _crop(self, masks: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
        """Return the part of the masks that shows the image: its longer side fills the square."""
        height, width = masks.shape[-2:]
        longer = max(size_hw)
        full = interpolate(masks.float(), size=(4 * height, 4 * width), mode="bilinear", align_corners=False)
        rows, columns = (
            max(1, round(4 * a * b / longer)) for a, b in zip((height, width), size_hw, strict=True)
        )
        return full[..., :rows, :columns]


class _OneFormerNetwork(_QueryNetwork):
    """OneFormer: queries that a text about the task conditions."""

    def _prepare(self, images: list[RgbImage]) -> Any:
        return self._processor(
            images=images,
            task_inputs=["instance"] * len(images),
            return_tensors="pt",
            input_data_format="channels_last",
        )


class _TextNetwork(_Network):
    """SAM 3: all objects that a text names."""

    def _prepare(self, images: list[RgbImage]) -> Any:
        texts = [self._block.text] * len(images)
        return self._processor(images=images, text=texts, return_tensors="pt")

    def _read(self, outputs: Any, size_hw: tuple[int, int], count: int) -> list[list[Instance]]:
        scores = outputs.pred_logits.float().sigmoid()
        if outputs.presence_logits is not None:
            scores = scores * outputs.presence_logits.float().sigmoid()
        return [self._people(scores[i], outputs.pred_masks[i], size_hw) for i in range(count)]


class _SemanticNetwork(_Network):
    """SegFormer and its kind: a class for each pixel, thus one mask for all people."""

    gives_instances = False

    def __init__(self, model: Any, processor: Any, block: TransformersBlock, device: str) -> None:
        super().__init__(model, processor, block, device)
        self._labels = find_labels(model.config.id2label, block)

    def _read(self, outputs: Any, size_hw: tuple[int, int], count: int) -> list[list[Instance]]:
        people = outputs.logits.float().softmax(dim=1)[:, list(self._labels)].sum(dim=1, keepdim=True)
        sized = interpolate(people, size=size_hw, mode="bilinear", align_corners=False)[:, 0].cpu().numpy()
        block = self._block
        maps = [
            instances_from_map(one, mask_threshold=block.mask_threshold, min_area=block.min_area)
            for one in sized
        ]
        return [[one for one in found if one.score >= block.min_score] for found in maps]


def find_labels(labels: dict[int, str], block: TransformersBlock) -> tuple[int, ...]:
    """Return the classes of people among a network's labels.

    >>> find_labels({0: "Person", 1: "car"}, TransformersBlock(model="x"))
    (0,)

    Raises:
        ConfigError: none of them is there; the message lists labels that are.
    """
    wanted = {name.lower() for name in block.person_labels or _PEOPLE}
    found = tuple(number for number, name in sorted(labels.items()) if name.lower() in wanted)
    if not found:
        shown = ", ".join(repr(name) for name in list(labels.values())[:_SHOWN_LABELS])
        raise ConfigError(
            f"model {block.model}: none of its {len(labels)} labels is {' or '.join(sorted(wanted))}; "
            f"they are {shown}: name those of people in person_labels"
        )
    return found


def _load(block: TransformersBlock, folder: ModelFolder, device: str) -> _Network:
    from transformers import AutoConfig, AutoImageProcessor
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING,
        MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING,
        MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING,
    )

    config = read_pretrained(AutoConfig, folder)
    if config.model_type in ("sam3", "sam3_video"):
        return _load_text_network(block, folder, device)
    if config.model_type == "oneformer":
        return _load_oneformer(block, folder, device)
    for mapping, network in (
        (MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING, _QueryNetwork),
        (MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING, _QueryNetwork),
        (MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING, _SemanticNetwork),
    ):
        if type(config) in mapping:
            model = load_pretrained(mapping[type(config)], folder)
            return network(model, read_pretrained(AutoImageProcessor, folder), block, device)
    raise ConfigError(
        f"model {block.model}: {config.model_type} gives no masks of objects that this segmenter reads: use RF-DETR, "
        "Mask2Former, MaskFormer, OneFormer, EoMT, DETR, SegFormer or SAM 3; or SAM 2 as `refine: [sam:...]`"
    )


def _load_text_network(block: TransformersBlock, folder: ModelFolder, device: str) -> _Network:
    from transformers import Sam3Model, Sam3Processor

    processor = read_pretrained(Sam3Processor, folder)
    return _TextNetwork(load_pretrained(Sam3Model, folder), processor, block, device)


def _load_oneformer(block: TransformersBlock, folder: ModelFolder, device: str) -> _Network:
    """Load OneFormer without the table of classes that its processor would download, for training alone."""
    from transformers import (
        AutoTokenizer,
        OneFormerForUniversalSegmentation,
        OneFormerImageProcessor,
        OneFormerProcessor,
    )

    model = load_pretrained(OneFormerForUniversalSegmentation, folder)
    images = read_pretrained(OneFormerImageProcessor, folder, class_info_file=None)
    tokenizer = read_pretrained(AutoTokenizer, folder)
    processor = OneFormerProcessor(images, tokenizer, task_seq_length=model.config.task_seq_len)
    return _OneFormerNetwork(model, processor, block, device)
