"""The strata of frames: those of each cause of disagreement, and of each size of the smallest person."""

from collections import Counter
from collections.abc import Mapping, Sequence

from more_itertools import batched
from sqlalchemy.orm import Session

from db.datasets.queries import VersionFrame, version_rows
from db.datasets.strata import causes_of, smallest_people
from db.models.datasets import DatasetVersionRow
from db.sql.reading import PAGE
from labeling.students.groups import size_group

Strata = Mapping[str, Mapping[str, int]]
"""Number of frames by stratum and split; only the splits that have some."""


def strata_of(
    session: Session, made: DatasetVersionRow, rows: Sequence[VersionFrame]
) -> dict[int, tuple[str, ...]]:
    """Return the strata of each of these frames: its size first, then its causes."""
    smallest = smallest_people(session, [row.labels_id for row in rows])
    found = {row.frame_id: [size_group(smallest.get(row.labels_id), (row.height, row.width))] for row in rows}
    runs = [str(run["id"]) for run in made.runs]
    for cause, frames in sorted(causes_of(session, runs, list(found)).items()):
        for frame_id in frames:
            found[frame_id].append(f"cause {cause}")
    return {frame_id: tuple(strata) for frame_id, strata in found.items()}


def count_strata(session: Session, made: DatasetVersionRow) -> Strata:
    """Return the number of frames of a version by stratum and split."""
    counts: dict[str, Counter[str]] = {}
    for page in batched(version_rows(session, made), PAGE):
        strata = strata_of(session, made, page)
        for row in page:
            for stratum in strata[row.frame_id]:
                counts.setdefault(stratum, Counter())[row.split or ""] += 1
    return {stratum: dict(counts[stratum]) for stratum in sorted(counts)}


def untested(strata: Strata) -> list[str]:
    """Return the strata that have frames, but none in test.

    >>> untested({"cause miss": {"train": 2}, "no person": {"train": 1, "test": 1}})
    ['cause miss']
    """
    return [stratum for stratum, splits in strata.items() if not splits.get("test")]
