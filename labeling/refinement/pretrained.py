"""Networks of `transformers` that refiners use, loaded once."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from configs.errors import ConfigError
from configs.refinement import NetworkBlock
from labeling.runtime.hub import ModelFolder, find_model, load_pretrained, read_pretrained
from labeling.structures.instances import ModelCard

Classes = Callable[[Any], tuple[Any, Any]]
"""From a config of `transformers` to the classes of its network and of what prepares its inputs; raises `KeyError`."""


@dataclass(frozen=True, slots=True, eq=False)
class PretrainedNetwork:
    """A network on a device, and what prepares its inputs."""

    block: NetworkBlock
    folder: ModelFolder
    model: Any
    processor: Any
    device: str

    @property
    def card(self) -> ModelCard:
        settings = self.block.model_dump(mode="json", exclude={"kind", "model", "revision"})
        return ModelCard(
            self.block.kind,
            self.folder.name,
            self.folder.sha256,
            json.dumps(settings, sort_keys=True, separators=(",", ":")),
        )

    def infer(self, inputs: Any, **options: Any) -> Any:
        """Return the network's output for a batch of inputs; on CUDA in half precision."""
        half = torch.autocast("cuda") if self.device == "cuda" else nullcontext()
        with torch.inference_mode(), half:
            return self.model(**inputs.to(self.device), **options)


def load_network(block: NetworkBlock, classes: Classes, *, device: str, expected: str) -> PretrainedNetwork:
    """Load the network that a block names.

    Raises:
        ConfigError: it is of another family than `expected` says.
        WeightsMissing, WeightsCorrupt: the folder is absent, or holds something else.
    """
    folder = find_model(block.model, revision=block.revision)
    from transformers import AutoConfig  # after what fails at once: it takes seconds

    config = read_pretrained(AutoConfig, folder)
    try:
        network, processor = classes(config)
    except KeyError as exc:
        raise ConfigError(
            f"refine: {block.kind}: {block.model} is {config.model_type}: name {expected}"
        ) from exc
    model = load_pretrained(network, folder).to(device)
    return PretrainedNetwork(block, folder, model, read_pretrained(processor, folder), device)
