"""How well a person is learned: masks held out of the training, and their predictions."""

from collections.abc import Sequence

import torch

from labeling.tracking.osvos_crops import IGNORED, PERSON, CropFrame, TrainingPatch
from labeling.tracking.osvos_fine_tuning import TrainedHead, compute_maps, cut_input, fine_tune, predict_maps
from labeling.tracking.osvos_network import Backbone
from labeling.tracking.osvos_preparation import OsvosPreparation


def held_out_ious(preparation: OsvosPreparation, person: int, *, folds: int) -> list[float]:
    """Return the IoU (J) of each mask of a person with its prediction by a head that did not see it.

    The parent has seen some of the masks of all people.
    """
    patches = preparation.read_patches(person)
    ious: list[float] = []
    for fold in range(min(folds, len(patches))):
        kept = [patch for index, patch in enumerate(patches) if index % folds != fold]
        if kept:
            trained = fine_tune(
                preparation.trained_backbone, preparation.parent, kept, preparation.fine_tuning()
            )
            ious += patch_ious(preparation.trained_backbone, trained, patches[fold::folds])
    return ious


def patch_ious(backbone: Backbone, trained: TrainedHead, patches: Sequence[TrainingPatch]) -> list[float]:
    """Return the IoU of each patch's mask with its prediction, in the crop."""
    ious = []
    for patch in patches:
        crop = CropFrame.around(patch.box_xywh)
        labels = crop.cut(patch.labels, nearest=True, border=IGNORED)
        difference = None if patch.difference is None else crop.cut(patch.difference)
        guides = torch.from_numpy(crop.guides(difference))[None]
        maps = compute_maps(backbone, [cut_input(crop, patch.rgb)])
        found = predict_maps(trained.head, maps, guides, crop.side_px)[0].numpy() > trained.threshold
        counted = labels != IGNORED
        both = (found & (labels == PERSON) & counted).sum()
        either = ((found | (labels == PERSON)) & counted).sum()
        ious.append(float(both / max(either, 1)))
    return ious
