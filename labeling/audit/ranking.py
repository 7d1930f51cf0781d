"""The order of suspects, by the probability that a label is wrong.

A suspect with a mask of the teacher's has the product of disagreement and trust. A label where the teacher found no person
is as suspicious as the teacher is good at finding people of that size, which these labels themselves tell: most of them
are right. Small people, whom it often misses, are therefore hardly suspicious.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from labeling.audit.suspects import Suspect

SIZE_STEPS_PER_OCTAVE = 1
"""Sizes are counted by the power of two of a person's share of the image."""
SMALLEST_OCTAVE = -20
_PRIOR_FOUND, _PRIOR_MISSED = 0.5, 0.5
"""Counts that every size begins with (Jeffreys' prior)."""


@dataclass(slots=True)
class FoundBySize:
    """How often the teacher finds people of each size; its memory does not grow with the labels.

    >>> found = FoundBySize()
    >>> for is_found in (True, True, True, False):
    ...     found.add(0.02, is_found)
    >>> found.share(0.03), found.share(0.5)
    (0.7, 0.5)
    """

    _counts: dict[int, list[float]] = field(default_factory=dict)

    def add(self, area_share: float, is_found: bool) -> None:
        """Count a label that covers this share of its image."""
        counts = self._counts.setdefault(_octave(area_share), [_PRIOR_FOUND, _PRIOR_MISSED])
        counts[0 if is_found else 1] += 1

    def share(self, area_share: float) -> float:
        """Return the share of people of this size whom the teacher finds."""
        found, missed = self._counts.get(_octave(area_share), (_PRIOR_FOUND, _PRIOR_MISSED))
        return found / (found + missed)


def suspicion_of(suspect: Suspect, area_share: float, found: FoundBySize) -> float:
    """Return the suspicion in [0, 1]; `area_share` is that of the label."""
    trust = found.share(area_share) if suspect.trust is None else suspect.trust
    return suspect.disagreement * trust


def area_share(areas_px: Sequence[int], size_hw: tuple[int, int]) -> float:
    return sum(areas_px) / max(1, size_hw[0] * size_hw[1])


def _octave(share: float) -> int:
    return max(SMALLEST_OCTAVE, math.floor(math.log2(share))) if share > 0 else SMALLEST_OCTAVE
