"""Whether the licenses of a config's published weights permit what its labels are for."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from configs.errors import ConfigError
from configs.licenses import Licenses
from configs.models import RunConfig
from configs.segmenters import LiteBlock, SelfieBlock, TorchvisionBlock
from labeling.runtime.hub import find_model
from labeling.segmenters.requirements import all_blocks, hub_models

_FOR_ANY_USE = {
    *(
        "apache-2.0",
        "mit",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc0-1.0",
        "cc-by-4.0",
        "cc-by-sa-4.0",
        "unlicense",
    ),
    *("gpl-3.0", "agpl-3.0", "lgpl-3.0", "mpl-2.0"),  # conditions of passing on, none of use
}
_FORBIDDEN = {
    "cc-by-nc": ("commercial", "it is for noncommercial purposes only"),
    "s-lab": ("commercial", "it permits redistribution and use for non-commercial purpose"),
    "sapiens2": ("surveillance", "its list of prohibited uses names surveillance"),
}
"""By the beginning of a license's name: the use that it forbids, and how."""


@dataclass(frozen=True, slots=True)
class License:
    """The license of one model's weights."""

    model: str
    name: str | None
    """As on the hub, such as `apache-2.0`; None: unknown."""


def require_licenses(config: RunConfig) -> None:
    """Check the licenses of all published weights of a config. Your own networks and services are yours to check.

    Raises:
        ConfigError: one forbids a use of `licenses.use`, or nothing is known of it.
    """
    if config.licenses.use:
        for license in licenses_of(config):
            check_license(license, config.licenses)


def licenses_of(config: RunConfig) -> Iterator[License]:
    """Yield the licenses of all published weights of a config."""
    for block in all_blocks(config):
        match block:
            case TorchvisionBlock():
                yield License(f"torchvision:{block.model}", "bsd-3-clause")
            case LiteBlock():
                yield License("FastestDet", "bsd-3-clause")
                yield License("MediaPipe's pose landmarks", "apache-2.0")
            case SelfieBlock():
                yield License("MediaPipe's selfie segmentation", "apache-2.0")
        for model, revision in hub_models(block):
            folder = find_model(model, revision=revision)
            yield License(model, read_license(folder.path / "README.md"))


def check_license(license: License, wanted: Licenses) -> None:
    """Raise `ConfigError` unless a license permits all uses.

    >>> check_license(License("facebook/sam2.1-hiera-small", "apache-2.0"), Licenses(use=("commercial",)))
    >>> check_license(License("nvidia/segformer-b0", "cc-by-nc-4.0"), Licenses(use=("commercial",)))
    Traceback (most recent call last):
    configs.errors.ConfigError: licenses: nvidia/segformer-b0 has the license cc-by-nc-4.0, which forbids commercial \
use: it is for noncommercial purposes only; choose another model
    """
    if license.model in wanted.accepted or license.name in _FOR_ANY_USE:
        return
    for beginning, (use, how) in _FORBIDDEN.items():
        if license.name is not None and license.name.startswith(beginning) and use in wanted.use:
            raise ConfigError(
                f"licenses: {license.model} has the license {license.name}, which forbids {use} use: {how}; "
                "choose another model"
            )
    known = f"the license {license.name}" if license.name else "no license that its folder names"
    raise ConfigError(
        f"licenses: {license.model} has {known}; whether it permits {' and '.join(wanted.use)} use is not known "
        f"here: read it, then add {license.model} to licenses.accepted, or choose another model"
    )


def read_license(card: Path) -> str | None:
    """Return the license that a model card names, in lower case; None if it names none.

    A license of its own is `license: other`, with its name in `license_name`.
    """
    from huggingface_hub.repocard import metadata_load

    try:
        fields = metadata_load(card) or {}
    except (OSError, ValueError, yaml.YAMLError):
        return None
    name = fields.get("license")
    name = fields.get("license_name", name) if name == "other" else name
    return name.strip().lower() if isinstance(name, str) else None
