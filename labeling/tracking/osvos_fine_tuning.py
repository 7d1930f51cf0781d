"""Fine-tuning of a head to one person, on features of augmented crops that are computed once."""

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from labeling.tracking.osvos_crops import IGNORED, OTHERS, PERSON, Augmentation, CropFrame, TrainingPatch
from labeling.tracking.osvos_network import Backbone, PersonHead, balanced_loss, enlarge

HARD_NEGATIVE = 3.0
"""Weight of the pixels of other people."""
THRESHOLDS = (0.5, 0.6, 0.7, 200 / 255, 0.85, 0.9)
"""Thresholds that are tried on the crops; the published code has 200/255."""
FORWARD_BATCH = 16
MIN_GAIN = 1e-3
"""Smallest reduction of the loss, as a share of it, that is progress."""


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How long and how fast a head is trained."""

    samples: int = 48
    """Augmented crops; of each mask as many as of the others, and at least one."""
    batch: int = 16
    epochs: int = 8
    patience: int = 4
    """Epochs without progress after which the training ends."""
    learning_rate: float = 3e-3
    """Of Adam; it falls to 0 along a cosine."""
    weight_decay: float = 2e-4
    cpu_cap_s: float = 30.0
    """Processor seconds after which the training ends: a busy machine gives the same result."""
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TrainedHead:
    """A head and how it was trained."""

    head: PersonHead
    threshold: float
    """Probability above which a pixel is the person."""
    iou: float
    """Mean IoU with the masks of the crops themselves, not augmented."""
    epochs: int
    seconds: float
    """Of the processor."""
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Crops as the head sees them; the first of each patch is not augmented."""

    maps: list[Tensor]
    guides: Tensor
    target: Tensor
    weight: Tensor
    plain: list[int]
    """Which are not augmented."""

    def batch(self, chosen: Tensor) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
        maps = [_fast(one[chosen].float()) for one in self.maps]
        return maps, _fast(self.guides[chosen]), self.target[chosen], self.weight[chosen]


def _fast(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


def fine_tune(
    backbone: Backbone, head: PersonHead, patches: Sequence[TrainingPatch], settings: FineTuning
) -> TrainedHead:
    """Train a copy of `head` until the loss stops falling, or time is up; `head` itself stays."""
    started = time.process_time()
    samples = make_samples(backbone, patches, settings)
    trained = copy.deepcopy(head).train()
    generator = torch.Generator().manual_seed(settings.seed)
    optimizer = torch.optim.AdamW(
        trained.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
    losses: list[float] = []
    best, since_best = float("inf"), 0
    while len(losses) < settings.epochs and since_best < settings.patience:
        if time.process_time() - started > settings.cpu_cap_s:
            break
        losses.append(_epoch(trained, samples, optimizer, settings.batch, generator))
        schedule.step()
        since_best = 0 if losses[-1] < best * (1 - MIN_GAIN) else since_best + 1
        best = min(best, losses[-1])
    trained.eval()
    threshold, iou = choose_threshold(trained, samples)
    return TrainedHead(trained, threshold, iou, len(losses), time.process_time() - started, tuple(losses))


def _epoch(
    head: PersonHead,
    samples: Samples,
    optimizer: torch.optim.Optimizer,
    batch: int,
    generator: torch.Generator,
) -> float:
    """Train on all samples once and return their mean loss."""
    order = torch.randperm(len(samples.guides), generator=generator)
    total = 0.0
    for chosen in torch.split(order, batch):
        maps, guides, target, weight = samples.batch(chosen)
        loss = balanced_loss(head(maps, guides), target, weight)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
        total += float(loss.detach()) * len(chosen)
    return total / len(order)


def make_samples(backbone: Backbone, patches: Sequence[TrainingPatch], settings: FineTuning) -> Samples:
    """Cut augmented crops and compute their features."""
    copies = max(1, round(settings.samples / max(len(patches), 1)))
    rng = np.random.default_rng([settings.seed, len(patches)])
    inputs: list[Tensor] = []
    guides, targets, weights, plain = [], [], [], []
    for patch in patches:
        plain.append(len(inputs))
        for number in range(copies):
            change = Augmentation.draw(rng) if number else Augmentation()
            crop = CropFrame.around(patch.box_xywh, change)
            inputs.append(cut_input(crop, patch.rgb, change.gain))
            difference = None if patch.difference is None else crop.cut(patch.difference)
            guides.append(torch.from_numpy(crop.guides(difference)))
            target, weight = targets_of(crop.cut(patch.labels, nearest=True, border=IGNORED))
            targets.append(target)
            weights.append(weight)
    size = guides[0].shape[-2:]
    return Samples(
        maps=[one.half() for one in compute_maps(backbone, inputs)],
        guides=torch.stack(guides),
        target=_reduce(torch.stack(targets), size),
        weight=_reduce(torch.stack(weights), size),
        plain=plain,
    )


def cut_input(crop: CropFrame, rgb: np.ndarray, gain: float = 1.0) -> Tensor:  # type: ignore[type-arg]
    """Return the crop of an image as (3, h, w) in [0, 1]."""
    values = torch.from_numpy(crop.cut(rgb)).permute(2, 0, 1).float() / 255
    return (values * gain).clamp(0, 1) if gain != 1 else values


def compute_maps(backbone: Backbone, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the maps of all stages for crops, each (n, c, h, w)."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(inputs), FORWARD_BATCH):
            parts.append(backbone(torch.stack(list(inputs[start : start + FORWARD_BATCH]))))
    return [torch.cat(stage).clone() for stage in zip(*parts, strict=True)]


def targets_of(labels: np.ndarray) -> tuple[Tensor, Tensor]:  # type: ignore[type-arg]
    target = (labels == PERSON).astype(np.float32)
    weight = np.ones(labels.shape, dtype=np.float32)
    weight[labels == OTHERS] = HARD_NEGATIVE
    weight[labels == IGNORED] = 0.0
    return torch.from_numpy(target)[None], torch.from_numpy(weight)[None]


def _reduce(maps: Tensor, size: Sequence[int]) -> Tensor:
    return torch.nn.functional.interpolate(maps, size=tuple(size), mode="area")


def predict_maps(head: PersonHead, maps: Sequence[Tensor], guides: Tensor, side_px: int) -> Tensor:
    """Return probabilities, (n, side, side), in the crops' resolution."""
    with torch.inference_mode():
        return enlarge(head(maps, guides), (side_px, side_px))[:, 0].sigmoid()


def choose_threshold(head: PersonHead, samples: Samples) -> tuple[float, float]:
    """Return the threshold with the best mean IoU on the crops that are not augmented, and that IoU."""
    maps, guides, target, weight = samples.batch(torch.tensor(samples.plain))
    with torch.inference_mode():
        probability = head(maps, guides).sigmoid()
    truth = (target > 0.5) & (weight > 0)  # noqa: PLR2004 - more than half of the reduced pixel
    ious = {}
    for threshold in THRESHOLDS:
        found = (probability > threshold) & (weight > 0)
        both, either = (found & truth).sum((1, 2, 3)), (found | truth).sum((1, 2, 3))
        ious[threshold] = float((both / either.clamp_min(1)).mean())
    best = max(ious, key=lambda one: ious[one])
    return best, ious[best]


def state_of(trained: TrainedHead) -> dict[str, object]:
    """Return a head as plain values that `torch.load(weights_only=True)` reads."""
    return {
        "head": trained.head.state_dict(),
        "threshold": trained.threshold,
        "iou": trained.iou,
        "epochs": trained.epochs,
        "seconds": trained.seconds,
        "losses": list(trained.losses),
    }


def restore(backbone: Backbone, state: Mapping[str, object]) -> TrainedHead:
    """Return the head that `state_of` stored."""
    head = PersonHead(backbone.channels)
    head.load_state_dict(state["head"])  # type: ignore[arg-type]
    head.eval()
    return TrainedHead(
        head,
        threshold=float(state["threshold"]),  # type: ignore[arg-type]
        iou=float(state["iou"]),  # type: ignore[arg-type]
        epochs=int(state["epochs"]),  # type: ignore[call-overload]
        seconds=float(state["seconds"]),  # type: ignore[arg-type]
        losses=tuple(state["losses"]),  # type: ignore[arg-type]
    )
