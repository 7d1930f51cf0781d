"""The home's images: named by content, written atomically."""

import errno
import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from configs.errors import DiskFull, HomeNotWritable, StorageError
from labeling.storage.atomic import storage_errors, write_atomically
from labeling.storage.home import Home
from labeling.structures.frames import RgbImage
from tests.fakes.images import save_image


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def rgb() -> RgbImage:
    smooth = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8), (9, 9), 3)
    return np.asarray(smooth, np.uint8)


def test_an_image_is_named_by_its_bytes_and_stored_once(home: Home, rgb: RgbImage) -> None:
    first = save_image(home, rgb, quality=95)
    assert save_image(home, rgb, quality=95) == first
    content = home.absolute(first).read_bytes()
    assert Path(first).stem == hashlib.sha256(content).hexdigest()
    assert len([p for p in (home.root / "images").rglob("*") if p.is_file()]) == 1


def test_colors_keep_their_order(home: Home) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    stored = home.absolute(save_image(home, red, quality=95))
    with Image.open(stored) as image:
        pixel = image.convert("RGB").getpixel((8, 8))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 240
    assert max(pixel[1:]) < 15


@pytest.mark.parametrize(("suffix", "options"), [(".jpg", {"quality": 70}), (".png", {})])
def test_an_upright_original_is_kept_byte_for_byte(
    home: Home, rgb: RgbImage, tmp_path: Path, suffix: str, options: dict[str, int]
) -> None:
    original = tmp_path / f"original{suffix}"
    Image.fromarray(rgb).save(original, **options)  # type: ignore[arg-type]  # Pillow types its options as Any
    stored = home.absolute(save_image(home, rgb, quality=95, original=original))
    assert stored.read_bytes() == original.read_bytes()
    assert stored.suffix == suffix


def test_a_rotated_original_is_encoded_upright(home: Home, rgb: RgbImage, tmp_path: Path) -> None:
    turned = Image.fromarray(rgb)
    exif = turned.getexif()
    exif[274] = 6
    original = tmp_path / "turned.jpg"
    turned.save(original, exif=exif)
    upright = np.ascontiguousarray(np.rot90(rgb, -1))
    stored = cv2.imread(str(home.absolute(save_image(home, upright, quality=95, original=original))))
    assert stored is not None
    assert stored.shape[:2] == upright.shape[:2]


def test_a_killed_writer_leaves_no_half_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(home.root / "whole.bin", b"x" * 1000)
    assert list(home.root.glob("*whole*")) == []
    assert list(home.root.glob(".writing-*")) == []


@pytest.mark.parametrize(
    ("number", "error", "advice"),
    [
        (errno.ENOSPC, DiskFull, "run the same command again"),
        (errno.EDQUOT, DiskFull, "free some"),
        (errno.EROFS, HomeNotWritable, "another --home"),
        (errno.EACCES, HomeNotWritable, "another --home"),
        (errno.EIO, StorageError, "cannot write"),
    ],
)
def test_the_systems_errors_become_ours_with_advice(
    number: int, error: type[StorageError], advice: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=advice) as caught, storage_errors(tmp_path / "x.jpg"):
        raise OSError(number, os.strerror(number))
    assert "x.jpg" in str(caught.value)


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(HomeNotWritable, match="taken"):
        Home(tmp_path / "taken").create()


def test_paths_below_the_home_move_with_it(home: Home, tmp_path: Path) -> None:
    assert home.relative(home.videos / "a.mp4") == "videos/a.mp4"
    assert home.relative(tmp_path / "b.mp4") == str(tmp_path / "b.mp4")
    assert Home(Path("/elsewhere")).absolute("videos/a.mp4") == Path("/elsewhere/videos/a.mp4")


def test_a_kept_image_has_the_permissions_of_the_umask(home: Home, rgb: RgbImage) -> None:
    usual = home.root / "usual"
    usual.touch()
    stored = home.absolute(save_image(home, rgb, quality=95))
    assert stored.stat().st_mode == usual.stat().st_mode
