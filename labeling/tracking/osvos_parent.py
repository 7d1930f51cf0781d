"""Training of the parent network on people of labeled images; fine-tuning to one person starts from its weights.

As in OSVOS (Caelles et al., 2017), the loss is that of the fused output, plus that of the side output of each stage of
the backbone with a weight that falls to 0 during the training.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from configs.training import OsvosParentTraining
from labeling.structures.frames import RgbImage
from labeling.structures.masks import Mask
from labeling.tracking.osvos_crops import (
    IGNORED,
    OTHERS,
    PERSON,
    Augmentation,
    CropFrame,
    TrainingPatch,
)
from labeling.tracking.osvos_fine_tuning import cut_input, targets_of
from labeling.tracking.osvos_network import Backbone, PersonHead, balanced_loss
from labeling.training.loop import Batch, StagePlan, fit_stage, seed_everything

PERSON_PX = 96
"""Height to which taller people are reduced: a crop shows about half of it."""
MIN_PERSON_PX = 24


class ParentNetwork(torch.nn.Module):
    """A backbone and a head."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = PersonHead(backbone.channels)

    def state(self) -> dict[str, Any]:
        """Return the weights as `osvos_network.read_parent` reads them."""
        return {"backbone": self.backbone.network.state_dict(), "head": self.head.state_dict()}


class PersonCrops(Dataset[Batch]):
    """Augmented crops; number `index` depends on the seed and the index alone."""

    def __init__(self, patches: Sequence[TrainingPatch], *, seed: int) -> None:
        self._patches, self._seed = patches, seed

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng([self._seed, index])
        patch = self._patches[int(rng.integers(len(self._patches)))]
        change = Augmentation.draw(rng)
        crop = CropFrame.around(patch.box_xywh, change)
        target, weight = targets_of(crop.cut(patch.labels, nearest=True, border=IGNORED))
        return {
            "rgb": cut_input(crop, patch.rgb, change.gain),
            "guides": torch.from_numpy(crop.guides(None)),
            "target": target[:, ::2, ::2],
            "weight": weight[:, ::2, ::2],
        }


class ParentStage(lightning.LightningModule):
    """Training on people of labeled images; batch normalization of the backbone stays as it is."""

    def __init__(self, settings: OsvosParentTraining, network: ParentNetwork) -> None:
        super().__init__()
        self.settings, self.network = settings, network

    def training_step(self, batch: Batch, index: int) -> Tensor:
        self.network.backbone.eval()
        maps = self.network.backbone(batch["rgb"])
        head, target, weight = self.network.head, batch["target"], batch["weight"]
        fused = balanced_loss(head(maps, batch["guides"]), target, weight)
        sides = head.side_outputs(maps, (target.shape[-2], target.shape[-1]))
        of_stages = torch.stack([balanced_loss(one, target, weight) for one in sides]).sum()
        left = 1 - self.current_epoch / self.settings.epochs
        loss = fused + left * of_stages
        self.log_dict({"loss": loss, "fused": fused, "stages": of_stages}, on_step=True, on_epoch=False)
        return loss

    def configure_optimizers(self) -> Any:
        rate = self.settings.learning_rate
        groups = [
            {"params": self.network.backbone.parameters(), "lr": rate * self.settings.backbone_share},
            {"params": self.network.head.parameters(), "lr": rate},
        ]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.settings.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, self.settings.epochs * self.settings.steps_per_epoch
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train_parent(
    settings: OsvosParentTraining,
    patches: Sequence[TrainingPatch],
    folder: Path,
    *,
    show_progress: bool = False,
) -> ParentNetwork:
    """Train, or continue a training that was interrupted, and return the network.

    `folder` receives `last.ckpt` after each epoch, and the loss of each step in `metrics.csv`.

    Raises:
        Interrupted: Ctrl-C; the same call continues.
        StorageError: a file cannot be written.
    """
    seed_everything(settings)
    network = ParentNetwork(Backbone(settings.backbone, settings.weights, seed=settings.seed))
    samples = PersonCrops(patches, seed=settings.seed)
    plan = StagePlan(folder, settings.steps_per_epoch, settings.epochs, show_progress=show_progress)
    fit_stage(ParentStage(settings, network), samples, settings, plan)
    return network.eval()


def patches_of_image(rgb: RgbImage, masks: Sequence[Mask], *, number: int = 0) -> list[TrainingPatch]:
    """Return a patch of each person who is tall enough, reduced to `PERSON_PX`; the others are hard negatives."""
    pixels = [mask.to_array() for mask in masks]
    patches = []
    for index, mask in enumerate(masks):
        height = mask.box_xywh[3]
        if height < MIN_PERSON_PX:
            continue
        labels = np.zeros(mask.size_hw, dtype=np.uint8)
        for other, one in enumerate(pixels):
            if other != index:
                labels[one] = OTHERS
        labels[pixels[index]] = PERSON
        patches.append(_reduced(number, rgb, labels, mask, min(1.0, PERSON_PX / height)))
    return patches


def _reduced(
    number: int, rgb: RgbImage, labels: np.ndarray[Any, Any], mask: Mask, scale: float
) -> TrainingPatch:
    patch = TrainingPatch.cut(number, rgb, labels, None, mask.box_xywh)
    size = tuple(max(1, round(side * scale)) for side in patch.labels.shape[::-1])
    small = np.asarray(cv2.resize(patch.rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    label = np.asarray(cv2.resize(patch.labels, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    x, y, w, h = (side * scale for side in patch.box_xywh)
    return TrainingPatch(number, small, label, None, (x, y, w, h))
