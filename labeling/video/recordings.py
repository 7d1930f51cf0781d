"""Files in which several recordings were joined end to end, so that the time stamps start again."""

from dataclasses import dataclass
from fractions import Fraction

LARGEST_STEP_BACK_S = Fraction(1)
"""Damaged streams step back a little; a larger step back is the start of another recording."""


@dataclass(slots=True)
class ContinuousTime:
    """Turns stamps that start again into a time that goes on: the second recording follows the first.

    >>> time = ContinuousTime(step_s=Fraction(1, 10))
    >>> [float(time.next(Fraction(stamp, 10))) for stamp in (50, 51, 52, 7, 8)]
    [5.0, 5.1, 5.2, 5.3, 5.4]
    """

    step_s: Fraction
    """From the last frame of a recording to the first of the next one."""
    restarts: int = 0
    shift_s: Fraction = Fraction(0)
    """What is added to the stamps of the present recording."""
    _latest_s: Fraction | None = None

    def next(self, stamped_s: Fraction) -> Fraction:
        """Return the continuous time of the next stamp."""
        t = stamped_s + self.shift_s
        if self._latest_s is not None and t < self._latest_s - LARGEST_STEP_BACK_S:
            self.shift_s += self._latest_s + self.step_s - t
            t = stamped_s + self.shift_s
            self.restarts += 1
        self._latest_s = t if self._latest_s is None else max(self._latest_s, t)
        return t
