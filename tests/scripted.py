"""Segmenters that say what a test tells them: rectangles, by the frame's time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from labeling.segmenters.protocol import StatelessSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask

Box = tuple[int, int, int, int]


class ScriptedSegmenter(StatelessSegmenter):
    """Gives `boxes_by_ms[t_ms]`, or `boxes`, as filled rectangles (x, y, w, h) with `score`."""

    def __init__(self, name: str, boxes: list[Box], boxes_by_ms: dict[int, list[Box]], score: float) -> None:
        self.card = ModelCard("python", name, "", "{}", sees_mirrored=False)
        self._boxes = boxes
        self._by_ms = boxes_by_ms
        self._score = score

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        return [self._instances(frame) for frame in frames]

    def _instances(self, frame: Frame) -> list[Instance]:
        boxes = self._by_ms.get(frame.t_ms, self._boxes)
        return [self._instance(frame, box) for box in boxes]

    def _instance(self, frame: Frame, box: Box) -> Instance:
        x, y, w, h = box
        pixels = np.zeros(frame.size_hw, np.uint8)
        pixels[y : y + h, x : x + w] = 1
        mask = Mask.from_array(pixels)
        return Instance(mask, self._score, mask.box_xywh)


def scripted(
    name: str = "scripted",
    boxes: Sequence[Sequence[int]] = (),
    by_ms: dict[str, Any] | None = None,
    score: float = 0.9,
) -> ScriptedSegmenter:
    """The factory that a config names: `python:tests.scripted:scripted`."""
    by_time = {int(t): [tuple(box) for box in found] for t, found in (by_ms or {}).items()}
    return ScriptedSegmenter(name, [tuple(box) for box in boxes], by_time, score)  # type: ignore[misc]  # YAML's lists
