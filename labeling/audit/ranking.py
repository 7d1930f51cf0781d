"""The order of suspects, by the probability that a label is wrong.

Each piece of evidence changes the log odds, from those of a label about which nothing is known:

- label and teacher: disagreement times trust;
- a label where the teacher found no person: how often it finds people of that size, which these labels themselves tell,
  because most of them are right; so small people, whom it often misses, are hardly suspicious. It counts more if the
  teacher found a person without a label in the same image: the label may be theirs;
- the outline of the label on edges of the image, or not (`labeling.audit.edges`).

The weights were set on people of COCO with planted faults (`benchmarks/audit.py`): the result is an order, and a
probability only as far as other labels are like these.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from labeling.audit.records import SuspectRecord
from labeling.audit.suspects import Suspect

SMALLEST_OCTAVE = -20
"""Sizes are counted by the power of two of a person's share of the image; smaller ones are counted here."""
NEIGHBOR_WEIGHT = 0.5
"""Of a size twice or half as large."""
_PRIOR_FOUND, _PRIOR_MISSED = 0.25, 0.75
"""Counts that every size begins with."""
WRONG_SHARE = 0.05
"""Share of labels that are wrong, before any evidence."""
SUREST = 0.98
"""The teacher's word is taken for at most this sure."""
UNSEEN_IF_WRONG, UNSEEN_BY_CHANCE = 0.5, 0.03
"""How often a wrong label has no person of the teacher's, and a right one of a size that it always finds."""
BESIDE_MISSING = 1.6
"""Log odds of a label without a person beside a sure person without a label."""
EDGE_SLOPE, EDGE_OFFSET = -9.4, -0.44
"""Log odds by the logarithm of the edge fit, on COCO's labels and the same ones moved. The AUROC is 0.96 there for labels
above 0.3 % of the image, and 0.998 on labels of PennFudan, which had no part in it."""
MOST_EDGE_LOG_ODDS = 3.0
EDGE_SIDE_PX = 40.0
"""Root of the area of a label whose edges count half: those of small ones fit by chance."""


@dataclass(slots=True)
class FoundBySize:
    """How often the teacher finds people of each size; its memory does not grow with the labels.

    >>> found = FoundBySize()
    >>> for is_found in (True, True, True, False):
    ...     found.add(0.02, is_found)
    >>> round(found.share(0.03), 2), round(found.share(0.5), 2)
    (0.65, 0.31)
    """

    _counts: dict[int, list[int]] = field(default_factory=dict)

    def add(self, area_share: float, is_found: bool) -> None:
        """Count a label that covers this share of its image."""
        counts = self._counts.setdefault(_octave(area_share), [0, 0])
        counts[0 if is_found else 1] += 1

    def share(self, area_share: float) -> float:
        """Return the share of people of this size whom the teacher finds; other sizes count less, the further away."""
        size, found, missed = _octave(area_share), _PRIOR_FOUND, _PRIOR_MISSED
        for other, counts in self._counts.items():
            weight = NEIGHBOR_WEIGHT ** abs(other - size)
            found, missed = found + weight * counts[0], missed + weight * counts[1]
        return found / (found + missed)


@dataclass(frozen=True, slots=True)
class RankedSuspect:
    """A suspect with its place in the ranking."""

    record: SuspectRecord
    suspicion: float

    def to_tree(self) -> dict[str, Any]:
        """Return what the JSON file has about it."""
        record, suspect = self.record, self.record.suspect
        return {
            "kind": suspect.kind,
            "suspicion": round(self.suspicion, 4),
            "split": record.split,
            "image": record.image,
            "image_id": record.image_id,
            "annotations": list(record.annotations),
            "box_xywh": list(record.box_xywh),
            "iou": round(suspect.iou, 4),
            "trust": None if suspect.trust is None else round(suspect.trust, 4),
            "shift_xy": None if suspect.shift_xy is None else list(suspect.shift_xy),
            "edge_fit": None if suspect.edge_fit is None else round(suspect.edge_fit, 4),
        }


def suspicion_of(suspect: Suspect, *, area_share: float, area_px: float, found: FoundBySize) -> float:
    """Return the suspicion in [0, 1]; area and its share of the image are those of the labels."""
    if suspect.trust is None:
        share = found.share(area_share)
        log_odds = suspect.disagreement * math.log(UNSEEN_IF_WRONG / (1 - share + UNSEEN_BY_CHANCE))
        log_odds += BESIDE_MISSING * suspect.beside_missing
    else:
        log_odds = _logit(suspect.disagreement * suspect.trust)
    if suspect.edge_fit is not None:
        log_odds += _edge_log_odds(suspect.edge_fit, area_px)
    return 1 / (1 + math.exp(-(log_odds + _logit(WRONG_SHARE))))


def _edge_log_odds(edge_fit: float, area_px: float) -> float:
    full = EDGE_SLOPE * math.log(max(edge_fit, 0.1)) + EDGE_OFFSET
    side = math.sqrt(area_px)
    return min(max(full, -MOST_EDGE_LOG_ODDS), MOST_EDGE_LOG_ODDS) * side / (side + EDGE_SIDE_PX)


def _logit(share: float) -> float:
    share = min(max(share, 1 - SUREST), SUREST)
    return math.log(share / (1 - share))


def area_share(areas_px: Sequence[int], size_hw: tuple[int, int]) -> float:
    return sum(areas_px) / max(1, size_hw[0] * size_hw[1])


def _octave(share: float) -> int:
    return max(SMALLEST_OCTAVE, math.floor(math.log2(share))) if share > 0 else SMALLEST_OCTAVE
