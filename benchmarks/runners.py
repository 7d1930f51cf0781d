"""How much faster two Dask workers are than one, each with one thread for its models.

    python benchmarks/runners.py [VIDEO] [--config NAME] [--set key=value]... [--workers N] [--rounds N]

Baseline: the same run by one worker of the same kind. Both clusters are there and their models loaded
before the clock starts; what is timed is the whole flow, from the sources to the summary, in an empty
home. Rounds alternate; the ratio is the median's.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ["OMP_NUM_THREADS"] = "1"  # of each worker, and of what it loads

from configs.load import load_config
from configs.models import RunConfig
from labeling.synthetic.scene import render_scene
from tasks.execution.context import close_databases


@contextmanager
def warm_cluster(workers: int, config: RunConfig, scene: Path) -> Iterator[RunConfig]:
    """The config on a cluster of so many workers, each of which has its models."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        placed = {"runner": "dask", "address": cluster.scheduler_address, "workers": workers}
        there = config.model_copy(update=placed)
        time_flow(scene, there)
        yield there


def time_flow(video: Path, config: RunConfig) -> tuple[float, int]:
    """Seconds of the whole flow in an empty home, and the frames that it looked at."""
    from flows.generate import generate_dataset

    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        summary = generate_dataset([str(video)], config, name="bench", home=Path(folder))
        seconds = time.perf_counter() - begin
        close_databases()
    if summary.failures or summary.shards_pending:
        raise SystemExit(f"the run failed: {summary.failures}")
    return seconds, summary.counts["sampled"]


def measure(video: Path, config: RunConfig, *, workers: int, rounds: int) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        scene = render_scene(Path(folder) / "scene.mp4", seconds=4 * workers * config.sampling.shard_s)
        crews = {n: stack.enter_context(warm_cluster(n, config, scene)) for n in (1, workers)}
        seconds: dict[int, list[float]] = {n: [] for n in crews}
        for _ in range(rounds):
            for n, crew in crews.items():
                spent, frames = time_flow(video, crew)
                seconds[n].append(spent)
    medians = {n: statistics.median(values) for n, values in seconds.items()}
    print(f"{frames} frames of {video.name}, one thread per worker, median of {rounds} rounds")
    for n, median in medians.items():
        ratio = medians[1] / median
        print(
            f"{n} Dask worker(s) {median:8.2f} s  {frames / median:7.1f} frames/s  {ratio:.2f} x one worker"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path, nargs="?", help="default: a rendered scene of 60 s")
    parser.add_argument("--config", default="offline")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    config = load_config(arguments.config, ["sampling.shard_s=5", *arguments.changes])
    with tempfile.TemporaryDirectory() as folder:
        video = arguments.video or render_scene(Path(folder) / "scene.mp4", seconds=60)
        measure(video, config, workers=arguments.workers, rounds=arguments.rounds)


if __name__ == "__main__":
    main()
