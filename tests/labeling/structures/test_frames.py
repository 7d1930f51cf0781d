"""Identity of frames."""

import numpy as np
import pytest

from labeling.structures.frames import Frame
from labeling.structures.records import LabeledFrame

RGB = np.zeros((4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("pts_ms", "index", "key"), [(2500, None, 2500), (None, 7, 7), (2500, 7, 7), (0, None, 0), (500, 0, 0)]
)
def test_the_key_is_the_index_or_else_the_time(pts_ms: int | None, index: int | None, key: int) -> None:
    assert Frame("v", pts_ms, RGB, index=index).key == key
    assert Frame("v", pts_ms, RGB, index=index).mirror().key == key
    assert LabeledFrame(pts_ms, 0, 1.0, "", "easy", index=index).key == key


def test_a_frame_without_time_and_index_has_no_key() -> None:
    with pytest.raises(TypeError, match="pts_ms or index"):
        _ = Frame("v", None, RGB).key
