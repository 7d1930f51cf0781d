"""What the examples of the public API work on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def example_files(request: pytest.FixtureRequest, doctest_namespace: dict[str, Path]) -> None:
    """Give the doctests of `maskmill` a rendered video, a home, a folder, and images with masks."""
    if getattr(request.node, "path", Path()).parent.name != "maskmill":
        return
    folder = request.getfixturevalue("tmp_path_factory").getbasetemp() / "examples"
    paths = {name: folder / name for name in ("home", "images", "masks")}
    doctest_namespace |= paths | {"folder": folder, "video": folder / "scene.mp4"}
    if folder.exists():
        return
    from labeling.synthetic.scene import render_scene

    for path in paths.values():
        path.mkdir(parents=True)
    render_scene(folder / "scene.mp4", seconds=4)
    mask = np.zeros((48, 64), np.uint8)
    mask[8:40, 16:32] = 1
    Image.fromarray(mask).save(paths["masks"] / "one.png")
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(paths["images"] / "one.png")
