"""Segmenters for tests, with the real methods; configs name the functions at the end as factories."""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labeling.segmenters.protocol import StatelessSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import COCO_KEYPOINTS, Instance, ModelCard
from labeling.structures.masks import Mask

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""
LEFT_PERSON: Box = (40, 20, 30, 60)


class ScriptedSegmenter(StatelessSegmenter):
    """Returns `boxes_by_key[frame.key]`, or `boxes`, as filled rectangles with `score`.

    `batches` has the keys of the frames of each call: times in ms, or indices of images.
    """

    def __init__(
        self,
        boxes: Sequence[Box] = (),
        boxes_by_key: Mapping[int, Sequence[Box]] | None = None,
        *,
        name: str = "scripted",
        score: float = 0.9,
        sees_mirrored: bool = False,
    ) -> None:
        self.card = ModelCard("python", name, "", "{}", sees_mirrored=sees_mirrored)
        self.batches: list[list[int]] = []
        self._boxes = boxes
        self._by_key = boxes_by_key or {}
        self._score = score

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        self.batches.append([frame.key for frame in frames])
        return [self._instances(frame) for frame in frames]

    def _instances(self, frame: Frame) -> list[Instance]:
        boxes = self._by_key.get(frame.key, self._boxes)
        return [self._instance(frame, box) for box in boxes]

    def _instance(self, frame: Frame, box: Box) -> Instance:
        x, y, w, h = box
        pixels = np.zeros(frame.size_hw, np.uint8)
        pixels[y : y + h, x : x + w] = 1
        mask = Mask.from_array(pixels)
        return Instance(mask, self._score, mask.box_xywh)


class ScriptedPoseSegmenter(ScriptedSegmenter):
    """Returns boxes with all keypoints at their centers, and empty masks."""

    def _instance(self, frame: Frame, box: Box) -> Instance:
        x, y, w, h = box
        keypoints = tuple((x + w / 2, y + h / 2, 0.9) for _ in COCO_KEYPOINTS)
        return Instance(Mask.empty(frame.size_hw), self._score, box, keypoints)


class FixedSegmenter(StatelessSegmenter):
    """Returns the same result for every batch, or raises it."""

    card = ModelCard("python", "fixed", "", "{}")

    def __init__(self, result: list[list[Instance]] | Exception) -> None:
        self._result = result

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


class BrightSegmenter(StatelessSegmenter):
    """Returns one mask of all pixels above half brightness (or below); the score falls from 0.95 with their mean."""

    def __init__(self, *, dark: bool) -> None:
        self.card = ModelCard("python", "dark" if dark else "bright", "", json.dumps({"dark": dark}))
        self._dark = dark

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        return [self._instances(frame) for frame in frames]

    def _instances(self, frame: Frame) -> list[Instance]:
        luma = frame.rgb.mean(axis=2)
        luma = 255 - luma if self._dark else luma
        mask = Mask.from_array(luma > 127)
        if not mask:
            return []
        level = float(luma[mask.to_array()].mean()) / 255
        return [Instance(mask, max(0.0, 0.95 - 4 * (1 - level)), mask.box_xywh)]


class CrashingSegmenter(StatelessSegmenter):
    """Finds no person; kills its process (SIGKILL) at the frame of `pts_ms`, in `deaths` processes at most.

    Leaves a file in `folder` for each process that loads it or uses it, and for each kill.
    """

    card = ModelCard("python", "fragile", "", "{}", sees_mirrored=False)

    def __init__(self, folder: Path, pts_ms: int, deaths: int) -> None:
        self._folder = folder
        self._pts_ms = pts_ms
        self._deaths = deaths
        self._note(f"load-{os.getpid()}", os.environ.get("OMP_NUM_THREADS", ""))

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        self._note(f"work-{os.getpid()}", "")
        if any(frame.pts_ms == self._pts_ms for frame in frames) and self._should_crash():
            os.kill(os.getpid(), signal.SIGKILL)
        return [[] for _ in frames]

    def _should_crash(self) -> bool:
        crashes = len(list(self._folder.glob("death-*")))
        if crashes < self._deaths:
            (self._folder / f"death-{crashes}").touch()
        return crashes < self._deaths

    def _note(self, name: str, text: str) -> None:
        with (self._folder / name).open("a") as file:
            file.write(f"{text}\n")


def one_person(
    *,
    found: bool = True,
    score: float = 0.9,
    sees_mirrored: bool = True,
    at_ms: Mapping[int, Box] | None = None,
) -> ScriptedSegmenter:
    """Return a segmenter that finds `LEFT_PERSON` in every frame, and at the times of `at_ms` another box."""
    boxes = [LEFT_PERSON] if found else []
    moved = {pts_ms: [box] for pts_ms, box in (at_ms or {}).items()}
    return ScriptedSegmenter(boxes, moved, score=score, sees_mirrored=sees_mirrored)


def scripted(
    name: str = "scripted",
    boxes: Sequence[Sequence[int]] = (),
    by_ms: dict[str, Any] | None = None,
    score: float = 0.9,
) -> ScriptedSegmenter:
    """Factory `python:tests.fakes.segmenters:scripted`."""
    by_time: dict[int, list[Any]] = {
        int(t): [tuple(box) for box in found] for t, found in (by_ms or {}).items()
    }
    whole: list[Any] = [tuple(box) for box in boxes]
    return ScriptedSegmenter(whole, by_time, name=name, score=score)


def bright(*, dark: bool = False) -> BrightSegmenter:
    """Factory `python:tests.fakes.segmenters:bright`."""
    return BrightSegmenter(dark=dark)


def crashing(folder: str, pts_ms: int = -1, deaths: int = 0) -> CrashingSegmenter:
    """Factory `python:tests.fakes.segmenters:crashing`."""
    return CrashingSegmenter(Path(folder), pts_ms, deaths)
