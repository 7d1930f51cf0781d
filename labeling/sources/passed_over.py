"""What sources hold and is not looked at, counted by reason."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from labeling.sources.file_types import OTHER_TYPES, is_of_other_type, why_passed_over


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
    OWN_LINE = 5
    """Unknown types of files in a place that are told by themselves; rarer ones are told together."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], list[str]] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, spec: str, reason: str, name: str, *, count: int = 1) -> None:
        key = (spec, reason)
        self._counts[key] = self._counts.get(key, 0) + count
        if len(names := self._names.setdefault(key, [])) < self.EXAMPLES:
            names.append(name)

    def add_file(self, spec: str, name: str) -> None:
        """Add a file of the place that is no video, image or archive, by its type."""
        self.add(spec, why_passed_over(PurePosixPath(name).name), name)

    def found(self) -> list[PassedOver]:
        """Return what was counted, in the order of the first ones; the rarest of many types together."""
        rare, found = self._rare_types(), dict[tuple[str, str], PassedOver]()
        for (spec, reason), count in self._counts.items():
            is_rare, names = (spec, reason) in rare, self._names[spec, reason]
            told = OTHER_TYPES if is_rare else reason
            before = found.get((spec, told), PassedOver(spec, told, 0, ()))
            examples = (*before.examples, *(names[:1] if is_rare else names))[: self.EXAMPLES]
            found[spec, told] = PassedOver(spec, told, before.count + count, examples)
        return list(found.values())

    def _rare_types(self) -> set[tuple[str, str]]:
        """Return the places and types that get no line of their own."""
        by_place: dict[str, list[tuple[str, str]]] = {}
        for key in self._counts:
            if is_of_other_type(key[1]):
                by_place.setdefault(key[0], []).append(key)
        many = (types for types in by_place.values() if len(types) > self.OWN_LINE + 1)
        return {
            key for types in many for key in sorted(types, key=self._counts.__getitem__)[: -self.OWN_LINE]
        }
