"""The students of a home: their files, the one in use, and `registry:current` in a config."""

import getpass
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.orm import Session

from configs.errors import ConfigError, StorageError
from configs.models import RunConfig
from configs.segmenters import CustomNetworkBlock, RegistryBlock
from db.models.students import StudentRow
from db.students.registry import (
    CURRENT,
    Change,
    StudentLine,
    add_change,
    find_student,
    previous_student,
    record_student,
    student_line,
)
from labeling.storage.atomic import WRITING_PREFIX, storage_errors
from labeling.storage.home import Home
from labeling.students.files import INT8, NETWORK, WEIGHTS
from tasks.execution.context import Context, open_context

LOCK = "student promote"
"""One change of the current student at a time."""


@dataclass(frozen=True, slots=True)
class TrainedStudent:
    """What a training gives to the registry."""

    folder: Path
    """It has the three files."""
    sha256: str
    int8_sha256: str
    block: dict[str, Any]
    """Config of the network without its path."""
    dataset: str
    snapshot_id: str
    training: dict[str, Any]
    metrics: dict[str, Any]


def register_student(context: Context, trained: TrainedStudent) -> None:
    """Copy a student's files into the home, then record it; the same student again changes nothing.

    Killed in between, it leaves files without a row, which the next call uses.

    Raises:
        StorageError: a file cannot be read or written.
    """
    target = context.home.students / trained.sha256
    _copy_files(trained.folder, target)
    with context.database.transaction() as session:
        record_student(
            session,
            {
                "id": trained.sha256,
                "folder": context.home.relative(target),
                "int8_sha256": trained.int8_sha256,
                "block": trained.block,
                "dataset": trained.dataset,
                "snapshot_id": trained.snapshot_id,
                "training": trained.training,
                "metrics": trained.metrics,
                "created_by": user_name(),
            },
        )


def _copy_files(source: Path, target: Path) -> None:
    """Copy to a temporary folder and rename it, so that a folder of this name is complete."""
    if target.is_dir():
        return
    temporary = target.parent / f"{WRITING_PREFIX}{secrets.token_hex(8)}"
    with storage_errors(target):
        temporary.mkdir(parents=True)
        try:
            for name in (NETWORK, INT8, WEIGHTS):
                shutil.copyfile(source / name, temporary / name)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def user_name() -> str:
    """Return the name of the system's user, `unknown` where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def student_file(home: Home, row: StudentRow, name: str = NETWORK) -> Path:
    """Return a file of a student; StorageError if it is not there."""
    path = home.absolute(row.folder) / name
    if not path.is_file():
        raise StorageError(
            f"the file {path} of student {row.id[:12]} no longer exists: restore the folder `students` of the home"
        )
    return path


def block_of(home: Home, row: StudentRow, file: Literal["onnx", "int8"] = "onnx") -> CustomNetworkBlock:
    """Return the config block that uses a student: its concrete file and hash."""
    name, digest = (NETWORK, row.id) if file == "onnx" else (INT8, row.int8_sha256)
    tree = {**row.block, "path": student_file(home, row, name), "sha256": digest}
    return CustomNetworkBlock.model_validate(tree)


def with_registered_student(config: RunConfig, home: Home) -> RunConfig:
    """Replace `registry:...` by the network that it stands for now, so that the run's id names the network.

    Raises:
        ConfigError: no such student, or none was promoted yet.
        StorageError: its file is missing.
    """
    if not isinstance(config.student, RegistryBlock):
        return config
    block = config.student
    with open_context(home).database.session() as session:
        found = block_of(home, find_student(session, block.model), block.file)
    changed = found.model_copy(update={"refine": block.refine})
    return RunConfig.model_validate({**dict(config), "student": changed})


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A promotion that was taken back."""

    before: StudentLine
    now: StudentLine


def roll_back(context: Context, reason: str | None) -> RolledBack:
    """Make the student current that was so before the last promotion.

    Raises:
        ConfigError: there was none before.
    """
    with context.database.exclusive(LOCK), context.database.transaction() as session:
        before = find_student(session, CURRENT)
        if (previous := previous_student(session)) is None:
            raise ConfigError(
                f"student {before.id[:12]} is the first one that was promoted: there is none to go back to"
            )
        add_change(session, previous, Change("rollback", user_name(), reason=reason))
        return RolledBack(_line(session, before.id), _line(session, previous))


def _line(session: Session, student_id: str) -> StudentLine:
    return student_line(session, find_student(session, student_id))
