"""Segmenters whose predictions are kept: a frame that the same model has seen is not inferred again."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import labeling
from labeling.segmenters.models import Models, settings_of
from labeling.segmenters.protocol import BoxSegmenter, Segmenter
from labeling.storage.predictions import BOXES, PredictionFiles
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import BoxXywh

_KINDS = frozenset({"lite", "selfie", "torchvision", "onnx", "torchscript", "litert"})
"""Networks in files: their result depends on nothing but the image."""
_CODE = ("segmenters", "video", "structures")
"""Rooms whose code changes what a model sees or returns."""
WRITE_EVERY_S = 10.0
"""What was found is written after this time: a run that is stopped repeats so much of its inference."""


@dataclass(slots=True)
class PredictionKeeper:
    """Keeps the predictions of a home, and counts those that were there and those that were made."""

    folder: Path
    known: int = 0
    computed: int = 0
    _open: list["KeptSegmenter"] = field(default_factory=list)

    def wrap(self, models: Models) -> Models:
        """Return the models of one shard; those that depend on more than the image are as before."""
        roles = {"pose": models.pose, "verifier": models.verifier}
        others = {role: self.keep(model) if model else None for role, model in roles.items()}
        return Models(self.keep(models.teacher), self.keep(models.student), **others)

    def keep(self, model: Segmenter) -> Segmenter:
        """Return a model of one shard whose predictions are kept; one that depends on more than the image is as before."""
        card = model.card
        if card.kind not in _KINDS or not card.weights_sha256 or settings_of(card).get("refine"):
            return model
        kept = KeptSegmenter(model, self.folder / model_key(card))
        self._open.append(kept)
        return kept

    def save(self) -> None:
        """Write what the models of the shard found, and count it."""
        for model in self._open:
            known, computed = model.save()
            self.known += known
            self.computed += computed
        self._open.clear()


class KeptSegmenter:
    """Looks each frame up before it calls the model. Its state is one shard's."""

    def __init__(self, inner: Segmenter, folder: Path) -> None:
        self._inner = inner
        self._folder = folder
        self._files: PredictionFiles | None = None
        self._known: dict[str, list[Instance]] = {}
        self._added: dict[str, list[Instance]] = {}
        self._looked_up = 0
        self._computed = 0
        self._written_at = time.monotonic()
        self._box_files: PredictionFiles | None = None
        self._known_boxes: dict[str, list[Instance]] = {}
        self._added_boxes: dict[str, list[Instance]] = {}

    @property
    def card(self) -> ModelCard:
        return self._inner.card

    def prepare(self, clip: Clip) -> "KeptSegmenter":
        """Read what is known about this clip."""
        self._inner = self._inner.prepare(clip)
        self._files = PredictionFiles(self._folder / clip.video_id)
        self._known = self._files.read(*_key_range(clip))
        self._box_files = PredictionFiles(self._folder / f"{clip.video_id}{BOXES}")
        self._known_boxes = self._box_files.read(0, None)
        return self

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Return the instances of each frame, calling the model for the frames that it has not seen."""
        keys = [f"m{frame.key}" if frame.is_mirrored else str(frame.key) for frame in frames]
        unseen = [i for i, key in enumerate(keys) if key not in self._known]
        found = self._inner.segment([frames[i] for i in unseen]) if unseen else []
        made = {keys[i]: instances for i, instances in zip(unseen, found, strict=True)}
        self._added |= made
        self._known |= made
        self._looked_up += len(frames) - len(unseen)
        self._computed += len(unseen)
        if time.monotonic() - self._written_at >= WRITE_EVERY_S:
            self._write()
        return [self._known[key] for key in keys]

    def segment_boxes(self, frame: Frame, boxes_xywh: Sequence[BoxXywh]) -> list[Instance | None] | None:
        """Return the person in each box, calling the model for the boxes that it has not seen."""
        if not isinstance(self._inner, BoxSegmenter):
            return None
        keys = [_box_key(frame, box) for box in boxes_xywh]
        unseen = {key: box for key, box in zip(keys, boxes_xywh, strict=True) if key not in self._known_boxes}
        found = self._inner.segment_boxes(frame, list(unseen.values())) if unseen else []
        if found is None:
            return None
        made = {key: [one] if one else [] for key, one in zip(unseen, found, strict=True)}
        self._added_boxes |= made
        self._known_boxes |= made
        return [next(iter(self._known_boxes[key]), None) for key in keys]

    def save(self) -> tuple[int, int]:
        """Write the new predictions; return how many frames were known, and how many were inferred."""
        self._write()
        return self._looked_up, self._computed

    def _write(self) -> None:
        if self._added_boxes and self._box_files:
            self._box_files.write(self._added_boxes)
            self._added_boxes = {}
        if self._added and self._files:
            self._files.write(self._added)
            self._added = {}
        self._written_at = time.monotonic()


def _key_range(clip: Clip) -> tuple[int, int | None]:
    """Return the first key of a clip's frames, and the first after them."""
    if clip.images:
        positions = [image.position for image in clip.images]
        return min(positions), max(positions) + 1
    return int(1000 * clip.start_s), None if clip.end_s is None else int(1000 * clip.end_s) + 1


def _box_key(frame: Frame, box_xywh: BoxXywh) -> str:
    """Return the number of a box of a frame, as text: the files of predictions have numbers as keys."""
    coordinates = ",".join(f"{side:.2f}" for side in box_xywh)
    digest = hashlib.sha256(f"{frame.key},{frame.is_mirrored},{coordinates}".encode()).digest()
    return str(int.from_bytes(digest[:6], "big"))


def model_key(card: ModelCard) -> str:
    """Return the name of the folder of a model's predictions by the code of this installation."""
    parts = (card.kind, card.name, card.weights_sha256, card.settings, _code_hash())
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


@cache
def _code_hash() -> str:
    """Hash the code that decodes images and runs models: predictions of other code are not used."""
    root = Path(labeling.__file__).parent
    files = sorted(file for room in _CODE for file in (root / room).rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
