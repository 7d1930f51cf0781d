"""Variables of the environment: declared, documented and read in one place."""

import re
import subprocess
import sys

import pytest

from configs import environment
from configs.environment import CACHE, DATABASE_URL, OMP_NUM_THREADS, variables
from tests.conftest import ROOT

READERS = {
    "configs/environment.py": "declares all variables",
    "tasks/execution/workers.py": "passes variables to child processes",
    "flows/cli/main.py": "sets defaults for Prefect",
    "labeling/review/label_studio/install.py": "passes variables to child processes",
}


def test_a_variable_that_is_unset_or_empty_has_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE.name, raising=False)
    assert CACHE.read() is None
    monkeypatch.setenv(CACHE.name, "")
    assert CACHE.read() is None
    monkeypatch.setenv(CACHE.name, "/weights")
    assert str(CACHE.read()) == "/weights"


@pytest.mark.parametrize(("text", "threads"), [("4", 4), ("4,2", 4), (" 3 ", 3), ("0", None), ("many", None)])
def test_threads_are_read_as_openmp_does(
    text: str, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert OMP_NUM_THREADS.read() == threads


def test_no_representation_shows_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATABASE_URL.name, "postgresql://me:hunter2@host/db")
    assert DATABASE_URL.read() == "postgresql://me:hunter2@host/db"
    assert "hunter2" not in repr(variables()) + repr(vars(environment))


def test_the_documentation_lists_every_variable_with_its_meaning() -> None:
    page = (ROOT / "docs" / "environment.md").read_text("utf-8")
    rows = re.findall(r"^\| `([A-Z_0-9]+)` \| (.+) \|$", page, re.M)
    assert rows == [(declared.name, declared.meaning) for declared in variables()]


def test_the_example_file_lists_every_variable_of_ours() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    ours = [declared.name for declared in variables() if declared.name.startswith("MASKMILL_")]
    assert re.findall(r"^# ([A-Z_0-9]+)=", example, re.M) == ours


def test_no_other_module_reads_the_environment() -> None:
    found = {
        str(path.relative_to(ROOT))
        for package in ("configs", "labeling", "db", "tasks", "flows", "maskmill")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"os\.environ|getenv", path.read_text("utf-8"))
    }
    assert found <= READERS.keys()


def test_importing_it_is_quick() -> None:
    program = (
        "import sys, configs.environment; print({'prefect', 'numpy', 'av', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "set()"
