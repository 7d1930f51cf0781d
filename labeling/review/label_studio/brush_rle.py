"""Label Studio's brush masks: the run-length code of its canvas, to and from COCO run lengths.

The code is thi.ng's rle-pack of the image's RGBA values in row-major order, with bits from high to low:
32 bits number of values, 5 bits word size - 1, four times 4 bits width of a count - 1. Tokens follow:
1 bit (1: one value repeated, 0: single values), 2 bits that select a count width, the count - 1 in that
width, and the value or values. Brush data refers to the stored image, whatever its `image_rotation`.

No function here decodes an image. A mask is the sorted positions of its edges, where background and mask
alternate, in one pixel order. Their number is even, so the last one may be the end of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.errors import LabelStudioError
from labeling.structures.masks import Mask

INSIDE_ABOVE = 127
"""A pixel with a higher alpha belongs to the mask: strokes drawn in a browser are anti-aliased."""

_CHANNELS = 4
_COUNT_BITS = (3, 4, 8, 16)
"""Count widths that Label Studio writes."""
_WORD_BITS = 8
_HEADER_BITS = 32 + 5 + 4 * len(_COUNT_BITS)
_KIND_BITS = 3
"""First bits of a token: whether one value is repeated, and which count width follows."""
_REPEATED = 4
"""The first bit of the kind: one value is repeated."""
_LONGEST = 1 << max(_COUNT_BITS)

Ints = NDArray[np.int64]


def encode_brush(mask: Mask) -> bytes:
    """Encode a mask as opaque white on transparent black, byte for byte as label-studio-sdk does.

    A region's `rle` in JSON is the list of these bytes.
    """
    height, width = mask.size_hw
    ends = np.cumsum(mask.to_runs())
    edges = _transpose_edges(ends[: len(ends) // 2 * 2], line=height, lines=width)
    lengths = np.diff(edges, prepend=0, append=height * width) * _CHANNELS
    values = np.where(np.arange(len(lengths)) % 2 == 1, 255, 0)
    words, widths = _write_tokens(lengths[lengths > 0], values[lengths > 0])
    header = height * width * _CHANNELS << 5 | (_WORD_BITS - 1)
    for bits in _COUNT_BITS:
        header = header << 4 | (bits - 1)
    return _pack(np.append(header, words), np.append(_HEADER_BITS, widths))


def decode_brush(code: Sequence[int], size_hw: tuple[int, int]) -> Mask:
    """Decode a region's bytes to a mask: the pixels with an alpha above `INSIDE_ABOVE`.

    Accepts any word size, count widths and colors, and ignores bytes after the last value.

    Raises:
        LabelStudioError: not bytes, of another image size, truncated, or damaged.
    """
    height, width = size_hw
    stream = _open_stream(code, size_hw)
    pixels, alphas = _read_alphas(stream, _read_tokens(stream))
    edges = pixels[np.diff(alphas > INSIDE_ABOVE, prepend=False)]
    if len(edges) % 2:  # the mask includes the last pixel
        edges = np.append(edges, height * width)
    edges = _transpose_edges(edges, line=width, lines=height)
    runs = np.diff(edges, prepend=0, append=height * width)
    # COCO's encoding may begin with an empty run, but never end with one
    counts = runs[:-1] if runs[-1] == 0 else runs
    return Mask.from_coco({"size": [height, width], "counts": counts.tolist()})


def _transpose_edges(edges: Ints, *, line: int, lines: int) -> Ints:
    """Return the edges in the other pixel order (row-major or column-major).

    `edges` are positions in `lines` lines of `line` pixels. A line differs from the one before it between
    each two edges that only one of them has; every pixel there is an edge in the other direction.
    """
    begins, ends = edges[0::2], edges[1::2]
    first = begins // line
    pieces = (ends - 1) // line - first + 1  # a run may continue in the next lines
    at = _count_up(first, pieces)
    wide = line + 1  # the end of a line is not the position of the next line's start
    left = np.maximum(np.repeat(begins, pieces), at * line) + at
    right = np.minimum(np.repeat(ends, pieces), (at + 1) * line) + at
    differs = _without_pairs(np.concatenate([left, right, left + wide, right + wide]))
    at, within = np.divmod(differs[0::2], wide)
    counts = differs[1::2] - differs[0::2]
    return _without_pairs(_count_up(within, counts) * lines + np.repeat(at, counts))


def _count_up(begins: Ints, counts: Ints) -> Ints:
    """Return `begin, begin + 1, ...`, `count` numbers for each pair, concatenated."""
    before = np.cumsum(counts) - counts
    return np.repeat(begins - before, counts) + np.arange(counts.sum())


def _without_pairs(positions: Ints) -> Ints:
    """Return the sorted positions without those that occur twice; none occurs three times."""
    ordered = np.sort(positions)
    is_twice = ordered[1:] == ordered[:-1]
    is_single = np.ones(len(ordered), dtype=np.bool_)
    is_single[1:] &= ~is_twice
    is_single[:-1] &= ~is_twice
    return ordered[is_single]


def _write_tokens(lengths: Ints, values: Ints) -> tuple[Ints, Ints]:
    """Return tokens of repeated values as numbers, and their widths in bits.

    A run longer than the longest count is split. Like the SDK, the last piece gets the widest count too,
    however short it is.
    """
    kinds = np.searchsorted([1 << bits for bits in _COUNT_BITS[:-1]], lengths)
    pieces = -(-lengths // _LONGEST)
    counts = np.full(pieces.sum(), _LONGEST)
    counts[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST
    kinds, values = np.repeat(kinds, pieces), np.repeat(values, pieces)
    bits = np.take(_COUNT_BITS, kinds)
    words = ((_REPEATED | kinds) << bits | (counts - 1)) << _WORD_BITS | values
    return words, _KIND_BITS + bits + _WORD_BITS


def _pack(words: Ints, widths: Ints) -> bytes:
    """Concatenate numbers of up to 53 bits; zero bits, at least one, fill the last byte."""
    ends = np.cumsum(widths)
    slots, offsets = np.divmod(ends - widths, 32)
    shifted = words.astype(np.uint64) << (64 - widths - offsets).astype(np.uint64)
    count = int(ends[-1]) // 32 + 2
    # no two words share a bit, so their sum combines them; doubles represent 32 bits exactly
    high = np.bincount(slots, (shifted >> np.uint64(32)).astype(np.float64), count)
    low = np.bincount(slots + 1, (shifted & np.uint64(0xFFFFFFFF)).astype(np.float64), count)
    return (high + low).astype(">u4").tobytes()[: int(ends[-1]) // 8 + 1]


@dataclass(frozen=True, slots=True)
class _Stream:
    """A code and the fields of its header."""

    code: bytes
    """Padded with eight bytes, so that a window of 64 bits starts at every bit."""
    bits: int
    size: int
    word_bits: int
    count_bits: tuple[int, ...]

    def read(self, at: Ints, widths: Ints | int) -> Ints:
        """Read numbers of up to 32 bits at many positions."""
        windows: NDArray[np.uint64] = np.ndarray((len(self.code) - 7,), ">u8", self.code, strides=(1,))
        found = windows[at >> 3].astype(np.uint64) << (at & 7).astype(np.uint64)
        numbers: Ints = (found >> np.subtract(64, widths).astype(np.uint64)).astype(np.int64)
        return numbers


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The tokens of a code, each array (number of tokens,)."""

    begins: Ints
    """Index of the token's first value in the image."""
    ends: Ints
    is_run: NDArray[np.bool_]
    values_at: Ints
    """Bit position of its value or values."""


def _open_stream(code: Sequence[int], size_hw: tuple[int, int]) -> _Stream:
    try:
        content = bytes(code[:])  # bytes(n) of a plain number would return n zeros
    except (TypeError, ValueError) as exc:
        raise LabelStudioError(f"a brush code is a list of numbers from 0 to 255: {exc}") from exc
    header = int.from_bytes(content[:8].ljust(8, b"\0")) >> (64 - _HEADER_BITS)
    size = header >> (_HEADER_BITS - 32)
    expected = size_hw[0] * size_hw[1] * _CHANNELS
    if size != expected:
        raise LabelStudioError(
            f"the brush code ({len(content)} bytes) has {size} values, an image of {size_hw[1]}x{size_hw[0]} has "
            f"{expected}: it was drawn on another image"
        )
    count_bits = tuple((header >> shift & 15) + 1 for shift in (12, 8, 4, 0))
    return _Stream(content + bytes(8), 8 * len(content), size, (header >> 16 & 31) + 1, count_bits)


def _read_tokens(stream: _Stream) -> _Tokens:
    """Return the tokens up to the last value of the image."""
    starts, kinds = _find_tokens(stream)
    is_run, count_bits = kinds >= _REPEATED, np.take(stream.count_bits, kinds & 3)
    counts = stream.read(starts + _KIND_BITS, count_bits) + 1
    values_at = starts + _KIND_BITS + count_bits
    ends = np.cumsum(counts)
    used = int(np.searchsorted(ends, stream.size)) + 1
    is_whole = values_at + np.where(is_run, 1, counts) * stream.word_bits <= stream.bits
    if not is_whole[:used].all() or used > len(ends):
        raise LabelStudioError(
            f"the brush code ({stream.bits // 8} bytes) ends before the last of its {stream.size} values: "
            "it is truncated"
        )
    if ends[used - 1] != stream.size:
        raise LabelStudioError(
            f"the brush code has {ends[used - 1]} instead of {stream.size} values: it is damaged"
        )
    return _Tokens((ends - counts)[:used], ends[:used], is_run[:used], values_at[:used])


def _find_tokens(stream: _Stream) -> tuple[Ints, Ints]:
    """Return the bit position and kind of each token; the position of a token follows from the one before."""
    bits = np.unpackbits(np.frombuffer(stream.code, dtype=np.uint8))
    kinds = bits[:-2] << 2 | bits[1:-1] << 1 | bits[2:]
    kind_at = kinds.tobytes()
    sizes = [_KIND_BITS + count + stream.word_bits for count in stream.count_bits * 2]
    starts = []
    at = _HEADER_BITS
    while at + _KIND_BITS <= stream.bits:
        starts.append(at)
        kind = kind_at[at]
        if kind < _REPEATED:  # single values; the first one is in `sizes`
            width = stream.count_bits[kind]
            begin = at + _KIND_BITS
            window = int.from_bytes(stream.code[begin >> 3 : (begin >> 3) + 4])
            at += (window >> (32 - width - (begin & 7)) & ((1 << width) - 1)) * stream.word_bits
        at += sizes[kind]
    found = np.array(starts, dtype=np.int64)
    return found, kinds[found].astype(np.int64)


def _read_alphas(stream: _Stream, tokens: _Tokens) -> tuple[Ints, Ints]:
    """Return pixels in row-major order with their alpha; of a repeated value, only the first pixel."""
    # alpha is the last value of a pixel: a token holds the alphas of pixels begin // 4 to end // 4
    first, last = tokens.begins // _CHANNELS, tokens.ends // _CHANNELS
    counts = np.where(tokens.is_run, last > first, last - first)
    token = np.repeat(np.arange(len(counts)), counts)
    pixels = _count_up(first, counts)
    alpha_at = pixels * _CHANNELS + _CHANNELS - 1 - tokens.begins[token]
    skipped = np.where(tokens.is_run[token], 0, alpha_at) * stream.word_bits
    return pixels, stream.read(tokens.values_at[token] + skipped, stream.word_bits)
