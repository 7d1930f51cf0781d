"""kill -9 while people are learned, and again: the same heads and masks as undisturbed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.labeling.tracking.crossing import write_scene

pytestmark = [pytest.mark.requires("torch", "torch"), pytest.mark.requires("timm", "timm"), pytest.mark.long]

WORK = """
import hashlib, json, os, signal, sys
from fractions import Fraction
from pathlib import Path
import timm, torch
from configs.segmenters import OsvosBlock
from labeling.segmenters.osvos import OsvosSegmenter
from labeling.structures.frames import Clip, Frame
from labeling.tracking import osvos_fine_tuning, osvos_preparation
from labeling.video.decode import decode_clip
from tests.labeling.tracking.crossing import known_people

torch.set_num_threads(1)
osvos_preparation.PARENT_EPOCHS, osvos_preparation.PLATE_SAMPLES = 2, 12
teacher = known_people()
epoch, rename = osvos_fine_tuning._epoch, Path.replace

def kill_before(name, left):
    def count():
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
    def counted_epoch(*words):
        if name == "epoch":
            count()
        return epoch(*words)
    def counted_rename(path, target):
        if name == "head" and target.suffix == ".pt":
            count()
        return rename(path, target)
    osvos_fine_tuning._epoch, Path.replace = counted_epoch, counted_rename

def learn(cache):
    folder = Path(sys.argv[1])
    block = OsvosBlock(trajectories=folder / "people.txt", homography=folder / "H.txt", cache=folder / cache,
        backbone="test_efficientnet", samples=8, batch=4, epochs=2)
    clip = Clip("crossing", folder / "video.mp4", Fraction(0), Fraction(1))
    prepared = OsvosSegmenter(block, teacher).prepare(clip)
    frames = [Frame("crossing", one.pts_ms, one.to_rgb(), t=one.t) for one in decode_clip(clip)]
    people = [(one.track_id, one.mask.counts.decode(), one.score) for found in prepared.segment(frames) for one in found]
    [files] = (folder / cache).iterdir()
    heads = {path.name: torch.load(path, weights_only=True)["head"] for path in sorted(files.glob("*.pt"))}
    sums = {name: [one.double().abs().sum().item() for one in head.values()] for name, head in heads.items()}
    print(json.dumps({"people": people, "heads": sums}), flush=True)

for word in sys.argv[2:]:
    cache, name, left = word.split(":")
    if not (child := os.fork()):
        kill_before(name, int(left))
        learn(cache)
        os._exit(0)
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        print(status, flush=True)
"""
"""Learns once per `cache:event:number`, in a process that kills itself before that epoch or that head's last rename."""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_people_are_the_same_when_learning_them_was_killed(tmp_path: Path) -> None:
    """Killed in and after the training of the parent, in that of the first person, and before the second is stored."""
    write_scene(tmp_path)
    kills = ["killed:epoch:2", "killed:head:1", "killed:epoch:4", "killed:head:2"]
    words = [*kills, "killed:none:0", "whole:none:0"]
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(tmp_path), *words],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    *statuses, killed, whole = [json.loads(line) for line in done.stdout.splitlines()]
    assert statuses == [-signal.SIGKILL] * len(kills)
    assert killed == whole
    assert set(whole["heads"]) == {"parent.pt", "person_1.pt", "person_2.pt"}
    assert {person for person, *_ in whole["people"]} == {1, 2}
    assert names_in(tmp_path / "killed") == names_in(tmp_path / "whole")


def names_in(folder: Path) -> list[Any]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
