"""What a run was made with, in its log: enough to make it again."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import yaml

from configs.models import RunConfig
from labeling.sources.url_policy import redact_text
from labeling.structures.instances import ModelCard

LIBRARIES = (
    "maskmill",
    "prefect",
    "numpy",
    "av",
    "opencv-python-headless",
    "pycocotools",
    "torch",
    "torchvision",
    "onnxruntime",
    "ai-edge-litert",
)
"""Those that decide what a mask looks like, and who ran them; some are extras."""


def installed_versions() -> dict[str, str]:
    """Versions of `LIBRARIES`, as far as they are installed."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def describe_run(config: RunConfig, cards: Mapping[str, ModelCard]) -> str:
    """Versions, models with their weights' SHA-256, and the whole config as YAML that `--config` takes.

    A config names the variables that hold secrets, never the secrets.
    """
    versions = ", ".join(f"{library} {number}" for library, number in installed_versions().items())
    models = [f"{role}: {card.kind}:{card.name}, {_weights(card)}" for role, card in cards.items()]
    whole = config.model_dump(mode="json", exclude={"schedules"})
    written = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
    head = [
        f"run {config.run_id()} on {versions}",
        *models,
        "config (`maskmill run --config FILE` takes it):",
    ]
    return redact_text("\n".join([*head, written.rstrip()]))


def _weights(card: ModelCard) -> str:
    return f"weights sha256 {card.weights_sha256}" if card.weights_sha256 else "no weights"
