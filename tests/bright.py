"""A teacher that takes what is bright for a person, and is the less sure the less bright it is."""

import json
from collections.abc import Sequence

from labeling.segmenters.protocol import StatelessSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask


class BrightSegmenter(StatelessSegmenter):
    """One mask of all pixels above half brightness (or below); the score falls from 0.95 with their mean."""

    def __init__(self, *, dark: bool) -> None:
        self.card = ModelCard("python", "dark" if dark else "bright", "", json.dumps({"dark": dark}))
        self._dark = dark

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        return [self._look(frame) for frame in frames]

    def _look(self, frame: Frame) -> list[Instance]:
        luma = frame.rgb.mean(axis=2)
        luma = 255 - luma if self._dark else luma
        mask = Mask.from_array(luma > 127)
        if not mask:
            return []
        level = float(luma[mask.to_array()].mean()) / 255
        return [Instance(mask, max(0.0, 0.95 - 4 * (1 - level)), mask.box_xywh)]


def bright(*, dark: bool = False) -> BrightSegmenter:
    """The factory that a config names: `python:tests.bright:bright`."""
    return BrightSegmenter(dark=dark)
