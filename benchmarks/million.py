"""How long a person waits at a million instances: the queries behind the commands, and the COCO export.

    python benchmarks/million.py [--instances N] [--folder DIR] [--on sqlite|postgresql] [--rounds N]
                                 [--datumaro PYTHON]

Planted once in each database (kept in `--folder` for the next time; by default a temporary one): a run
of a million teacher instances and a quarter as many of the student's, two smaller runs, reviews.
Queries: the median and the slowest of the rounds, against the limit of 200 ms. Export: `write_coco` of the
whole run in a process of its own, whose peak memory the system reports, with the images hard-linked and
without, and with other processes that read (the peak is the largest of them); beside it pycocotools and json, which hold it all: masks read by the ORM, measured one by one, in a
list that `json.dump` writes, over a part (`--peer` annotations), for its time grows with the number alone.
With `--datumaro`, the interpreter of an environment that has Datumaro, it too: the time in which it writes
again, as COCO with masks, what it has read from our file of `--datumaro-frames` frames.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from more_itertools import batched
from planting import DATABASES, Plan, plant, serve_database
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from configs.categories import PERSON
from configs.models import Review as Settings
from db.connection.database import Database, open_database
from db.frames.dataset import REVIEWED, dataset_frames
from db.frames.dataset_masks import MaskReader
from db.frames.histograms import cause_counts, iou_histogram
from db.frames.instances import frame_instances, to_instance
from db.frames.listing import FrameQuery, list_frames
from db.models.core import DecisionRow, FrameRow, InstanceRow, RunRow
from db.models.review import ReviewRow
from db.review.items import review_items
from db.review.outbox import (
    count_elsewhere,
    fill_outbox,
    known_project,
    known_tasks,
    open_frames,
    reconcile,
    withdraw_unwanted,
)
from db.review.selection import choose_waiting, count_waiting
from db.review.summary import summarize_reviews
from db.runs.queries import latest_run, run_sources, summarize_run
from db.sql.reading import PAGE
from labeling.datasets.formats.coco import write_coco
from labeling.datasets.formats.coco_parts import write_coco_parts
from labeling.datasets.staging import ImageFolder
from labeling.storage.home import Home
from labeling.storage.object_store import ObjectStore
from tasks.browse import list_runs
from tasks.export_in_processes import MOST_PROCESSES, PartOrder, parts_of_run

LIMIT_MS = 200
Question = Callable[[Session, RunRow], object]


def _frames(**wanted: Any) -> Question:
    return lambda session, run: list(list_frames(session, run.id, FrameQuery(**{"limit": 20} | wanted)))


def _look_at_one(session: Session, run: RunRow) -> object:
    [row] = list_frames(session, run.id, FrameQuery(limit=1))
    frame = session.get_one(FrameRow, row.id)
    return [frame_instances(session, run.id, frame, role) for role in ("teacher", "student")]


def _project(session: Session) -> int:
    known = known_project(session, "local", "maskmill")
    return known.id if known else 0


def _items_to_send(session: Session, run: RunRow) -> object:
    waiting = (
        select(ReviewRow.frame_id).where(ReviewRow.run_id == run.id, ReviewRow.state == "waiting").limit(50)
    )
    return review_items(session, run, session.scalars(waiting).all())


def _reconciled(session: Session, run: RunRow) -> object:
    return reconcile(session, _project(session), known_tasks(session, _project(session)).unfinished)


QUESTIONS: dict[str, Question] = {
    "status: the run": summarize_run,
    "status: its reviews": summarize_reviews,
    "runs": lambda session, _: list_runs(session),
    "frames, hardest first": _frames(),
    "frames --decision review": _frames(decisions=("review",)),
    "frames --decision accepted": _frames(decisions=("accepted",)),
    "frames --decision easy": _frames(decisions=("easy",)),
    "frames --decision rejected": _frames(decisions=("rejected",)),
    "frames --order time": _frames(order="time"),
    "frames --order time --decision review": _frames(order="time", decisions=("review",)),
    "frames, a page of 500": _frames(limit=500),
    "show: one frame's people": _look_at_one,
    "report: agreement histogram": lambda session, run: iou_histogram(session, run.id),
    "report: causes": lambda session, run: cause_counts(session, run.id),
    "report: sources": lambda session, run: list(run_sources(session, run.id)),
    "push: what to send next, 500": lambda session, run: choose_waiting(
        session, run.id, Settings(), room=500
    ),
    "push: 50 frames with their masks": _items_to_send,
    "push: open tasks": lambda session, run: open_frames(session, _project(session), run.id),
    "push: reconcile": _reconciled,
    "push: not wanted any more": lambda session, run: withdraw_unwanted(
        session, run.id, _project(session), started=()
    ),
    "push: count waiting": lambda session, run: count_waiting(session, run.id),
    "push: count elsewhere": lambda session, run: count_elsewhere(session, run.id, _project(session)),
    "push: fill the outbox, nothing new": lambda session, run: fill_outbox(session, run.id),
}


@dataclass(frozen=True, slots=True)
class Planted:
    """A database full of instances."""

    database: Database
    home: Home


def time_questions(planted: Planted, rounds: int) -> None:
    """Print what each question takes; every round asks in a session of its own, and takes writes back."""
    with planted.database.session() as session:
        run_id = latest_run(session).id
    print(f"{'':40} {'median':>9} {'slowest':>9}   of {LIMIT_MS} ms")
    for name, ask in QUESTIONS.items():
        taken = [_time_one(planted.database, run_id, ask) for _ in range(rounds)]
        median, slowest = statistics.median(taken), max(taken)
        print(f"{name:40} {median:6.1f} ms {slowest:6.1f} ms   {median / LIMIT_MS:.2f}", flush=True)


def _time_one(database: Database, run_id: str, ask: Question) -> float:
    with database._writing() as session:
        run = latest_run(session, run_id)
        begin = time.perf_counter()
        ask(session, run)
        return 1000 * (time.perf_counter() - begin)


class NoImages(ImageFolder):
    """Leaves the images where they are."""

    def add(self, image: Path, *, name: str, store: ObjectStore | None = None) -> None:
        pass


def export(planted: Planted, folder: Path, *, images: bool, processes: int = 0) -> int:
    """The run as COCO, by this process or others; returns how many annotations."""
    target = None if images else NoImages(folder / "none", copy=False)
    with planted.database.session() as session:
        run_id = latest_run(session).id
        order = PartOrder(planted.home, run_id, ("easy", "accepted", "review", REVIEWED), (PERSON,))
        with parts_of_run(session, order, processes=processes) as parts:
            return write_coco_parts(parts, folder / "coco", images=target).instances


def export_as_objects(planted: Planted, folder: Path) -> int:
    """The same without images, by the way that every format takes: an object for each mask."""
    with planted.database.session() as session:
        run_id, decisions = latest_run(session).id, ("easy", "accepted", "review", REVIEWED)
        frames = dataset_frames(session, run_id, planted.home, decisions=decisions)
        return write_coco(frames, folder / "coco", images=NoImages(folder / "none", copy=False)).instances


def write_rows(planted: Planted, folder: Path) -> int:
    """The rows of the masks as plain JSON arrays: less no export in Python can do."""
    written = 0
    with planted.database.session() as session, (folder / "rows.json").open("wb") as file:
        run_id = latest_run(session).id
        masks = MaskReader(session, run_id)
        has_image = select(DecisionRow.frame_id).where(
            DecisionRow.run_id == run_id, DecisionRow.image.is_not(None)
        )
        for page in batched(session.scalars(has_image).all(), PAGE):
            rows = masks.rows_of_teacher(page)
            file.write(orjson.dumps([(*row[:2], row[2].decode(), *row[3:]) for row in rows]))
            written += len(rows)
    return written


def export_at_once(planted: Planted, folder: Path, *, most: int) -> int:
    """As one would with the ORM, pycocotools and json: everything in a list, then in a file."""
    annotations = []
    with planted.database.session() as session:
        teachers = select(InstanceRow, FrameRow).join(FrameRow, FrameRow.id == InstanceRow.frame_id)
        run_id = latest_run(session).id
        wanted = teachers.where(InstanceRow.run_id == run_id, InstanceRow.role == "teacher").limit(most)
        for row, frame in session.execute(wanted):
            mask = to_instance(row, frame).mask
            annotations.append(
                {
                    "id": row.id,
                    "image_id": frame.id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "area": mask.area_px,
                    "bbox": list(mask.box_xywh),
                    "segmentation": {"size": list(mask.size_hw), "counts": mask.counts.decode()},
                    "score": row.score,
                }
            )
    with (folder / "at_once.json").open("w") as file:
        json.dump({"annotations": annotations}, file)
    return len(annotations)


def export_by_datumaro(planted: Planted, python: Path, frames: int) -> tuple[int, float, float]:
    """Some frames of ours, written again by Datumaro: (annotations, our seconds, its seconds)."""
    with (
        tempfile.TemporaryDirectory(dir=planted.home.root) as temporary,
        planted.database.session() as session,
    ):
        folder, run_id = Path(temporary), latest_run(session).id
        some = dataset_frames(
            session, run_id, planted.home, decisions=("easy", "accepted", "review", REVIEWED)
        )
        next(some)  # waits until all frames are sorted
        begin = time.perf_counter()
        ours = write_coco(islice(some, frames), folder / "ours", images=NoImages(folder, copy=False))
        seconds = time.perf_counter() - begin
        (folder / "ours" / "images").mkdir()  # it wants one
        (folder / "ours" / "annotations" / "person_keypoints.json").unlink()
        written = folder / "ours" / "annotations" / "instances.json"
        written.rename(written.with_name("instances_all.json"))  # it wants a subset's name
        script = Path(__file__).with_name("datumaro_coco.py")
        command = [str(python), "-I", str(script), str(folder / "ours"), str(folder / "theirs")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        _, written_s = json.loads(done.stdout.splitlines()[-1])
        return ours.instances, seconds, written_s


def compare_with_datumaro(planted: Planted, python: Path, frames: int) -> None:
    annotations, ours_s, theirs_s = export_by_datumaro(planted, python, frames)
    print(
        f"datumaro, {annotations:,} of them: {annotations / theirs_s:,.0f} annotations a second; "
        f"maskmill {annotations / ours_s:,.0f}: {theirs_s / ours_s:.0f} times as many"
    )


def measure_export(url: str, home: Path, what: str, most: int) -> None:
    """Export in this process and print (annotations, seconds, CPU seconds, peak MB)."""
    os.environ["MASKMILL_DATABASE_URL"] = url  # for the processes that it starts
    planted = Planted(open_database(url), Home(home))
    with tempfile.TemporaryDirectory(dir=home) as folder:
        begin, begin_cpu = time.perf_counter(), time.process_time()
        if what == "at once":
            annotations = export_at_once(planted, Path(folder), most=most)
        elif what == "rows alone":
            annotations = write_rows(planted, Path(folder))
        elif what == "as objects":
            annotations = export_as_objects(planted, Path(folder))
        else:
            processes = MOST_PROCESSES if what == "in processes" else 0
            annotations = export(planted, Path(folder), images=what == "linked", processes=processes)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    if what == "in processes":
        cpu += others.ru_utime + others.ru_stime
    peak = max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, others.ru_maxrss) / 1024
    print(json.dumps([annotations, seconds, cpu, peak]))


def time_exports(planted: Planted, peer: int) -> None:
    url = planted.database.engine.url.render_as_string(hide_password=False)
    rates: dict[str, float] = {}
    print(f"\n{'export':24} {'annotations':>12} {'seconds':>8} {'a second':>9} {'peak':>8}   ratio")
    for what in ("at once", "rows alone", "as objects", "linked", "without images", "in processes"):
        command = [sys.executable, __file__, "--export", what, "--url", url, "--peer", str(peer)]
        command += ["--folder", str(planted.home.root)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        annotations, seconds, cpu, peak = json.loads(done.stdout.splitlines()[-1])
        rates[what] = annotations / seconds
        ratio = rates[what] / rates["at once"]
        print(
            f"{what:24} {annotations:12,} {seconds:8.1f} {rates[what]:9,.0f} {peak:5.0f} MB   {ratio:.1f}"
            f"   ({annotations / cpu:,.0f} a second of CPU)",
            flush=True,
        )


@contextmanager
def planted_database(kind: str, folder: Path, instances: int) -> Iterator[Planted]:
    """The database of a kind in a folder, planted if it is not there yet."""
    home = Home(folder / f"{kind}-{instances}")
    is_new = not (home.root / "planted").exists()
    home.create()
    with serve_database(kind, home.root) as url:
        database = open_database(url)
        if is_new:
            begin = time.perf_counter()
            plant(database, home, Plan.of_instances(instances))
            if kind == "postgresql":  # autovacuum does so by itself, some time later
                with database.transaction() as session:
                    session.execute(text("ANALYZE"))
            (home.root / "planted").touch()
            print(f"planted on {kind} in {time.perf_counter() - begin:.0f} s")
        yield Planted(database, home)
        database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where what is planted stays for the next time")
    parser.add_argument("--on", choices=DATABASES, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", type=int, default=50_000, help="annotations of the other way")
    parser.add_argument("--datumaro", type=Path, help="Python of an environment that has Datumaro")
    parser.add_argument("--datumaro-frames", type=int, default=250)
    parser.add_argument("--export", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.export:
        measure_export(arguments.url, arguments.folder, arguments.export, arguments.peer)
        return
    with tempfile.TemporaryDirectory(prefix="maskmill-million-") as temporary:
        folder = arguments.folder or Path(temporary)
        for kind in arguments.on or DATABASES:
            print(f"\n{kind}, {arguments.instances} instances")
            with planted_database(kind, folder.resolve(), arguments.instances) as planted:
                time_questions(planted, arguments.rounds)
                time_exports(planted, arguments.peer)
                if arguments.datumaro:
                    compare_with_datumaro(planted, arguments.datumaro, arguments.datumaro_frames)


if __name__ == "__main__":
    main()
