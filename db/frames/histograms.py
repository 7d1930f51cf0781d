"""How the models agreed, counted when a shard is stored: a report adds up shards instead of frames."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.core import ShardRow
from labeling.structures.agreement import FrameAgreement

BINS = 20
"""Of union IoU over [0, 1]."""


def agreement_histogram(agreements: Iterable[FrameAgreement]) -> dict[str, Any]:
    """Frames per bin, frames where both saw nobody beside them, and mismatches of hard frames by cause."""
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
    """Frames per bin of union IoU over [0, 1], and the frames where both saw nobody beside it."""
    histogram, both_empty = [0] * BINS, 0
    for tally in _tallies(session, run_id):
        histogram = [total + frames for total, frames in zip(histogram, tally["bins"], strict=True)]
        both_empty += tally["both_empty"]
    return histogram, both_empty


def cause_counts(session: Session, run_id: str) -> dict[str, int]:
    """Mismatches of hard frames by cause."""
    causes = Counter[str]()
    for tally in _tallies(session, run_id):
        causes.update(tally["causes"])
    return dict(sorted(causes.items()))


def _tallies(session: Session, run_id: str) -> Iterator[dict[str, Any]]:
    """Of the shards that are done; others have none."""
    return filter(
        None, session.scalars(select(ShardRow.agreement_histogram).where(ShardRow.run_id == run_id))
    )
