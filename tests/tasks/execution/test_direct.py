"""Steps of a review that run without Prefect are repeated as Prefect would repeat them."""

import pytest

from configs.errors import LabelStudioDenied, LabelStudioUnreachable
from flows.review import _review_task


@pytest.mark.parametrize(
    ("error", "calls"), [(LabelStudioUnreachable("away"), 3), (LabelStudioDenied("wrong token"), 1)]
)
def test_only_temporary_failures_are_repeated(error: Exception, calls: int) -> None:
    made: list[int] = []

    @_review_task("fail", pauses_s=[0.0, 0.0])
    def fail(number: int) -> None:
        made.append(number)
        raise error

    with pytest.raises(type(error)):
        fail(7)
    assert made == [7] * calls


def test_a_step_that_succeeds_later_gives_its_result() -> None:
    failures = [LabelStudioUnreachable("restarting")]

    @_review_task("answer", pauses_s=[0.0])
    def answer() -> str:
        if failures:
            raise failures.pop()
        return "here"

    assert answer() == "here"
