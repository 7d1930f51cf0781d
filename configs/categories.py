"""The categories of a config's dataset, and what they exclude."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from configs.errors import ConfigError

if TYPE_CHECKING:
    from configs.models import RunConfig

PERSON = "person"
"""The category of everything whose model says nothing else; the rules about people apply to it alone."""


def categories_of(config: "RunConfig") -> tuple[str, ...]:
    """Return the categories of the dataset: people first, others in alphabetical order.

    A category's position, counted from 1, is its id in COCO files.
    """
    return order_categories(getattr(config.teacher, "classes", {}).values())


def stored_categories(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the same for the config of a stored run, which may be of another version."""
    return order_categories((config.get("teacher", {}).get("classes") or {}).values())


def order_categories(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of a mapping of classes, each once, in their order; people alone for an empty mapping.

    >>> order_categories(["person", "cat", "bus", "cat"]), order_categories([])
    (('person', 'bus', 'cat'), ('person',))
    """
    return tuple(sorted(set(names) or {PERSON}, key=lambda name: (name != PERSON, name)))


def require_people(categories: Iterable[str], what: str) -> None:
    """Check that there is no other category.

    Raises:
        ConfigError: there is one, which `what` cannot handle.
    """
    if others := [name for name in categories if name != PERSON]:
        raise ConfigError(
            f"{what} handles people only, and the config maps classes to {', '.join(others)}: use a config whose "
            "`classes` have people alone"
        )
