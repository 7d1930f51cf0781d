"""Training of the matting network: supervised on composites, then adversarial on real video.

Lightning runs the loops, checkpoints, precision, devices and logs. An epoch is a fixed number of samples
whose content depends on the seed and their index alone, and a checkpoint is written after each: a killed
training continues with the next epoch, to the same loss curve.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from configs.training import MattingTraining
from labeling.matting.background_matting import SIZES, BackgroundMattingNetwork
from labeling.matting.composites import Sample
from labeling.matting.inputs import NAMES
from labeling.matting.losses import (
    DIVERGENCE_RADIUS,
    SUPERVISED_WEIGHTS,
    divergence_loss,
    supervised_losses,
)

Batch = dict[str, Tensor]
PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


class SampleSource(Protocol):
    """Makes sample `index`; see `composites.Compositor`."""

    def sample(self, index: int) -> Sample: ...


class SampleDataset(Dataset[Batch]):
    """Samples as tensors."""

    def __init__(self, source: SampleSource) -> None:
        self._source = source

    def __getitem__(self, index: int) -> Batch:
        sample = self._source.sample(index)
        arrays = {name: getattr(sample.input, name) for name in NAMES}
        arrays |= {
            "true_alpha": sample.alpha,
            "true_foreground": sample.foreground,
            "background": sample.background,
            "shadow_like": sample.shadow_like,
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class EpochSampler(Sampler[int]):
    """Indices epoch * n to (epoch + 1) * n; Lightning calls `set_epoch`."""

    def __init__(self, samples_per_epoch: int) -> None:
        self._count, self._epoch = samples_per_epoch, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        start = self._epoch * self._count
        return iter(range(start, start + self._count))

    def __len__(self) -> int:
        return self._count


class SupervisedStage(lightning.LightningModule):
    """Training on composites whose alpha and foreground are known exactly."""

    def __init__(self, settings: MattingTraining) -> None:
        super().__init__()
        self.settings = settings
        self.network = BackgroundMattingNetwork(SIZES[settings.size]).to(memory_format=torch.channels_last)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        alpha, foreground = _predict(self.network, batch)
        terms = supervised_losses(
            alpha,
            foreground,
            true_alpha=batch["true_alpha"],
            true_foreground=batch["true_foreground"],
            background=batch["background"],
        )
        loss = torch.stack([SUPERVISED_WEIGHTS[name] * term for name, term in terms.items()]).sum()
        if self.settings.divergence:
            terms["divergence"] = self._divergence(alpha, batch)
            loss = loss + self.settings.divergence * terms["divergence"]
        self.log_dict({"loss": loss, **terms}, on_step=True, on_epoch=False)
        return loss

    def _divergence(self, alpha: Tensor, batch: Batch) -> Tensor:
        side = alpha.shape[-1]
        shares = torch.empty(1).uniform_(
            *DIVERGENCE_RADIUS, generator=torch.Generator().manual_seed(self.global_step)
        )
        segmentation = (batch["prior"] > 0).to(alpha.dtype)
        where = batch["shadow_like"] if self.settings.only_shadows else None
        return divergence_loss(
            alpha, segmentation, radius_px=max(1, round(float(shares) * side)), only_where=where
        )

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.settings.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.settings.learning_rate,
            total_steps=self.settings.steps,
            pct_start=self.settings.warm_up,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _predict(network: BackgroundMattingNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
    inputs = (batch[name].contiguous(memory_format=torch.channels_last) for name in NAMES)
    alpha, foreground = network(*inputs)
    return alpha.float(), foreground.float()


def train_supervised(
    settings: MattingTraining, source: SampleSource, folder: Path
) -> BackgroundMattingNetwork:
    """Train, or continue a training that was interrupted, and return the network.

    `folder` receives `last.ckpt` after each epoch, and the loss of each step in `metrics.csv`.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    lightning.seed_everything(settings.seed, verbose=False)
    stage = SupervisedStage(settings)
    loader = DataLoader(
        SampleDataset(source),
        batch_size=settings.batch,
        sampler=EpochSampler(settings.batch * settings.steps_per_epoch),
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
    )
    _fit(stage, loader, settings, folder)
    return stage.network


def _fit(
    stage: lightning.LightningModule, loader: DataLoader[Batch], settings: MattingTraining, folder: Path
) -> None:
    checkpoints = ModelCheckpoint(
        dirpath=folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True
    )
    trainer = lightning.Trainer(
        max_steps=settings.steps,
        precision=PRECISIONS[settings.precision],
        callbacks=[checkpoints],
        logger=CSVLogger(folder, name="", version="", flush_logs_every_n_steps=settings.steps_per_epoch),
        log_every_n_steps=1,
        enable_model_summary=False,
    )
    last = folder / "last.ckpt"
    trainer.fit(stage, loader, ckpt_path=last if last.is_file() else None, weights_only=True)
