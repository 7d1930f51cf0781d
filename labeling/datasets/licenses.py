"""Which frames may leave, by the license of their video."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from configs.errors import ConfigError
from labeling.datasets.records import DatasetFrame
from labeling.datasets.versions.query import TextCondition
from labeling.text.figures import count_of

_UNKNOWN = "not stated"


class LicenseFilter:
    """Leaves out frames whose license matches none of the patterns; one that is not stated matches none.

    >>> LicenseFilter(["cc-by*", "cc0"]).allows("CC-BY-4.0")
    True
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        """Take patterns such as `cc-by*`, compared in any case.

        Raises:
            ConfigError: there is no pattern.
        """
        self._patterns = tuple(pattern.strip() for pattern in patterns if pattern.strip())
        if not self._patterns:
            raise ConfigError("--license-allow requires licenses, such as 'cc-by*,cc0'")
        self._condition = TextCondition("license", "=", self._patterns)
        self._left_out = Counter[str]()

    def allows(self, license: str | None) -> bool:
        return license is not None and self._condition.holds(license)

    def keep(self, frames: Iterable[DatasetFrame]) -> Iterator[DatasetFrame]:
        """Yield the frames that are allowed, and count the others."""
        for frame in frames:
            if self.allows(frame.license):
                yield frame
            else:
                self._left_out[frame.license or _UNKNOWN] += 1

    def notes(self) -> list[str]:
        """Return what was left out; empty for nothing."""
        if not self._left_out:
            return []
        licenses = ", ".join(f"{name}: {count}" for name, count in self._left_out.most_common())
        return [
            f"{count_of(self._left_out.total(), 'frame')} left out, whose license is none of {', '.join(self._patterns)} ({licenses})"
        ]
