"""How to reproduce a run, as text for its log."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import yaml

from configs.models import RunConfig
from labeling.refinement.protocol import refiners_in
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
"""Libraries that influence the masks, and Prefect; some are extras."""


def describe_run(config: RunConfig, cards: Mapping[str, ModelCard]) -> str:
    """Describe how to reproduce a run: versions, models with the SHA-256 of their weights, the config as YAML.

    A config names the variables that hold secrets, never the secrets.
    """
    versions = ", ".join(f"{library} {number}" for library, number in _installed_versions().items())
    models = [
        f"{role}: {card.kind}:{card.name}, "
        + (f"weights sha256 {card.weights_sha256}" if card.weights_sha256 else "no weights")
        + "".join(f", refined by {label}" for label in refiners_in(card.settings))
        for role, card in cards.items()
    ]
    tree = config.model_dump(mode="json", exclude={"schedules"})
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).rstrip()
    head = f"run {config.run_id()} on {versions}"
    return redact_text("\n".join([head, *models, "config (for `maskmill run --config FILE`):", text]))


def _installed_versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
