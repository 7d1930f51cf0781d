"""Places of a static camera's image that change all the time in the same few shapes: clocks, counters, spinners.

They are drawn over the image and are no people. A person who sways at one place changes all the time too, but takes
more shapes, comes back to hardly any of them exactly, and is taller than a line of text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import BoolArray, BoxXywh

FEWEST_IMAGES = 16
"""Fewer images do not show what happens all the time."""
CHANGED_LEVELS = 25
"""Levels of luma, of 255, by which a pixel of an overlay changes at least."""
FEWEST_CHANGES = 3
CHANGE_SHARE = 0.05
"""A pixel is restless if it changes at least so often, and in so many of the steps from image to image."""
PARTS_OF_TIME = 4
RESTLESS_PARTS = 3
"""It does so in this many quarters of the time."""
TALLEST = 0.12
"""Height of the tallest overlay as a share of the image's height."""
SAME_SHARE = 0.08
SAME_OF_LARGEST = 0.12
"""Share of a window's pixels that may change while it shows the same shape: the lesser of this and of this part of the
largest changes."""
OUTER_ROWS = 0.2
"""Overlays lie in the upper or lower part of the image, of this share of its height."""
MOST_SHAPES = 12
"""Ten digits, and two shapes between them."""
SHAPE_SHARE = 1 / 3
"""Most different shapes, as a share of the images."""
RECURRING = 0.85
"""Share of the images whose shape was there before or comes back, with another one in between."""
OFTEN, LONGEST_STILL = 0.2, 0.25
"""Shapes that come back change in this share of the steps from image to image at least, and none holds for longer than
this share of the images. A place that people pass, or stop at, shows the room for longer."""
SMALLEST_JUMP = 0.2
"""An overlay changes from shape to shape at once: even the two most alike digits differ by 0.26 and more of the largest
difference. The positions of what sways differ by 0.12 and less."""
SMALLEST_SHARE = 0.0005
"""Box of the smallest overlay, as a share of the image; smaller ones are no people for any segmenter."""
SMALLEST_PX = 8
"""Restless pixels of the smallest window that counts."""
ISOLATED = 0.5
"""Largest density of restless pixels above and below an overlay, as a share of the density inside. The parts of a
person who sways have others above and below them."""
WINDOW = 0.5
"""Width of a window as a share of its height: narrower than a letter."""
MARGIN = 0.006
"""Width of the rim around restless pixels that belongs to the overlay, as a share of the image's height."""
GAP = 0.015
"""Letters nearer than this share of the image's height are one overlay."""
IN_FRONT = 0.5
"""An overlay belongs to a person who covers this share of the pixels around it."""
LINE_HEIGHT, LINES_BESIDE = 1.6, 2.5
"""What is flatter than the first and nearer above or below than the second, in heights of an overlay, is text."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlays:
    """The overlays of a camera's images."""

    mask: BoolArray
    """HxW."""
    boxes: tuple[BoxXywh, ...] = ()
    """Of each overlay, in pixels of the mask."""

    def __bool__(self) -> bool:
        return bool(self.boxes)

    def remove(self, foreground: BoolArray) -> BoolArray:
        """Return the foreground, HxW, without the overlays."""
        return foreground & ~self.mask

    def restore(self, people: BoolArray) -> BoolArray:
        """Return the people, HxW, with the overlays that they surround: someone walks behind the text."""
        if not self or not people.any():
            return people
        count, labels = cv2.connectedComponents(self.mask.astype(np.uint8), connectivity=8)
        restored = people.copy()
        for number in range(1, count):
            zone = labels == number
            rim = cv2.dilate(zone.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool) & ~self.mask
            if rim.any() and people[rim].mean() >= IN_FRONT:
                restored |= zone
        return restored

    def is_text(self, part: BoolArray) -> bool:
        """Return whether a region is only as tall as a line of text, wider than tall, and in or beside a line.

        Digits of the hour and the date change rarely, so that they are no overlays by themselves.
        """
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        if bottom - top > columns[-1] + 1 - columns[0]:
            return False
        return any(
            bottom - top <= LINE_HEIGHT * h
            and top >= y - LINES_BESIDE * h
            and bottom <= y + (1 + LINES_BESIDE) * h
            for _, y, _, h in self.boxes
        )


def find_overlays(lumas: NDArray[np.uint8]) -> Overlays:
    """Find the overlays in NxHxW images of one look of a static camera, evenly spaced in time."""
    nothing = Overlays(np.zeros(lumas.shape[1:], dtype=bool))
    if len(lumas) < FEWEST_IMAGES:
        return nothing
    restless = _find_restless(lumas)
    if not restless.any():
        return nothing
    mask, boxes = nothing.mask, []
    for box, pixels in _regions(restless):
        x, y, w, h = box
        if _is_overlay(lumas[:, y : y + h, x : x + w], pixels[y : y + h, x : x + w]) and _is_isolated(
            restless, pixels, box
        ):
            boxes.append(box)
            mask = mask | pixels
    rim = cv2.dilate(mask.astype(np.uint8), np.ones((2 * _rim_px(lumas) + 1,) * 2, np.uint8))
    return Overlays(rim.astype(bool), tuple((float(x), float(y), float(w), float(h)) for x, y, w, h in boxes))


def _rim_px(lumas: NDArray[np.uint8]) -> int:
    return max(2, round(MARGIN * lumas.shape[1]))


def _find_restless(lumas: NDArray[np.uint8]) -> BoolArray:
    """Return the pixels, HxW, that change often and in most parts of the time."""
    steps = len(lumas) - 1
    changes = np.zeros(lumas.shape[1:], dtype=np.uint16)
    parts = np.zeros((PARTS_OF_TIME, *lumas.shape[1:]), dtype=bool)
    for step in range(steps):
        changed = cv2.absdiff(lumas[step], lumas[step + 1]) > CHANGED_LEVELS
        changes += changed
        parts[step * PARTS_OF_TIME // steps] |= changed
    often = changes >= max(FEWEST_CHANGES, CHANGE_SHARE * steps)
    restless: BoolArray = often & (parts.sum(axis=0) >= RESTLESS_PARTS)
    return restless


def _regions(restless: BoolArray) -> Iterator[tuple[tuple[int, int, int, int], BoolArray]]:
    """Yield box and pixels of the regions that are as flat as text; letters of a word are one region."""
    height, width = restless.shape
    gap_px = max(3, round(GAP * height))
    closed = cv2.morphologyEx(restless.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((gap_px, gap_px), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    for number, (x, y, w, h, _) in enumerate(stats[1:].tolist(), start=1):
        pixels = labels == number
        is_outer = not OUTER_ROWS * height <= y + h / 2 <= (1 - OUTER_ROWS) * height
        is_flat = h <= TALLEST * height and w * h >= SMALLEST_SHARE * width * height
        if is_outer and is_flat and (restless & pixels).sum() >= SMALLEST_PX:
            yield (x, y, w, h), pixels


def _is_isolated(restless: BoolArray, pixels: BoolArray, box: tuple[int, int, int, int]) -> bool:
    x, y, w, h = box
    inside = restless[y : y + h, x : x + w].mean()
    beside = [restless[max(0, y - h) : y, x : x + w], restless[y + h : y + 2 * h, x : x + w]]
    return all(not one.size or one.mean() <= ISOLATED * inside for one in beside)


def _is_overlay(patches: NDArray[np.uint8], pixels: BoolArray) -> bool:
    """Return whether a third of the windows of a region show few shapes again and again; others cut through letters."""
    height, width = pixels.shape
    windows = max(1, round(width / (WINDOW * height)))
    edges = np.linspace(0, width, windows + 1).astype(int)
    verdicts = [
        _has_few_shapes(patches[:, :, left:right])
        for left, right in pairwise(edges)
        if pixels[:, left:right].sum() >= SMALLEST_PX
    ]
    return bool(verdicts) and 3 * sum(verdicts) >= len(verdicts)


def _has_few_shapes(patches: NDArray[np.uint8]) -> bool:
    """Return whether NxHxW patches show few shapes that come back, or a new one at even intervals.

    Half of the time is enough: at midnight a longer date moves the clock beside it.
    """
    changed = _changed_shares(patches.reshape(len(patches), -1))
    shapes = _number_shapes(changed)
    half = len(shapes) // 2
    parts = (slice(None), slice(half), slice(half, None))
    return any(_are_few(shapes[part], changed[part, part]) for part in parts)


def _are_few(shapes: NDArray[np.int_], changed: NDArray[np.float64]) -> bool:
    number = len(np.unique(shapes))
    if number < 2 or number > max(MOST_SHAPES, SHAPE_SHARE * len(shapes)):  # noqa: PLR2004 - nothing changes
        return False
    comes_back = _recurring_share(shapes) >= RECURRING and _changes_all_the_time(shapes)
    return (comes_back or _is_regular(shapes)) and _jump(shapes, changed) >= SMALLEST_JUMP


def _jump(shapes: NDArray[np.int_], changed: NDArray[np.float64]) -> float:
    """Return the median change from a shape to the one most like it, as a share of the largest change."""
    _, first = np.unique(shapes, return_index=True)
    between = changed[np.ix_(first, first)]
    nearest = np.where(np.eye(len(first), dtype=bool), np.inf, between).min(axis=1)
    largest = between.max()
    return float(np.median(nearest) / largest) if largest > 0 else 0.0


def _changed_shares(flat: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return for each pair of NxP patches the share of pixels that differ, NxN."""
    levels = flat.astype(np.int16)
    return np.array([(np.abs(levels - one) > CHANGED_LEVELS).mean(axis=1) for one in levels])


def _number_shapes(changed: NDArray[np.float64]) -> NDArray[np.int_]:
    """Give the patches of one shape one number, from 0 on in order of time."""
    same = changed <= min(SAME_SHARE, SAME_OF_LARGEST * float(np.quantile(changed, 0.9)))
    shapes = np.full(len(changed), -1)
    number = 0
    for first in range(len(changed)):
        if shapes[first] < 0:
            shapes[same[first] & (shapes < 0)] = number
            number += 1
    return shapes


def _recurring_share(shapes: NDArray[np.int_]) -> float:
    """Return the share of the images whose shape is there at another time too, with another shape in between."""
    starts = np.flatnonzero(np.diff(shapes, prepend=-1))
    runs = shapes[starts]
    again = [shape for shape in np.unique(runs) if (runs == shape).sum() > 1]
    return float(np.isin(shapes, again).mean())


def _changes_all_the_time(shapes: NDArray[np.int_]) -> bool:
    changes = np.flatnonzero(np.diff(shapes)) + 1
    longest = np.diff([0, *changes, len(shapes)]).max()
    return bool(len(changes) >= OFTEN * (len(shapes) - 1) and longest <= LONGEST_STILL * len(shapes))


def _is_regular(shapes: NDArray[np.int_]) -> bool:
    """Return whether the shape changes at even intervals and holds in between: a clock in a short video."""
    lengths = np.diff(np.flatnonzero(np.diff(shapes, prepend=-1)))[1:]  # the first second is cut
    return bool(len(lengths) >= PARTS_OF_TIME and lengths.min() >= 2 and lengths.max() - lengths.min() <= 1)  # noqa: PLR2004 - held
