"""The adversarial stage: unlabeled video, with the supervised network as teacher.

Sengupta et al. (2020), section 5.2. A discriminator learns to tell real frames from people composed onto
other backgrounds; the network is trained to make such composites pass, and to stay near its teacher, the
frozen network of the supervised stage, whose weight is halved every few epochs. The divergence loss of
Nemchinov's thesis (2020, 3.4.3) removes alpha far from the segmentation.
"""

import copy
from pathlib import Path
from typing import Any, Protocol

import lightning
import torch
from torch import Tensor
from torch.nn.functional import l1_loss, pad
from torch.utils.data import Dataset

from configs.training import MattingTraining
from labeling.matting.background_matting import BackgroundMattingNetwork
from labeling.matting.discriminator import PatchDiscriminator
from labeling.matting.inputs import NAMES
from labeling.matting.losses import least_squares_loss, sobel
from labeling.matting.samples import RealSample
from labeling.matting.train import predict, random_divergence
from labeling.training.loop import Batch, StagePlan, fit_stage, seed_everything

IS_PERSON = 0.1
"""Colors are compared with the teacher's where its alpha is above."""
IS_SOLID = 0.95
"""A composite takes the color of the image, not that of the network, where alpha is above."""


class RealSampleSource(Protocol):
    """Makes sample `index`; see `real_crops.RealSamples`."""

    def sample(self, index: int) -> RealSample: ...


class RealDataset(Dataset[Batch]):
    """Samples of real frames as tensors."""

    def __init__(self, source: RealSampleSource) -> None:
        self._source = source

    def __getitem__(self, index: int) -> Batch:
        sample = self._source.sample(index)
        arrays = {name: getattr(sample.input, name) for name in NAMES}
        arrays |= {"other_background": sample.other_background, "shadow_like": sample.shadow_like}
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return tensors | {"shift_px": torch.tensor(sample.shift_px)}


class AdversarialStage(lightning.LightningModule):
    """Alternating steps of the matting network and the discriminator."""

    def __init__(self, settings: MattingTraining, network: BackgroundMattingNetwork) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.settings = settings
        self.network = network
        self.teacher = copy.deepcopy(network).requires_grad_(False).eval()
        self.discriminator = PatchDiscriminator()

    def training_step(self, batch: Batch, index: int) -> None:
        network_optimizer, discriminator_optimizer = self.optimizers()  # type: ignore[attr-defined]  # a list
        self.toggle_optimizer(network_optimizer)
        alpha, foreground = predict(self.network, batch)
        fake = compose_on_other(alpha, foreground, batch)
        terms = self._network_terms(alpha, foreground, fake, batch)
        network_optimizer.zero_grad()
        self.manual_backward(terms["loss"])
        network_optimizer.step()
        self.untoggle_optimizer(network_optimizer)

        if index % self.settings.adversarial.discriminator_every == 0:
            self.toggle_optimizer(discriminator_optimizer)
            loss = self._discriminator_loss(batch["image"], fake.detach())
            discriminator_optimizer.zero_grad()
            self.manual_backward(loss)
            discriminator_optimizer.step()
            self.untoggle_optimizer(discriminator_optimizer)
            terms["discriminator"] = loss
        self.log_dict(terms, on_step=True, on_epoch=False)

    def _network_terms(
        self, alpha: Tensor, foreground: Tensor, fake: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """Return the terms of the network's loss; `loss` is their weighted sum."""
        settings = self.settings.adversarial
        self.teacher.eval()  # Lightning may have set it to training
        with torch.no_grad():
            teacher_alpha, teacher_foreground = predict(self.teacher, batch)
        terms = teacher_losses(
            alpha, foreground, batch, teacher_alpha=teacher_alpha, teacher_foreground=teacher_foreground
        )
        near_teacher = terms["composite"] + terms["alpha"] + terms["gradient"] / 2 + terms["foreground"]
        terms["realism"] = least_squares_loss(self.discriminator(fake).float(), 1.0)
        halved = 0.5 ** (self.current_epoch // settings.halve_every)
        loss = terms["realism"] + settings.teacher_weight * halved * near_teacher
        if settings.divergence:
            where = batch["shadow_like"] if self.settings.only_shadows else None
            step = self.global_step
            terms["divergence"] = random_divergence(alpha, batch["prior"], step, where)
            loss = loss + settings.divergence * terms["divergence"]
        return {"loss": loss, **terms}

    def _discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        scores = self.discriminator(real).float(), self.discriminator(fake).float()
        return (least_squares_loss(scores[0], 1.0) + least_squares_loss(scores[1], 0.0)) / 2

    def configure_optimizers(self) -> Any:
        settings = self.settings.adversarial
        return [
            torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate),
            torch.optim.Adam(self.discriminator.parameters(), lr=settings.discriminator_learning_rate),
        ]


def teacher_losses(
    alpha: Tensor, foreground: Tensor, batch: Batch, *, teacher_alpha: Tensor, teacher_foreground: Tensor
) -> dict[str, Tensor]:
    """Return the differences from the teacher, and from the image where the plate is known."""
    is_person = (teacher_alpha > IS_PERSON).to(alpha.dtype)
    composite = alpha * foreground + (1 - alpha) * batch["plate"]
    known = batch["coverage"]
    return {
        "alpha": l1_loss(alpha, teacher_alpha),
        "gradient": l1_loss(sobel(alpha), sobel(teacher_alpha)),
        "foreground": l1_loss(is_person * foreground, is_person * teacher_foreground),
        "composite": l1_loss(known * composite, known * batch["image"]),
    }


def compose_on_other(alpha: Tensor, foreground: Tensor, batch: Batch) -> Tensor:
    """Compose people onto another background, each sample shifted by its `shift_px`."""
    color = torch.where(alpha > IS_SOLID, batch["image"], foreground)
    shifts = batch["shift_px"].tolist()
    moved = torch.stack(
        [shift_right(torch.cat(one), shift) for *one, shift in zip(alpha, color, shifts, strict=True)]
    )
    alpha, color = moved[:, :1], moved[:, 1:]
    return alpha * color + (1 - alpha) * batch["other_background"]


def shift_right(image: Tensor, shift_px: int) -> Tensor:
    """Move an image, C x H x W, to the right, or to the left if `shift_px` is negative; zeros follow."""
    if shift_px >= 0:
        return pad(image, (shift_px, 0))[..., : image.shape[-1]]
    return pad(image, (0, -shift_px))[..., -shift_px:]


def train_adversarial(
    settings: MattingTraining,
    source: RealSampleSource,
    network: BackgroundMattingNetwork,
    folder: Path,
    *,
    show_progress: bool = False,
) -> BackgroundMattingNetwork:
    """Train a supervised network further, or continue, and return it.

    Files and errors are those of `train.train_supervised`.
    """
    seed_everything(settings)
    stage = AdversarialStage(settings, network)
    plan = StagePlan(
        folder,
        settings.adversarial.steps_per_epoch,
        settings.adversarial.epochs,
        strategy="ddp_spawn_find_unused_parameters_true",
        show_progress=show_progress,
    )
    fit_stage(stage, RealDataset(source), settings, plan)
    return stage.network
