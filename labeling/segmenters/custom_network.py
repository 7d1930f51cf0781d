"""The user's own network, in ONNX, TorchScript or LiteRT: one image in, one person map out."""

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from configs.errors import ConfigError, ModelOutputWrong, WeightsMissing
from configs.segmenters import CustomNetworkBlock
from labeling.segmenters.network_files import OpenNetwork, open_network
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.segmenters.weights import check_sha256
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.images import resize_image
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.probability_maps import FloatMap, instances_from_map, resize_map

RANGE_TOLERANCE = 0.01
"""How far probabilities may exceed [0, 1], due to rounding in half precision or 8 bits."""
_MAP_AXES = 2


class CustomNetworkSegmenter(StatelessSegmenter):
    """One instance per image, or one per connected component of the map.

    Raises:
        WeightsMissing: there is no file at `path`.
        WeightsCorrupt: its SHA-256 is not the declared one.
        ConfigError: it is not such a network, or its input is not the declared one.
    """

    def __init__(self, block: CustomNetworkBlock, *, device: str = "cpu") -> None:
        if not block.path.is_file():
            raise WeightsMissing(
                f"{block.kind} model: no file at {block.path}; correct `path`, or use the preset `offline`"
            )
        self._block = block
        self._sha256 = check_sha256(block.path, block.sha256 or "")
        self._network = open_network(block.kind, block.path, device=device)
        _check_input(block, self._network)

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind", "path", "sha256", "refine"})
        return ModelCard(
            kind=self._block.kind,
            name=self._block.path.name,
            weights_sha256=self._sha256,
            settings=json.dumps(settings, sort_keys=True, separators=(",", ":")),
            gives_instances=self._block.connected_components,
        )

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        return [self._segment_image(frame.rgb) for frame in frames]

    def _segment_image(self, rgb: RgbImage) -> list[Instance]:
        block = self._block
        outputs = self._network.run(prepare_input(rgb, block))
        if block.output_index >= len(outputs):
            raise ModelOutputWrong(
                f"{block.path.name}: output_index is {block.output_index}, but the model has {len(outputs)} "
                "outputs, counted from 0: correct it"
            )
        person = read_person_map(outputs[block.output_index], block)
        size_hw = rgb.shape[0], rgb.shape[1]
        person = resize_map(person, size_hw, nearest=block.output == "class_map")
        return instances_from_map(
            person,
            mask_threshold=block.mask_threshold,
            min_area=block.min_area,
            connected_components=block.connected_components,
        )


def prepare_input(rgb: RgbImage, block: CustomNetworkBlock) -> NDArray[np.float32]:
    """Return 1x3xHxW or 1xHxWx3: resized, channels in order, (pixel x scale - mean) / std."""
    pixels = resize_image(rgb, block.input_hw)
    if block.channels == "bgr":
        pixels = pixels[:, :, ::-1]
    mean, std = np.array(block.mean, dtype=np.float32), np.array(block.std, dtype=np.float32)
    values = (pixels * np.float32(block.scale) - mean) / std
    if block.layout == "nchw":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None], dtype=np.float32)


def read_person_map(output: NDArray[np.generic], block: CustomNetworkBlock) -> FloatMap:
    """Return the person probability, hxw in the network's size, from one of its outputs."""
    channels = _split_channels(output, block)
    name = block.path.name
    if block.output == "class_map":
        if len(channels) > 1:
            raise ModelOutputWrong(
                f"{name}: a class_map has one channel, but the output has the shape {output.shape}; "
                "declare output: logits or probability"
            )
        return np.asarray(np.rint(channels[0]) == block.person_class, dtype=np.float32)
    if block.person_class >= len(channels):
        raise ModelOutputWrong(
            f"{name}: person_class is {block.person_class}, the output of shape {output.shape} "
            f"(layout {block.layout}) has {len(channels)} channels: correct one of them"
        )
    if np.isnan(channels).any():
        raise ModelOutputWrong(
            f"{name}: the output has {np.isnan(channels).sum()} NaN: check scale, mean and std"
        )
    if block.output == "logits":
        return _to_probability(channels, block)
    return _check_range(channels[block.person_class], name)


def _to_probability(logits: FloatMap, block: CustomNetworkBlock) -> FloatMap:
    if block.softmax and len(logits) == 1:
        raise ModelOutputWrong(
            f"{block.path.name}: softmax over one channel is 1 everywhere; declare softmax: false"
        )
    if block.softmax:
        return np.asarray(softmax(logits, axis=0)[block.person_class], dtype=np.float32)
    return np.asarray(expit(logits[block.person_class]), dtype=np.float32)


def _check_range(probability: FloatMap, name: str) -> FloatMap:
    low, high = float(probability.min()), float(probability.max())
    if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
        raise ModelOutputWrong(
            f"{name}: output: probability is declared, but values range from {low:.3g} to {high:.3g}; "
            "declare output: logits or class_map"
        )
    return probability


def _split_channels(output: NDArray[np.generic], block: CustomNetworkBlock) -> NDArray[np.float32]:
    """Return Cxhxw from hxw, 1xhxw, Cxhxw or hxwxC, with or without a batch axis of 1."""
    values = np.asarray(output, dtype=np.float32)
    if values.ndim == _MAP_AXES + 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == _MAP_AXES:
        return values[None]
    if values.ndim != _MAP_AXES + 1:
        raise ModelOutputWrong(
            f"{block.path.name}: output {block.output_index} has the shape {output.shape}; it must be one "
            "map with height and width, channels, and a batch of 1: set output_index to another output"
        )
    if 1 in (values.shape[0], values.shape[-1]):
        channels_first = values.shape[0] == 1
    else:
        channels_first = block.layout == "nchw"
    return values if channels_first else np.moveaxis(values, -1, 0)


def _check_input(block: CustomNetworkBlock, network: OpenNetwork) -> None:
    """Compare the declared input with the network's, if the file declares it."""
    if network.input_shape is None:
        return
    height, width = block.input_hw
    declared = (1, 3, height, width) if block.layout == "nchw" else (1, height, width, 3)
    actual = network.input_shape
    fits = len(actual) == len(declared) and all(
        side is None or side == expected for side, expected in zip(actual, declared, strict=True)
    )
    if not fits:
        shown = "x".join("any" if side is None else str(side) for side in actual)
        raise ConfigError(
            f"{block.kind} model {block.path.name}: input_hw {list(block.input_hw)} and layout {block.layout} "
            f"declare an input of {'x'.join(map(str, declared))}, the model requires {shown}: correct them"
        )
