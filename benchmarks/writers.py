"""Whether the database holds writers back: rows a second of 1, 2, 4 and 8 processes that commit shards.

    python benchmarks/writers.py [--shards N] [--on sqlite|postgresql] [--writers N]...

Every process stores shards of its own through `db.runs.writes.store_shard`, made beforehand: per shard one
transaction of 120 frames, of which 87 have 5 instances, as a run commits a minute of video. Baseline: one
writer. A model takes seconds to minutes for such a shard: what is left of a minute says how many
machines one database serves.
"""

import argparse
import multiprocessing
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

from planting import (
    COMPARED_PER_SHARD,
    DATABASES,
    FRAMES_PER_SHARD,
    TEACHERS,
    begin_planted,
    config_of,
    label_planted,
    plan_video,
    serve_database,
)

from db.connection.database import open_database
from db.models.core import ShardRow
from db.runs.writes import store_shard
from labeling.structures.records import LabeledShard

ROWS_PER_SHARD = 2 * FRAMES_PER_SHARD + COMPARED_PER_SHARD * (1 + TEACHERS + 1)
"""Frames and decisions; agreements and instances."""


def write(url: str, work: list[tuple[ShardRow, LabeledShard]], start: Barrier) -> None:
    """Store shards, from the moment when all writers are ready."""
    database = open_database(url)
    with database.session():
        start.wait()
    for shard, labeled in work:
        with database.transaction() as session:
            store_shard(session, shard, labeled)
    database.close()


def time_writers(url: str, writers: int, shards: int, first_video: int) -> float:
    """Return the rows per second of several processes, each storing `shards` shards of new videos."""
    database = open_database(url)
    config = config_of(0.5)
    begin_planted(database, config)
    planned: list[ShardRow] = []
    while len(planned) < writers * shards:
        planned += plan_video(database, config.run_id(), first_video + len(planned))
    work = [(shard, label_planted(shard, "images/00/00.jpg")) for shard in planned[: writers * shards]]
    database.close()
    context = multiprocessing.get_context("fork")  # what was made is there at once
    start = context.Barrier(writers + 1)
    processes = [
        context.Process(target=write, args=(url, work[number::writers], start)) for number in range(writers)
    ]
    for process in processes:
        process.start()
    start.wait()
    begin = time.perf_counter()
    for process in processes:
        process.join()
    seconds = time.perf_counter() - begin
    if any(process.exitcode for process in processes):
        raise SystemExit("a writer failed")
    return len(work) * ROWS_PER_SHARD / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=40, help="of each writer")
    parser.add_argument("--on", choices=DATABASES, action="append")
    parser.add_argument("--writers", type=int, action="append")
    arguments = parser.parse_args()
    for kind in arguments.on or DATABASES:
        print(f"\n{kind:12} {'rows a second':>14} {'shards a minute':>16}   ratio")
        with (
            tempfile.TemporaryDirectory(prefix="maskmill-writers-") as folder,
            serve_database(kind, Path(folder)) as url,
        ):
            measure(url, arguments.writers or [1, 2, 4, 8], arguments.shards)


def measure(url: str, writers: list[int], shards: int) -> None:
    baseline = 0.0
    for count in writers:
        rows_s = time_writers(url, count, shards, first_video=100_000 * count)
        baseline = baseline or rows_s
        ratio, shards_min = rows_s / baseline, 60 * rows_s / ROWS_PER_SHARD
        print(f"{count:4} writers {rows_s:14,.0f} {shards_min:16,.0f}   {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
