"""Compare two students on frames that neither was trained on."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from configs.errors import ConfigError
from configs.load import load_config
from configs.segmenters import RegistryBlock, SegmenterBlock
from db.datasets.queries import VersionFrame
from db.datasets.strata import train_videos
from db.models.students import StudentRow
from db.students.registry import find_student
from labeling.segmenters.factory import make_segmenter
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.students.comparison import StudentComparison, compare_scores
from labeling.students.predict import mask_of_segmenter
from labeling.students.scores import PersonMask, ScoreTable
from tasks.execution.context import Context
from tasks.students.frames import find_split, read_frames, rows_of_splits
from tasks.students.registry import block_of
from tasks.training_records import FailedInput

_ID = re.compile(r"current|latest|[0-9a-f]{6,64}")


@dataclass(frozen=True, slots=True)
class NamedStudent:
    """A student that is compared."""

    name: str
    block: SegmenterBlock
    row: StudentRow | None = None
    """None: it is the student of a config."""
    weights_dir: Path | None = None
    """Folder of published weights; None: the cache."""


def resolve_student(context: Context, session: Session, text: str) -> NamedStudent:
    """Return the student that `current`, `latest`, an id, one of these with `:int8`, or a preset or config file stands for.

    Raises:
        ConfigError: there is none.
    """
    name, _, file = text.partition(":")
    if file not in ("", "int8"):
        raise ConfigError(
            f"student {text}: write ID or ID:int8, current or current:int8, or a preset or config"
        )
    if _ID.fullmatch(name):
        row = find_student(session, name)
        block = block_of(context.home, row, "int8" if file else "onnx")
        return NamedStudent(row.id[:12] + (":int8" if file else ""), block, row)
    config = load_config(text)
    student = config.student
    if isinstance(student, RegistryBlock):
        return resolve_student(context, session, student.model + (":int8" if student.file == "int8" else ""))
    return NamedStudent(f"{text}'s {student.kind}", student, weights_dir=config.weights_dir)


def compare_students(
    context: Context, first: str, second: str, on: str, *, seed: int = 0
) -> StudentComparison:
    """Compare two students on `VERSION` or `VERSION:SPLIT`.

    Raises:
        ConfigError: no such student, version or frame, or a student that requires a whole clip.
    """
    with context.database.session() as session:
        students = [resolve_student(context, session, text) for text in (first, second)]
        return compare_named(context, session, students, on, seed=seed)


def compare_named(
    context: Context, session: Session, students: Sequence[NamedStudent], on: str, *, seed: int = 0
) -> StudentComparison:
    """Compare the first two of these students; the third is the first one's int8 file.

    Frames of videos that one of them was trained on are left out.
    """
    finders = {one.name: _find_mask(one) for one in students}
    if len(finders) < len(students):
        raise ConfigError(f"{students[0].name} is compared with itself: name two different students")
    made, splits = find_split(session, on)
    learned = train_videos(session, {one.row.dataset.rpartition("@")[0] for one in students if one.row})
    rows = _Unseen(rows_of_splits(session, made, splits), learned)
    table, failures = ScoreTable(tuple(finders)), list[FailedInput]()
    for frame in read_frames(session, made, rows, context.home, failures):
        found = [find(frame.rgb) for find in finders.values()]
        table.add(frame.video_id, frame.groups, frame.person, found)
    name = f"{made.name}@{made.number}:{'+'.join(splits)}"
    if not len(table):
        raise ConfigError(
            f"{name} has no frame that neither student was trained on: create an evaluation set with `maskmill dataset "
            "create NAME --frozen`"
        )
    return compare_scores(table, name, unreadable=len(failures), learned=rows.left_out, seed=seed)


@dataclass(slots=True)
class _Unseen:
    """Frames, without those of some videos, which are counted."""

    rows: Iterable[VersionFrame]
    videos: Collection[str]
    left_out: int = 0

    def __iter__(self) -> Iterator[VersionFrame]:
        for row in self.rows:
            if row.video_id in self.videos:
                self.left_out += 1
            else:
                yield row


def _find_mask(student: NamedStudent) -> PersonMask:
    segmenter = make_segmenter(student.block, weights_dir=student.weights_dir, device="auto", batch=1)
    if not isinstance(segmenter, StatelessSegmenter):
        raise ConfigError(
            f"student {student.name} requires a whole clip: students that look at one image are compared"
        )
    return mask_of_segmenter(segmenter)
