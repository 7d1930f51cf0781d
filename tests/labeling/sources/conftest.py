"""A web server for all tests of sources that ask for it."""

from collections.abc import Iterator

import pytest

from tests.servers import Site, serve


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running
