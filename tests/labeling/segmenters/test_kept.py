"""Predictions are written while a shard is worked on, so that a killed run repeats little of its inference."""

from pathlib import Path

import numpy as np
import pytest

from labeling.segmenters import kept
from labeling.segmenters.kept import KeptSegmenter
from labeling.structures.frames import Clip, Frame
from tests.fakes.segmenters import LEFT_PERSON, ScriptedSegmenter

FRAMES = [Frame("v", 100 * number, np.zeros((120, 160, 3), np.uint8)) for number in range(4)]


@pytest.mark.parametrize(("every_s", "again"), [(0.0, []), (1000.0, [100, 200])])
def test_what_was_found_before_a_kill_is_not_inferred_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float, again: list[int]
) -> None:
    monkeypatch.setattr(kept, "WRITE_EVERY_S", every_s)
    clip = Clip("v", tmp_path / "v.mp4")
    found = KeptSegmenter(ScriptedSegmenter([LEFT_PERSON]), tmp_path).prepare(clip).segment(FRAMES[1:3])
    teacher = ScriptedSegmenter([LEFT_PERSON])  # the first one is never saved
    model = KeptSegmenter(teacher, tmp_path).prepare(clip)
    assert model.segment(FRAMES[1:3]) == found
    assert [key for batch in teacher.batches for key in batch] == again
    assert model.segment([FRAMES[0], FRAMES[2]])[1] == found[1]
    assert model.save() == (3 - len(again), 1 + len(again))
