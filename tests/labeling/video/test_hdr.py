"""Tone mapping of high dynamic range."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from labeling.structures.frames import Clip
from labeling.video.decode import decode_clip
from labeling.video.hdr import HLG, PQ, to_standard_range


def gray(level: float) -> np.ndarray:  # type: ignore[type-arg]
    return np.full((2, 2, 3), round(level * 65535), np.uint16)


@pytest.mark.parametrize(("transfer", "white"), [(PQ, 0.5807), (HLG, 0.75)])
def test_reference_white_is_nearly_white_and_black_is_black(transfer: int, white: float) -> None:
    """203 cd/m2 have these levels (ITU-R BT.2408, table 1)."""
    assert to_standard_range(gray(0), transfer).max() == 0
    shown = to_standard_range(gray(white), transfer)
    assert np.ptp(shown) <= 2
    assert 240 <= shown.min() < 250
    brightest = to_standard_range(gray(1.0), transfer)
    assert brightest.min() >= 250
    darker = to_standard_range(gray(0.8 * white), transfer)
    assert darker.max() < shown.min() < brightest.min()


@pytest.mark.parametrize("name", ["hlg", "pq"])
def test_a_clip_looks_as_in_standard_range(shared: Path, name: str) -> None:
    folder = shared / "cases" / "21-hdr-phone"
    pairs = zip(*(decode_clip(Clip(kind, folder / f"{kind}.mp4")) for kind in ("sdr", name)), strict=False)
    for standard, high in islice(pairs, 0, 90, 30):
        difference = standard.to_rgb().astype(float) - high.to_rgb()
        assert np.abs(difference).mean() < 5
