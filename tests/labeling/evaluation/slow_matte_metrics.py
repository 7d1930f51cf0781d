"""A second implementation of the matte metrics, in plain loops, for comparison.

Written from the definitions in Rhemann et al. 2009 and Erofeev et al. 2015, with the constants and the normalization
that labeling/evaluation/matte_metrics.py states.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Pixel = tuple[int, int]


def slow_gradient_error(alpha: Image, truth: Image) -> float:
    first, second = slow_gradient_lengths(alpha), slow_gradient_lengths(truth)
    return sum(float(first[pixel] - second[pixel]) ** 2 for pixel in np.ndindex(alpha.shape)) / 1000


def slow_gradient_lengths(image: Image, sigma: float = 1.4, half: int = 4) -> NDArray[np.float64]:
    """Convolve with both filters, 9x9, at each pixel; the nearest pixel replaces one outside."""
    height, width = image.shape
    offsets = range(-half, half + 1)

    def gauss(x: int) -> float:
        return math.exp(-(x**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))

    def slope(x: int) -> float:
        return -x / sigma**2 * gauss(x)

    norm = math.sqrt(sum((gauss(y) * slope(x)) ** 2 for y in offsets for x in offsets))
    lengths = np.zeros(image.shape)
    for row, column in np.ndindex(image.shape):
        across = down = 0.0
        for y in offsets:
            for x in offsets:
                value = float(image[min(max(row + y, 0), height - 1), min(max(column + x, 0), width - 1)])
                across += value * gauss(y) * slope(x) / norm
                down += value * slope(y) * gauss(x) / norm
        lengths[row, column] = math.hypot(across, down)
    return lengths


def slow_connectivity_error(alpha: Image, truth: Image) -> float:
    levels = [step / 10 for step in range(11)]
    regions = [
        largest_region(
            {(y, x) for y, x in np.ndindex(alpha.shape) if min(alpha[y, x], truth[y, x]) >= np.float32(level)}
        )
        for level in levels
    ]
    total = 0.0
    for pixel in np.ndindex(alpha.shape):
        lost = next((number for number in range(1, 11) if pixel not in regions[number]), None)
        connected = 1.0 if lost is None else levels[lost - 1]
        phi = []
        for image in (alpha, truth):
            above = float(image[pixel]) - connected
            phi.append(1 - (above if above >= 0.15 else 0))
        total += abs(phi[0] - phi[1])
    return total / 1000


def largest_region(pixels: set[Pixel]) -> set[Pixel]:
    """Fill from each pixel; of equally large regions, that of the first pixel in rows."""
    regions: list[set[Pixel]] = []
    for start in sorted(pixels):
        if any(start in region for region in regions):
            continue
        region, waiting = {start}, [start]
        while waiting:
            row, column = waiting.pop()
            for near in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if near in pixels and near not in region:
                    region.add(near)
                    waiting.append(near)
        regions.append(region)
    return max(regions, key=len, default=set())


def slow_dtssd(alphas: Sequence[Image], truths: Sequence[Image]) -> float:
    roots = []
    for t in range(1, len(alphas)):
        squares = 0.0
        for pixel in np.ndindex(alphas[t].shape):
            change = float(alphas[t][pixel]) - float(alphas[t - 1][pixel])
            true_change = float(truths[t][pixel]) - float(truths[t - 1][pixel])
            squares += (change - true_change) ** 2
        roots.append(math.sqrt(squares / alphas[t].size))
    return sum(roots) / len(roots)


def slow_messddt(alphas: Sequence[Image], truths: Sequence[Image], shift_xy: tuple[int, int]) -> float:
    """Compare along one whole-pixel motion of all pixels; those that leave the image are left out."""
    dx, dy = shift_xy
    means = []
    for t in range(len(alphas) - 1):
        height, width = alphas[t].shape
        changes = []
        for row, column in np.ndindex(alphas[t].shape):
            to = (row + dy, column + dx)
            if not (0 <= to[0] < height and 0 <= to[1] < width):
                continue
            before = (float(alphas[t][row, column]) - float(truths[t][row, column])) ** 2
            after = (float(alphas[t + 1][to]) - float(truths[t + 1][to])) ** 2
            changes.append(abs(before - after))
        means.append(sum(changes) / len(changes))
    return sum(means) / len(means)
