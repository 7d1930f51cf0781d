"""A home with an empty database, and a dataset version whose people a small network learns in seconds."""

from tests.tasks.datasets.conftest import home

__all__ = ["home"]
