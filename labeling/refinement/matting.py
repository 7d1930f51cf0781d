"""Background matting as a refiner: masks of people before a static camera."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from configs.errors import CameraMoves, ModelError, ModelOutputWrong
from configs.refinement import MattingRefineBlock
from labeling.background.alignment import STILL_PX
from labeling.background.camera_motion import match_image
from labeling.background.coverage import Coverage, MaskedPlate
from labeling.background.masked_plate import build_plate
from labeling.background.masked_samples import find_people_with
from labeling.matting.frame import MattingFrame, matte_frames, split_alpha
from labeling.matting.network import MattingNetwork
from labeling.matting.plate_difference import hides_plate
from labeling.matting.plate_fit import around_people, fit_plate
from labeling.refinement.protocol import Segment
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask

VERSION = "1"
"""Changes when the same network and settings give other masks."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why no mask of a clip is refined."""

    reason: str


class MattingRefiner:
    """Mattes the people of each frame against the plate of the clip, and splits the alpha among them.

    Frames of a clip without a plate, frames that show another view than the plate, and people behind whom
    the plate is unknown keep their masks.
    """

    def __init__(
        self,
        block: MattingRefineBlock,
        network: MattingNetwork | None = None,
        *,
        background: MaskedPlate | _Refusal | None = None,
    ) -> None:
        self._block = block
        self._network = network or MattingNetwork(block.weights)
        self._background = background

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind", "weights"}) | {"version": VERSION}
        return ModelCard(
            self._block.kind, self._network.name, self._network.sha256, json.dumps(settings, sort_keys=True)
        )

    def prepare(self, clip: Clip, segment: Segment) -> "MattingRefiner":
        """Compute the background plate of the clip; deterministic for a file and a time range.

        Raises:
            SourceError: the clip cannot be read.
        """
        return MattingRefiner(self._block, self._network, background=self._find_background(clip, segment))

    def _find_background(self, clip: Clip, segment: Segment) -> MaskedPlate | _Refusal:
        if not clip.is_temporal and any(image.pts_ms is None for image in clip.images):
            return _Refusal("the images are not the frames of one shot")
        try:
            return build_plate(clip, find_people_with(segment), self._block.plate)
        except CameraMoves as error:
            return _Refusal(error.motion)
        except ModelOutputWrong:
            return _Refusal("the images of the clip have several sizes")

    def refine(
        self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
    ) -> list[list[Instance]]:
        """Refine the masks of each frame; those of a frame that cannot be refined get the reason.

        Raises:
            ModelError: `prepare` was not called.
        """
        if self._background is None:
            raise ModelError("matting: no plate is computed yet; call prepare(clip) and use its result")
        result = [list(people) for people in instances]
        selected: list[tuple[int, MattingFrame]] = []
        for position, frame in enumerate(frames):
            people = [person for person in result[position] if person.mask]
            found = self._prepare_frame(frame, people, self._background) if people else None
            if isinstance(found, _Refusal):
                result[position] = [_refuse(person, found.reason) for person in result[position]]
            elif found:
                selected.append((position, found))
        mattes = matte_frames(self._network, [prepared for _, prepared in selected])
        for (position, prepared), matte in zip(selected, mattes, strict=True):
            masks = split_alpha(matte.alpha, prepared.people)
            result[position] = self._with_masks(result[position], masks, prepared)
        return result

    @staticmethod
    def _prepare_frame(
        frame: Frame, people: Sequence[Instance], background: MaskedPlate | _Refusal
    ) -> MattingFrame | _Refusal:
        if isinstance(background, _Refusal):
            return background
        if frame.size_hw != background.rgb.shape[:2]:
            return _Refusal("the frame has another size than the clip")
        if refusal := _check_view(frame, people, background):
            return refusal
        plate_rgb, is_seen = fit_plate(background, frame.rgb, people)
        return MattingFrame(frame.rgb, plate_rgb, is_seen, people)

    def _with_masks(
        self, people: Sequence[Instance], masks: Sequence[Mask], frame: MattingFrame
    ) -> list[Instance]:
        """Give each person with a mask the next one, unless too much of its background is unknown."""
        refined, new = list(people), iter(masks)
        for position, person in enumerate(people):
            if not person.mask:
                continue
            mask, share = next(new), self._unseen_share(person)
            if share > self._block.max_unseen:
                refined[position] = _refuse(
                    person, f"{share:.0%} of the background behind the mask is unknown"
                )
            elif not hides_plate(frame.rgb, frame.plate, frame.is_seen, person):
                refined[position] = _refuse(
                    person, "the frame shows the empty scene there: the mask lies on no person"
                )
            else:
                refined[position] = replace(person, mask=mask)
        return refined

    def _unseen_share(self, person: Instance) -> float:
        """Return the share of a mask that was covered in all frames: the plate may show the person there."""
        if not isinstance(self._background, MaskedPlate):
            return 1.0
        unseen = self._background.coverage > Coverage.ALL_FRAMES
        return float(np.mean(unseen[person.mask.to_array()]))


def _check_view(frame: Frame, people: Sequence[Instance], plate: MaskedPlate) -> _Refusal | None:
    """Return why a frame cannot be compared with the plate, if it cannot."""
    match = match_image(frame.rgb, plate.rgb, around_people(people, frame.size_hw))
    if math.isinf(match.shift_px) or (plate.is_stabilized and match.homography is None):
        return _Refusal("the frame shows another view than the background")
    if not plate.is_stabilized and match.shift_px > STILL_PX:
        return _Refusal(f"the frame is shifted by {match.shift_px:.1f} px against the background")
    return None


def _refuse(person: Instance, reason: str) -> Instance:
    return replace(person, not_refined=(*person.not_refined, reason))
