"""Whether memory grows with the video: peak of a run on a scene and on the same ten times over.

    python benchmarks/memory.py [--seconds S] [--config NAME] [--set key=value]...

Baseline: the short scene, by default one shard long. Each run is a process of its own, whose peak resident memory the
operating system reports.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import av

from labeling.synthetic.scene import render_scene


def peak_mb(video: Path, home: Path, options: list[str]) -> float:
    """Peak resident memory of `work` in a process of its own, in MB."""
    command = [sys.executable, __file__, "--work", str(video), "--home", str(home), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def repeat_video(video: Path, out: Path, times: int) -> None:
    """Write the same packets several times over, one after another, without coding them again."""
    with av.open(str(out), "w") as target:
        stream = None
        offset = 0
        for _ in range(times):
            with av.open(str(video)) as source:
                stream = stream or target.add_stream_from_template(source.streams.video[0])
                end = offset
                for packet in source.demux(source.streams.video[0]):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.stream = stream
                    target.mux(packet)
                offset = end


def work(video: Path, home: Path, config_name: str, changes: list[str]) -> None:
    """Label a video as plain functions and print this process's peak."""
    from configs.load import load_config
    from db.runs.queries import planned_shards
    from db.runs.writes import upsert_run
    from labeling.storage.home import Home
    from tasks.execution.context import open_context
    from tasks.ingest import ingest_spec
    from tasks.label import process_shard

    config = load_config(config_name, changes)
    place = Home(home)
    place.create()
    context = open_context(place)
    with context.database.transaction() as session:
        upsert_run(session, config.run_id(), name="bench", config={}, code_version="bench")
    ingest_spec(context, str(video), config.run_id(), config)
    with context.database.session() as session:
        shards = planned_shards(session, config.run_id())
    for shard in shards:
        process_shard(context, shard, config)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="length of the short scene")
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
        scene = render_scene(Path(folder) / "scene.mp4", seconds=arguments.seconds)
        for factor in (1, 10):
            video = Path(folder) / f"scene{factor}.mp4"
            repeat_video(scene, video, factor)
            peaks.append(peak_mb(video, Path(folder) / f"home{factor}", options))
            print(
                f"{arguments.seconds * factor:6.0f} s of video: peak {peaks[-1]:7.1f} MB, ratio {peaks[-1] / peaks[0]:.3f}"
            )


if __name__ == "__main__":
    main()
