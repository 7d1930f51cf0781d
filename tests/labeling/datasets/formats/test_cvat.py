"""CVAT XML, read by CVAT's documented rules: runs of the box, row by row, background first."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from configs.errors import ExportError
from labeling.datasets.formats.cvat import box_runs, write_cvat
from labeling.structures.masks import Mask
from tests.labeling.datasets.frames import SIZE_HW, frame, instance, rectangle, ring_and_dot


def draw(mask: ElementTree.Element, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw a mask element pixel by pixel."""
    left, top, width, height = (int(mask.attrib[name]) for name in ("left", "top", "width", "height"))
    pixels = np.zeros(size_hw, dtype=bool)
    position, value = 0, False
    for run in map(int, mask.attrib["rle"].split(",")):
        for place in range(position, position + run):
            pixels[top + place // width, left + place % width] = value
        position, value = position + run, not value
    assert position == width * height
    return pixels


def test_masks_labels_and_attributes_are_read_back(tmp_path: Path) -> None:
    dog = instance(12, rectangle(0, 0, *SIZE_HW))._replace(category="dog", reviewer="ann", track_id=4)
    frames = [
        frame(1, tmp_path, instance(11, ring_and_dot(), keypoints=((1.0, 1.0, 0.9),) * 17), dog, split="val"),
        frame(2, tmp_path),
    ]
    summary = write_cvat(frames, tmp_path / "out", categories=("person", "dog"))
    root = ElementTree.parse(tmp_path / "out/annotations.xml").getroot()  # noqa: S314  # our own file
    assert root.findtext("version") == "1.1"
    assert [label.findtext("name") for label in root.iter("label")] == ["person", "dog"]
    first, second = root.findall("image")
    about = {"id": "0", "name": "0001.jpg", "subset": "val", "width": "64", "height": "48"}
    assert first.attrib == about
    assert "subset" not in second.attrib
    assert len(second) == 0
    masks = first.findall("mask")
    assert [(one.attrib["label"], one.attrib["source"]) for one in masks] == [
        ("dog", "manual"),
        ("person", "auto"),
    ]
    np.testing.assert_array_equal(draw(masks[0], SIZE_HW), dog.mask.to_array())
    np.testing.assert_array_equal(draw(masks[1], SIZE_HW), ring_and_dot())
    attributes = {one.attrib["name"]: one.text for one in masks[0].findall("attribute")}
    assert attributes == {"id": "12", "score": "0.75", "model": "lite", "reviewer": "ann", "track_id": "4"}
    assert (summary.files, len(summary.notes)) == (3, 1)
    assert "keypoints are left out" in summary.notes[0]


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_runs_of_any_mask_draw_it_again(height: int, width: int, data: st.DataObject) -> None:
    bits = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    pixels = np.array(bits).reshape(height, width)
    pixels[0, 0] |= not pixels.any()
    (x, y, w, h), runs = box_runs(Mask.from_array(pixels))
    place = {"left": str(x), "top": str(y), "width": str(w), "height": str(h)}
    element = ElementTree.Element("mask", {"rle": ", ".join(map(str, runs)), **place})
    np.testing.assert_array_equal(draw(element, (height, width)), pixels)
    assert all(runs[1:])


def test_text_that_xml_cannot_hold_is_replaced_and_such_a_file_name_refused(tmp_path: Path) -> None:
    odd = instance(1, ring_and_dot())._replace(reviewer='a<b>&"\x01\ud800')
    write_cvat([frame(1, tmp_path, odd)], tmp_path / "out")
    root = ElementTree.parse(tmp_path / "out/annotations.xml").getroot()  # noqa: S314  # our own file
    assert 'a<b>&"??' in [one.text for one in root.iter("attribute")]
    with pytest.raises(ExportError, match="cannot be written as XML; rename it"):
        write_cvat([frame(1, tmp_path)._replace(file_name="a\ud800.jpg")], tmp_path / "other")
