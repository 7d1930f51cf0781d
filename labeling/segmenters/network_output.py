"""The output of a user's own network as maps of probabilities by category: its axes, type and range."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from configs.errors import ModelOutputWrong
from configs.segmenters import CustomNetworkBlock
from labeling.structures.probability_maps import FloatMap

DECIDED, DECIDED_SHARE = 0.4, 0.5
"""Values from 0 to 1, of which this share is so far from 0.5, are probabilities: those of a weak network's logits are not."""
LARGEST_LOGIT = 100.0
"""Values that are never negative and go beyond are levels of gray."""
RANGE_TOLERANCE = 0.01
"""How far probabilities may exceed [0, 1], due to rounding in half precision or 8 bits."""
MOST_CLASSES = 64
"""With more values in one image, a map shows levels, not classes."""
_MAP_AXES = 2
_SAME_PROPORTION = 0.02
"""Largest logarithm of the ratio of two proportions that are the same but for rounding."""
_MOST_DISTORTED = 1.5
"""How far the proportion of a map's sides may differ from that of the input."""
_BYTE = 255
_SCALED_TYPES = ("int8", "uint8", "int16", "uint16")
"""Types in which probabilities are stored as levels of their whole range."""


@dataclass(frozen=True, slots=True)
class Levels:
    """How the values of an output become real numbers: (value + offset) x factor."""

    factor: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, output: NDArray[np.generic], block: CustomNetworkBlock) -> "Levels":
        """Decide from the output for a sample image.

        Probabilities in whole numbers of 8 or 16 bits are levels of the type's range, unless none is above 1: then
        they are a mask of 0 and 1.
        """
        if block.output_scale is not None:
            return cls(block.output_scale)
        if block.output != "probability" or output.dtype.name not in _SCALED_TYPES:
            return cls()
        low, high = int(np.min(output)), int(np.max(output))
        if low >= 0 and high <= 1:
            return cls()
        limits = np.iinfo(output.dtype.name)
        if low >= 0:
            return cls(1 / limits.max)
        return cls(1 / (limits.max - limits.min), float(-limits.min))


def read_maps(
    output: NDArray[np.generic], block: CustomNetworkBlock, levels: Levels | None = None
) -> dict[str, FloatMap]:
    """Return the probability of each category, hxw in the network's size, from one of its outputs.

    Of several classes of one category, the largest probability counts.

    Raises:
        ModelOutputWrong: its shape, type or range is not the declared one.
    """
    by_class = _read_by_class(output, block, levels)
    return {
        category: np.asarray(np.maximum.reduce([by_class[number] for number in numbers]), dtype=np.float32)
        for category, numbers in block.maps().items()
    }


def _read_by_class(
    output: NDArray[np.generic], block: CustomNetworkBlock, levels: Levels | None
) -> dict[int, FloatMap]:
    channels = split_channels(output, block)
    name = block.path.name
    wanted = sorted(number for numbers in block.maps().values() for number in numbers)
    if block.output == "class_map":
        classes = _read_classes(channels, output, block)
        _refuse_background(channels, block)
        return {number: np.asarray(classes == number, dtype=np.float32) for number in wanted}
    _refuse_background(channels, block)
    if wanted[-1] >= len(channels):
        key = f"classes has {wanted[-1]}" if block.classes else f"person_class is {block.person_class}"
        raise ModelOutputWrong(
            f"{name}: {key}, the output of shape {output.shape} "
            f"(layout {block.layout}) has {len(channels)} channels: correct one of them"
        )
    if np.isnan(channels).any():
        raise ModelOutputWrong(
            f"{name}: the output has {np.isnan(channels).sum()} NaN: check scale, mean and std"
        )
    levels = levels or Levels.of(output, block)
    channels = (channels + np.float32(levels.offset)) * np.float32(levels.factor)
    if block.output == "logits":
        _refuse_integer_logits(output, block)
        return _to_probability(channels, block, wanted)
    return {number: _check_range(channels[number], name) for number in wanted}


def _refuse_background(channels: NDArray[np.float32], block: CustomNetworkBlock) -> None:
    """Refuse the default class, 0, where it is the background: channels that exclude each other are classes."""
    if block.classes or "person_class" in block.model_fields_set:
        return
    if block.output == "class_map":
        what = "the value of people in its map"
    elif len(channels) == len(("background", "people")) or (
        len(channels) > 1 and _are_classes(channels, block)
    ):
        what = f"which of its {len(channels)} channels is people"
    else:
        return
    raise ModelOutputWrong(f"{block.path.name}: set person_class: {what}; 0 is usually the background")


def _are_classes(channels: NDArray[np.float32], block: CustomNetworkBlock) -> bool:
    if block.output == "logits":
        return block.softmax is not False
    return bool(np.allclose(channels.sum(axis=0), channels.sum(axis=0).mean(), rtol=RANGE_TOLERANCE))


def _read_classes(
    channels: NDArray[np.float32], output: NDArray[np.generic], block: CustomNetworkBlock
) -> FloatMap:
    """Return the class of each pixel, hxw."""
    name = block.path.name
    if len(channels) > 1:
        raise ModelOutputWrong(
            f"{name}: a class_map has one channel, but the output has the shape {output.shape}; "
            "declare output: logits or probability"
        )
    classes = np.rint(channels[0])
    if not np.allclose(classes, channels[0], atol=RANGE_TOLERANCE):
        raise ModelOutputWrong(
            f"{name}: output: class_map is declared, but the values are no whole numbers, they range from "
            f"{channels.min():.3g} to {channels.max():.3g}: declare output: probability or logits"
        )
    number = len(np.unique(classes))
    if number > MOST_CLASSES:
        raise ModelOutputWrong(
            f"{name}: output: class_map is declared, but one image has {number} different values from "
            f"{channels.min():.0f} to {channels.max():.0f}: declare output: probability"
        )
    return np.asarray(classes, dtype=np.float32)


def _refuse_integer_logits(output: NDArray[np.generic], block: CustomNetworkBlock) -> None:
    if output.dtype.name in _SCALED_TYPES and block.output_scale is None:
        raise ModelOutputWrong(
            f"{block.path.name}: output: logits is declared, but the output is {output.dtype}, whose scale the file does "
            "not say: declare output: probability if its range stands for 0 to 1, or set output_scale"
        )


def _to_probability(
    logits: FloatMap, block: CustomNetworkBlock, wanted: Sequence[int]
) -> dict[int, FloatMap]:
    """Return the probability of each wanted class."""
    low, high = float(logits.min()), float(logits.max())
    is_decided = float(np.mean(np.abs(logits - 0.5) > DECIDED)) >= DECIDED_SHARE
    if low >= 0 and high <= 1 and high > 0.5 and is_decided:  # noqa: PLR2004 - half
        raise ModelOutputWrong(
            f"{block.path.name}: output: logits is declared, but all values lie between {low:.3g} and {high:.3g}, as "
            "probabilities do; declare output: probability"
        )
    if low >= 0 and high > LARGEST_LOGIT:
        raise ModelOutputWrong(
            f"{block.path.name}: output: logits is declared, but values range from {low:.3g} to {high:.3g}, as levels of "
            "gray do; declare output: probability and output_scale: 0.00392 (1/255)"
        )
    if (
        block.softmax is False
        and high <= RANGE_TOLERANCE
        and len(logits) > 1
        and np.allclose(np.exp(logits).sum(axis=0), 1, atol=RANGE_TOLERANCE)
    ):
        raise ModelOutputWrong(
            f"{block.path.name}: output: logits is declared, but these are logarithms of probabilities, which add up to 1 "
            "over the channels; declare softmax: true"
        )
    if block.softmax and len(logits) == 1:
        raise ModelOutputWrong(
            f"{block.path.name}: softmax over one channel is 1 everywhere; declare softmax: false"
        )
    if block.softmax or (block.softmax is None and len(logits) > 1):
        shares = softmax(logits, axis=0)
        return {number: np.asarray(shares[number], dtype=np.float32) for number in wanted}
    return {number: np.asarray(expit(logits[number]), dtype=np.float32) for number in wanted}


def _check_range(probability: FloatMap, name: str) -> FloatMap:
    low, high = float(probability.min()), float(probability.max())
    if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
        advice = "declare output: logits or class_map"
        if low >= 0 and high <= _BYTE:
            advice = f"if 255 is certain, set output_scale: 0.00392 (1/255); otherwise {advice}"
        raise ModelOutputWrong(
            f"{name}: output: probability is declared, but values range from {low:.3g} to {high:.3g}; {advice}"
        )
    return probability


def split_channels(output: NDArray[np.generic], block: CustomNetworkBlock) -> NDArray[np.float32]:
    """Return Cxhxw from hxw, 1xhxw, Cxhxw or hxwxC, with or without a batch axis of 1.

    The axes whose lengths are in proportion to those of the input are the image's.
    """
    values = np.asarray(output, dtype=np.float32)
    if values.ndim == _MAP_AXES + 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == _MAP_AXES:
        values = values[None]
    if values.ndim != _MAP_AXES + 1:
        raise ModelOutputWrong(
            f"{block.path.name}: output {block.known_output_index} has the shape {output.shape}; it must be one "
            "map with height and width, channels, and a batch of 1: set output_index to another output"
        )
    channels = values if _has_channels_first(values.shape, block) else np.moveaxis(values, -1, 0)
    _refuse_swapped_sides(channels.shape[1:], block)
    if _distortion(channels.shape[1:], block.known_input_hw) > math.log(_MOST_DISTORTED):
        raise _no_map(tuple(output.shape), block)
    return channels


def _refuse_swapped_sides(size: tuple[int, ...], block: CustomNetworkBlock) -> None:
    is_swapped = _distortion(size[::-1], block.known_input_hw) < _distortion(size, block.known_input_hw)
    if is_swapped and _distortion(size[::-1], block.known_input_hw) < _SAME_PROPORTION:
        raise ModelOutputWrong(
            f"{block.path.name}: a map of {size[0]} rows and {size[1]} columns for an input of {block.known_input_hw} (height, "
            "width): its sides are swapped; export the network with rows before columns"
        )


def _has_channels_first(shape: tuple[int, ...], block: CustomNetworkBlock) -> bool:
    if (shape[0] == 1) != (shape[-1] == 1):
        return shape[0] == 1
    first, last = (_distortion(sides, block.known_input_hw) for sides in (shape[1:], shape[:-1]))
    if min(first, last) > math.log(_MOST_DISTORTED):
        raise _no_map(shape, block)
    if math.isclose(first, last, abs_tol=1e-3):
        return block.layout != "nhwc"
    return first < last


def _no_map(shape: tuple[int, ...], block: CustomNetworkBlock) -> ModelOutputWrong:
    return ModelOutputWrong(
        f"{block.path.name}: an output of shape {shape} for an input of {block.known_input_hw} (height, width): no two "
        "neighboring axes have the proportion of the input; export the network with a map per class, or set "
        "output_index to another output"
    )


def _distortion(sides: Any, input_hw: tuple[int, int]) -> float:
    return abs(math.log(sides[0] * input_hw[1] / (sides[1] * input_hw[0])))
