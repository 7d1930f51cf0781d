"""The database layer imports nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

import db

HEAVY = ("av", "cv2", "torch", "PIL", "imagehash", "prefect", "label_studio_sdk", "scipy")
ROOT = Path(db.__file__).parent
REPORT = "; import json, sys, time; print(json.dumps([time.process_time(), list(sys.modules)]))"
REQUIRED = "import sqlalchemy.orm, alembic.command, alembic.autogenerate, numpy, pycocotools.mask"
"""What the database layer itself requires."""


def module_names() -> list[str]:
    paths = (path.relative_to(ROOT.parent) for path in ROOT.rglob("*.py") if "migrations" not in path.parts)
    return sorted(".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths)


def run_fresh(statement: str) -> tuple[float, set[str]]:
    """Return the CPU seconds and loaded modules of a new interpreter after a statement."""
    command = [sys.executable, "-c", statement + REPORT]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT.parent).stdout
    cpu_s, modules = json.loads(output)
    return cpu_s, set(modules)


@pytest.fixture(scope="module")
def runs() -> list[tuple[float, set[str]]]:
    run_fresh("import " + ", ".join(module_names()))  # compiles the modules
    return [run_fresh("import " + ", ".join(module_names())) for _ in range(3)]


@pytest.mark.slow
def test_no_heavy_package_is_imported(runs: list[tuple[float, set[str]]]) -> None:
    _, modules = runs[0]
    assert modules.issuperset(module_names())
    assert modules.isdisjoint(HEAVY)


@pytest.mark.slow
def test_imports_take_at_most_twice_the_time_of_what_they_require(
    runs: list[tuple[float, set[str]]],
) -> None:
    required_s = median(run_fresh(REQUIRED)[0] for _ in range(3))
    assert median(cpu_s for cpu_s, _ in runs) <= 2 * required_s
