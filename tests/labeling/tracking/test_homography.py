"""Homographies: both ways, other image sizes, and files that are wrong."""

from pathlib import Path

import numpy as np
import pytest

from configs.errors import HomographyInvalid
from labeling.tracking.homography import GroundHomography, read_homography

PETS = """5.16357062e-02 -5.83087406e-01 8.46652082e+01
-1.34475784e-01 -3.85863966e-01 1.15437278e+02
8.83589822e-04 1.89331459e-02 1.0
"""


def read(tmp_path: Path, text: str) -> GroundHomography:
    (tmp_path / "H.txt").write_text(text)
    return read_homography(tmp_path / "H.txt")


def test_a_round_trip_ends_at_the_pixel(tmp_path: Path) -> None:
    homography = read(tmp_path, PETS)
    pixels = np.random.default_rng(1).uniform((0, 150), (768, 576), (500, 2))
    assert np.abs(homography.to_pixels(homography.to_world(pixels)) - pixels).max() < 1e-6


def test_the_third_component_divides() -> None:
    homography = GroundHomography(np.array([[1.0, 0, 0], [0, 1, 0], [0, 0.01, 1]]))
    assert homography.to_world(np.array([[50.0, 100.0]])).tolist() == [[25.0, 50.0]]


def test_a_point_on_the_horizon_is_not_a_number() -> None:
    homography = GroundHomography(np.array([[1.0, 0, 0], [0, 1, 0], [0, 1, -10]]))
    assert np.isnan(homography.to_world(np.array([[3.0, 10.0]]))).all()


def test_a_scaled_image_shows_the_same_place(tmp_path: Path) -> None:
    original = read(tmp_path, PETS)
    smaller = original.resized((576, 768), (360, 480))
    feet = np.array([[300.0, 400.0]])
    assert np.allclose(smaller.to_world(feet * 0.625), original.to_world(feet))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1 0 0\n0 1 0\n1 1 0\n", "singular"),
        ("1 0 0\n0 1 0\n", "6 numbers"),
        ("1 0 0\n0 nan 0\n0 0 1\n", "finite"),
        ("a b c\n", "cannot be read"),
    ],
)
def test_a_file_that_is_no_homography_is_refused(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(HomographyInvalid, match=part):
        read(tmp_path, text)


def test_commas_and_comments_are_allowed(tmp_path: Path) -> None:
    assert read(tmp_path, "# H\n2, 0, 0\n0, 2, 0\n0, 0, 1\n").to_world(np.array([[1.0, 2.0]])).tolist() == [
        [2, 4]
    ]
