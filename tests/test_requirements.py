"""A test whose requirement is missing is skipped, or fails where the environment requires it."""

import pytest

from tests.conftest import ROOT
from tests.requirements import (
    VARIABLE,
    UnknownRequirement,
    count_skips,
    read_required,
    require_module,
    skip_or_fail,
)


def test_without_the_variable_a_missing_requirement_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="browser: no chromium"):
        skip_or_fail("browser", "no chromium")


def test_a_required_one_fails_and_names_the_variable_and_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "postgresql,browser")
    with pytest.raises(pytest.fail.Exception, match=r"browser is required by .*no chromium.*apt-get install"):
        skip_or_fail("browser", "no chromium")
    with pytest.raises(pytest.skip.Exception, match="ray: not here"):
        skip_or_fail("ray", "not here")


def test_a_module_that_is_installed_is_accepted_and_another_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "s3")
    require_module("s3", "json")
    with pytest.raises(pytest.fail.Exception, match="no module no_such_module"):
        require_module("s3", "no_such_module")


@pytest.mark.parametrize(
    ("value", "expected"), [("", set()), ("shared", {"shared"}), (" s3, browser,", {"s3", "browser"})]
)
def test_names_are_separated_by_commas(value: str, expected: set[str]) -> None:
    assert read_required({VARIABLE: value}) == expected


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UnknownRequirement, match=r"chrome: unknown; use some of browser, postgresql"):
        read_required({VARIABLE: "browser,chrome"})


def test_skips_are_counted_by_requirement_and_reason() -> None:
    messages = ["Skipped: shared: no videos", "Skipped: browser: no chromium", "Skipped: shared: no videos"]
    assert count_skips([*messages, "Skipped: no second disk"]) == (
        "2 shared (no videos), 1 browser (no chromium), 1 other (no second disk)"
    )


PYTEST_FILE = """
import pytest
from tests.requirements import skip_or_fail

@pytest.mark.requires("dask", module="no_such_module")
def test_a(): ...

def test_b():
    skip_or_fail("shared", "no videos")
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Two tests whose requirements are missing."""
    hooks = "pytest_runtest_setup, pytest_sessionstart, pytest_terminal_summary"
    pytester.makeconftest(f"from tests.requirements import {hooks}\n")
    pytester.makepyfile(PYTEST_FILE)
    return pytester


@pytest.mark.slow
def test_skips_are_counted_at_the_end_with_several_processes_too(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    result = project.runpytest_subprocess("-n", "1")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["skipped: 1 dask (no module no_such_module), 1 shared (no videos)"])


def test_pytest_fails_the_test_whose_requirement_is_missing(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "shared")
    project.runpytest_inprocess("-p", "no:xdist").assert_outcomes(skipped=1, failed=1)


def test_pytest_does_not_start_with_an_unknown_name(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "shred")
    assert project.runpytest_inprocess("-p", "no:xdist").ret == pytest.ExitCode.USAGE_ERROR
