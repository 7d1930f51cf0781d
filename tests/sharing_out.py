"""Which test files stay together, and which come first, when several processes share the tests."""

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).resolve().parent.parent
STUDIO = "those that want a Label Studio"


class Shares(LoadFileScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """File by file, but for those that want a Label Studio: one process runs them all, and starts one for all."""

    def _split_scope(self, nodeid: str) -> str:
        return STUDIO if rank(nodeid) == 0 else str(super()._split_scope(nodeid))


def rank(nodeid: str) -> int:
    """The lowest begins: what takes long, by the markers of its file, so that the last files are quick ones.

    Otherwise a process that has nothing left would wait for another with minutes before it.
    """
    return _rank_file(nodeid.partition("::")[0])


@cache
def _rank_file(file: str) -> int:
    source = (ROOT / file).read_text("utf-8")
    if "pytest.mark.labelstudio" in source:
        return 0
    return 1 if "pytest.mark.slow" in source or "pytest.mark.prefect" in source else 2
