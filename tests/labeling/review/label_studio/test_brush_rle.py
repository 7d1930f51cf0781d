"""The brush codec compared with label-studio-sdk's, and with codes from browsers."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import LabelStudioError
from labeling.review.label_studio.brush_rle import decode_brush, encode_brush
from labeling.structures.masks import BoolArray, Mask
from tests.labeling.strategies import blobs, draw, images

RING = draw(
    ".........",
    "..####...",
    ".##...#..",
    ".##...#..",
    ".###.##..",
    "..####...",
    ".........",
)
RING_FROM_A_BROWSER = bytes.fromhex(
    "000000fc391bfdb008d02344c2601187c7891ffc77f1ea46476c0238f8ffe34b8c0234b8e9ed80477f1ffc653180"
    "46531ecdb008e3e3ff8f1e3738f1e3a7b601187c7893ffc7a9191e13008d02344be000"
)
"""Output of @thi.ng/rle-pack 2.1 for an anti-aliased ring of 9x7 pixels, all channels equal as
Label Studio's exportRLE leaves them."""


def sdk_encode(pixels: BoolArray) -> bytes:
    from label_studio_sdk.converter.brush import encode_rle  # it loads nltk, scikit-learn and pandas

    return bytes(encode_rle(np.repeat(pixels.ravel().astype(np.uint8) * 255, 4)))


def sdk_decode(code: bytes, size_hw: tuple[int, int]) -> BoolArray:
    from label_studio_sdk.converter.brush import decode_rle

    pixels: BoolArray = decode_rle(code).reshape(*size_hw, 4)[:, :, 3] > 127
    return pixels


def hand_drawn(size_hw: tuple[int, int], name: str) -> BoolArray:
    height, width = size_hw
    pixels = np.full(size_hw, name == "full frame")
    if name == "holes and several parts":
        pixels[5:30, 3:15] = True
        pixels[10:20, 6:9] = pixels[22:24, 4:14] = False
        pixels[height - 9 :, width - 11 :] = True
    elif name == "first and last pixel":
        pixels[0, 0] = pixels[-1, -1] = True
    elif name == "one pixel":
        pixels[height // 2, width // 2] = True
    elif name == "whole rows":
        pixels[height // 4 : height // 2] = True
    elif name == "whole columns":
        pixels[:, width // 4 : width // 2 + 1] = True
    return pixels


SHAPES = (
    "empty",
    "full frame",
    "one pixel",
    "first and last pixel",
    "whole rows",
    "whole columns",
    "holes and several parts",
)


@pytest.mark.slow
@pytest.mark.parametrize("size_hw", [(57, 21), (33, 48), (1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("name", SHAPES)
def test_a_hand_drawn_mask_is_encoded_byte_for_byte_as_by_the_sdk(
    name: str, size_hw: tuple[int, int]
) -> None:
    pixels = hand_drawn(size_hw, name)
    mask = Mask.from_array(pixels)
    assert encode_brush(mask) == sdk_encode(pixels)
    assert decode_brush(encode_brush(mask), size_hw) == mask


@pytest.mark.slow
@given(images())
def test_any_mask_is_encoded_byte_for_byte_as_by_the_sdk(pixels: BoolArray) -> None:
    assert encode_brush(Mask.from_array(pixels)) == sdk_encode(pixels)


@given(images())
def test_a_mask_survives_encoding_and_decoding(pixels: BoolArray) -> None:
    mask = Mask.from_array(pixels)
    assert decode_brush(encode_brush(mask), mask.size_hw) == mask


@pytest.mark.parametrize("seed", range(3))
def test_smooth_masks_with_parts_and_holes_are_encoded_as_by_the_sdk(seed: int) -> None:
    for pixels in blobs(seed, (240, 320)):
        code = encode_brush(Mask.from_array(pixels))
        assert code == sdk_encode(pixels)
        assert np.array_equal(decode_brush(code, (240, 320)).to_array(), pixels)


def test_a_4k_mask_with_runs_longer_than_the_longest_count_is_encoded_as_by_the_sdk() -> None:
    pixels = blobs(4, (540, 960))[0].repeat(4, axis=0).repeat(4, axis=1)
    pixels[1000:1200] = True
    mask = Mask.from_array(pixels)
    assert encode_brush(mask) == sdk_encode(pixels)
    assert decode_brush(encode_brush(mask), (2160, 3840)) == mask


@pytest.mark.parametrize("pixels_in_run", [1, 2, 3, 4, 5, 63, 64, 65, 16383, 16384, 16385, 32768, 32769])
def test_runs_at_the_limits_of_each_count_are_encoded_as_by_the_sdk(pixels_in_run: int) -> None:
    pixels = np.zeros((2, 20_000), dtype=np.bool_)
    pixels.ravel()[7 : 7 + pixels_in_run] = True
    mask = Mask.from_array(pixels)
    assert encode_brush(mask) == sdk_encode(pixels)
    assert decode_brush(encode_brush(mask), (2, 20_000)) == mask


def test_pixels_half_covered_by_a_stroke_belong_to_the_mask() -> None:
    assert np.array_equal(decode_brush(RING_FROM_A_BROWSER, (7, 9)).to_array(), RING)
    assert np.array_equal(sdk_decode(RING_FROM_A_BROWSER, (7, 9)), RING)


def test_alpha_128_is_inside_and_127_is_not_whatever_the_color() -> None:
    rgba = [255, 255, 255, 127, 0, 0, 0, 128, 128, 128, 128, 0, 1, 2, 3, 255]
    code = pack(len(rgba), 8, (3, 4, 8, 16), [(False, rgba)])
    assert np.array_equal(decode_brush(code, (2, 2)).to_array(), draw(".#", ".#"))


Token = tuple[bool, list[int]]
"""True for one repeated value, listed once per repetition; the values."""


def pack(size: int, word_bits: int, widths: tuple[int, ...], tokens: list[Token]) -> bytes:
    """Encode by the description of rle-pack, as text; the last sufficient count width is used."""
    text = f"{size:032b}{word_bits - 1:05b}" + "".join(f"{width - 1:04b}" for width in widths)
    for is_run, values in tokens:
        kind = max(i for i, width in enumerate(widths) if len(values) <= 1 << width)
        text += f"{is_run:b}{kind:02b}{len(values) - 1:0{widths[kind]}b}"
        text += "".join(f"{value:0{word_bits}b}" for value in (values[:1] if is_run else values))
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


@st.composite
def foreign_codes(draw_: st.DrawFn) -> tuple[bytes, tuple[int, int]]:
    """Any word size, count widths and values that the SDK can read; tokens may split pixels."""
    height, width = draw_(st.integers(1, 8)), draw_(st.integers(1, 8))
    word_bits = draw_(st.integers(1, 32))
    widths = tuple(draw_(st.lists(st.integers(1, 16), min_size=4, max_size=4)))
    words = st.sampled_from([0, 1, 100, 127, 128, 200, 255]).filter(lambda value: value < 1 << word_bits)
    tokens: list[Token] = []
    missing = size = height * width * 4
    while missing:
        length = draw_(st.integers(1, min(missing, 1 << max(widths), 30)))
        is_run = draw_(st.booleans())
        values = (
            [draw_(words)] * length if is_run else draw_(st.lists(words, min_size=length, max_size=length))
        )
        tokens.append((is_run, values))
        missing -= length
    return pack(size, word_bits, widths, tokens), (height, width)


@pytest.mark.slow
@given(foreign_codes(), st.binary(max_size=3))
def test_any_legal_code_is_read_as_by_the_sdk(foreign: tuple[bytes, tuple[int, int]], rest: bytes) -> None:
    code, size_hw = foreign
    assert np.array_equal(decode_brush(code + rest, size_hw).to_array(), sdk_decode(code + rest, size_hw))


@given(images())
def test_json_numbers_are_read_like_bytes(pixels: BoolArray) -> None:
    mask = Mask.from_array(pixels)
    assert decode_brush(list(encode_brush(mask)), mask.size_hw) == mask


@pytest.mark.slow
@given(images(), st.data())
def test_a_truncated_code_is_refused_with_its_sizes(pixels: BoolArray, data: st.DataObject) -> None:
    code = encode_brush(Mask.from_array(pixels))
    # the last byte may be padding only
    kept = data.draw(st.integers(4, len(code) - 2))
    with pytest.raises(
        LabelStudioError, match=rf"{kept} bytes\) ends before the last of its {pixels.size * 4} val"
    ):
        decode_brush(code[:kept], (pixels.shape[0], pixels.shape[1]))


@pytest.mark.parametrize("code", [b"", b"\0", b"\0\0\0"])
def test_a_code_without_a_header_is_refused(code: bytes) -> None:
    with pytest.raises(LabelStudioError, match=rf"{len(code)} bytes\) has 0 values, an image of 3x2 has 24"):
        decode_brush(code, (2, 3))


@given(st.binary(max_size=60))
def test_noise_is_refused_or_read_as_by_the_sdk(noise: bytes) -> None:
    claimed = (5 * 7 * 4).to_bytes(4) + noise
    try:
        decoded = decode_brush(claimed, (5, 7))
    except LabelStudioError:
        return
    assert np.array_equal(decoded.to_array(), sdk_decode(claimed, (5, 7)))


def test_a_token_beyond_the_last_value_is_refused() -> None:
    code = pack(16, 8, (3, 4, 8, 16), [(True, [255] * 12), (True, [0] * 5)])
    with pytest.raises(LabelStudioError, match="17 instead of 16 values"):
        decode_brush(code, (2, 2))


def test_a_region_of_another_image_size_is_refused() -> None:
    code = encode_brush(Mask.from_array(np.ones((4, 6), dtype=np.bool_)))
    with pytest.raises(
        LabelStudioError, match="96 values, an image of 5x6 has 120: it was drawn on another image"
    ):
        decode_brush(code, (6, 5))


@pytest.mark.parametrize("code", [[0, 256], [-1], ["0"], [0.5], "text", 7, None, [[0]]])
def test_anything_but_a_list_of_bytes_is_refused(code: Any) -> None:
    with pytest.raises(LabelStudioError, match="list of numbers from 0 to 255"):
        decode_brush(code, (4, 6))


def test_a_small_code_that_claims_gigabytes_allocates_no_memory() -> None:
    size_hw = (32_768, 32_767)
    code = pack(size_hw[0] * size_hw[1] * 4, 8, (3, 4, 8, 16), [(True, [255] * 65_536)] * 9)
    tracemalloc.start()
    with pytest.raises(LabelStudioError, match="truncated"):
        decode_brush(code, size_hw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
