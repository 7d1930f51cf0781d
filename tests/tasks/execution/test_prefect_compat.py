"""The parts of Prefect that are not public: a new version is checked here first."""

import inspect

import prefect
from prefect.server.api.server import SubprocessASGIServer

from tasks.execution.prefect_compat import PREFECT_VERSION, ParentBoundServer


def test_prefect_has_the_version_that_was_checked() -> None:
    assert prefect.__version__.startswith(f"{PREFECT_VERSION}."), "check prefect_compat, then PREFECT_VERSION"


def test_the_private_members_of_the_temporary_server_exist() -> None:
    assert isinstance(SubprocessASGIServer._instances, dict)
    assert "server_process" in inspect.getsource(SubprocessASGIServer.__init__)
    overridden = inspect.signature(SubprocessASGIServer._run_uvicorn_command).parameters
    assert list(inspect.signature(ParentBoundServer._run_uvicorn_command).parameters) == list(overridden)
