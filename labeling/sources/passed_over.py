"""What sources hold and is not looked at, counted by reason."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Contents of a source that are not looked at, for one reason."""

    spec: str
    """The folder, list, archive or video that has them."""
    reason: str
    """What they are and what to do, in words that fit after their number: `files of type .7z: ...`."""
    count: int
    examples: tuple[str, ...]
    """The first ones."""


class PassedOverCounter:
    """Counts what is passed over, by place and reason.

    >>> counter = PassedOverCounter()
    >>> for name in ("a.heic", "b.heic"):
    ...     counter.add("/photos", "images of type .heic: convert them to JPEG", name)
    >>> [(found.count, found.examples) for found in counter.found()]
    [(2, ('a.heic', 'b.heic'))]
    """

    EXAMPLES = 3

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], list[str]] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, spec: str, reason: str, name: str, *, count: int = 1) -> None:
        key = (spec, reason)
        self._counts[key] = self._counts.get(key, 0) + count
        if len(names := self._names.setdefault(key, [])) < self.EXAMPLES:
            names.append(name)

    def found(self) -> list[PassedOver]:
        """Return what was counted, in the order of the first ones."""
        return [PassedOver(*key, count, tuple(self._names[key])) for key, count in self._counts.items()]
