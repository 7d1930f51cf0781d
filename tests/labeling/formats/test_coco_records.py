"""Numbers are rounded by the array as one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labeling.formats.coco_records import round_to_hundredths

TIES = st.integers(-(10**9), 10**9).map(lambda whole: (2 * whole + 1) / 200)
"""As near to the middle of two hundredths as a double comes: above or below it."""
NUMBERS = (
    st.floats(-1e22, 1e22) | st.floats(-2000, 2000) | TIES | st.sampled_from([2.675, 0.125, -0.001, 0.0])
)


@given(st.lists(NUMBERS))
def test_an_array_is_rounded_as_python_rounds_each_number(numbers: list[float]) -> None:
    rounded = round_to_hundredths(np.array(numbers, dtype=np.float64)).tolist()
    assert list(map(repr, rounded)) == [repr(round(number, 2)) for number in numbers]


def test_boxes_keep_their_shape() -> None:
    assert round_to_hundredths(np.array([[1.005, 2.5], [3.14159, 0.005]])).tolist() == [
        [round(1.005, 2), 2.5],
        [3.14, round(0.005, 2)],
    ]
