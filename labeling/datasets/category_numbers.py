"""Numbers of a dataset's categories, one and the same in every format."""

from collections.abc import ItemsView, Sequence

from configs.errors import ExportError
from labeling.datasets.records import DatasetInstance


class CategoryNumbers:
    """The position of each category, counted from `first`.

    >>> CategoryNumbers(["person", "dog"]).names()
    {1: 'person', 2: 'dog'}
    """

    def __init__(self, categories: Sequence[str], *, first: int = 1) -> None:
        self._numbers = {name: position for position, name in enumerate(categories, start=first)}

    def number(self, instance: DatasetInstance) -> int:
        """Return the number of an instance's category.

        Raises:
            ExportError: the dataset has no such category.
        """
        return self.number_of(instance.category, instance.id)

    def number_of(self, category: str, instance_id: int) -> int:
        """Return the number of a category, which this instance has; see `number`."""
        found = self._numbers.get(category)
        if found is None:
            raise ExportError(
                f"instance {instance_id} is of category {category!r}, the dataset has "
                f"{', '.join(self._numbers)}: export the run that made it"
            )
        return found

    def items(self) -> ItemsView[str, int]:
        """Return each category with its number."""
        return self._numbers.items()

    def names(self) -> dict[int, str]:
        """Return the name of each number."""
        return {number: name for name, number in self._numbers.items()}
