"""Training of the recurrent matting network on fake-motion clips, on the loop of `train`."""

from collections.abc import Sequence
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
from labeling.training.loop import Batch, StagePlan, fit_stage, seed_everything

STATISTICS_BATCHES = 24
"""Batches from which the statistics of batch normalization are computed after the training."""


class ClipMaker(Protocol):
    """Makes clip `index`; see `temporal_clips.ClipSource`."""

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
        self.network = TemporalMattingNetwork(TEMPORAL_SIZES[settings.size])

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
        return torch.optim.Adam(self.network.parameters(), lr=self.settings.learning_rate)


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
    _recompute_statistics(stage.network, clips, settings.batch)
    return stage.network


def _recompute_statistics(network: TemporalMattingNetwork, clips: ClipDataset, batch: int) -> None:
    """Replace the running statistics of batch normalization by those of the final weights; see `train`."""
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    momenta: Sequence[float | None] = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
    device = next(network.parameters()).device
    network.train()
    with torch.no_grad():
        for start in range(0, batch * STATISTICS_BATCHES, batch):
            chosen = [clips[start + offset] for offset in range(batch)]
            network(
                *(
                    torch.stack([clip[name] for clip in chosen]).to(device)
                    for name in ("image", "probability")
                )
            )
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()
