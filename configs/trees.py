"""Config files as plain trees: reading, `base`, relative paths and `key=value` changes."""

import difflib
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from configs.block import expand_shorthand
from configs.errors import ConfigError

CALIBRATIONS = ("lite", "lite-heavy", "surveillance")
"""Shipped calibrations, named after the preset whose teacher they are fitted to."""
MOST_VALUES = 100_000
"""Of a config; a few lines of aliases of aliases stand for billions."""
_SEGMENTERS = ("teacher", "student", "segmenter", "verifier", "pose", "base")
"""Keys whose block may have the short form."""
_PATHS = (
    "weights_dir",
    "cookies_file",
    "path",
    "calibration",
    "trajectories",
    "homography",
    "parent",
    "cache",
    "truth",
)
"""Keys whose value is a path; not the export's folder, which is relative to the home."""
_PERHAPS_PATHS = ("against",)
"""Keys whose value is a path if it ends as a config file does or names a folder; otherwise a preset or a student."""
PRESETS = ("best", "default", "lite", "lite-heavy", "moving", "offline", "surveillance")

BASE = "base"
"""Key of a config file that names the preset or file whose values it changes."""


def read_tree(name_or_file: str) -> dict[str, Any]:
    """Read a preset or a file with everything that its `base` gives; relative paths start at the file's folder.

    Blocks are merged key by key, and lists are replaced. A segmenter of another kind replaces the base's, so
    that no key of the old kind stays.

    Raises:
        ConfigError: no such preset or file, not YAML, or the bases form a circle.
    """
    return _read_chain(name_or_file, ())


def _read_chain(name_or_file: str, below: tuple[str, ...]) -> dict[str, Any]:
    key = name_or_file if name_or_file in PRESETS else str(Path(name_or_file).expanduser().absolute())
    if key in below:
        circle = " -> ".join([*below[below.index(key) :], key])
        raise ConfigError(
            f"config {below[0]}: the bases form a circle, {circle}: remove `base` from one of them"
        )
    tree = parse_yaml(_read(name_or_file), name_or_file)
    folder = Path() if name_or_file in PRESETS else Path(name_or_file).expanduser().parent
    base = tree.pop(BASE, None)
    own = with_absolute_paths(tree, folder)
    if base is None:
        return own
    if not isinstance(base, str):
        raise ConfigError(
            f"config {name_or_file}: base: name a preset ({', '.join(PRESETS)}) or a file, not {base!r}"
        )
    named = base if base in PRESETS else os.path.normpath(folder.absolute() / Path(base).expanduser())
    if base not in PRESETS and not Path(named).exists():
        raise ConfigError(f"config {name_or_file}: base: {_unknown(base)}")
    return merge_trees(_read_chain(named, (*below, key)), own)


def merge_trees(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `own`.

    >>> merge_trees({"teacher": {"kind": "lite", "tiles": 2}, "batch": 8}, {"teacher": {"tiles": 1}})
    {'teacher': {'kind': 'lite', 'tiles': 1}, 'batch': 8}
    >>> merge_trees({"teacher": {"kind": "lite", "tiles": 2}}, {"teacher": {"kind": "selfie"}})
    {'teacher': {'kind': 'selfie'}}
    """
    merged = dict(base)
    for key, value in own.items():
        before = merged.get(key)
        merged[key] = value
        if isinstance(before, Mapping) and isinstance(value, Mapping) and key != "calibration":
            kind = before.get("kind")
            merged[key] = merge_trees(before, value) if value.get("kind", kind) == kind else value
    return merged


def with_absolute_paths(tree: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Resolve relative paths against a folder, except in the options of a user's own factory."""
    return {key: value if key == "options" else _absolute(key, value, folder) for key, value in tree.items()}


def _absolute(key: str, value: Any, folder: Path) -> Any:
    value = expand_shorthand(value) if key in _SEGMENTERS else value
    if key == "refine" and isinstance(value, list | tuple):
        return [_absolute_refiner(expand_shorthand(block), folder) for block in value]
    if isinstance(value, Mapping) and key != "calibration":
        return with_absolute_paths(value, folder)
    if not isinstance(value, str) or not _is_path(key, value):
        return value
    path = os.path.expanduser(value)  # noqa: PTH111  # pathlib's raises where there is no such user
    return os.path.normpath(folder.absolute() / path)  # links are not resolved: their targets may change


def _is_path(key: str, value: str) -> bool:
    if key in _PERHAPS_PATHS:
        return value.endswith((".yaml", ".yml")) or "/" in value
    return key in _PATHS and not (key == "calibration" and value in CALIBRATIONS)


def _absolute_refiner(block: Any, folder: Path) -> Any:
    """Resolve the file of a matting network; the `weights` of torchvision are a name."""
    if not isinstance(block, Mapping) or not isinstance(block.get("weights"), str):
        return block
    return {**block, "weights": _absolute("path", block["weights"], folder)}


def _read(name_or_file: str) -> str:
    """Return the text of a preset or file."""
    if name_or_file in PRESETS:
        return (files("configs") / f"{name_or_file}.yaml").read_text("utf-8")
    path = Path(name_or_file)
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigError(
            f"config {name_or_file} is not text in UTF-8: name a YAML file, or save yours as UTF-8"
        ) from exc
    except OSError as exc:
        raise ConfigError(_unknown(name_or_file)) from exc


def _unknown(name_or_file: str) -> str:
    near = difflib.get_close_matches(name_or_file, PRESETS, n=1)
    hint = f"did you mean the preset {near[0]!r}?" if near else f"presets: {', '.join(PRESETS)}"
    return f"no config {name_or_file!r}: neither a preset nor a readable file; {hint}"


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, of which YAML takes the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if (
                isinstance(key, yaml.ScalarNode)
                and key.value != "<<"
                and (first := seen.setdefault(key.value, line)) != line
            ):
                raise ValueError(f"{key.value!r} is there twice, in the lines {first} and {line}: remove one")
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, origin: str) -> dict[str, Any]:
    """Return the `key: value` lines of a text; errors name `origin`.

    Raises:
        ConfigError: not YAML, or something else than keys.
    """
    try:
        tree = _StrictLoader(text).get_single_data()
    except (yaml.YAMLError, ValueError) as exc:  # ValueError: a date such as 2026-99-99
        said = " ".join(str(exc).replace('in "<unicode string>", ', "in ").split())
        raise ConfigError(f"config {origin}: not YAML: {said}") from exc
    except RecursionError:
        raise ConfigError(f"config {origin}: too many brackets within brackets; write it flatter") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"config {origin}: write `key: value` lines (it is a {type(tree).__name__})")
    if _has_more_values(tree, MOST_VALUES):
        raise ConfigError(
            f"config {origin}: more than {MOST_VALUES:,} values, by its aliases (*name): write less"
        )
    return tree


def _has_more_values(tree: Any, most: int) -> bool:
    """Return whether a tree has more than `most` values, each counted as often as an alias repeats it."""
    waiting, seen = [tree], 0
    while waiting and seen <= most:
        value = waiting.pop()
        seen += 1
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return seen > most


def apply_change(tree: dict[str, Any], change: str) -> None:
    """Set one dotted key; the short form of a segmenter becomes a mapping first."""
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {change!r}: write key=value, for example agreement.hard_below=0.6")
    *parents, leaf = key.split(".")
    node = tree
    for parent in parents:
        value = node.get(parent)
        child = (expand_shorthand(value) if parent in (*_SEGMENTERS, "tracking") else value) or {}
        if not isinstance(child, dict):
            raise ConfigError(f"--set {change!r}: {parent} is {child!r} and has no keys")
        node[parent] = child
        node = child
    try:
        node[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigError(f"--set {change!r}: {text!r} is not a YAML value") from exc
