"""Which videos go to train, val and test: whole groups, by a hash, and never against an older assignment.

Videos of one source (uploader, camera) and videos with near-duplicate frames are one group. A group with videos that
were assigned before follows them. If these are in different splits, the new videos between them are left out. Of the other
groups, some may go to test instead of train, so that it has all strata (`labeling.datasets.splits.stratify`).
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from configs.errors import ConfigError
from labeling.datasets.records import SPLITS, Split
from labeling.datasets.splits.stratify import DrawnGroup, VideoStrata, groups_for_test
from labeling.datasets.versions.content import VideoCredit

_BITS = 53
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Division:
    """How a dataset is divided."""

    shares: tuple[float, ...] = (0.8, 0.1, 0.1)
    """Of train, val and test; they add up to 1."""
    seed: int = 0

    def split_of(self, identity: str) -> Split:
        """Return the split of a group that no older assignment binds.

        >>> [Division(seed=seed).split_of("abc") for seed in range(4)]
        ['train', 'train', 'train', 'train']
        """
        drawn, bounds = self.draw(identity), list(accumulate(self.shares))
        return next(
            (split for split, bound in zip(SPLITS, bounds, strict=True) if drawn < bound), self._last()
        )

    def draw(self, identity: str) -> float:
        """Return the number of a group, 0 to 1, that decides about its split."""
        digest = hashlib.sha256(f"{self.seed}\x1f{identity}".encode()).digest()
        return float((int.from_bytes(digest[:8]) >> (64 - _BITS)) / 2**_BITS)

    def _last(self) -> Split:
        return next(
            split for split, share in zip(reversed(SPLITS), reversed(self.shares), strict=True) if share
        )


NO_STRATA = VideoStrata()
TEST_ONLY = (0.0, 0.0, 1.0)
"""Shares of a frozen set."""


def parse_shares(text: str) -> tuple[float, ...]:
    """Read the shares of train, val and test.

    Raises:
        ConfigError: they are not three numbers, or do not add up to 100.

    >>> parse_shares("80/10/10")
    (0.8, 0.1, 0.1)
    """
    try:
        percent = [float(part) for part in text.split("/")]
    except ValueError:
        percent = []
    if len(percent) != _PARTS or min(percent) < 0 or not np.isclose(sum(percent), 100):
        raise ConfigError(
            f"--split {text!r}: name the percentages of train, val and test, such as 80/10/10, with a sum of 100"
        )
    return tuple(round(one / 100, 6) for one in percent)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A video whose place is known before: in this dataset, or in another one that must not be touched."""

    video_id: str
    source: str | None
    label: str
    """A split of this dataset, or the reason why videos of its group are left out."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where the new videos go."""

    splits: Mapping[str, str]
    """By video."""
    reasons: Mapping[str, str]
    """Why a video is left out."""
    groups: int
    """Groups of new videos; those that follow an older assignment are counted too."""


def source_key(credit: VideoCredit) -> str | None:
    """Return what videos of one origin share: the uploader, or the camera; None: not known."""
    if credit.uploader:
        return f"uploader {credit.uploader.casefold()}"
    return f"camera {credit.spec}" if credit.kind == "camera" else None


def group_key(video_id: str, source: str | None) -> str:
    """Return what names the videos that belong together before any frame is compared."""
    return source or video_id


def assign_videos(
    new: Sequence[VideoCredit],
    anchors: Iterable[Anchor],
    near: Collection[tuple[str, str]],
    division: Division,
    strata: VideoStrata = NO_STRATA,
) -> Assignment:
    """Assign the new videos.

    Args:
        new: videos without an assignment.
        anchors: videos with one, and videos of other datasets to stay away from.
        near: pairs of `group_key` whose videos have near-duplicate frames.
        division: shares and seed.
        strata: causes and sizes, of which test has each where it can.
    """
    keys = {credit.video_id: group_key(credit.video_id, source_key(credit)) for credit in new}
    labels = _labels(anchors, near)
    found = {one: labels.get(one, set()) | labels.get(key, set()) for one, key in keys.items()}
    reasons = {one: _reason(of_one) for one, of_one in found.items() if _is_barred(of_one)}
    splits: dict[str, str] = {}
    free: list[DrawnGroup] = []
    groups = _groups({one: key for one, key in keys.items() if one not in reasons}, near)
    for group in groups:
        of_group = set[str]().union(*(found[one] for one in group))
        if _is_barred(of_group):
            reasons |= dict.fromkeys(group, _reason(of_group))
            continue
        if of_group:
            splits |= dict.fromkeys(group, min(of_group))
        else:
            free.append(_drawn(group, min(keys[one] for one in group), division, strata))
    for drawn in free:
        splits |= dict.fromkeys(drawn.videos, drawn.split)
    for moved in groups_for_test(free, strata.older, test_share=division.shares[-1]):
        splits |= dict.fromkeys(moved.videos, "test")
    return Assignment(splits, reasons, len(groups))


def _drawn(videos: Sequence[str], identity: str, division: Division, strata: VideoStrata) -> DrawnGroup:
    of_group = frozenset[str]().union(*(strata.by_video.get(one, ()) for one in videos))
    return DrawnGroup(tuple(videos), division.split_of(identity), division.draw(identity), of_group)


def _is_barred(labels: Collection[str]) -> bool:
    return len(labels) > 1 or not set(labels) <= set(SPLITS)


def _reason(labels: Collection[str]) -> str:
    foreign = sorted(set(labels) - set(SPLITS))
    return foreign[0] if foreign else f"near or of the group of frames of {' and '.join(sorted(labels))}"


def _labels(anchors: Iterable[Anchor], near: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """Return the labels of each video and `group_key`: of anchors, and of what is near to them."""
    own: dict[str, set[str]] = {}
    for anchor in anchors:
        for name in filter(None, (anchor.video_id, anchor.source)):
            own.setdefault(name, set()).add(anchor.label)
    found = {name: set(labels) for name, labels in own.items()}
    for pair in near:
        for one, other in (pair, pair[::-1]):
            found.setdefault(one, set()).update(own.get(other, ()))
    return found


def _groups(keys: Mapping[str, str], near: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the new videos that are connected, each group by video id."""
    from scipy.sparse import coo_array  # imported only if required: it takes half a second
    from scipy.sparse.csgraph import connected_components

    nodes = {key: number for number, key in enumerate(sorted(set(keys.values())))}
    edges = [(nodes[one], nodes[other]) for one, other in near if one in nodes and other in nodes]
    rows, columns = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (rows, columns)), shape=(len(nodes), len(nodes)))
    _, components = connected_components(graph, directed=False)
    found: dict[int, list[str]] = {}
    for video_id, key in sorted(keys.items()):
        found.setdefault(int(components[nodes[key]]), []).append(video_id)
    return list(found.values())
