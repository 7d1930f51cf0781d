"""Checks of a segmenter's output."""

import math
import threading

import numpy as np
import pytest

from configs.errors import ModelError, ModelOutputWrong
from labeling.segmenters.shared import SerializedSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from tests.fakes.segmenters import FixedSegmenter

FRAME = Frame("v", 0, np.zeros((20, 30, 3), np.uint8))
BOX = (0.0, 0.0, 30.0, 20.0)
WHOLE = Mask.from_array(np.ones((20, 30), np.uint8))
OTHER_SIZE = Mask.from_array(np.ones((30, 20), np.uint8))


def segment_once(output: list[list[Instance]] | Exception) -> list[list[Instance]]:
    return SerializedSegmenter(FixedSegmenter(output), threading.Lock()).segment([FRAME])


def test_a_valid_output_is_returned_unchanged() -> None:
    output = [[Instance(WHOLE, 0.9, BOX)]]
    assert segment_once(output) is output


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ([], "0 results for 1 frames"),
        ([[Instance(OTHER_SIZE, 0.9, BOX)]], r"\(30, 20\) for an image of \(20, 30\)"),
        ([[Instance(WHOLE, math.nan, BOX)]], "score nan"),
        ([[Instance(WHOLE, 0.9, (0.0, 0.0, math.inf, 1.0))]], "inf"),
        ([[Instance(WHOLE, 0.9, BOX, stability=1.5)]], "stability 1.5"),
        ([[Instance(WHOLE, 0.9, BOX, stability=math.nan)]], "stability nan"),
    ],
)
def test_an_invalid_output_is_refused_with_its_value(output: list[list[Instance]], complaint: str) -> None:
    with pytest.raises(ModelOutputWrong, match=f"python:fixed.*{complaint}"):
        segment_once(output)


def test_an_exception_of_a_model_is_the_cause_of_the_error() -> None:
    cause = RuntimeError("CUDA out of memory")
    with pytest.raises(ModelError, match="RuntimeError: CUDA out of memory") as caught:
        segment_once(cause)
    assert caught.value.__cause__ is cause
