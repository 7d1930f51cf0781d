"""How similar two frames are, whatever was cropped, mirrored or encoded again."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from labeling.datasets.splits.descriptors import SIDE, Thumbnails

NEAR = 0.7
"""Similarity of near-duplicates. On real frames, crops of 5 % stayed above 0.84 and of 10 % above 0.79, with another
encoding and mirrored; the 1,000 most similar of 60,000 pairs of unrelated frames stayed below 0.55."""
_SMALLEST = 29
"""Side of the part of an image that the other one may show: a crop of up to 10 %."""
_SHORTEST = 1e-3
"""Length of an image without any contrast."""
_BATCH = 64
_Planes = NDArray[np.float32]
"""N x SIDE x SIDE without slow changes of brightness."""


def similarities(first: Thumbnails, second: Thumbnails) -> NDArray[np.float32]:
    """Return the similarity of each pair, -1 to 1: the best correlation of one image with a part of the other.

    Both are compared as they are and with one of them flipped left to right.
    """
    found = [
        _similarities(_planes(first[at : at + _BATCH]), _planes(second[at : at + _BATCH]))
        for at in range(0, len(first), _BATCH)
    ]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.float32)


def _similarities(first: _Planes, second: _Planes) -> NDArray[np.float32]:
    in_first = _best_part(first, (second, _flip(second)))
    # the first one in the flipped second one is the same as the flipped first one in the second
    in_second = _best_part(second, (first, _flip(first)))
    return np.maximum(in_first, in_second)


def _flip(planes: _Planes) -> _Planes:
    return np.ascontiguousarray(planes[:, :, ::-1])


def _planes(thumbnails: Thumbnails) -> _Planes:
    planes = np.empty(thumbnails.shape, dtype=np.float32)
    for number, thumbnail in enumerate(thumbnails):
        levels = thumbnail.astype(np.float32)
        planes[number] = levels - cv2.GaussianBlur(levels, (0, 0), SIDE / 8)
    return planes


def _best_part(whole: _Planes, parts: Sequence[_Planes]) -> NDArray[np.float32]:
    """Return the best correlation of any of `parts`, scaled down, with any place in `whole`."""
    best = np.full(len(whole), -1.0, dtype=np.float32)
    for side in range(SIDE, _SMALLEST - 1, -1):
        size = side * side
        scaled = np.stack([_unit(_resize(part, side).reshape(-1, size)) for part in parts], axis=2)
        windows = sliding_window_view(whole, (side, side), axis=(1, 2))  # type: ignore[call-overload]  # numpy allows several axes
        places = windows.reshape(len(whole), -1, size)
        squares = np.einsum("npi,npi->np", places, places) - size * places.mean(axis=2) ** 2
        lengths = np.sqrt(np.maximum(squares, _SHORTEST**2))
        # the parts have no mean: those of places do not matter
        products = places @ scaled / lengths[:, :, None]
        best = np.maximum(best, products.max(axis=(1, 2)))
    return best


def _resize(planes: _Planes, side: int) -> _Planes:
    return np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in planes])


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    centered = vectors - vectors.mean(axis=-1, keepdims=True)
    lengths = np.linalg.norm(centered, axis=-1, keepdims=True)
    return np.asarray(centered / np.maximum(lengths, _SHORTEST), dtype=np.float32)
