"""Training of the parent network of `kind: osvos`: labeled sets to people, training, one file of weights."""

import io
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.errors import ConfigError, ExtraMissing
from configs.training import OsvosParentTraining
from labeling.evaluation.ground_truth import read_labeled
from labeling.storage.atomic import storage_errors, write_atomically
from labeling.training.folder import TrainingFolder
from tasks.training_data import find_labeled_sets, read_images, spread
from tasks.training_records import FailedInput, TrainingData, recorded

if TYPE_CHECKING:
    from labeling.tracking.osvos_crops import TrainingPatch

NETWORK = "parent.pt"
"""Name of the result."""


@dataclass(frozen=True, slots=True)
class OsvosParentOrder:
    """What to train on, and where to."""

    datasets: tuple[str, ...]
    """YAML files of labeled sets, exported data sets."""
    to: Path
    settings: OsvosParentTraining
    show_progress: bool = False


@dataclass(frozen=True, slots=True)
class OsvosParentSummary:
    """Result of one training."""

    folder: str
    network: str
    sha256: str
    people: int
    seconds: float
    failures: tuple[FailedInput, ...] = ()
    warnings: tuple[str, ...] = ()


@task(name="train-osvos-parent", task_run_name="{order.to.name}", cache_policy=NO_CACHE, persist_result=False)
def train_osvos_parent_task(order: OsvosParentOrder) -> OsvosParentSummary:
    """Train; see `train_osvos_parent_network`."""
    return train_osvos_parent_network(order)


def train_osvos_parent_network(order: OsvosParentOrder) -> OsvosParentSummary:
    """Write the folder of one training; an interrupted one continues from its last checkpoint.

    Raises:
        ConfigError: no data set can be read, or the folder holds a training with other settings or data.
        ExtraMissing: torch, timm or Lightning is not installed.
        Interrupted: Ctrl-C; the same call continues.
        StorageError: a file cannot be written.
    """
    try:
        import torch

        from labeling.tracking.osvos_parent import train_parent
    except ImportError as exc:
        raise ExtraMissing(
            f"training requires {exc.name}, which is not installed: pip install 'maskmill[train,osvos]'"
        ) from exc
    started, folder, settings = time.monotonic(), TrainingFolder(order.to), order.settings
    with folder.lock():
        data = TrainingData()
        patches = read_parent_data(order, data)
        folder.claim(
            {"settings": settings.identity(), "datasets": list(order.datasets), "data": data.fingerprints}
        )
        network = train_parent(settings, patches, order.to, show_progress=order.show_progress)
        content = io.BytesIO()
        torch.save(network.state(), content)
        target = order.to / NETWORK
        with storage_errors(target, option="--to"):
            write_atomically(target, content.getvalue())
        summary = OsvosParentSummary(
            folder=str(order.to),
            network=str(target),
            sha256=sha256(content.getvalue()).hexdigest(),
            people=len(patches),
            seconds=round(time.monotonic() - started, 1),
            failures=tuple(data.failures),
        )
        folder.finish(asdict(summary))
    return summary


def read_parent_data(order: OsvosParentOrder, data: TrainingData) -> "list[TrainingPatch]":
    """Return the people of all data sets; what cannot be read is recorded in `data`.

    Raises:
        ConfigError: no data set has a person who is tall enough.
    """
    patches: list[TrainingPatch] = []
    share = max(1, order.settings.max_people // len(order.datasets))
    for name in order.datasets:
        with recorded(name, data):
            found = _read_dataset(Path(name), share, data)
            digest = sha256()
            for patch in found:
                digest.update(patch.rgb.tobytes() + patch.labels.tobytes())
            data.fingerprints[name] = digest.hexdigest()
            patches += found
    if not patches:
        reasons = "; ".join(failure.message for failure in data.failures)
        raise ConfigError(f"no data set can be read: {reasons}")
    return patches


def _read_dataset(path: Path, count: int, data: TrainingData) -> "list[TrainingPatch]":
    from labeling.tracking.osvos_parent import MIN_PERSON_PX, patches_of_image

    sets = find_labeled_sets(path)
    if not sets:
        raise ConfigError(
            f"data set {path} is neither an export of maskmill nor a file of labeled sets: name another one"
        )
    labeled = spread([image for one in sets for image in read_labeled(one) if image.people], count)
    patches: list[TrainingPatch] = []
    images = read_images(((image, list(image.people)) for image in labeled), data)
    for number, (rgb, masks) in enumerate(images):
        patches += patches_of_image(rgb, masks, number=number)
        if len(patches) >= count:
            break
    if not patches:
        raise ConfigError(
            f"data set {path} has no person of at least {MIN_PERSON_PX} px height: name another"
        )
    return patches[:count]
