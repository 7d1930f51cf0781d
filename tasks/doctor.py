"""Check this machine: device, libraries, models, database, servers, disk."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from configs.environment import DATABASE_URL
from configs.errors import MaskmillError
from configs.models import RunConfig
from configs.segmenters import SegmenterBlock
from configs.shipped import unused_calibration
from labeling.runtime.hub import find_model
from labeling.segmenters.requirements import all_blocks, hub_models, required_extras
from labeling.storage.home import Home
from labeling.structures.instances import ModelCard

LOW_DISK_BYTES = 5_000_000_000
"""About one hour of video with its kept frames."""
_TIMEOUT_S = 3.0
"""Time limit for a server's answer."""
_EXTRAS = {
    "lite": ("onnxruntime", "ai-edge-litert"),
    "torch": ("torch", "torchvision"),
    "transformers": ("torch", "torchvision", "transformers"),
    "train": ("torch", "lightning"),
    "review": ("label-studio-sdk",),
    "s3": ("s3fs",),
}


Importance = Literal["required", "advised", "optional"]
"""What follows from a check that is not ok: the config cannot run, it runs worse, or nothing."""
_MARKS: dict[Importance, str] = {"required": "FAIL", "advised": "warn", "optional": "--"}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    what: str
    ok: bool
    finding: str
    importance: Importance = "optional"

    @property
    def mark(self) -> str:
        """`ok`, `FAIL`, `warn`, or `--` for what is not needed."""
        return "ok" if self.ok else _MARKS[self.importance]

    @property
    def is_failure(self) -> bool:
        return not self.ok and self.importance == "required"


def verdict(checks: Sequence[CheckResult], name: str) -> str:
    """Return one line: whether the config can run on this machine.

    >>> verdict([CheckResult("disk", True, ""), CheckResult("teacher", False, "", "required")], "lite")
    'config lite cannot run: see teacher'
    """
    failed = [check.what for check in checks if check.is_failure]
    warned = [check.what for check in checks if check.mark == "warn"]
    if failed:
        return f"config {name} cannot run: see {', '.join(failed)}"
    return f"config {name} can run" + (f"; see {', '.join(warned)}" if warned else "")


def run_checks(config: RunConfig, home: Path) -> list[CheckResult]:
    """Check the machine, the libraries, the config's models and the servers; nothing is started."""
    return [
        _device(config),
        *_libraries(config),
        *_hub_models(config),
        *_models(config),
        _check("database", lambda: _database(home), "required"),
        _check("images", lambda: _images(home), "required"),
        _check("Label Studio", lambda: _label_studio(home, config.review.project), "advised"),
        _js_runtime(),
        _disk(home),
        _check("Prefect", _prefect, "required"),
    ]


def _check(what: str, find: Callable[[], str], importance: Importance) -> CheckResult:
    try:
        return CheckResult(what, True, find(), importance)
    except MaskmillError as error:
        return CheckResult(what, False, _shorten_urls(str(error)), importance)


def _shorten_urls(text: str) -> str:
    """Shorten long addresses of files.

    >>> _shorten_urls("https://raw.githubusercontent.com/a-name/a-repository/0123456789abcdef0123456789/net.onnx")
    'raw.githubusercontent.com/.../net.onnx'
    """
    return re.sub(r"https?://([^/\s]+)/\S{30,}/([^/\s]+)", r"\1/.../\2", text)


def _device(config: RunConfig) -> CheckResult:
    """Check for a GPU, which only networks of torch use; torch is loaded only for them."""
    cpu = f"CPU, {os.cpu_count()} cores"
    if "torch" not in required_extras(config):
        return CheckResult("device", ok=True, finding=f"{cpu}; this config does not use a GPU")
    try:
        import torch
    except ImportError:
        return CheckResult("device", False, f"{cpu}; torch is not installed", "advised")
    if torch.cuda.is_available():
        return CheckResult("device", ok=True, finding=f"GPU: {torch.cuda.get_device_name()}")
    slow = f"{cpu}; no CUDA device: networks of torch are slow here, `--config lite` is faster"
    return CheckResult("device", False, slow, "advised")


def _libraries(config: RunConfig) -> Iterator[CheckResult]:
    required = required_extras(config)
    for extra, packages in _EXTRAS.items():
        importance: Importance = "required" if extra in required else "optional"
        try:
            found = ", ".join(f"{package} {version(package)}" for package in packages)
            yield CheckResult(f"extra {extra}", ok=True, finding=found)
        except PackageNotFoundError as exc:
            missing = f"{exc.name} is missing: pip install 'maskmill[{extra}]'"
            yield CheckResult(f"extra {extra}", False, missing, importance)


def _hub_models(config: RunConfig) -> Iterator[CheckResult]:
    """Look for each model on the hub of Hugging Face, so that all that are missing are named at once."""
    for block in all_blocks(config):
        for model, revision in hub_models(block):

            def find(model: str = model, revision: str | None = revision) -> str:
                return str(find_model(model, revision=revision).path)

            yield _check(f"model {model}", find, "required")


def _models(config: RunConfig) -> Iterator[CheckResult]:
    from labeling.segmenters.factory import make_segmenter

    cards: dict[str, ModelCard] = {}
    for role, block in config.segmenters().items():

        def load(role: str = role, block: SegmenterBlock = block) -> str:
            segmenter = make_segmenter(block, weights_dir=config.weights_dir, device=config.device, batch=1)
            cards[role] = segmenter.card
            describe = getattr(segmenter, "describe", None)
            seen = f": {describe()}" if describe else ""
            return f"{segmenter.card.kind}:{segmenter.card.name} loads{seen}"

        yield _check(role, load, "required")
    if config.trust.calibration and "teacher" in cards:
        yield _calibration(config, cards["teacher"])
        yield from _promises(config)
    elif warning := unused_calibration(config):
        yield CheckResult("calibration", False, warning, "advised")


def _calibration(config: RunConfig, teacher: ModelCard) -> CheckResult:
    from labeling.segmenters.models import calibration_warning, check_calibration

    def check() -> str:
        check_calibration(config, teacher)
        return "fitted to this teacher"

    result, warning = _check("calibration", check, "required"), calibration_warning(config, teacher)
    return CheckResult("calibration", False, warning, "advised") if result.ok and warning else result


def _promises(config: RunConfig) -> Iterator[CheckResult]:
    """Yield what `trust.accept` asks for and the calibration cannot promise."""
    if config.trust.accept is None:
        return
    from labeling.trust.promise import describe_shortages

    shortages = describe_shortages(config.trust)
    for shortage in shortages:
        yield CheckResult("promise", False, shortage, "advised")
    if not shortages:
        yield CheckResult("promise", True, "can be given for hard and easy persons", "advised")


def _database(home: Path) -> str:
    from db.connection.schema import schema_revision
    from tasks.execution.context import database_url

    if not home.exists() and DATABASE_URL.read() is None:
        return f"none yet; the first run creates {Home(home).database}"
    revision, head = schema_revision(database_url(Home(home)))
    return f"schema {revision or 'none'}, this version has {head}" + (
        "" if revision in (None, head) else ": run `maskmill db upgrade`"
    )


def _images(home: Path) -> str:
    images = Home(home).images
    if images.store is None:
        return f"in {images.address}"
    start = time.perf_counter()
    images.store.check()
    return f"{images.address}: write, read and list work, {time.perf_counter() - start:.1f} s"


def _label_studio(home: Path, project: str) -> str:
    from labeling.review.label_studio.client import LabelStudioClient
    from labeling.review.label_studio.credentials import HOW_TO_START_ONE, known_credentials
    from labeling.review.label_studio.http import RetryPolicy

    if (access := known_credentials(home)) is None:
        return f"none, needed only for review: {HOW_TO_START_ONE}"
    with LabelStudioClient(
        access.url, access.token, retry_policy=RetryPolicy(timeout_s=_TIMEOUT_S, attempts=1)
    ) as server:
        found = f"{server.check()} at {server.url}"
        project_id = server.find_project(project)
    if project_id is None:
        return f"{found}, no project {project} yet: `maskmill review push` creates it"
    return f"{found}, {project}: {server.url}/projects/{project_id}/data"


def _js_runtime() -> CheckResult:
    from labeling.sources.ytdlp import js_runtime_status

    found = js_runtime_status()
    return CheckResult("JavaScript runtime", ok=found.ok, finding=found.explanation)


def _disk(home: Path) -> CheckResult:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    writable = os.access(existing, os.W_OK)
    finding = f"{free / 1e9:.1f} GB free at {home}" + ("" if writable else ", which is not writable")
    importance: Importance = "advised" if writable else "required"
    return CheckResult("disk", writable and free > LOW_DISK_BYTES, finding, importance)


def _prefect() -> str:
    from prefect.settings import (
        PREFECT_API_REQUEST_TIMEOUT,
        PREFECT_API_URL,
        PREFECT_CLIENT_MAX_RETRIES,
        temporary_settings,
    )

    from tasks.execution.prefect_server import require_server

    if not PREFECT_API_URL.value():
        return f"{version('prefect')}, no server set: a temporary one starts with each run"
    with temporary_settings({PREFECT_API_REQUEST_TIMEOUT: _TIMEOUT_S, PREFECT_CLIENT_MAX_RETRIES: 0}):
        require_server()
    return f"{version('prefect')}, server at {PREFECT_API_URL.value()}"
