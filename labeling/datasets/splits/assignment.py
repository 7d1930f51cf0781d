"""Which videos go to train, val and test: whole groups, by a hash, and never against an older assignment.

Videos of one source (uploader, camera) and videos with near-duplicate frames are one group. A group with videos that
were assigned before follows them. If these are in different splits, the new videos between them are left out.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from configs.errors import ConfigError
from labeling.datasets.versions.content import VideoCredit

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
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
        digest = hashlib.sha256(f"{self.seed}\x1f{identity}".encode()).digest()
        drawn = (int.from_bytes(digest[:8]) >> (64 - _BITS)) / 2**_BITS
        bounds = list(accumulate(self.shares))
        return next(
            (split for split, bound in zip(SPLITS, bounds, strict=True) if drawn < bound), self._last()
        )

    def _last(self) -> Split:
        return next(
            split for split, share in zip(reversed(SPLITS), reversed(self.shares), strict=True) if share
        )


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


def assign_videos(
    new: Sequence[VideoCredit],
    anchors: Iterable[Anchor],
    near: Collection[tuple[str, str]],
    division: Division,
) -> Assignment:
    """Assign the new videos.

    Args:
        new: videos without an assignment.
        anchors: videos with one, and videos of other datasets to stay away from.
        near: pairs of videos with near-duplicate frames; at least one of each is new.
        division: shares and seed.
    """
    sources = {credit.video_id: source_key(credit) for credit in new}
    labels = _labels(sources, list(anchors), near)
    splits: dict[str, str] = {}
    reasons: dict[str, str] = {}
    groups = _groups(sources, near)
    for group in groups:
        found = {label for video_id in group for label in labels.get(video_id, ())}
        if len(found) > 1 or not found <= set(SPLITS):
            reasons |= dict.fromkeys(group, _reason(found))
            continue
        split = min(found) if found else division.split_of(_identity(group, sources))
        splits |= dict.fromkeys(group, split)
    return Assignment(splits, reasons, len(groups))


def _reason(labels: Collection[str]) -> str:
    foreign = sorted(set(labels) - set(SPLITS))
    return foreign[0] if foreign else f"near frames of {' and '.join(sorted(labels))}"


def _identity(group: Sequence[str], sources: Mapping[str, str | None]) -> str:
    """Return what names a group: its first source, or its first video."""
    return min((key for one in group if (key := sources[one])), default=min(group))


def _labels(
    sources: Mapping[str, str | None], anchors: Sequence[Anchor], near: Collection[tuple[str, str]]
) -> dict[str, set[str]]:
    """Return the labels of anchors that touch each new video, by source or by frames."""
    by_video: dict[str, set[str]] = {}
    by_source: dict[str, set[str]] = {}
    for anchor in anchors:
        by_video.setdefault(anchor.video_id, set()).add(anchor.label)
        if anchor.source:
            by_source.setdefault(anchor.source, set()).add(anchor.label)
    found = {
        video_id: by_video.get(video_id, set()) | by_source.get(key or "", set())
        for video_id, key in sources.items()
    }
    for pair in near:
        for one, other in (pair, pair[::-1]):
            if one in found:
                found[one] |= by_video.get(other, set())
    return found


def _groups(sources: Mapping[str, str | None], near: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the connected components of the new videos."""
    nodes = {name: number for number, name in enumerate(sources)}
    keys = {key: len(nodes) + n for n, key in enumerate(sorted({key for key in sources.values() if key}))}
    edges = [(nodes[video_id], keys[key]) for video_id, key in sources.items() if key]
    edges += [(nodes[one], nodes[other]) for one, other in near if one in nodes and other in nodes]
    rows, columns = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    size = len(nodes) + len(keys)
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (rows, columns)), shape=(size, size))
    _, components = connected_components(graph, directed=False)
    found: dict[int, list[str]] = {}
    for video_id, number in nodes.items():
        found.setdefault(int(components[number]), []).append(video_id)
    return list(found.values())
