"""Files of trajectories: what is read, what is refused, and where a person is between annotations."""

from pathlib import Path

import numpy as np
import pytest

from configs.errors import ConfigError, TrajectoriesInvalid, UnknownPerson
from labeling.tracking.trajectories import (
    Trajectory,
    parse_people,
    parse_trajectories,
    read_trajectories,
    select_people,
)


@pytest.mark.parametrize(
    "line", ["10 3 1.5 2.5", "10\t3\t1.5\t2.5", "10, 3, 1.5, 2.5", "10.0,3.0,1.5,2.5 # walks"]
)
def test_columns_may_be_separated_by_spaces_tabs_or_commas(line: str) -> None:
    found = parse_trajectories(["# frame pID x y", "", line], origin="a.txt")
    assert found[3].frames.tolist() == [10.0]
    assert found[3].points.tolist() == [[1.5, 2.5]]


def test_obsmat_has_its_second_coordinate_in_the_fifth_column() -> None:
    found = parse_trajectories(["1 2 1.4 0 -5.7 -0.3 0 -1.7"], origin="obsmat.txt")
    assert found[2].points.tolist() == [[1.4, -5.7]]


def test_people_are_grouped_and_their_frames_sorted() -> None:
    found = parse_trajectories(["20 1 2 2", "0 1 0 0", "0 2 9 9"], origin="a")
    assert list(found) == [1, 2]
    assert found[1].frames.tolist() == [0, 20]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("5 1 2", "3 columns"),
        ("5 1 nan 2", "not finite"),
        ("5 1 inf 2", "not finite"),
        ("5 one 2 2", "could not convert"),
        ("5 1.5 2 2", "not a whole number"),
        ("5 0 2 2", "not a whole number"),
        ("0 1 7 7", "another point in frame 0"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(line: str, part: str) -> None:
    with pytest.raises(TrajectoriesInvalid, match=r"a\.txt: line 2") as error:
        parse_trajectories(["0 1 0 0", line], origin="a.txt")
    assert part in str(error.value)


def test_the_same_line_twice_is_one() -> None:
    assert parse_trajectories(["0 1 2 3", "0 1 2 3"], origin="a")[1].points.tolist() == [[2.0, 3.0]]


def test_an_empty_or_missing_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n")
    for name in ("empty.txt", "missing.txt"):
        with pytest.raises(TrajectoriesInvalid, match=name):
            read_trajectories(tmp_path / name)


def test_between_annotations_the_point_is_linear_and_outside_the_span_there_is_none() -> None:
    walk = Trajectory(1, np.array([10.0, 20, 30]), np.array([[0.0, 0], [10, 0], [10, 10]]))
    found = [walk.at(frame) for frame in (9, 10, 12.5, 25, 30, 31)]
    assert [None if one is None else one.tolist() for one in found] == [
        *(None, [0.0, 0.0], [2.5, 0.0], [10.0, 5.0], [10.0, 10.0], None)
    ]


def test_in_a_long_gap_the_person_is_absent() -> None:
    frames = np.array([0.0, 10, 20, 30, 200, 210])
    walk = Trajectory(1, frames, np.column_stack([frames, frames]))
    assert walk.at(15) is not None
    assert walk.at(100) is None
    assert walk.at(205) is not None


def test_an_unknown_id_lists_the_known_ones() -> None:
    known = parse_trajectories(["0 4 0 0", "0 7 0 0"], origin="a")
    assert select_people(known, None) == [4, 7]
    assert select_people(known, [7]) == [7]
    with pytest.raises(UnknownPerson, match="person 5: the file has 4, 7"):
        select_people(known, [4, 5])
    with pytest.raises(ConfigError, match="x"):
        parse_people("x")
