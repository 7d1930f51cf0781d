"""What a reader left out or decided by itself, counted by reason."""

from collections.abc import Callable
from dataclasses import dataclass, field

from labeling.text.figures import count


@dataclass(frozen=True, slots=True)
class RecordFault:
    """A record that cannot be read, or contradicts itself."""

    image: str
    """File name of its image; empty if it has none."""
    annotation: str
    """Its id; empty for the record of the image itself."""
    message: str


ReportFault = Callable[[RecordFault], None]


@dataclass(slots=True)
class ReaderNotes:
    """Counts what happened while something was read, with the first example of each reason.

    >>> notes = ReaderNotes()
    >>> notes.add("images left out: not in the folder", "a.jpg")
    >>> notes.add("images left out: not in the folder", "b.jpg")
    >>> notes.lines()
    ['images left out: not in the folder: 2 (the first: a.jpg)']
    """

    _counts: dict[str, int] = field(default_factory=dict)
    _examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, example: str) -> None:
        self._counts[reason] = self._counts.get(reason, 0) + 1
        self._examples.setdefault(reason, example)

    def lines(self) -> list[str]:
        """Return one line per reason, in the order in which they occurred first."""
        return [
            f"{reason}: {count(number)} (the first: {self._examples[reason]})"
            for reason, number in self._counts.items()
        ]
