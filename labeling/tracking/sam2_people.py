"""People with known trajectories by SAM 2's video predictor (Ravi et al., 2024), through `transformers`.

The expected boxes of the people are the prompts. A session ends after some frames, at each annotation, and when another
person comes in, so that its memory stays small and identities come from the trajectories.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from configs.errors import ExtraMissing, WeightsCorrupt, WeightsMissing
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh, Mask, box_iou_matrix
from labeling.structures.probability_maps import FloatMap, stability_share
from labeling.tracking.osvos_prediction import FoundPerson, resolve_overlaps
from labeling.tracking.people_locator import PeopleLocator, Scene, is_annotated

LONGEST_SESSION = 30
"""Frames of a session at most."""
THRESHOLD = 0.5
MIN_AREA = 0.1
"""Smallest mask, as a share of the expected box."""
MIN_EXPECTED = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Sam2:
    """A model and its processor."""

    model: Any
    processor: Any
    sha256: str
    """Of the weights."""


def load_sam2(folder: Path) -> Sam2:
    """Load a model that `save_pretrained` of transformers wrote; nothing is downloaded.

    Raises:
        ExtraMissing: transformers is not installed, or has no SAM 2.
        WeightsMissing, WeightsCorrupt: the folder is absent, or holds another model.
    """
    try:
        from transformers import Sam2VideoModel, Sam2VideoProcessor
    except ImportError as exc:
        raise ExtraMissing(
            "method: sam2 requires transformers with SAM 2: pip install 'maskmill[transformers]'"
        ) from exc
    if not (folder / "config.json").is_file():
        raise WeightsMissing(
            f"sam2 {folder}: no model of transformers there; name a folder with config.json, the processor's "
            "files and model.safetensors, such as a download of facebook/sam2.1-hiera-tiny"
        )
    try:
        # weights in other formats are pickles, which can run code
        model: Any = Sam2VideoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        model.eval()
        processor = Sam2VideoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, TypeError) as exc:
        raise WeightsCorrupt(f"sam2 {folder}: not a video model of SAM 2: {exc}") from exc
    digest = sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return Sam2(model, processor, digest.hexdigest())


@dataclass(slots=True, eq=False)
class Sam2Predictor:
    """Segments people frame by frame, in order of time; like `PeoplePredictor`, without fine-tuning."""

    scene: Scene
    sam2: Sam2
    people: tuple[int, ...]
    _locator: PeopleLocator = field(init=False)
    _session: Any = None
    _in_session: tuple[int, ...] = ()
    _frames: int = 0
    _t_s: float = 0.0

    def __post_init__(self) -> None:
        self._locator = PeopleLocator(self.scene, self.people)

    def predict(
        self, rgb: RgbImage, *, frame: float, t_s: float, matched: Mapping[int, Mask] | None = None
    ) -> list[Instance]:
        """Return an instance of each person with a mask in this frame, by id; see `PeoplePredictor.predict`."""
        size_hw = (rgb.shape[0], rgb.shape[1])
        boxes = self._locator.expect(frame, size_hw)
        instances = self._segment(rgb, frame, boxes) if boxes else []
        found = {one.track_id: one.box_xywh for one in instances if one.track_id is not None}
        self._locator.observe(found, t_s - self._t_s)
        self._t_s = t_s
        return instances

    def _segment(self, rgb: RgbImage, frame: float, boxes: Mapping[int, BoxXywh]) -> list[Instance]:
        logits = self._run(rgb, boxes, restart=is_annotated(self.scene, boxes, frame))
        everywhere = slice(0, rgb.shape[0]), slice(0, rgb.shape[1])
        probabilities: dict[int, FloatMap] = {
            person: np.asarray(one.sigmoid().numpy(), dtype=np.float32) for person, one in logits.items()
        }
        found = {
            person: FoundPerson(person, boxes[person], *everywhere, one, THRESHOLD)
            for person, one in probabilities.items()
            if person in boxes
        }
        pixels = {person: one.probability > THRESHOLD for person, one in found.items()}
        resolved = resolve_overlaps(found, pixels, (rgb.shape[0], rgb.shape[1]))
        made = [_instance(found[person], mask) for person, mask in resolved.items()]
        return [one for one in made if one is not None]

    def _run(self, rgb: RgbImage, boxes: Mapping[int, BoxXywh], *, restart: bool) -> dict[int, torch.Tensor]:
        """Return the logits of each person, HxW."""
        processor, people = self.sam2.processor, tuple(boxes)
        inputs = processor(images=rgb, return_tensors="pt")
        size_hw = (rgb.shape[0], rgb.shape[1])
        if self._session is None or restart or people != self._in_session or self._frames >= LONGEST_SESSION:
            self._session, self._in_session, self._frames = processor.init_video_session(), people, 0
            processor.add_inputs_to_inference_session(
                inference_session=self._session,
                frame_idx=0,
                obj_ids=list(people),
                input_boxes=[[[x, y, x + w, y + h] for x, y, w, h in boxes.values()]],
                original_size=size_hw,
            )
        self._frames += 1
        with torch.inference_mode():
            output = self.sam2.model(inference_session=self._session, frame=inputs.pixel_values[0])
        logits = processor.post_process_masks(
            [output.pred_masks], original_sizes=[list(size_hw)], binarize=False
        )[0]
        return {int(person): logits[index, 0] for index, person in enumerate(self._session.obj_ids)}


def _instance(found: FoundPerson, pixels: Any) -> Instance | None:
    """Make an instance; None for a mask that is too small, or away from the expected box."""
    _, _, w, h = found.box_xywh
    if pixels.sum() < MIN_AREA * w * h:
        return None
    mask = Mask.from_array(pixels)
    expected = float(box_iou_matrix([found.box_xywh], [mask.box_xywh])[0, 0])
    if expected < MIN_EXPECTED:
        return None
    within = found.probability[pixels]
    return Instance(
        mask,
        score=float(np.sqrt(within.mean() * expected)),
        box_xywh=mask.box_xywh,
        stability=stability_share(within, mask_threshold=THRESHOLD),
        track_id=found.person,
    )
