"""The brush codec against label-studio-sdk's own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from labeling.errors import StudioError
from labeling.masks import BoolArray, Mask
from labeling.studio.brush import decode_brush, encode_brush

sdk = pytest.importorskip("label_studio_sdk.converter.brush", reason="wants label-studio-sdk")

pictures = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(lambda hw: arrays(np.bool_, hw))


def sdk_code(pixels: BoolArray) -> bytes:
    return bytes(sdk.encode_rle(np.repeat(pixels.ravel().astype(np.uint8) * 255, 4)))


def hand_drawn(name: str) -> BoolArray:
    pixels = np.zeros((57, 21), dtype=np.bool_)
    if name == "hole and two parts":
        pixels[5:30, 3:15] = True
        pixels[10:20, 6:9] = False
        pixels[40:57, 10:21] = True
    elif name == "one pixel":
        pixels[56, 20] = True
    elif name == "whole rows":
        pixels[7:19] = True
    elif name == "full":
        pixels[:] = True
    return pixels


@pytest.mark.parametrize("name", ["empty", "hole and two parts", "one pixel", "whole rows", "full"])
def test_a_mask_is_coded_byte_for_byte_as_by_label_studio(name: str) -> None:
    pixels = hand_drawn(name)
    assert encode_brush(Mask.from_array(pixels)) == sdk_code(pixels)


@given(pictures)
def test_any_mask_is_coded_byte_for_byte_as_by_label_studio(pixels: BoolArray) -> None:
    assert encode_brush(Mask.from_array(pixels)) == sdk_code(pixels)


@given(pictures)
def test_a_mask_comes_back_as_it_went(pixels: BoolArray) -> None:
    mask = Mask.from_array(pixels)
    assert decode_brush(encode_brush(mask), mask.size_hw) == mask


def test_a_run_longer_than_a_count_can_say_is_several() -> None:
    pixels = np.zeros((2160, 3840), dtype=np.bool_)
    pixels[100:2000, :] = True
    mask = Mask.from_array(pixels)
    code = encode_brush(mask)
    assert np.array_equal(sdk.decode_rle(code)[3::4].reshape(pixels.shape) > 0, pixels)
    assert decode_brush(code, mask.size_hw) == mask


def test_a_full_run_of_exactly_the_longest_count_is_one_token() -> None:
    pixels = np.ones((128, 128), dtype=np.bool_)  # 65,536 bytes
    assert encode_brush(Mask.from_array(pixels)) == sdk_code(pixels)


def pack_singly(values: list[int], widths: tuple[int, ...]) -> bytes:
    """rle-pack of values one by one, with other count widths than ours: as other writers may."""
    text = f"{len(values):032b}00111" + "".join(f"{width - 1:04b}" for width in widths)
    for start in range(0, len(values), 1 << widths[3]):
        part = values[start : start + (1 << widths[3])]
        text += f"011{len(part) - 1:0{widths[3]}b}" + "".join(f"{value:08b}" for value in part)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(4))))
def test_only_alpha_above_127_belongs_to_the_mask_whatever_the_colour(rgba: np.ndarray) -> None:  # type: ignore[type-arg]
    code = pack_singly(rgba.ravel().tolist(), (2, 5, 7, 6))
    assert np.array_equal(sdk.decode_rle(code), rgba.ravel())
    decoded = decode_brush(code, (rgba.shape[0], rgba.shape[1]))
    assert np.array_equal(decoded.to_array(), rgba[:, :, 3] > 127)


def test_a_region_of_another_picture_size_is_refused() -> None:
    code = encode_brush(Mask.from_array(np.ones((4, 6), dtype=np.bool_)))
    with pytest.raises(StudioError, match="another picture"):
        decode_brush(code, (6, 5))


@given(pictures.filter(lambda pixels: bool(pixels.any())), st.data())
def test_a_code_that_was_cut_off_is_refused(pixels: BoolArray, data: st.DataObject) -> None:
    code = encode_brush(Mask.from_array(pixels))
    kept = data.draw(st.integers(0, len(code) - 2))
    with pytest.raises(StudioError):
        decode_brush(code[:kept], (pixels.shape[0], pixels.shape[1]))


@given(st.binary(max_size=60))
def test_noise_is_refused_or_read_but_never_crashes(noise: bytes) -> None:
    announced = (5 * 7 * 4).to_bytes(4) + noise
    try:
        assert decode_brush(announced, (5, 7)).size_hw == (5, 7)
    except StudioError as error:
        assert "brush region" in str(error)  # noqa: PT017  # both ends are right, a crash is not
