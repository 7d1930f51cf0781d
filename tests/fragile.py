"""A segmenter whose process dies, and one that tells who loads and uses it."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from labeling.segmenters.protocol import StatelessSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard


class FragileSegmenter(StatelessSegmenter):
    """Sees nobody; kill -9 hits its process at the frame of `t_ms`, as often as `deaths` says."""

    card = ModelCard("python", "fragile", "", "{}", sees_mirrored=False)

    def __init__(self, folder: Path, t_ms: int, deaths: int) -> None:
        self._folder = folder
        self._t_ms = t_ms
        self._deaths = deaths
        self._note(f"load-{os.getpid()}", os.environ.get("OMP_NUM_THREADS", ""))

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        self._note(f"work-{os.getpid()}", "")
        if any(frame.t_ms == self._t_ms for frame in frames) and self._may_die():
            os.kill(os.getpid(), signal.SIGKILL)
        return [[] for _ in frames]

    def _may_die(self) -> bool:
        died = len(list(self._folder.glob("death-*")))
        if died < self._deaths:
            (self._folder / f"death-{died}").touch()
        return died < self._deaths

    def _note(self, name: str, text: str) -> None:
        with (self._folder / name).open("a") as file:
            file.write(f"{text}\n")


def fragile(folder: str, t_ms: int = -1, deaths: int = 0) -> FragileSegmenter:
    """The factory that a config names: `python:tests.fragile:fragile`."""
    return FragileSegmenter(Path(folder), t_ms, deaths)
