"""Label Studio's brush masks: the run-length code of its canvas, to and from our masks.

The code is thi.ng's rle-pack over the picture's RGBA bytes in row-major order, bits from high to low:
32 bits number of bytes, 5 bits word size - 1, four times 4 bits width of a count - 1; then tokens of
1 bit (1: one value repeated, 0: values one by one), 2 bits which width, the count - 1 in that width,
and the value or values. A pixel belongs to the mask where its alpha, the fourth byte, is above 127:
strokes drawn in a browser are anti-aliased.
"""

from collections.abc import Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

from labeling.errors import StudioError
from labeling.masks import BoolArray, Mask

INSIDE_ABOVE = 127
"""Alpha above which a pixel belongs to the mask."""

_CHANNELS = 4
_COUNT_BITS = (3, 4, 8, 16)
"""Widths of a count; Label Studio's own."""
_WORD_BITS = 8
_LONGEST = 1 << _COUNT_BITS[-1]
_TOKEN_BITS = 1 + 2 + _COUNT_BITS[-1] + _WORD_BITS


def encode_brush(mask: Mask) -> bytes:
    """Code a mask as opaque white on transparent black; made from its runs, byte for byte what
    label-studio-sdk gives.
    """
    height, width = mask.size_hw
    ends = np.append(_row_major_edges(mask), height * width)
    lengths = np.diff(ends, prepend=0) * _CHANNELS
    values = np.where(np.arange(len(lengths)) % 2 == 1, 255, 0)
    is_run = lengths > 0
    bits = np.concatenate([_header(height * width * _CHANNELS), _run_tokens(lengths[is_run], values[is_run])])
    padding = np.zeros(8 - len(bits) % 8, dtype=np.uint8)
    return np.packbits(np.concatenate([bits, padding])).tobytes()


def _row_major_edges(mask: Mask) -> NDArray[np.int64]:
    """Positions in row-major order at which background and mask change over, in order; an even number."""
    x, y, w, h = (int(side) for side in mask.box_xywh)
    pixels = np.zeros((h, w + 2), dtype=np.int8)
    pixels[:, 1:-1] = mask.to_crop((x, y, w, h))
    rows, columns = np.nonzero(np.diff(pixels, axis=1))
    edges = (rows.astype(np.int64) + y) * mask.size_hw[1] + columns + x
    touches = np.flatnonzero(edges[1:-1:2] == edges[2::2])  # a run that goes on in the next row
    return np.delete(edges, np.concatenate([2 * touches + 1, 2 * touches + 2]))


def _header(size: int) -> NDArray[np.uint8]:
    text = f"{size:032b}{_WORD_BITS - 1:05b}" + "".join(f"{width - 1:04b}" for width in _COUNT_BITS)
    return np.frombuffer(text.encode(), dtype=np.uint8) - ord("0")


def _run_tokens(lengths: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The bits of one token a run; runs longer than a count can say are several."""
    pieces = -(-lengths // _LONGEST)
    counts = np.full(int(pieces.sum()), _LONGEST, dtype=np.int64)
    counts[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST
    values = np.repeat(values, pieces)
    kinds = np.searchsorted([1 << width for width in _COUNT_BITS[:-1]], counts)
    widths = np.take(_COUNT_BITS, kinds)
    tokens = (4 | kinds) << widths | (counts - 1)
    tokens = tokens << _WORD_BITS | values
    sizes = 3 + widths + _WORD_BITS
    shifts = np.arange(_TOKEN_BITS - 1, -1, -1)
    bits = (tokens[:, None] >> shifts & 1).astype(np.uint8)
    return cast(NDArray[np.uint8], bits[shifts < sizes[:, None]])


def decode_brush(code: bytes, size_hw: tuple[int, int]) -> Mask:
    """Read a region's code as a mask of `size_hw`.

    Raises:
        StudioError: the code is for a picture of another size, is damaged, or ends too early.
    """
    height, width = size_hw
    bits = _Bits(code)
    size, word_bits = bits.read(32), bits.read(5) + 1
    if size != height * width * _CHANNELS or word_bits != _WORD_BITS:
        raise StudioError(
            f"a brush region has {size} values of {word_bits} bits, a picture of {width}x{height} has "
            f"{height * width * _CHANNELS} of {_WORD_BITS}: it was drawn on another picture"
        )
    alpha = np.zeros(height * width, dtype=np.uint8)
    for begin, end, values in _read_runs(bits, size):
        inside = slice(begin // _CHANNELS, end // _CHANNELS)
        if isinstance(values, int):
            if values > INSIDE_ABOVE:
                alpha[inside] = values
        else:
            alpha[inside] = values[(_CHANNELS - 1 - begin) % _CHANNELS :: _CHANNELS]
    pixels: BoolArray = alpha.reshape(size_hw) > INSIDE_ABOVE
    return Mask.from_array(pixels)


def _read_runs(bits: "_Bits", size: int) -> Iterator[tuple[int, int, int | NDArray[np.uint8]]]:
    """(begin, end, the one value or all values) in bytes of the picture, from the first to the last."""
    widths = [bits.read(4) + 1 for _ in _COUNT_BITS]
    begin = 0
    while begin < size:
        head = bits.read(3)
        end = begin + 1 + bits.read(widths[head & 3])
        if end > size:
            raise StudioError(f"a brush region has more than the {size} values that it announces: damaged")
        yield begin, end, bits.read(_WORD_BITS) if head & 4 else bits.read_bytes(end - begin)
        begin = end


class _Bits:
    """Bits of a byte string, high ones first."""

    def __init__(self, code: bytes) -> None:
        self._code = code
        self._at = 0

    def read(self, count: int) -> int:
        """The next `count` bits as a number."""
        end = self._at + count
        self._check(end)
        window = self._code[self._at >> 3 : (end + 7) >> 3]
        self._at = end
        return int.from_bytes(window) >> (-end & 7) & ((1 << count) - 1)

    def read_bytes(self, count: int) -> NDArray[np.uint8]:
        return np.frombuffer(self.read(8 * count).to_bytes(count), dtype=np.uint8)

    def _check(self, end: int) -> None:
        if end > 8 * len(self._code):
            raise StudioError(f"a brush region ends after {len(self._code)} bytes, before its picture does")
