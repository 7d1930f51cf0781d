"""The training of the pose-mask network."""

from pathlib import Path
from typing import Any, Protocol

import lightning
import torch
from torch import Tensor
from torch.utils.data import Dataset

from configs.training import PoseMaskTraining
from labeling.pose_masks.inputs import NAMES
from labeling.pose_masks.losses import mask_losses
from labeling.pose_masks.samples import PoseMaskSample
from labeling.pose_masks.unet import SIZES, PoseMaskNetwork
from labeling.training.loop import (
    Batch,
    StagePlan,
    fit_stage,
    recompute_batch_norm,
    seed_everything,
    with_one_cycle,
)


class PoseMaskSource(Protocol):
    """Makes sample `index`; see `samples.PoseMaskSampler`."""

    def sample(self, index: int) -> PoseMaskSample: ...


class PoseMaskDataset(Dataset[Batch]):
    """Samples as tensors."""

    def __init__(self, source: PoseMaskSource) -> None:
        self._source = source

    def __getitem__(self, index: int) -> Batch:
        sample = self._source.sample(index)
        arrays = {name: getattr(sample.input, name) for name in NAMES} | {"mask": sample.mask}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class PoseMaskStage(lightning.LightningModule):
    """Training on samples with known masks."""

    def __init__(self, settings: PoseMaskTraining) -> None:
        super().__init__()
        self.settings = settings
        self.network = PoseMaskNetwork(SIZES[settings.size]).to(memory_format=torch.channels_last)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        terms = mask_losses(predict(self.network, batch), batch["mask"])
        loss = torch.stack(list(terms.values())).sum()
        self.log_dict({"loss": loss, **terms}, on_step=True, on_epoch=False)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        return with_one_cycle(
            optimizer,
            self.settings,
            learning_rate=self.settings.learning_rate,
            warm_up=self.settings.warm_up,
        )


def predict(network: PoseMaskNetwork, batch: Batch) -> Tensor:
    inputs = (batch[name].contiguous(memory_format=torch.channels_last) for name in NAMES)
    logits: Tensor = network(*inputs)
    return logits


def train_pose_masks(
    settings: PoseMaskTraining, source: PoseMaskSource, folder: Path, *, show_progress: bool = False
) -> PoseMaskNetwork:
    """Train, or continue a training that was interrupted, and return the network.

    `folder` receives `last.ckpt` after each epoch, and the loss of each step in `metrics.csv`.

    Raises:
        Interrupted: Ctrl-C; the same call continues.
        StorageError: a file cannot be written.
    """
    seed_everything(settings)
    stage, samples = PoseMaskStage(settings), PoseMaskDataset(source)
    plan = StagePlan(folder, settings.steps_per_epoch, settings.epochs, show_progress=show_progress)
    fit_stage(stage, samples, settings, plan)
    recompute_batch_norm(stage.network, samples, inputs=NAMES, batch=settings.batch)
    return stage.network
