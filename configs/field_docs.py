"""Docstrings of the keys of a config, for its JSON schema and for `maskmill config`."""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import cleandoc, getsource
from typing import Any


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
