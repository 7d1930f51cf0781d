"""Prefect for the tests of flows: a temporary server with an empty database, once per session."""

from collections.abc import Iterator

import pytest
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield
