"""Folders of pretrained models: named by a path, or downloaded from the hub of Hugging Face."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from configs.errors import ExtraMissing, WeightsCorrupt, WeightsMissing

_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
"""What a model is made of. Weights in pickles are not read: they could run code."""
_CARD = "README.md"
"""It names the license, and is no part of the hash."""
_UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError)
"""What `transformers` raises for folders that hold something else."""


@dataclass(frozen=True)
class ModelFolder:
    """A model's files on this machine."""

    path: Path
    name: str
    """For people: the name on the hub, or of the folder."""

    @cached_property
    def sha256(self) -> str:
        """Of the names and contents of all files that are read: seconds for gigabytes, so only where it is asked for."""
        digest = sha256()
        for path in sorted({path for pattern in _FILES for path in self.path.glob(pattern)}):
            with path.open("rb") as file:
                digest.update(f"{path.name}\0{file_digest(file, 'sha256').hexdigest()}\n".encode())
        return digest.hexdigest()


def find_model(model: str, *, revision: str | None = None) -> ModelFolder:
    """Return the folder of a model; one that is no folder is looked up in the hub's cache, or downloaded.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "tiny"
    >>> folder.mkdir()
    >>> for name in ("config.json", "model.safetensors"):
    ...     _ = (folder / name).write_text("{}")
    >>> find_model(str(folder)).name
    'tiny'

    Raises:
        ExtraMissing: `huggingface_hub` is not installed.
        WeightsMissing: there is no such model, it requires a consent or token, or the hub cannot be reached.
        WeightsCorrupt: the folder has no config, or no weights as safetensors.
    """
    local = Path(model).expanduser()
    path = local if local.is_dir() else _download(model, revision)
    if not (path / "config.json").is_file():
        raise WeightsCorrupt(
            f"model {model}: {path} has no config.json: name a folder that save_pretrained wrote"
        )
    if not any(path.glob("*.safetensors")):
        raise WeightsCorrupt(
            f"model {model}: {path} has no *.safetensors; weights in other formats can run code and are not read: "
            "load it once with transformers and write it with save_pretrained"
        )
    return ModelFolder(path, path.name if local.is_dir() else model)


def read_pretrained(kind: Any, folder: ModelFolder, **changes: Any) -> Any:
    """Return a config or processor of a class of `transformers`; code that the folder holds is never run.

    `changes` replace values that the folder states.

    Raises:
        WeightsCorrupt: the folder does not hold one.
    """
    try:
        return kind.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False, **changes)
    except _UNREADABLE as exc:
        raise WeightsCorrupt(f"model {folder.name}: transformers cannot read {folder.path}: {exc}") from exc


def load_pretrained(kind: Any, folder: ModelFolder) -> Any:
    """Return a model of a class of `transformers`, in evaluation mode.

    Raises:
        WeightsCorrupt: the weights cannot be read, or some are missing, which would then be random.
    """
    try:
        model, report = kind.from_pretrained(
            folder.path, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except _UNREADABLE as exc:
        raise WeightsCorrupt(f"model {folder.name}: transformers cannot load {folder.path}: {exc}") from exc
    if missing := sorted(report["missing_keys"]):
        raise WeightsCorrupt(
            f"model {folder.name}: {folder.path} lacks {len(missing)} weights of {kind.__name__}, such as "
            f"{missing[0]}: it was saved from another network, or not trained for segmentation"
        )
    return model.eval()


def _download(model: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as exc:
        raise ExtraMissing(
            f"model {model}: no such folder, and downloads require huggingface_hub: "
            "pip install 'maskmill[transformers]'"
        ) from exc
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=[*_FILES, _CARD]))
    except HFValidationError as exc:
        raise WeightsMissing(
            f"model {model}: no such folder, and no name on the hub: write OWNER/NAME, or check the path"
        ) from exc
    except GatedRepoError as exc:
        raise WeightsMissing(
            f"model {model}: its owner asks for a consent: give it on the model's page, then set HF_TOKEN"
        ) from exc
    except RevisionNotFoundError as exc:
        raise WeightsMissing(
            f"model {model}: the hub has no revision {revision!r}: check `revision`"
        ) from exc
    except RepositoryNotFoundError as exc:
        raise WeightsMissing(
            f"model {model}: no such folder, and no such model on the hub, or a private one: check the spelling, "
            "or set HF_TOKEN"
        ) from exc
    except (LocalEntryNotFoundError, OSError) as exc:
        raise WeightsMissing(
            f"model {model}: no such folder, and the hub cannot be reached ({type(exc).__name__}): copy the model's "
            "folder to this machine, and name it"
        ) from exc
