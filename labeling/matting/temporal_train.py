"""Training of the recurrent matting network on fake-motion clips, on the loop of `train`."""

from pathlib import Path
from typing import Any, Protocol

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from configs.training import TemporalTraining
from labeling.matting.temporal_losses import TEMPORAL_WEIGHTS, ClipTruth, temporal_losses
from labeling.matting.temporal_matting import TEMPORAL_SIZES, TemporalMattingNetwork
from labeling.training.loop import (
    Batch,
    StagePlan,
    fit_stage,
    recompute_batch_norm,
    seed_everything,
    with_one_cycle,
)


class ClipMaker(Protocol):
    """Makes sample `index`; see `temporal_clips.ClipSamples`."""

    def clip(self, index: int) -> dict[str, NDArray[np.float32]]: ...


class ClipDataset(Dataset[Batch]):
    """Clips as tensors."""

    def __init__(self, source: ClipMaker) -> None:
        self._source = source

    def __getitem__(self, index: int) -> Batch:
        return {name: torch.from_numpy(array) for name, array in self._source.clip(index).items()}


class TemporalStage(lightning.LightningModule):
    """Training on clips whose alpha, foreground and flow are known exactly."""

    def __init__(self, settings: TemporalTraining) -> None:
        super().__init__()
        self.settings = settings
        self.network = TemporalMattingNetwork(
            TEMPORAL_SIZES[settings.size], is_recurrent=settings.is_recurrent
        ).to(memory_format=torch.channels_last)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        alpha, foreground, _ = self.network(batch["image"], batch["probability"])
        names = ("alpha", "foreground", "background", "flow", "is_known")
        terms = temporal_losses(
            alpha.float(), foreground.float(), ClipTruth(*(batch[name] for name in names))
        )
        loss = torch.stack([TEMPORAL_WEIGHTS[name] * term for name, term in terms.items()]).sum()
        self.log_dict({"loss": loss, **terms}, on_step=True, on_epoch=False)
        return loss

    def configure_optimizers(self) -> Any:
        settings = self.settings
        optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        return with_one_cycle(
            optimizer, settings, learning_rate=settings.learning_rate, warm_up=settings.warm_up
        )


def train_temporal(
    settings: TemporalTraining, source: ClipMaker, folder: Path, *, show_progress: bool = False
) -> TemporalMattingNetwork:
    """Train, or continue a training that was interrupted, and return the network.

    `folder` receives `last.ckpt` after each epoch, and the loss of each step in `metrics.csv`.

    Raises:
        Interrupted: Ctrl-C; the same call continues.
        StorageError: a file cannot be written.
    """
    seed_everything(settings)
    stage, clips = TemporalStage(settings), ClipDataset(source)
    plan = StagePlan(folder, settings.steps_per_epoch, settings.epochs, show_progress=show_progress)
    fit_stage(stage, clips, settings, plan)
    recompute_batch_norm(stage.network, clips, inputs=("image", "probability"), batch=settings.batch)
    return stage.network
