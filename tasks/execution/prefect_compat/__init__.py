"""The parts of Prefect 3.8 outside its public interface that we require."""

PREFECT_VERSION = "3.8"
"""The version that the modules of this folder were checked with."""
