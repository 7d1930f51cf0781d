"""How much a whole run costs over its bare model calls.

    python benchmarks/overhead.py [VIDEO] [--config NAME] [--set key=value]... [--rounds N]

Baseline: the same segmenters called on the same frames, decoded beforehand, in the same batches:
teacher, student, and the teacher again on the mirrored images of the frames whose decision needs
it. Against it: the shards of a run (decode, sample, filter, compare, decide, write images,
commit), the whole run (ingest, shards, summary), both as plain functions, and the whole flow with
Prefect around it. Rounds alternate; the ratio is the median's. What Prefect costs is the flow over the
whole run as plain functions.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

from more_itertools import batched

from configs.load import load_config
from configs.models import RunConfig
from db.runs.queries import planned_shards
from db.runs.writes import upsert_run
from flows.cli.temporary_server import temporary_server
from labeling.comparison.agreement import compare_instances
from labeling.sampling.select import SkippedFrame, select_frames
from labeling.segmenters.factory import load_models
from labeling.storage.home import Home
from labeling.structures.frames import Clip, Frame
from labeling.synthetic.scene import render_scene
from labeling.trust.checks import gather_evidence
from labeling.trust.decide import needs_flip
from labeling.trust.evidence import DEFAULT_KEYPOINT_SCORE
from tasks.close import Execution, close_run
from tasks.execution.context import close_databases, open_context
from tasks.ingest import ingest_spec
from tasks.label import process_shard

PLAIN = "whole run, plain functions"
FLOW = "whole flow, Prefect warm"


def read_batches(video: Path, config: RunConfig) -> list[list[Frame]]:
    """The frames that a run gives its teacher, in its batches, shard by shard as one clip."""
    gap_here = config.pose_filter is None
    chosen = select_frames(Clip("bench", video), config.sampling, gap_here=gap_here)
    frames = (f for f in chosen if not isinstance(f, SkippedFrame))
    return [list(batch) for batch in batched(frames, config.batch)]


def time_models(batches: list[list[Frame]], video: Path, config: RunConfig) -> float:
    """Seconds of the bare model calls; comparing between them is not counted."""
    models = load_models(config).prepare(Clip("bench", video))
    total = 0.0
    for batch in batches:
        begin = time.perf_counter()
        teacher, student = models.teacher.segment(batch), models.student.segment(batch)
        total += time.perf_counter() - begin
        semantic = not models.student.card.gives_instances
        mirrored = [
            replace(frame, pixels=np.ascontiguousarray(frame.rgb[:, ::-1]))
            for frame, t, s in zip(batch, teacher, student, strict=True)
            if needs_flip(
                compare_instances(t, s, frame.size_hw, config.agreement, student_is_semantic=semantic),
                gather_evidence(t, frame.size_hw, min_keypoint_score=DEFAULT_KEYPOINT_SCORE),
                config.trust,
            )
        ]
        begin = time.perf_counter()
        if mirrored:
            models.teacher.segment(mirrored)
        total += time.perf_counter() - begin
    return total


def time_plain(video: Path, config: RunConfig) -> tuple[float, float]:
    """Seconds of the whole run in an empty home, called as plain functions, and of its shards alone."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        home, run_id = Home(Path(folder)), config.run_id()
        home.create()
        context = open_context(home)
        with context.database.transaction() as session:
            upsert_run(session, run_id, name="bench", config=config.model_dump(mode="json"), code_version="")
        ingest_spec(context, str(video), run_id, config)
        with context.database.session() as session:
            shards = planned_shards(session, run_id)
        begin_shards = time.perf_counter()
        for shard in shards:
            process_shard(context, shard, config)
        shards_s = time.perf_counter() - begin_shards
        close_run(context, run_id, Execution(shards=shards))
        whole_s = time.perf_counter() - begin
        close_databases()
    return whole_s, shards_s


def time_flow(video: Path, config: RunConfig) -> float:
    """Seconds of the whole flow: ingest, shards, summary, and Prefect; in an empty home."""
    from flows.generate import generate_dataset

    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        summary = generate_dataset([str(video)], config, name="bench", home=Path(folder))
        seconds = time.perf_counter() - begin
        close_databases()
    if summary.failures:
        raise SystemExit(f"the run failed: {summary.failures}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path, nargs="?", help="default: a rendered scene of 60 s")
    parser.add_argument("--config", default="offline")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.changes)
    with tempfile.TemporaryDirectory() as folder:
        video = arguments.video or render_scene(Path(folder) / "scene.mp4", seconds=60)
        with temporary_server():
            measure(video, config, arguments.rounds)


def measure(video: Path, config: RunConfig, rounds: int) -> None:
    batches = read_batches(video, config)
    frames = sum(map(len, batches))
    load_models(config)
    time_flow(video, config)  # Prefect starts its temporary server, and every cache is warmed
    seconds: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        seconds["bare model calls"].append(time_models(batches, video, config))
        if number % 2:  # neither is always the first of its pair
            seconds[FLOW].append(time_flow(video, config))
        whole_s, shards_s = time_plain(video, config)
        seconds["shards, plain functions"].append(shards_s)
        seconds[PLAIN].append(whole_s)
        if not number % 2:
            seconds[FLOW].append(time_flow(video, config))
    baseline = statistics.median(seconds["bare model calls"])
    print(f"{frames} frames of {video.name}, batches of {config.batch}, median of {rounds} rounds")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(
            f"{name:26} {median:8.2f} s  {1000 * median / frames:7.1f} ms/frame  ratio {median / baseline:.3f}"
        )
    prefect = statistics.median(
        flow / plain for flow, plain in zip(seconds[FLOW], seconds[PLAIN], strict=True)
    )
    print(f"Prefect: {100 * (prefect - 1):+.1f} % of the whole run as plain functions, median of the pairs")


if __name__ == "__main__":
    main()
