"""Which categories of a COCO file are people, and ids compared as text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from configs.errors import ModelOutputWrong
from labeling.text.figures import count_of

PERSON_ID = "1"
"""COCO's category, for records without categories."""
PERSON_NAMES = frozenset({"person", "persons", "people", "human", "humans"})
"""Names of the category, in any case."""
_SHOWN = 8


def id_text(value: object) -> str:
    """Return an id as text: some writers store 1 as "1" or 1.0.

    >>> id_text(1), id_text("1"), id_text(1.0), id_text("p0")
    ('1', '1', '1', 'p0')
    """
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def person_ids(
    categories: Iterable[Any], *, origin: str, person_category: Sequence[str] = ()
) -> frozenset[str]:
    """Return the ids of the people's categories, as text.

    `person_category` lists names or ids that the user declared. Without it, they are the categories called `person` or
    `people` in any case; without any categories, COCO's 1.

    Raises:
        ModelOutputWrong: no category is one of people; the names are listed.
    """
    known = [one for one in categories if isinstance(one, Mapping)]
    _refuse_double_ids(known, origin)
    if person_category and not known:
        return frozenset(map(id_text, person_category))
    if not known:
        return frozenset({PERSON_ID})
    wanted = {id_text(one).casefold() for one in person_category} or PERSON_NAMES
    found = {id_text(one.get("id")) for one in known if _name(one) in wanted}
    if person_category:
        found |= {id_text(one.get("id")) for one in known if id_text(one.get("id")) in wanted}
    if not found:
        names = ", ".join(f"{one.get('name')!r} (id {one.get('id')})" for one in known[:_SHOWN])
        more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        declared = f"called {', '.join(map(repr, person_category))}" if person_category else "called 'person'"
        raise ModelOutputWrong(
            f"{origin}: no category is {declared}; there are {names}{more}: set person_category to the name or id of "
            "people"
        )
    return frozenset(found)


def is_person(record: Mapping[str, Any], people: frozenset[str]) -> bool:
    """Return whether a record is of one of these categories, or of none."""
    category = record.get("category_id")
    return category is None or id_text(category) in people


def refuse_other_categories(
    records: Sequence[Any], people: frozenset[str], *, origin: str, only_zero: bool = False
) -> None:
    """Raise `ModelOutputWrong` if there are records, and none is of a person.

    `only_zero`: only if one has the category 0, with which YOLO counts people and COCO nothing.
    """
    found = {id_text(one.get("category_id")) for one in records if isinstance(one, Mapping)}
    has_person = any(isinstance(one, Mapping) and is_person(one, people) for one in records)
    if not found or has_person or (only_zero and "0" not in found):
        return
    raise ModelOutputWrong(
        f"{origin}: {count_of(len(records), 'record')}, none of category_id {', '.join(sorted(people))} (people); found: "
        f"{', '.join(sorted(found)[:_SHOWN])}: set person_category to the id of people, such as 0 for YOLO's"
    )


def _name(category: Mapping[str, Any]) -> str:
    return str(category.get("name")).strip().casefold()


def _refuse_double_ids(categories: Sequence[Mapping[str, Any]], origin: str) -> None:
    names: dict[str, str] = {}
    for one in categories:
        number, name = id_text(one.get("id")), _name(one)
        if names.setdefault(number, name) != name:
            raise ModelOutputWrong(
                f"{origin}: the categories {names[number]!r} and {name!r} have the same id {number}: give each its own"
            )
