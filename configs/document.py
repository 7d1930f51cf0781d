"""A config as YAML with a comment at each key, and the JSON schema of config files for editors."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from configs.block import Block, field_docs
from configs.models import RunConfig
from configs.trees import BASE, PRESETS

_WIDTH = 100
_SHORT = ("teacher", "student", "segmenter", "verifier", "pose", BASE)
"""Keys of segmenters, which have a short form."""


def render_config(config: RunConfig, tree: Mapping[str, Any], *, title: str) -> str:
    """Return all settings of a config as YAML that can be used as a file: the same run.

    `tree` is the plain tree that the config was made from: a calibration that it names is written by name.
    """
    trust = tree.get("trust")
    named = trust.get("calibration") if isinstance(trust, Mapping) else None
    lines = [
        f"# {title}",
        *_block_lines(config, {"trust.calibration": named} if isinstance(named, str) else {}, ""),
    ]
    return "\n".join(lines) + "\n"


def _block_lines(block: Block, named: Mapping[str, str], path: str) -> Iterator[str]:
    indent, docs = "  " * path.count("."), field_docs(type(block))
    for key in type(block).model_fields:
        value, where = getattr(block, key), path + key
        yield from _comment(docs.get(key), indent)
        if isinstance(value, Block) and where not in named:
            yield f"{indent}{key}:"
            yield from _block_lines(value, named, f"{where}.")
        else:
            yield f"{indent}{key}: {_flow(named.get(where, block.model_dump(mode='json', include={key})[key]))}"


def _comment(text: str | None, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(text or "", _WIDTH - len(indent)):
        yield f"{indent}# {line}"


def _flow(value: Any) -> str:
    """Return a value on one line.

    >>> _flow([1, 2]), _flow(None), _flow("10")
    ('[1, 2]', 'null', "'10'")
    """
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True)
    return text.strip().removesuffix("...").strip()


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of config files: every key may be missing, because `base` may give it."""
    schema = RunConfig.model_json_schema()
    schema["properties"] = {BASE: _base_schema(), **schema["properties"]}
    schema["title"] = "maskmill config"
    for node in _nodes(schema):
        node.pop("required", None)
        node.pop("discriminator", None)
        for key in _SHORT:
            properties = node.get("properties")
            if isinstance(properties, dict) and key in properties and key != BASE:
                properties[key] = _with_short_form(properties[key])
        if "oneOf" in node:
            node["anyOf"] = node.pop("oneOf")
    _allow_name(
        schema["$defs"]["Trust"]["properties"], "calibration", "Name of a shipped calibration, or a file."
    )
    return schema


def _base_schema() -> dict[str, Any]:
    return {
        "type": "string",
        "description": "Preset or file whose values this file changes.",
        "examples": list(PRESETS),
    }


def _with_short_form(found: dict[str, Any]) -> dict[str, Any]:
    about: dict[str, Any] = {name: found[name] for name in ("description", "default") if name in found}
    inner = {name: value for name, value in found.items() if name not in about}
    return {
        "anyOf": [{"type": "string", "description": "Short form, such as lite or background:mog2."}, inner],
        **about,
    }


def _allow_name(properties: dict[str, Any], key: str, description: str) -> None:
    about: dict[str, Any] = {"anyOf": [{"type": "string", "description": description}, properties[key]]}
    properties[key] = about | {
        name: properties[key][name] for name in ("description",) if name in properties[key]
    }


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield all mappings of a schema."""
    if isinstance(node, dict):
        yield node
        for value in list(node.values()):
            yield from _nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value)
