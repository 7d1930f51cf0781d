"""Frames with ground truth, as a calibration is fitted to them."""

from dataclasses import dataclass

from labeling.trust.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Example:
    """A frame with ground truth."""

    group: str
    """Its labeled set, or video."""
    evidence: Evidence
    """With the mirrored image's, unless the teacher cannot see mirrored images."""
    good_masks: tuple[bool | None, ...]
    """For each instance of the evidence, whether its mask is good; None: not known."""
    is_good: bool | None
    """Whether the union of all masks is good; None: not known."""
    is_hard: bool = True
    """Student and teacher disagree: only such frames are ever accepted."""
    unit: str = ""
    """Its video, or its own name if it belongs to none: what is independent of other units."""
    all_found: bool | None = None
    """Whether the teacher found every person; None: not known."""
    is_synthetic: bool = False
    """A composite: no regression is fitted to it and nothing promised, but its persons count for thresholds."""
