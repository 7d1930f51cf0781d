"""The user's own network, in ONNX, TorchScript or LiteRT: one image in, a map per category out."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.categories import PERSON
from configs.errors import ConfigError, ModelOutputWrong
from configs.segmenters import CustomNetworkBlock
from labeling.segmenters.network_files import (
    OpenNetwork,
    channels_of,
    check_model_hash,
    input_hw_of,
    open_network,
    quantize,
)
from labeling.segmenters.network_output import Levels, read_maps, split_channels
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.segmenters.requirements import require_network_file
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.images import resize_image
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.probability_maps import instances_from_map, resize_map

_BYTE = 255
_FEWEST_LEVELS = 16
"""Levels to which an image may shrink in a network that takes whole numbers."""
_LEAST_KEPT = 0.7
"""Share of the range of an image's values that must lie within the type's limits."""
_WIDE_RANGE = 32.0
"""A quantized input that holds numbers so far apart takes pixels from 0 to 255, not from 0 to 1."""
_RGB = 3
_ALPHA = ("pha", "alpha", "matte", "mask", "masks")
"""Words in the names of outputs that are alpha mattes, the surest first."""
_LARGEST_SHARE = 2.0
"""Mean and std beyond are in levels of 255, not in shares of them."""


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """What a network did with a sample image."""

    input_text: str
    output_text: str
    shares: Mapping[str, float]
    """Share of the sample's pixels above `mask_threshold`, by category."""

    def __str__(self) -> str:
        found = ", ".join(
            f"{'people' if name == PERSON else name} on {share:.0%}" for name, share in self.shares.items()
        )
        return f"input {self.input_text}, output {self.output_text}, {found} of a sample image"


class CustomNetworkSegmenter(StatelessSegmenter):
    """One instance per image, or one per connected component of the map.

    The network is run on a sample image when it is loaded, so that a wrong declaration is found before any video.

    Raises:
        WeightsMissing: there is no file at `path`.
        WeightsCorrupt: its SHA-256 is not the declared one.
        ConfigError: it is not such a network, or its input is not the declared one.
        ModelOutputWrong: its output is not the declared one.
    """

    def __init__(self, block: CustomNetworkBlock, *, device: str = "cpu") -> None:
        require_network_file(block)
        self._sha256 = check_model_hash(block.kind, block.path, block.sha256 or "")
        self._network = open_network(block.kind, block.path, device=device)
        block = complete_block(block, self._network)
        _check_input(block, self._network)
        _check_levels(block, self._network)
        self._block = self._with_output(block)
        self._levels = Levels()
        self.report = self._try_sample()

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

    def describe(self) -> str:
        """Return shapes, types and ranges that a sample image had."""
        return str(self.report)

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        return [self._segment_image(frame.rgb) for frame in frames]

    def _segment_image(self, rgb: RgbImage) -> list[Instance]:
        block = self._block
        maps = read_maps(self._run(prepare_input(rgb, block)), block, self._levels)
        size_hw = rgb.shape[0], rgb.shape[1]
        found = []
        for category, values in maps.items():
            instances = instances_from_map(
                resize_map(values, size_hw, nearest=block.output == "class_map"),
                mask_threshold=block.mask_threshold,
                min_area=block.min_area,
                connected_components=block.connected_components,
            )
            found += [replace(one, category=category) for one in instances]
        return found

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.generic]:
        block, outputs = self._block, self._network.run(batch)
        if block.known_output_index >= len(outputs):
            raise ModelOutputWrong(
                f"{block.path.name}: output_index is {block.output_index}, but the model has {len(outputs)} "
                "outputs, counted from 0: correct it"
            )
        return outputs[block.known_output_index]

    def _with_output(self, block: CustomNetworkBlock) -> CustomNetworkBlock:
        """Return the block with the output that shows people, where it names none."""
        if block.output_index is not None:
            return block
        outputs = self._network.run(prepare_input(sample_image(block.known_input_hw), block))
        names = self._network.output_names
        index = choose_output(names, outputs, block)
        return block.model_copy(update={"output_index": index})

    def _try_sample(self) -> NetworkReport:
        """Run the network on a sample image, and decide what the levels of its output mean."""
        block = self._block
        batch = prepare_input(sample_image(block.known_input_hw), block)
        output = self._run(batch)
        self._levels = Levels.of(output, block)
        maps = read_maps(output, block, self._levels)
        return NetworkReport(
            _describe_array(batch, self._network.input_dtype),
            _describe_array(output, output.dtype),
            {name: float((values > block.mask_threshold).mean()) for name, values in maps.items()},
        )


def _describe_array(values: NDArray[np.generic], dtype: np.dtype[np.generic]) -> str:
    shape = "x".join(map(str, values.shape))
    return f"{shape} {dtype} from {float(np.min(values)):.3g} to {float(np.max(values)):.3g}"


def complete_block(block: CustomNetworkBlock, network: OpenNetwork) -> CustomNetworkBlock:
    """Return the block with the layout, size and scale that the file requires, where the block names none."""
    found: dict[str, object] = {}
    if block.layout is None:
        shape = network.input_shape or ()
        channels = channels_of(network.input_shape)
        is_last = channels is not None and shape[-1] == channels and shape[1] != channels
        found["layout"] = "nhwc" if is_last else "nchw"
    if channels_of(network.input_shape) == 1:
        found["channels"] = "gray"
    if block.input_hw is None:
        found["input_hw"] = input_hw_of(network.input_shape)
    if block.scale is None:
        is_plain = not any(block.mean) and set(block.std) == {1.0}
        in_levels = max(map(abs, (*block.mean, *block.std))) > _LARGEST_SHARE
        found["scale"] = 1.0 if in_levels or (is_plain and _takes_pixels(network)) else 1 / _BYTE
    return block.model_copy(update=found)


def choose_output(
    names: Sequence[str], outputs: Sequence[NDArray[np.generic]], block: CustomNetworkBlock
) -> int:
    """Return the position of the output that shows people: by its name, or else the first map that is no image.

    >>> block = CustomNetworkBlock(kind="onnx", path="m.onnx", input_hw=(8, 8))
    >>> image, alpha, label, classes = (np.zeros((1, number, side, side)) for number, side in ((3, 8), (1, 8), (1, 1), (21, 8)))
    >>> choose_output(("fgr", "err", "pha"), [image, alpha, alpha], block), choose_output((), [image, alpha], block)
    (2, 1)
    >>> choose_output((), [label, classes, alpha], block)
    1
    """
    if len(outputs) == 1:
        return 0
    maps = {
        n: channels for n, output in enumerate(outputs) if (channels := _channels_in(output.shape, block))
    }
    words = [set(re.split(r"[^a-z]+", name.lower())) for name in names]
    for word in _ALPHA:
        for position, own in enumerate(words):
            if word in own and position in maps:
                return position
    first = next(iter(maps), 0)
    is_one_map = not block.classes and not block.person_class and block.output == "probability"
    if is_one_map and maps.get(first) == _RGB:
        return next((n for n, channels in maps.items() if channels == 1 and _is_share(outputs[n])), first)
    return first


def _is_share(output: NDArray[np.generic]) -> bool:
    """Return whether all values lie from 0 to 1; a map of classes has others."""
    return bool(float(np.min(output)) >= 0 and float(np.max(output)) <= 1)


def _channels_in(shape: tuple[int, ...], block: CustomNetworkBlock) -> int:
    """Return the number of maps in an output of this shape; 0: it is no map of the image."""
    try:
        channels = split_channels(np.zeros(shape, np.bool_), block)
    except ModelOutputWrong:
        return 0
    return len(channels) if min(channels.shape[1:]) > 1 else 0


def _takes_pixels(network: OpenNetwork) -> bool:
    """Return whether the network takes whole numbers from 0 to 255."""
    if not np.issubdtype(network.input_dtype, np.integer):
        return False
    step = network.quantization[0]
    return not step or step * (_BYTE + 1) > _WIDE_RANGE


def prepare_input(rgb: RgbImage, block: CustomNetworkBlock) -> NDArray[np.float32]:
    """Return 1xCxHxW or 1xHxWxC: resized, channels in order, (pixel x scale - mean) / std."""
    pixels: NDArray[Any] = resize_image(rgb, block.known_input_hw)
    mean, std = np.array(block.mean, dtype=np.float32), np.array(block.std, dtype=np.float32)
    if block.channels == "bgr":
        pixels = pixels[:, :, ::-1]
    elif block.channels == "gray":
        pixels, mean, std = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[:, :, None], mean[:1], std[:1]
    scale = 1 / _BYTE if block.scale is None else block.scale
    values = (pixels * np.float32(scale) - mean) / std
    if block.layout != "nhwc":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None], dtype=np.float32)


def sample_image(size_hw: tuple[int, int]) -> RgbImage:
    """Paint a person in a room with noise, HxWx3; every level from 0 to 255 occurs.

    >>> image = sample_image((120, 160))
    >>> image.shape, int(image.min()), int(image.max())
    ((120, 160, 3), 0, 255)
    """
    height, width = size_hw
    rows = np.linspace(150, 210, height)[:, None, None]
    image = np.broadcast_to(rows, (height, width, 3)).astype(np.float32).copy()
    center, unit = (width // 2, height // 2), max(1, height // 10)
    cv2.ellipse(image, (center[0], center[1] + unit), (unit, 3 * unit), 0, 0, 360, (190, 40, 40), -1)
    cv2.circle(image, (center[0], center[1] - 3 * unit), unit, (224, 172, 150), -1)
    noise = np.random.default_rng(7).normal(0, 6, image.shape)
    pixels = np.clip(image + noise, 0, _BYTE).astype(np.uint8)
    pixels[0, 0], pixels[-1, -1] = 0, _BYTE
    return pixels


def _check_input(block: CustomNetworkBlock, network: OpenNetwork) -> None:
    """Compare the declared input with the network's, if the file declares it."""
    if network.input_shape is None:
        return
    sides = {network.input_shape[1], network.input_shape[-1]} if len(network.input_shape) > _RGB else {None}
    if not sides & {1, _RGB, None}:
        raise ConfigError(
            f"{block.kind} model {block.path.name} takes images of {'x'.join(map(str, network.input_shape))}: export it with "
            "3 channels (colors) or 1 (gray)"
        )
    height, width = block.known_input_hw
    channels = 1 if block.channels == "gray" else _RGB
    declared = (1, channels, height, width) if block.layout == "nchw" else (1, height, width, channels)
    actual = network.input_shape
    fits = len(actual) == len(declared) and all(
        side is None or side == expected for side, expected in zip(actual, declared, strict=True)
    )
    if not fits:
        shown = "x".join("any" if side is None else str(side) for side in actual)
        raise ConfigError(
            f"{block.kind} model {block.path.name}: input_hw {list(block.known_input_hw)} and layout {block.layout} "
            f"declare an input of {'x'.join(map(str, declared))}, the model requires {shown}: correct them"
        )


def _check_levels(block: CustomNetworkBlock, network: OpenNetwork) -> None:
    """Check that an image keeps its levels in a network that takes whole numbers."""
    if not np.issubdtype(network.input_dtype, np.integer):
        return
    mean, std = np.array(block.mean), np.array(block.std)
    ends = (np.array([[0.0], [_BYTE]]) * (block.scale or 1.0) - mean) / std
    levels = quantize(ends.astype(np.float32), network.input_dtype, *network.quantization).astype(np.float64)
    number = int(abs(levels[1] - levels[0]).max()) + 1
    step, zero = network.quantization
    unbounded = ends / (step or 1.0) + zero
    kept = float((abs(levels[1] - levels[0]) / abs(unbounded[1] - unbounded[0])).max())
    if number < _FEWEST_LEVELS or kept < _LEAST_KEPT:
        low, high = float(ends.min()), float(ends.max())
        raise ConfigError(
            f"{block.kind} model {block.path.name}: its input is {network.input_dtype}, but scale {block.scale:.3g}, "
            f"mean {list(block.mean)} and std {list(block.std)} turn pixels from 0 to 255 into numbers from {low:.3g} to "
            f"{high:.3g}, which are {number} levels, {min(kept, 1.0):.0%} of that range: remove scale, mean and std, or set scale: 1"
        )
