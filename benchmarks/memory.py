"""Whether memory grows with the video: peak of a run on a scene and on one ten times as long.

    python benchmarks/memory.py [--seconds S] [--config NAME] [--set key=value]...

Baseline: the short scene. Each run is a process of its own, whose peak resident memory the
operating system reports.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from labeling.scene import render_scene


def peak_mb(video: Path, home: Path, options: list[str]) -> float:
    """Peak resident memory of `work` in a process of its own, in MB."""
    command = [sys.executable, __file__, "--work", str(video), "--home", str(home), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def work(video: Path, home: Path, config_name: str, changes: list[str]) -> None:
    """Label a video as plain functions and print this process's peak."""
    from configs import load_config
    from db.ledger import begin_run
    from db.queries import pending_shards
    from labeling.storage import Home
    from tasks.ingest import ingest_spec
    from tasks.label import work_on_shard
    from tasks.ledger import ledger_of

    config = load_config(config_name, changes)
    place = Home(home)
    place.create()
    with ledger_of(place).transaction() as session:
        begin_run(session, config.run_id(), name="bench", config={}, code_version="bench")
    videos = ingest_spec(str(video), config.run_id(), config, place).videos
    with ledger_of(place).session() as session:
        shards = pending_shards(session, config.run_id(), videos)
    for shard in shards:
        work_on_shard(shard, config, place)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30, help="length of the short scene")
    parser.add_argument("--config", default="offline")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.home, arguments.config, arguments.changes)
        return
    options = ["--config", arguments.config]
    for change in arguments.changes:
        options += ["--set", change]
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for factor in (1, 10):
            video = Path(folder) / f"scene{factor}.mp4"
            render_scene(video, seconds=arguments.seconds * factor)
            peaks.append(peak_mb(video, Path(folder) / f"home{factor}", options))
            print(
                f"{arguments.seconds * factor:6.0f} s of video: peak {peaks[-1]:7.1f} MB, ratio {peaks[-1] / peaks[0]:.3f}"
            )


if __name__ == "__main__":
    main()
