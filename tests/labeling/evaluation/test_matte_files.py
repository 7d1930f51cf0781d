"""Frames of mattes and ground truth: how they are matched, read and refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from configs.errors import ConfigError
from configs.ground_truth import MattedVideo
from labeling.evaluation.matte_files import MatteReader, match_frames, read_alpha
from tests.labeling.evaluation.matted_scenes import gray, save_images

SPOT = gray(6, 8)
SPOT[2:4, 3:5] = 255


def video(folder: Path, names: str, *, kind: str = "alpha", **keys: object) -> MattedVideo:
    """Save files of a matte and, after a colon, of its ground truth."""
    for side, files in zip(("matte", "truth"), names.split(":"), strict=True):
        save_images(folder / side, dict.fromkeys(files.split(), SPOT))
    return MattedVideo.model_validate({"matte": folder / "matte", kind: folder / "truth", **keys})


@pytest.mark.parametrize(
    ("names", "keys", "expected"),
    [
        ("00000.png 00001.png : gt000001.png gt000002.png", {"kind": "cdnet"}, (1, [1, 2], 0)),
        ("00569.png 00000.png : gt000570.png gt000571.png", {"kind": "cdnet"}, (1, [570], 1)),
        ("in000570.png : gt000001.png gt000570.png", {"kind": "cdnet"}, (0, [570], 1)),
        ("0.png 1.png : a2_0.png a2_1.png", {}, (0, [0, 1], 0)),
        ("1.png 2.png 10.png : 000.png 001.png 009.png", {}, (-1, [0, 1, 9], 0)),
        ("0.png 1.png : 7.png 8.png", {"offset": 7}, (7, [7, 8], 0)),
    ],
)
def test_frames_are_matched_by_the_last_number_of_their_names(
    names: str, keys: dict[str, Any], expected: tuple[int, list[int], int], tmp_path: Path
) -> None:
    matched = match_frames(video(tmp_path, names, **keys))
    assert (matched.offset, [frame.number for frame in matched.frames], matched.missing) == expected


def test_a_folder_with_a_subfolder_alpha_is_that_of_a_matte(tmp_path: Path) -> None:
    made = video(tmp_path, ":gt000001.png", kind="cdnet")
    save_images(tmp_path / "matte" / "alpha", {"00000.png": SPOT})
    (frame,) = match_frames(made).frames
    assert frame.alpha == tmp_path / "matte" / "alpha" / "00000.png"


def test_images_have_the_numbers_of_the_ground_truth(tmp_path: Path) -> None:
    save_images(tmp_path / "images", {"in000002.jpg": np.zeros((20, 20, 3), np.uint8)})
    names = "0.png 1.png : gt000001.png gt000002.png"
    frames = match_frames(video(tmp_path, names, kind="cdnet", images=tmp_path / "images")).frames
    assert [frame.image and frame.image.name for frame in frames] == [None, "in000002.jpg"]


@pytest.mark.parametrize(
    ("names", "keys", "message"),
    [
        ("0.png : 5.png", {}, r"\(numbers 0 to 0\).*\(numbers 5 to 5\).* offset 1; set offset to the number"),
        ("1.png 01.png : 1.png", {}, r"matte: 01\.png and 1\.png in .* have the same number"),
        ("a.png : 1.png", {}, r"matte: .* has no image with a number in its name"),
        ("1.png : 1.png", {"images": "gone"}, "images: gone is not a folder"),
        ("1.png : 1.png", {"images": "other"}, r"images: no image of other \(numbers 9 to 9\)"),
    ],
)
def test_what_does_not_match_is_named(
    names: str, keys: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_images(tmp_path / "other", {"9.png": SPOT})
    with pytest.raises(ConfigError, match=message):
        match_frames(video(tmp_path, names, **keys))


def test_8_and_16_bits_are_read_exactly(tmp_path: Path) -> None:
    levels = np.array([[0, 1, 51, 255]], np.uint8)
    fine = np.array([[0, 1, 13107, 65535]], np.uint16)
    save_images(
        tmp_path, {"8.png": levels, "16.png": fine, "rgb.png": np.repeat(levels[..., None], 3, axis=2)}
    )
    assert read_alpha(tmp_path / "8.png").tolist() == (levels / np.float32(255)).tolist()
    assert read_alpha(tmp_path / "rgb.png").tolist() == (levels / np.float32(255)).tolist()
    assert read_alpha(tmp_path / "16.png").tolist() == (fine / np.float32(65535)).tolist()


def test_a_palette_a_color_and_a_text_are_no_alpha(tmp_path: Path) -> None:
    Image.fromarray(SPOT).convert("P").save(tmp_path / "palette.png")
    save_images(tmp_path, {"color.png": np.arange(24, dtype=np.uint8).reshape(2, 4, 3)})
    (tmp_path / "text.png").write_text("no image")
    messages = {
        "palette": "image of mode P is no alpha",
        "color": "a colored image",
        "text": "not a readable image",
    }
    for name, message in messages.items():
        with pytest.raises(ConfigError, match=message):
            read_alpha(tmp_path / f"{name}.png")
    with pytest.raises(ConfigError, match=r"gone\.png: cannot be read"):
        read_alpha(tmp_path / "gone.png")


def test_cdnet_values_and_the_roi_decide_what_is_known(tmp_path: Path) -> None:
    truth = np.array([[0, 50, 85, 170, 255, 255]], np.uint8)
    roi = np.array([[255, 255, 255, 255, 255, 0]], np.uint8)
    save_images(tmp_path / "roi", {"roi.bmp": roi})
    one = video(tmp_path, "0.png : gt1.png", kind="cdnet", roi=tmp_path / "roi" / "roi.bmp")
    save_images(tmp_path / "truth", {"gt1.png": truth})
    save_images(tmp_path / "matte", {"0.png": gray(1, 6, 128)})
    pair = MatteReader(one).read(match_frames(one).frames[0])
    assert pair.person.tolist() == [[False, False, False, False, True, True]]
    assert pair.known.tolist() == [[True, True, False, False, True, False]]


def test_sizes_and_values_that_differ_are_named(tmp_path: Path) -> None:
    one = video(tmp_path, "0.png : gt1.png", kind="cdnet")
    save_images(tmp_path / "matte", {"0.png": gray(6, 9)})
    with pytest.raises(
        ConfigError, match=r"0\.png is 9x6 px, .*gt1\.png 8x6 px: compare images of the same size"
    ):
        MatteReader(one).read(match_frames(one).frames[0])
    save_images(tmp_path / "truth", {"gt1.png": gray(6, 9, 128)})
    with pytest.raises(
        ConfigError, match=r"gt1\.png has the value 128, CDnet's are 0, 50, 85, 170, 255; use alpha"
    ):
        MatteReader(one).read(match_frames(one).frames[0])
