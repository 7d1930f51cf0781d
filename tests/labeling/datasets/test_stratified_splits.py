"""Test has each stratum where it can, and nothing else about the splits changes."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.datasets.splits.assignment import NO_STRATA, Anchor, Assignment, Division, assign_videos
from labeling.datasets.splits.stratify import VideoStrata
from labeling.datasets.versions.content import VideoCredit

NAMES = tuple(f"video{number}" for number in range(10))
STRATA = ("cause miss", "cause split", "small person", "no person")
MANY = settings(max_examples=60, deadline=None)
SEED_OF_TRAIN = next(
    seed
    for seed in range(99)
    if all(Division((0.9, 0.0, 0.1), seed).split_of(one) == "train" for one in NAMES)
)
"""With it the hash gives all of `NAMES` to train."""
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Made:
    """Videos to divide, those that are near each other, and how."""

    videos: tuple[str, ...]
    near: Pairs
    by_video: dict[str, frozenset[str]]
    division: Division

    def assign(
        self, videos: Sequence[str], anchors: Sequence[Anchor] = (), strata: VideoStrata | None = None
    ) -> Assignment:
        new = [VideoCredit(one, "", kind="file", spec=one) for one in videos]
        return assign_videos(new, anchors, self.near, self.division, strata or VideoStrata(self.by_video))

    def groups(self) -> list[set[str]]:
        """Return what the near pairs connect, by merging sets until nothing changes."""
        groups = [{one} for one in self.videos]
        for pair in self.near:
            joined = set().union(*(group for group in groups if group & set(pair)))
            groups = [group for group in groups if not group & set(pair)] + ([joined] if joined else [])
        return groups

    def strata(self, videos: set[str]) -> set[str]:
        return set().union(*(self.by_video[one] for one in videos))


@st.composite
def made(draw: st.DrawFn) -> Made:
    videos = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    pairs = st.tuples(st.sampled_from(videos), st.sampled_from(videos))
    by_video = {one: draw(st.frozensets(st.sampled_from(STRATA))) for one in videos}
    shares = draw(st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.0, 0.5), (1.0, 0.0, 0.0), (0.6, 0.2, 0.2)]))
    near = tuple(draw(st.lists(pairs, max_size=4)))
    return Made(tuple(videos), near, by_video, Division(shares, draw(st.integers(0, 50))))


@MANY
@pytest.mark.slow
@given(made(), st.randoms(use_true_random=False))
def test_the_order_of_videos_does_not_matter_and_groups_stay_whole(one: Made, random: object) -> None:
    splits = one.assign(one.videos).splits
    shuffled = list(one.videos)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's Random
    assert one.assign(shuffled).splits == splits
    assert set(splits) == set(one.videos)
    assert all(len({splits[video] for video in group}) == 1 for group in one.groups())


@MANY
@pytest.mark.slow
@given(made())
def test_groups_go_from_train_to_test_alone_and_no_more_than_the_share(one: Made) -> None:
    splits, hashed = one.assign(one.videos).splits, one.assign(one.videos, strata=NO_STRATA).splits
    groups = [min(group) for group in one.groups()]
    moved = [name for name in groups if splits[name] != hashed[name]]
    assert {(hashed[name], splits[name]) for name in moved} <= {("train", "test")}
    tested = sum(splits[name] == "test" for name in groups)
    assert not moved or tested <= math.ceil(one.division.shares[2] * len(groups))


@MANY
@pytest.mark.slow
@given(made())
def test_train_loses_no_stratum_and_test_lacks_one_only_where_no_group_can_be_spared(one: Made) -> None:
    splits, hashed = one.assign(one.videos).splits, one.assign(one.videos, strata=NO_STRATA).splits
    groups = [(splits[min(group)], hashed[min(group)], one.strata(group)) for group in one.groups()]
    trained = Counter(stratum for now, _, strata in groups if now == "train" for stratum in strata)
    assert set(trained) == set().union(*(strata for _, before, strata in groups if before == "train"))
    tested = set().union(*(strata for now, _, strata in groups if now == "test"))
    has_room = sum(now == "test" for now, _, _ in groups) < math.ceil(one.division.shares[2] * len(groups))
    spare = [s for now, _, s in groups if now == "train" and all(trained[stratum] > 1 for stratum in s)]
    assert not has_room or not any(strata - tested for strata in spare)


@MANY
@pytest.mark.slow
@given(made(), st.integers(1, 9))
def test_a_later_version_moves_nothing(one: Made, known: int) -> None:
    """The videos of the first version are anchors in the second: new ones follow them, or are left out between two splits."""
    before = one.assign(one.videos[:known]).splits
    anchors = [Anchor(video, None, split) for video, split in before.items()]
    later = one.assign(one.videos[known:], anchors)
    assert not set(later.splits) & set(before)
    both = {**before, **later.splits}
    near = [pair for pair in one.near if set(pair) <= set(both)]
    assert all(both[first] == both[second] for first, second in near)


def test_what_test_has_of_earlier_versions_is_not_given_again() -> None:
    strata = {name: frozenset({"cause miss"}) for name in NAMES}
    one = Made(NAMES, (), strata, Division((0.9, 0.0, 0.1), seed=SEED_OF_TRAIN))
    hashed = one.assign(NAMES, strata=NO_STRATA).splits
    assert set(hashed.values()) == {"train"}
    assert Counter(one.assign(NAMES).splits.values()) == {"train": 9, "test": 1}
    older = VideoStrata(strata, {"test": {"cause miss"}})
    assert one.assign(NAMES, strata=older).splits == hashed
    in_train = VideoStrata({"video0": {"cause miss"}}, {"train": {"cause miss"}})
    assert one.assign(["video0"], strata=in_train).splits == {"video0": "test"}
    assert one.assign(["video0"]).splits == {"video0": "train"}
