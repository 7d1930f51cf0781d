"""The base of all parts of a config, and the docstrings of its keys."""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import cleandoc, getsource
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Fraction01 = Annotated[float, Field(ge=0.0, le=1.0)]


@cache
def field_docs(block: type) -> Mapping[str, str]:
    """Return the docstring below each key of a block, those of its bases included.

    Pydantic's `use_attribute_docstrings` does the same while a class is made, which is a tenth of the start of every
    command, although most commands show none.

    >>> from configs.models import Agreement
    >>> sorted(field_docs(Agreement))
    ['boundary_below', 'hard_below', 'match_iou']
    """
    found: dict[str, str] = {}
    for base in reversed(block.__mro__):
        found |= _docs_of_module(base.__module__).get(base.__qualname__, {})
    return found


def describe(schema: dict[str, Any], block: type) -> None:
    """Add the docstrings to the JSON schema of a block."""
    for key, text in field_docs(block).items():
        if key in schema.get("properties", {}):
            schema["properties"][key].setdefault("description", text)


@cache
def _docs_of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    if not name.startswith("configs."):
        return {}
    tree = ast.parse(getsource(sys.modules[name]))
    return {node.name: dict(_docs_in(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _docs_in(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for key, below in zip(node.body, node.body[1:], strict=False):
        if not isinstance(key, ast.AnnAssign) or not isinstance(key.target, ast.Name):
            continue
        if (
            isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            yield key.target.id, cleandoc(below.value.value)


class Block(BaseModel):
    """A frozen part of a config; unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        json_schema_extra=describe,  # Prefect's UI shows a field's docstring
        field_title_generator=lambda key, _: key,  # and its key as the title
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_yes_for_numbers(cls, values: object) -> object:
        """YAML reads `yes`, `no`, `on` and `off` as truths, which pydantic takes for 1 and 0."""
        for key, value in values.items() if isinstance(values, dict) else ():
            field = cls.model_fields.get(key)
            kinds = {field.annotation, *get_args(field.annotation)} if field else set()
            if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
                raise PydanticCustomError("no_number", "{key} requires a number, not yes or no", {"key": key})
        return values


def _as_names(value: object) -> object:
    """Return one name or id, or several, as a list of texts."""
    several = value if isinstance(value, list | tuple) else [value]
    return [str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in several]


Names = Annotated[tuple[str, ...], BeforeValidator(_as_names)]
"""Names or ids; one alone needs no list."""

_SHORTHAND = {
    "torchvision": "model",
    "transformers": "model",
    "sam": "model",
    "vitmatte": "model",
    "vitpose": "model",
    "background": "method",
    "masks_folder": "path",
    "http": "url",
    "python": "factory",
    "registry": "model",
    "matting": "weights",
    "guided_filter": "radius",
    "dense_crf": "backend",
    "pose_guided": "method",
    "flow_smoothing": "neighbors",
}
"""The key that the part after the colon of a short form sets, by kind of segmenter or refiner."""


def expand_shorthand(block: Any) -> Any:
    """Return the mapping of a block in short form; return anything else as it is."""
    if not isinstance(block, str):
        return block
    kind, _, value = block.partition(":")
    return {"kind": kind, _SHORTHAND.get(kind, "path"): value} if value else {"kind": kind}
