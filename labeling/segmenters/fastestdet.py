"""Person boxes by FastestDet (github.com/dog-qiuqiu/FastestDet), of the whole image and of tiles."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from labeling.structures.frames import RgbImage
from labeling.structures.probability_maps import resize_image

INPUT_HW = (352, 352)
OBJECTNESS_POWER = 0.6
"""score = objectness^0.6 x class^0.4, as the network's authors weigh them."""
TILE_OVERLAP = 0.2
"""Of a tile's side: a person smaller than this lies whole in at least one tile."""
CUT_MARGIN = 0.01
"""Of a tile's side: a box this near to a tile's inner edge is cut by it."""
SMALL_PERSON = 0.25
"""Of the image's height: where half the people are smaller, tiles show more of them."""
SURE_OF_SMALL = 0.5
"""Score of the boxes that tell so: below it, half of them are nobody."""
SMALL_TILES = 2
"""A side, for small people; 3 found no more of them on PETS."""
MIN_SIDE_PX = 1.0
"""Of a box within the image; what is smaller lies outside."""
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
    """FastestDet through ONNX Runtime on the CPU; its graph takes one image at a time, on the thread
    that calls. Several may call at once."""

    def __init__(self, weights: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def detect(
        self, rgb: RgbImage, *, min_score: float, max_iou: float, tiles: int | Literal["auto"] = 1
    ) -> PersonBoxes:
        """Boxes of people, best first, no two of which overlap by more than `max_iou`.

        With `tiles` n > 1, n x n overlapping tiles are looked at as well as the whole image; with
        `auto`, where the people seen in the whole image are small.
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
    """Whether the median of the surer boxes' longer sides is small beside the image's height."""
    sure = boxes.select(boxes.scores >= SURE_OF_SMALL).corners
    longer = (sure[:, 2:] - sure[:, :2]).max(axis=1)
    return bool(len(longer)) and float(np.median(longer)) < SMALL_PERSON * height


def decode_cells(cells: FloatArray) -> PersonBoxes:
    """Every cell's box as fractions of the image, whatever its score; 0 where another class is likelier.

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
    """The whole image, then for `tiles` > 1 as many overlapping tiles a side."""
    height, width = size_hw
    yield Tile(0, 0, width, height)
    if tiles == 1:
        return
    xs, ys = _spread(width, tiles), _spread(height, tiles)
    yield from (Tile(x0, y0, x1 - x0, y1 - y0) for y0, y1 in ys for x0, x1 in xs if x1 > x0 and y1 > y0)


def _spread(length: int, count: int) -> list[tuple[int, int]]:
    """`count` equal ranges that cover 0 to `length` and overlap by `TILE_OVERLAP`."""
    side = length / (count - (count - 1) * TILE_OVERLAP)
    starts = [round(number * side * (1 - TILE_OVERLAP)) for number in range(count)]
    return [(start, min(round(start + side), length)) for start in starts[:-1]] + [(starts[-1], length)]


def find_cut_boxes(boxes: PersonBoxes, tile: Tile, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Which boxes reach an edge of the tile that is not the image's: somebody is cut in two there.

    A neighboring tile or the whole image sees that person entirely.
    """
    height, width = size_hw
    low = np.array([tile.x, tile.y]) + CUT_MARGIN * np.array([tile.w, tile.h])
    high = np.array([tile.x + tile.w, tile.y + tile.h]) - CUT_MARGIN * np.array([tile.w, tile.h])
    inner_low = np.array([tile.x > 0, tile.y > 0])
    inner_high = np.array([tile.x + tile.w < width, tile.y + tile.h < height])
    is_cut = (inner_low & (boxes.corners[:, :2] <= low)) | (inner_high & (boxes.corners[:, 2:] >= high))
    return np.asarray(is_cut.any(axis=1))


def suppress_overlaps(boxes: PersonBoxes, max_iou: float) -> PersonBoxes:
    """Non-maximum suppression: the best boxes, best first, that overlap by at most `max_iou`."""
    if not len(boxes):
        return boxes
    corners = boxes.corners
    xywh = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    kept = cv2.dnn.NMSBoxes(xywh.tolist(), boxes.scores.tolist(), score_threshold=0.0, nms_threshold=max_iou)
    return boxes.select(np.asarray(kept, dtype=np.intp))
