"""Person boxes by FastestDet (github.com/dog-qiuqiu/FastestDet), on the whole image and on tiles."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from labeling.structures.frames import RgbImage
from labeling.structures.images import resize_image

INPUT_HW = (352, 352)
OBJECTNESS_POWER = 0.6
"""score = objectness^0.6 x class^0.4, the weights of the network's authors."""
TILE_OVERLAP = 0.2
"""Share of a tile's side: a person smaller than this is complete in at least one tile."""
CUT_MARGIN = 0.01
"""Share of a tile's side: a box this near to an inner edge of the tile is cut by it."""
SMALL_PERSON = 0.25
"""Share of the image's height: if half the people are smaller, tiles are used."""
SMALL_PERSON_SCORE = 0.5
"""Lowest score of the boxes used for this decision: below it, half of the boxes are wrong."""
SMALL_TILES = 2
"""Tiles a side for small people; 3 did not find more on PETS."""
MIN_SIDE_PX = 1.0
"""Smallest side of the part of a box within the image."""
_X, _Y, _W, _H, _CLASSES = 1, 2, 3, 4, 5

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class PersonBoxes:
    """N boxes in pixels of the image."""

    corners: FloatArray
    """Nx4: x0, y0, x1, y1."""
    scores: FloatArray
    """N, in [0, 1]."""

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "PersonBoxes":
        return PersonBoxes(self.corners[chosen], self.scores[chosen])


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of an image, in pixels."""

    x: int
    y: int
    w: int
    h: int


class PersonDetector:
    """FastestDet through ONNX Runtime on the CPU, one image per call, on the calling thread.

    Several threads may call it at once.
    """

    def __init__(self, weights: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def detect(
        self, rgb: RgbImage, *, min_score: float, max_iou: float, tiles: int | Literal["auto"] = 1
    ) -> PersonBoxes:
        """Return boxes of people, best first, that overlap by at most `max_iou`.

        With `tiles` n > 1, n x n overlapping tiles are searched in addition to the whole image; with
        `auto`, only if the people found in the whole image are small.
        """
        size_hw = rgb.shape[0], rgb.shape[1]
        whole_image, *_ = plan_tiles(size_hw, 1)
        whole = self._detect_in(rgb, whole_image, min_score)
        if tiles == "auto":
            tiles = SMALL_TILES if are_people_small(suppress_overlaps(whole, max_iou), size_hw[0]) else 1
        _, *parts = plan_tiles(size_hw, tiles)
        found = [whole, *(self._detect_in(rgb, part, min_score) for part in parts)]
        corners = np.concatenate([boxes.corners for boxes in found])
        corners[:, 0::2] = corners[:, 0::2].clip(0, size_hw[1])
        corners[:, 1::2] = corners[:, 1::2].clip(0, size_hw[0])
        boxes = PersonBoxes(corners, np.concatenate([boxes.scores for boxes in found]))
        has_area = (corners[:, 2:] - corners[:, :2] >= MIN_SIDE_PX).all(axis=1)
        return suppress_overlaps(boxes.select(has_area), max_iou)

    def _detect_in(self, rgb: RgbImage, tile: Tile, min_score: float) -> PersonBoxes:
        part = rgb[tile.y : tile.y + tile.h, tile.x : tile.x + tile.w]
        pixels = cv2.dnn.blobFromImage(resize_image(part, INPUT_HW), 1 / 255, swapRB=True)
        (cells,) = self._session.run(None, {self._input: pixels})
        boxes = decode_cells(cells[0])
        boxes = boxes.select(boxes.scores >= min_score)
        origin = np.array([tile.x, tile.y] * 2, dtype=np.float32)
        scale = np.array([tile.w, tile.h] * 2, dtype=np.float32)
        boxes = PersonBoxes(boxes.corners * scale + origin, boxes.scores)
        return boxes.select(~find_cut_boxes(boxes, tile, (rgb.shape[0], rgb.shape[1])))


def are_people_small(boxes: PersonBoxes, height: int) -> bool:
    """Return whether the median of the confident boxes' longer sides is below `SMALL_PERSON`."""
    confident = boxes.select(boxes.scores >= SMALL_PERSON_SCORE).corners
    longer = (confident[:, 2:] - confident[:, :2]).max(axis=1)
    return bool(len(longer)) and float(np.median(longer)) < SMALL_PERSON * height


def decode_cells(cells: FloatArray) -> PersonBoxes:
    """Return the box of every cell, as fractions of the image; score 0 if another class is likelier.

    `cells` is 85xRxC: objectness, center offset (x, y; through tanh, in cells), size (w, h; through a
    sigmoid, of the image), 80 COCO classes (0 = person). Source: FastestDet, `utils/tool.py`.
    """
    rows, columns = cells.shape[1:]
    row, column = np.mgrid[:rows, :columns].astype(np.float32)
    center = np.stack([(np.tanh(cells[_X]) + column) / columns, (np.tanh(cells[_Y]) + row) / rows])
    half = expit(cells[[_W, _H]]) / 2
    corners = np.concatenate([center - half, center + half]).reshape(4, -1).T
    scores = cells[0] ** OBJECTNESS_POWER * cells[_CLASSES] ** (1 - OBJECTNESS_POWER)
    is_person = cells[_CLASSES:].argmax(axis=0) == 0
    return PersonBoxes(corners.astype(np.float32), np.where(is_person, scores, 0.0).reshape(-1))


def plan_tiles(size_hw: tuple[int, int], tiles: int) -> Iterator[Tile]:
    """Yield the whole image, then for `tiles` > 1 as many overlapping tiles a side."""
    height, width = size_hw
    yield Tile(0, 0, width, height)
    if tiles == 1:
        return
    xs, ys = _spread(width, tiles), _spread(height, tiles)
    yield from (Tile(x0, y0, x1 - x0, y1 - y0) for y0, y1 in ys for x0, x1 in xs if x1 > x0 and y1 > y0)


def _spread(length: int, count: int) -> list[tuple[int, int]]:
    """Return `count` equal ranges that cover 0 to `length` and overlap by `TILE_OVERLAP`."""
    side = length / (count - (count - 1) * TILE_OVERLAP)
    starts = [round(number * side * (1 - TILE_OVERLAP)) for number in range(count)]
    return [(start, min(round(start + side), length)) for start in starts[:-1]] + [(starts[-1], length)]


def find_cut_boxes(boxes: PersonBoxes, tile: Tile, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which boxes reach an inner edge of the tile, which cuts the person in two.

    A neighboring tile or the whole image contains the complete person.
    """
    height, width = size_hw
    low = np.array([tile.x, tile.y]) + CUT_MARGIN * np.array([tile.w, tile.h])
    high = np.array([tile.x + tile.w, tile.y + tile.h]) - CUT_MARGIN * np.array([tile.w, tile.h])
    inner_low = np.array([tile.x > 0, tile.y > 0])
    inner_high = np.array([tile.x + tile.w < width, tile.y + tile.h < height])
    is_cut = (inner_low & (boxes.corners[:, :2] <= low)) | (inner_high & (boxes.corners[:, 2:] >= high))
    return np.asarray(is_cut.any(axis=1))


def suppress_overlaps(boxes: PersonBoxes, max_iou: float) -> PersonBoxes:
    """Return the best boxes, best first, that overlap by at most `max_iou` (non-maximum suppression)."""
    if not len(boxes):
        return boxes
    corners = boxes.corners
    xywh = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    kept = cv2.dnn.NMSBoxes(xywh.tolist(), boxes.scores.tolist(), score_threshold=0.0, nms_threshold=max_iou)
    return boxes.select(np.asarray(kept, dtype=np.intp))
