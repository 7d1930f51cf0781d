"""The settings in which two configs differ."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

LONGEST = 40
"""Characters of a value that is shown."""


def changes_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings of one plain tree that differ in another, as `--set` takes them; long values are cut.

    >>> list(changes_between({"agreement": {"hard_below": 0.7}}, {"agreement": {"hard_below": 0.6}}))
    ['agreement.hard_below=0.6']
    """
    for key, value in new.items():
        before = old.get(key)
        if value == before:
            continue
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            yield from (f"{key}.{change}" for change in changes_between(before, value))
            continue
        text = value if isinstance(value, str) else json.dumps(value)
        yield f"{key}={text if len(text) <= LONGEST else text[:LONGEST] + '...'}"
