"""What maskmill wrote is known again, and the files of others are not taken for it."""

from pathlib import Path

import numpy as np
from PIL import Image

from labeling.storage.outputs import encode_drawing, is_drawing, is_output, mark_output


def test_a_folder_with_videos_of_its_owner_is_not_marked(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.mp4").touch()
    (tmp_path / "new").mkdir()
    for name, marked in (("own", False), ("new", True)):
        for _ in range(2):
            mark_output(tmp_path / name)
        assert is_output(tmp_path / name) == marked


def test_only_pictures_that_maskmill_drew_are_drawings(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    (tmp_path / "drawn.PNG").write_bytes(encode_drawing(pixels))
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    (tmp_path / "broken.png").write_bytes(encode_drawing(pixels)[:20])
    (tmp_path / "text.png").write_text("no image")
    found = {path.name: is_drawing(path) for path in tmp_path.iterdir()}
    assert found == {"drawn.PNG": True, "photo.png": False, "broken.png": False, "text.png": False}
