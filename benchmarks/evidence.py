"""What knowing whether the teacher is right costs: evidence beside the whole of a run's shards.

    python benchmarks/evidence.py VIDEO... --config lite --set weights_dir=DIR

Evidence is the mirrored image, seen by the teacher once more, a second segmenter's word where one is
configured, and all that is computed of masks. The named baseline is the same work without it: the whole
less the evidence, in the same run.
"""

import argparse
import tempfile
import time
from pathlib import Path

from configs.load import load_config
from labeling.pipeline import label_shard
from labeling.segmenters.factory import load_models
from labeling.storage.home import Home
from labeling.structures.frames import Clip

EVIDENCE = ("flip", "verifier", "evidence")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("videos", nargs="+", type=Path)
    arguments.add_argument("--config", default="lite")
    arguments.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY=VALUE")
    given = arguments.parse_args()
    config = load_config(given.config, given.changes)
    models = load_models(config)
    for video in given.videos:
        with tempfile.TemporaryDirectory() as folder:
            home = Home(Path(folder))
            home.create()
            begin = time.perf_counter()
            shard = label_shard(Clip("bench", video), models, config, home)
            whole_s = time.perf_counter() - begin
        evidence_s = sum(shard.seconds.get(stage, 0.0) for stage in EVIDENCE)
        compared, hard = (shard.counts.get(name, 0) for name in ("compared", "hard"))
        print(
            f"{video.name}: {compared} frames compared, {hard} hard; {whole_s:.2f} s, evidence {evidence_s:.2f} s: "
            f"{evidence_s / whole_s:.1%} of the run's time, {whole_s / (whole_s - evidence_s):.3f} x without"
        )


if __name__ == "__main__":
    main()
