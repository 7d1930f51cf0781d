"""Speed and memory of `maskmill matte`, with a still camera or `--config moving`: a rendered scene of 480x320, and the same ten
times over.

    python benchmarks/matte.py [--seconds S] [--factor N] [--config NAME] [--weights FILE] [--set key=value]...

Prints frames/s, CPU seconds per frame with the share of each stage, and the peak resident memory that the operating
system reports for each process. Baseline: the short scene.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from memory import repeat_video

from labeling.synthetic.scene import render_scene

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Stages:
    """CPU seconds of this process by stage, those of its threads included; a stage within another counts once."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner_s = 0.0

    def timed(self, name: str, work: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        def measured(*args: Parameters.args, **named: Parameters.kwargs) -> Result:
            outer_s, self._inner_s, start_s = self._inner_s, 0.0, time.process_time()
            try:
                return work(*args, **named)
            finally:
                spent_s = time.process_time() - start_s
                self.seconds[name] += spent_s - self._inner_s
                self._inner_s = outer_s + spent_s

        return measured


def work(video: Path, out: Path, config_name: str, changes: list[str], weights: Path | None) -> None:
    """Matte a video without Prefect and print the figures of this process as JSON."""
    from configs.load import load_config
    from configs.matting import MatteSettings
    from labeling.matting import moving_people, plate_fit, stream
    from labeling.segmenters.factory import make_segmenter
    from tasks import matte, matte_methods

    config, stages = load_config(config_name, changes), Stages()
    settings = MatteSettings(weights=weights, camera=config.camera)
    method: Any = matte_methods.open_method(settings)
    teacher: Any = make_segmenter(
        config.teacher, weights_dir=config.weights_dir, device=config.device, batch=config.batch
    )
    teacher.segment = stages.timed("teacher", teacher.segment)
    method.network.run = stages.timed("network", method.network.run)
    for name in ("fit_gain_bias", "relight"):
        vars(plate_fit)[name] = stages.timed("light", vars(plate_fit)[name])
    vars(stream)["locate_missing"] = stages.timed("missing people", vars(stream)["locate_missing"])
    vars(stream)["_reduced_gray"] = stages.timed("neighbors", vars(stream)["_reduced_gray"])
    vars(moving_people)["find_step"] = stages.timed("optical flow", vars(moving_people)["find_step"])
    vars(matte_methods)["build_plate"] = stages.timed("plate", vars(matte_methods)["build_plate"])
    vars(matte)["_encode"] = stages.timed("encode", vars(matte)["_encode"])
    whole = stages.timed("frames: decode, crop, merge, write", matte.matte_video)
    summary = whole(matte.MatteOrder(video, out, settings), teacher, method, lambda: None)
    print(
        json.dumps(
            {
                "frames": summary.frames,
                "frames_per_s": summary.frames_per_s,
                "stages": stages.seconds,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="length of the short scene")
    parser.add_argument("--factor", type=int, default=10, help="how much longer the long scene is")
    parser.add_argument("--config", default="lite")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.out, arguments.config, arguments.changes, arguments.weights)
        return
    options = [
        "--config",
        arguments.config,
        *(["--weights", str(arguments.weights)] if arguments.weights else []),
    ]
    for change in arguments.changes:
        options += ["--set", change]
    with tempfile.TemporaryDirectory() as folder:
        scene = render_scene(Path(folder) / "scene.mp4", seconds=arguments.seconds, size_hw=(320, 480))
        first_mb = 0.0
        for factor in sorted({1, arguments.factor}):
            video = Path(folder) / f"scene{factor}.mp4"
            repeat_video(scene, video, factor)
            command = [sys.executable, __file__, "--work", str(video)]
            command += ["--out", str(Path(folder) / f"out{factor}"), *options]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            measured = json.loads(done.stdout.splitlines()[-1])
            first_mb = first_mb or measured["peak_mb"]
            _print(measured, first_mb)


def _print(measured: dict[str, Any], first_mb: float) -> None:
    total_s = sum(measured["stages"].values())
    print(
        f"{measured['frames']} frames: {measured['frames_per_s']:.2f} frames/s, "
        f"{total_s / measured['frames']:.3f} CPU s per frame, peak {measured['peak_mb']:.1f} MB, "
        f"ratio {measured['peak_mb'] / first_mb:.3f}"
    )
    for name, seconds in sorted(measured["stages"].items(), key=lambda one: -one[1]):
        print(f"  {seconds / total_s:6.1%}  {1000 * seconds / measured['frames']:7.1f} ms/frame  {name}")


if __name__ == "__main__":
    main()
