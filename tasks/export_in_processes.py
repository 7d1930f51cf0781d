"""COCO exports of runs in parts: of large runs several processes make the annotations, and this one writes them in order."""

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from configs.errors import WorkerLost
from db.frames.dataset import FrameChoice, Stretch, pages_with_masks, selected_frames, stretches_of_run
from db.models.core import InstanceRow
from labeling.datasets.formats.coco_parts import CocoPart, make_part
from labeling.runtime.threads import available_cores
from labeling.storage.home import Home
from tasks.execution.context import database_of
from tasks.execution.workers import begin_worker

MIN_INSTANCES = 300_000
"""Below, the start of other processes (a second or two of CPU time each) is not worth it."""
MOST_PROCESSES = 6
"""One process writes as fast as about six read."""
SHARDS_PER_PART = 8
"""Minutes of video whose annotations are in memory together."""
_AHEAD = 2
"""Parts per process that are made before they are written."""


@dataclass(frozen=True, slots=True)
class PartOrder:
    """What parts are made of."""

    home: Home
    run_id: str
    decisions: tuple[str, ...]
    categories: tuple[str, ...]
    only_complete: bool = False


def processes_for(session: Session, run_id: str) -> int:
    """Return how many processes make annotations of this run; 0: this one alone."""
    if available_cores() == 1:
        return 0
    of_run = select(func.count()).select_from(InstanceRow).where(InstanceRow.run_id == run_id)
    instances = session.scalar(of_run.where(InstanceRow.role == "teacher")) or 0
    return 0 if instances < MIN_INSTANCES else min(available_cores(), MOST_PROCESSES)


@contextmanager
def parts_of_run(session: Session, order: PartOrder, *, processes: int) -> Iterator[Iterator[CocoPart]]:
    """Give the parts of a run in order; a bounded number of them is in memory. 0 processes: this one makes them.

    By other processes each part is read at its own moment: a frame is as before or as after a change that is made
    meanwhile, never in between.

    Raises:
        WorkerLost: a process ended, killed or out of memory.
    """
    if not processes:
        yield _in_this_process(session, order)
        return
    stretches = stretches_of_run(session, order.run_id, shards=SHARDS_PER_PART)
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
    with ProcessPoolExecutor(processes, mp_context=context, initializer=begin_worker, initargs=({},)) as pool:
        try:
            yield _in_order(pool, order, stretches, ahead=_AHEAD * processes)
        except BrokenProcessPool as exc:
            raise WorkerLost(
                "a process that read masks ended: killed, or out of memory; export again"
            ) from exc
        finally:
            pool.shutdown(cancel_futures=True)


def _in_this_process(session: Session, order: PartOrder) -> Iterator[CocoPart]:
    choice = FrameChoice(order.decisions, only_complete=order.only_complete)
    selected = selected_frames(session, order.run_id, choice)
    for page in pages_with_masks(session, order.run_id, order.home, selected):
        yield make_part([page], order.categories)


def _in_order(
    pool: ProcessPoolExecutor, order: PartOrder, stretches: Sequence[Stretch], *, ahead: int
) -> Iterator[CocoPart]:
    remaining = iter(stretches)
    waiting: deque[Future[CocoPart]] = deque()
    waiting.extend(pool.submit(_make, order, one) for one in islice(remaining, ahead))
    while waiting:
        part = waiting.popleft().result()
        waiting.extend(pool.submit(_make, order, one) for one in islice(remaining, 1))
        yield part


def _make(order: PartOrder, stretch: Stretch) -> CocoPart:
    """Make a part in a process of the pool, which opens the database once."""
    with database_of(order.home).session() as session:
        choice = FrameChoice(order.decisions, stretch=stretch, only_complete=order.only_complete)
        selected = selected_frames(session, order.run_id, choice)
        return make_part(pages_with_masks(session, order.run_id, order.home, selected), order.categories)
