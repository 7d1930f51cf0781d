"""CONTRIBUTING.md: its map of the folders is the one that import-linter holds."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def map_of_labeling() -> list[str]:
    """Return the names at the first level below `labeling/`, from the top."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    below = text.split("\nlabeling/ ", 1)[1].split("\nconfigs/", 1)[0]
    return [
        name
        for line in re.findall(r"^  (\S.*?)  ", below, re.MULTILINE)
        for name in re.findall(r"[\w.]+", line)
    ]


def floors(contract: int) -> dict[str, int]:
    """Return the floor of each module of a contract, counted from the top."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][contract]["layers"]
    return {name.strip(): floor for floor, layer in enumerate(layers) for name in layer.split("|")}


def test_packages_stand_in_the_order_of_their_imports() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().split("```")[1]
    assert re.findall(r"^(\w+)/", text, re.MULTILINE) == list(floors(0))


def test_folders_of_labeling_stand_on_their_floors() -> None:
    floor, names = floors(1), [name.removesuffix(".py") for name in map_of_labeling()]
    assert sorted(names) == sorted(floor)
    assert names == sorted(names, key=floor.__getitem__)


def test_every_folder_of_db_and_tasks_is_named() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for package in ("db", "tasks"):
        part = text.split(f"\n{package}/", 1)[1].split("\nlabeling/" if package == "db" else "\ndb/", 1)[0]
        folders = [path.parent.name for path in (ROOT / package).glob("*/__init__.py")]
        assert [name for name in folders if f"{name}/" not in part] == []
