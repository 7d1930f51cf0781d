"""Thread limits."""

import cv2
import pytest

from labeling.runtime.threads import bound_image_threads, thread_limit


@pytest.mark.parametrize(
    ("variable", "limit"), [("1", 1), ("4", 4), ("4,2", 4), ("", None), ("0", None), ("many", None)]
)
def test_the_limit_is_that_of_openmp(
    variable: str, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert thread_limit() == limit


def test_opencv_gets_the_limit_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cv2.getNumThreads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        bound_image_threads()
        assert cv2.getNumThreads() == 1
        cv2.setNumThreads(2)
        monkeypatch.delenv("OMP_NUM_THREADS")
        bound_image_threads()
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
