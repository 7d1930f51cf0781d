"""Files and servers for the examples in the docstrings of `maskmill`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.prefect_server import prefect  # noqa: F401 - a fixture

_RUNS = {"maskmill.run", "maskmill.export"}
"""Examples that start a run; `export` uses the run of `run`, whose name sorts later: each makes sure that it exists."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in _RUNS:
            item.add_marker("prefect")


@pytest.fixture(autouse=True)
def _example(request: pytest.FixtureRequest) -> None:
    """Give an example of `maskmill` its names; other tests are left alone."""
    if request.node.path.parent.name == "maskmill":
        request.getfixturevalue("doctest_namespace").update(request.getfixturevalue("example_files"))
    if request.node.name in _RUNS:
        request.getfixturevalue("prefect")
    if request.node.name == "maskmill.export":
        request.getfixturevalue("example_run")


@pytest.fixture(scope="session")
def example_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A rendered video, a home, a folder, and one image with a mask."""
    from labeling.synthetic.scene import render_scene

    folder = tmp_path_factory.mktemp("examples")
    paths = {name: folder / name for name in ("home", "images", "masks")}
    for path in paths.values():
        path.mkdir()
    render_scene(folder / "scene.mp4", seconds=4)
    mask = np.zeros((48, 64), np.uint8)
    mask[8:40, 16:32] = 1
    Image.fromarray(mask).save(paths["masks"] / "one.png")
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(paths["images"] / "one.png")
    return paths | {"folder": folder, "video": folder / "scene.mp4"}


@pytest.fixture(scope="session")
def example_run(example_files: dict[str, Path], prefect: None) -> None:  # noqa: F811
    import maskmill

    maskmill.run([example_files["video"]], "offline", home=example_files["home"])
