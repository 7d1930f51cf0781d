"""The segmenters of this process: loaded once, shared by the shards that run here."""

import threading
from collections.abc import Sequence

from configs.models import RunConfig
from configs.segmenters import SegmenterBlock
from labeling.instances import Clip, Frame, Instance, ModelCard
from labeling.pipeline import Models
from labeling.segmenters.factory import make_segmenter
from labeling.segmenters.protocol import Segmenter

_loaded: dict[str, Models] = {}
_loading = threading.Lock()


class OneAtATime:
    """A segmenter that shards in several threads share: its calls take turns."""

    def __init__(self, inner: Segmenter, turn: threading.Lock) -> None:
        self._inner = inner
        self._turn = turn

    @property
    def card(self) -> ModelCard:
        return self._inner.card

    def prepare(self, clip: Clip) -> "OneAtATime":
        with self._turn:
            return OneAtATime(self._inner.prepare(clip), self._turn)

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        with self._turn:
            return self._inner.segment(frames)


def load_models(config: RunConfig) -> Models:
    """The models of this config, from this process's memory when they are there.

    Raises:
        ModelError: weights or a library are missing.
    """
    key = f"{config.identity()}|{config.weights_dir}|{config.device}|{config.batch}"
    with _loading:
        if key not in _loaded:
            _loaded[key] = _load(config)
        return _loaded[key]


def _load(config: RunConfig) -> Models:
    turn = threading.Lock()

    def make(block: SegmenterBlock) -> OneAtATime:
        made = make_segmenter(block, weights_dir=config.weights_dir, device=config.device, batch=config.batch)
        return OneAtATime(made, turn)

    pose = config.pose_filter.segmenter if config.pose_filter else None
    return Models(make(config.teacher), make(config.student), make(pose) if pose else None)
