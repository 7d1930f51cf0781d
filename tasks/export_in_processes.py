"""COCO exports of runs in parts: of large runs other processes make some of the annotations, and this one writes them in order."""

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

MIN_INSTANCES = 500_000
"""Below, the start of another process and what passes between the two (about 2.4 s) is not worth it: a mask takes 16 us alone
and 11 us with another process."""
MOST_PROCESSES = 1
"""Besides this one: two together stay below 300 MB, and each further one would take 100 MB more."""
SHARDS_PER_PART = 6
"""Minutes of video whose annotations are in memory together."""
_ORDERED = 2
"""Parts per process that are ordered from it in advance."""
_MOST_WAITING = 12
"""Parts that are in memory, or will be, before the one that is written next."""


@dataclass(frozen=True, slots=True)
class PartOrder:
    """What parts are made of."""

    home: Home
    run_id: str
    decisions: tuple[str, ...]
    categories: tuple[str, ...]
    only_complete: bool = False


def processes_for(session: Session, run_id: str) -> int:
    """Return how many processes make annotations of this run besides this one."""
    of_run = select(func.count()).select_from(InstanceRow).where(InstanceRow.run_id == run_id)
    instances = session.scalar(of_run.where(InstanceRow.role == "teacher")) or 0
    return 0 if instances < MIN_INSTANCES else min(available_cores() - 1, MOST_PROCESSES)


@contextmanager
def parts_of_run(session: Session, order: PartOrder, *, processes: int) -> Iterator[Iterator[CocoPart]]:
    """Give the parts of a run in order; a bounded number of them is in memory. `processes` work besides this one.

    With other processes each part is read at its own moment: a frame is as before or as after a change that is made
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
            yield _in_order(pool, order, stretches, ordered=_ORDERED * processes)
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
    pool: ProcessPoolExecutor, order: PartOrder, stretches: Sequence[Stretch], *, ordered: int
) -> Iterator[CocoPart]:
    """Yield the parts in order. While the next one is not made, this process makes the first that is not ordered yet."""
    remaining = iter(stretches)
    waiting: deque[Future[CocoPart]] = deque()
    while True:
        idle = min(ordered - sum(not one.done() for one in waiting), _MOST_WAITING - len(waiting))
        waiting.extend(pool.submit(_make, order, one) for one in islice(remaining, max(idle, 0)))
        if not waiting:
            return
        has_room = not waiting[0].done() and len(waiting) < _MOST_WAITING
        if has_room and (own := next(remaining, None)):
            waiting.append(Future())
            waiting[-1].set_result(_make(order, own))
        else:
            yield waiting.popleft().result()


def _make(order: PartOrder, stretch: Stretch) -> CocoPart:
    """Make a part; a process opens the database once."""
    with database_of(order.home).session() as session:
        choice = FrameChoice(order.decisions, stretch=stretch, only_complete=order.only_complete)
        selected = selected_frames(session, order.run_id, choice)
        return make_part(pages_with_masks(session, order.run_id, order.home, selected), order.categories)
