"""Loading a RunConfig from a preset or a YAML file, with `key=value` changes."""

import copy
import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from configs.block import Block
from configs.errors import ConfigError, UnknownModel
from configs.ground_truth import GroundTruth, LabeledSet, kind_of_set, require_labeled
from configs.models import RunConfig
from configs.segmenters import NETWORK_KINDS
from configs.student_training import StudentTraining
from configs.synthesis import FakeMotionBlock
from configs.training import (
    MattingTraining,
    OsvosParentTraining,
    PoseMaskTraining,
    TemporalTraining,
)
from configs.trees import CALIBRATIONS, apply_change, parse_yaml, read_tree, with_absolute_paths

Settings = TypeVar("Settings", bound=Block)


def load_config(name_or_file: str, changes: Sequence[str] = ()) -> RunConfig:
    """Read a preset (`lite`) or a file (`./mine.yaml`) and apply changes (`agreement.hard_below=0.6`).

    A file changes the values of the preset or file that its key `base` names, if it has one. Relative paths in a file start at its folder, those in changes at the current folder. The returned config has
    absolute paths, so that the run does not depend on the current folder, which differs between workers.

    Raises:
        ConfigError: no such preset or file, not YAML, an unknown key (the message names the nearest known
            key), or a value out of range.
        UnknownModel: a segmenter of unknown kind or name.
    """
    return validate_config(load_tree(name_or_file, changes), name_or_file)


def load_tree(name_or_file: str, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Read a config as `load_config` does, as a plain tree without defaults.

    Raises:
        ConfigError: no such preset or file, not YAML, a circle of bases, or not a change.
    """
    return _changed(read_tree(name_or_file), changes)


def change_config(tree: Mapping[str, Any], changes: Sequence[str], origin: str) -> RunConfig:
    """Apply changes to a plain tree, whose relative paths start at the current folder; errors name `origin`."""
    return validate_config(_changed(tree, changes), origin)


def _changed(tree: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    changed = copy.deepcopy(dict(tree))
    for change in changes:
        apply_change(changed, change)
    return with_absolute_paths(changed, Path())


def validate_config(tree: Mapping[str, Any], origin: str) -> RunConfig:
    """Make a RunConfig from a plain tree; errors name `origin`."""
    try:
        return RunConfig.model_validate(_read_calibration(tree, origin))
    except ValidationError as exc:
        lines = [_explain(problem) for problem in exc.errors()]
        kind = UnknownModel if any(_is_unknown_model(problem) for problem in exc.errors()) else ConfigError
        raise kind(f"config {origin}: " + "; ".join(dict.fromkeys(lines))) from exc


def _read_calibration(tree: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
    """Replace the name of a calibration by the content of its file."""
    trust = tree.get("trust")
    name = trust.get("calibration") if isinstance(trust, Mapping) else None
    if not isinstance(trust, Mapping) or not isinstance(name, str):
        return tree
    shipped = files("configs") / "calibrations" / f"{name}.json"
    where = f"config {origin}: trust.calibration: {name!r}"
    try:
        content = json.loads((shipped if name in CALIBRATIONS else Path(name)).read_text("utf-8"))
    except (OSError, ValueError) as exc:
        known = ", ".join(CALIBRATIONS)
        raise ConfigError(
            f"{where} is neither shipped ({known}) nor a readable file of `maskmill calibrate`: {exc}"
        ) from exc
    if not isinstance(content, dict):
        raise ConfigError(f"{where} is not a file of `maskmill calibrate`; make one with that command")
    return {**tree, "trust": {**trust, "calibration": content}}


def load_training(file: Path | None, changes: Sequence[str] = ()) -> MattingTraining:
    """Read the settings of a matting training from a YAML file, or take the defaults, and apply changes.

    A change is such as `steps=100`.

    Raises:
        ConfigError: no such file, not YAML, an unknown key (the message names the nearest known key), or a
            value out of range.
    """
    return _load_training(MattingTraining, file, changes)


def load_pose_mask_training(file: Path | None, changes: Sequence[str] = ()) -> PoseMaskTraining:
    """Read the settings of a pose-mask training as `load_training` does.

    Raises:
        ConfigError: as there.
    """
    return _load_training(PoseMaskTraining, file, changes)


def load_osvos_parent_training(file: Path | None, changes: Sequence[str] = ()) -> OsvosParentTraining:
    """Read the settings of the parent network's training, as `load_training`.

    Raises:
        ConfigError: as there.
    """
    return _load_training(OsvosParentTraining, file, changes)


def load_temporal_training(file: Path | None, changes: Sequence[str] = ()) -> TemporalTraining:
    """Read the settings of the recurrent matting network's training, as `load_training`.

    Raises:
        ConfigError: as there.
    """
    return _load_training(TemporalTraining, file, changes)


def load_student_training(file: Path | None, changes: Sequence[str] = ()) -> StudentTraining:
    """Read the settings of a student's training, as `load_training`.

    Raises:
        ConfigError: as there.
    """
    return _load_training(StudentTraining, file, changes)


def _load_training(kind: type[Settings], file: Path | None, changes: Sequence[str]) -> Settings:
    try:
        text = file.read_text("utf-8") if file else ""
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read {file}: {exc}; check the path") from exc
    origin = str(file or "of the training")
    tree = with_absolute_paths(parse_yaml(text, origin), file.parent if file else Path())
    return _validate(kind, tree, changes, origin)


def load_synthesis(changes: Sequence[str] = ()) -> FakeMotionBlock:
    """Return the default settings of `maskmill synthesize` with changes (`duration_s=2`).

    Raises:
        ConfigError: an unknown key (the message names the nearest known key), or a value out of range.
    """
    return _validate(FakeMotionBlock, {}, changes, "of the synthesis")


def _validate(kind: type[Settings], tree: Mapping[str, Any], changes: Sequence[str], origin: str) -> Settings:
    try:
        return kind.model_validate(_changed(tree, changes))
    except ValidationError as exc:
        lines = [_explain(problem, kind) for problem in exc.errors()]
        raise ConfigError(f"config {origin}: " + "; ".join(dict.fromkeys(lines))) from exc


def load_labeled_sets(file_or_tree: Path | Mapping[str, Any]) -> dict[str, LabeledSet]:
    """Read sets of labeled images as `load_ground_truth` does.

    Raises:
        ConfigError: as there, or a set has a matte or a plate.
    """
    return require_labeled(load_ground_truth(file_or_tree))


def load_ground_truth(file_or_tree: Path | Mapping[str, Any]) -> dict[str, GroundTruth]:
    """Read sets by name from a YAML file, whose relative paths start at its folder, or a plain tree.

    Raises:
        ConfigError: no such file, not YAML, no set in it, an unknown key or a wrong value.
    """
    if isinstance(file_or_tree, Path):
        origin, folder = str(file_or_tree), file_or_tree.parent
        try:
            tree: Mapping[str, Any] = parse_yaml(file_or_tree.read_text("utf-8"), origin)
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"cannot read {origin}: {exc}; check the path") from exc
    else:
        tree, origin, folder = file_or_tree, "command line", Path()
    if not tree:
        raise ConfigError(f"{origin}: no labeled set; add a line NAME: {{images: DIR, masks: DIR}}")
    sets: dict[str, GroundTruth] = {}
    for name, block in tree.items():
        kind = kind_of_set(block)
        try:
            sets[str(name)] = kind.model_validate(block).below(folder)
        except ValidationError as exc:
            lines = [_explain(problem, kind) for problem in exc.errors()]
            raise ConfigError(f"labeled set {origin}: {name}: " + "; ".join(dict.fromkeys(lines))) from exc
    return sets


_PERCENT = re.compile(r"\s*\d+(\.\d+)?\s*%\s*")
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")


def _is_unknown_model(problem: Any) -> bool:
    return "union_tag" in problem["type"] or problem["loc"][-2:] == ("torchvision", "model")


def _explain(problem: Any, root: type[BaseModel] = RunConfig) -> str:
    """Return one of pydantic's errors as a sentence, with the nearest known key for an unknown one."""
    where = [str(part) for part in problem["loc"]]
    if problem["type"] == "union_tag_invalid":
        return f"{'.'.join(where)}: {_explain_kind(problem['ctx'])}"
    if problem["type"] == "union_tag_not_found" and isinstance(problem["input"], dict):
        kind = _kind_of_file(problem["input"].get("path"))
        return f"{'.'.join(where)}: add `kind: {kind or 'KIND'}`, which says what the other keys mean"
    if problem["type"] == "extra_forbidden":
        known = _known_keys(where[:-1], root)
        if where[-1] == "path" and (kind := _kind_of_file(problem["input"])):
            return f"unknown key {'.'.join(where)!r}; add `kind: {kind}` for a network of your own"
        near = [] if len(where) > 1 else _deeper_keys(where[0], root)
        near = near or difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"unknown key {'.'.join(where)!r}; {hint}"
    if problem["type"] == "model_type":
        keys = ", ".join(_known_keys(where, root))
        text = f"must be a block of keys (known: {keys}), is {problem['input']!r}"
    elif problem["type"] == "invalid_key" and where[-1].isdigit():
        where, text = (
            where[:-1],
            f"',{where[-1]}' is read as another key: write decimals with a point, such as 0.6",
        )
    elif _DECIMAL_COMMA.fullmatch(str(problem["input"])):
        text = (
            f"{problem['input']!r} has a comma: write {str(problem['input']).replace(',', '.')}, with a point"
        )
    elif _PERCENT.fullmatch(str(problem["input"])):
        share = float(str(problem["input"]).strip(" %")) / 100
        text = f"{problem['input']!r} is no number: write {share:g} for a share"
    else:
        is_shown = problem["type"] != "secret_in_url" and not isinstance(problem["input"], dict)
        text = problem["msg"] + (f" (is {problem['input']!r})" if is_shown else "")
    return f"{'.'.join(where)}: {text}" if where else text


def _kind_of_file(path: object) -> str | None:
    """Return the kind of a network's file."""
    return NETWORK_KINDS.get(Path(str(path)).suffix.lower())


def _explain_kind(context: Mapping[str, str]) -> str:
    """Return what to write instead of an unknown `kind`."""
    kinds = context["expected_tags"].replace("'", "").split(", ")
    own = NETWORK_KINDS.get(f".{context['tag'].lower()}")
    near = [own] if own else difflib.get_close_matches(context["tag"], kinds, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(kinds)}"
    return f"there is no kind {context['tag']!r}; {hint}"


def _deeper_keys(name: str, root: type[BaseModel]) -> list[str]:
    """Return where a key that was written at the top belongs, such as `agreement.hard_below`."""
    return [
        f"{key}.{name}"
        for key, field in root.model_fields.items()
        if any(name in block.model_fields for block in _blocks_in(field.annotation))
    ]


def _known_keys(path: Sequence[str], root: type[BaseModel]) -> list[str]:
    """Return the keys of the block at `path`, in which pydantic puts a segmenter's kind after its key."""
    blocks = [root]
    for part in path:
        fields = [block.model_fields[part] for block in blocks if part in block.model_fields]
        children = [child for field in fields for child in _blocks_in(field.annotation)]
        of_kind = [block for block in blocks if part in _kinds(block)]
        blocks = children or of_kind or blocks
    return sorted({key for block in blocks for key in block.model_fields})


def _blocks_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the blocks that an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _blocks_in(argument)


def _kinds(block: type[BaseModel]) -> tuple[str, ...]:
    return get_args(block.model_fields["kind"].annotation) if "kind" in block.model_fields else ()
