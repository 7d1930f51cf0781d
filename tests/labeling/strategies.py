"""Masks and instances for property tests, and short ways to draw them by hand."""

from collections.abc import Sequence

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import ndimage

from labeling.structures.instances import Instance, Keypoints
from labeling.structures.masks import BoolArray, Mask

# The same examples in every run, however busy the machine is.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

sizes_hw = st.tuples(st.integers(1, 12), st.integers(1, 12))


def pixels(size_hw: tuple[int, int]) -> st.SearchStrategy[BoolArray]:
    """Anything: noise, empty, full, one pixel, rectangles with a hole, several parts."""
    return st.one_of(
        st_numpy.arrays(np.bool_, size_hw),
        st.sampled_from([np.zeros(size_hw, np.bool_), np.ones(size_hw, np.bool_)]),
        _one_pixel(size_hw),
        st.lists(_rectangle(size_hw), min_size=1, max_size=3).map(_overlay),
    )


@st.composite
def _one_pixel(draw: st.DrawFn, size_hw: tuple[int, int]) -> BoolArray:
    drawn = np.zeros(size_hw, dtype=np.bool_)
    drawn[draw(st.integers(0, size_hw[0] - 1)), draw(st.integers(0, size_hw[1] - 1))] = True
    return drawn


@st.composite
def _rectangle(draw: st.DrawFn, size_hw: tuple[int, int]) -> BoolArray:
    """A rectangle; one of three pixels or more each way may have a hole that leaves its outline."""
    rows, columns = (sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in size_hw)
    drawn = np.zeros(size_hw, dtype=np.bool_)
    drawn[slice(*rows), slice(*columns)] = True
    if draw(st.booleans()):
        drawn[
            rows[0] + 1 : max(rows[0] + 1, rows[1] - 1), columns[0] + 1 : max(columns[0] + 1, columns[1] - 1)
        ] = False
    return drawn


def _overlay(shapes: Sequence[BoolArray]) -> BoolArray:
    overlaid: BoolArray = np.logical_or.reduce(shapes)
    return overlaid


@st.composite
def images(draw: st.DrawFn) -> BoolArray:
    """An HxW boolean array of any small size."""
    return draw(pixels(draw(sizes_hw)))


@st.composite
def sides(draw: st.DrawFn, *, most: int = 4) -> tuple[list[BoolArray], list[BoolArray]]:
    """Teacher's and student's masks on one image; masks of one side may overlap, or be empty."""
    size_hw = draw(sizes_hw)
    some = st.lists(pixels(size_hw), max_size=most)
    return draw(some), draw(some)


@st.composite
def disjoint_sides(draw: st.DrawFn, *, most: int = 4) -> tuple[list[BoolArray], list[BoolArray]]:
    """As `sides`, but no two masks of one side overlap: label images, as most segmenters give."""
    size_hw = draw(sizes_hw)
    labels = st_numpy.arrays(np.uint8, size_hw, elements=st.integers(0, most))
    first, second = draw(labels), draw(labels)
    return tuple([labels == i for i in range(1, most + 1)] for labels in (first, second))  # type: ignore[return-value]


def blobs(seed: int, size_hw: tuple[int, int], *, sigma: float = 12.0) -> list[BoolArray]:
    """Two similar images with several smooth parts and holes, some of them cut by the border."""
    rng = np.random.default_rng(seed)
    base = ndimage.gaussian_filter(rng.standard_normal(size_hw), sigma)
    other = base + 0.4 * ndimage.gaussian_filter(rng.standard_normal(size_hw), sigma)
    return [base > 0.4 * base.std(), other > 0.4 * base.std()]


def draw(*rows: str) -> BoolArray:
    """`draw(".##.", ...)`: an array from rows of text, any character but a dot belongs to the mask."""
    return np.array([[character != "." for character in row] for row in rows])


def draw_labels(*rows: str) -> list[BoolArray]:
    """`draw_labels("aa.b", ...)`: one array for each letter, in the order of the alphabet."""
    letters = sorted(set("".join(rows)) - {"."})
    return [np.array([[character == letter for character in row] for row in rows]) for letter in letters]


def instance(
    mask: BoolArray,
    *,
    score: float = 0.9,
    box_xywh: tuple[float, float, float, float] | None = None,
    keypoints: Keypoints | None = None,
) -> Instance:
    encoded = Mask.from_array(mask)
    return Instance(encoded, score, box_xywh or encoded.box_xywh, keypoints)


def instances(masks: Sequence[BoolArray]) -> list[Instance]:
    return [instance(mask) for mask in masks]


def joints(*positions: tuple[float, float], confidence: float = 0.9) -> Keypoints:
    """Keypoints at these places."""
    return tuple((x, y, confidence) for x, y in positions)
