"""Histograms of agreement, counted when a shard is stored: a report sums shards instead of frames."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.core import ShardRow
from labeling.structures.agreement import FrameAgreement

BINS = 20
"""Bins of union IoU over [0, 1]."""


def agreement_histogram(agreements: Iterable[FrameAgreement]) -> dict[str, Any]:
    """Count frames per IoU bin, frames without a person, and mismatches of hard frames by cause."""
    bins, both_empty, causes = [0] * BINS, 0, Counter[str]()
    for agreement in agreements:
        if agreement.both_empty:
            both_empty += 1
        else:
            bins[min(int(agreement.iou * BINS), BINS - 1)] += 1
        if agreement.is_hard:
            causes.update(mismatch.cause for mismatch in agreement.mismatches)
    return {"bins": bins, "both_empty": both_empty, "causes": dict(causes)}


def iou_histogram(session: Session, run_id: str) -> tuple[list[int], int]:
    """Return the frames per bin of union IoU, and the frames in which neither model found a person."""
    bins, both_empty = [0] * BINS, 0
    for histogram in _shard_histograms(session, run_id):
        bins = [total + frames for total, frames in zip(bins, histogram["bins"], strict=True)]
        both_empty += histogram["both_empty"]
    return bins, both_empty


def cause_counts(session: Session, run_id: str) -> dict[str, int]:
    """Return the mismatches of hard frames by cause."""
    causes = Counter[str]()
    for histogram in _shard_histograms(session, run_id):
        causes.update(histogram["causes"])
    return dict(sorted(causes.items()))


def _shard_histograms(session: Session, run_id: str) -> Iterator[dict[str, Any]]:
    """Read the histograms of the shards that are done; those of others are empty."""
    query = select(ShardRow.agreement_histogram).where(ShardRow.run_id == run_id)
    return filter(None, session.scalars(query))
