"""Published weights: which are known, where they are looked for, and their download into the cache."""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from configs.environment import TORCH_HOME, XDG_CACHE_HOME
from configs.errors import UnknownModel, WeightsCorrupt, WeightsMissing
from configs.models import RunConfig
from configs.segmenters import LiteBlock, OsvosBlock, SegmenterBlock, TorchvisionBlock
from labeling.storage.atomic import storage_errors
from labeling.storage.home import cache_dir

FOLDER_DEPTH = 2
"""Levels of subfolders of the weights folder that are searched."""
RETRIES = 2
"""Repetitions of a failed download, after 1 s and 2 s."""
TIMEOUT_S = 20.0
_FASTESTDET = (
    "https://raw.githubusercontent.com/dog-qiuqiu/FastestDet/50473cd155cb088aa4a99e64ff6a4b3c24fa07e1"
)
_MEDIAPIPE = (
    "https://raw.githubusercontent.com/google-ai-edge/mediapipe/8b57bf879b419173b26277d220b643dac0402334"
)
_MEDIAPIPE_ASSETS = "https://storage.googleapis.com/mediapipe-assets"
_TORCHVISION = "https://download.pytorch.org/models"


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """One file of weights as its authors published it."""

    name: str
    kind: str
    """Kind of the segmenter that uses it."""
    url: str
    sha256: str
    """All 64 digits, or the first 8, which are part of torchvision's file names."""
    license: str

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2].partition("?")[0]


def _torchvision(model: str, member: str, stem: str) -> KnownWeights:
    url = f"{_TORCHVISION}/{stem}.pth"
    return KnownWeights(f"{model}:{member}", "torchvision", url, stem[-8:], "BSD-3-Clause")


_VOC = "COCO_WITH_VOC_LABELS_V1"
_TABLE = (  # of several weights for one torchvision model, its default comes first
    KnownWeights(
        "fastestdet",
        "lite",
        f"{_FASTESTDET}/example/onnx-runtime/FastestDet.onnx",
        "31cb14c017fce347cb4c846ec62fdf00d76bb3beecdf4be21e7116ac67feb880",
        "BSD-3-Clause",
    ),
    KnownWeights(
        "pose_landmark_lite",
        "lite",
        f"{_MEDIAPIPE}/mediapipe/modules/pose_landmark/pose_landmark_lite.tflite",
        "0e0d22450724475de81b5074cf8deac54268cd9af73c883c02475b768e4ec7e4",
        "Apache-2.0",
    ),
    KnownWeights(
        "pose_landmark_heavy",
        "lite",
        f"{_MEDIAPIPE_ASSETS}/pose_landmark_heavy.tflite?generation=1661875897944151",
        "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
        "Apache-2.0",
    ),
    KnownWeights(
        "selfie_segmentation",
        "selfie",
        f"{_MEDIAPIPE}/mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        "8d13b7fae74af625c641226813616a2117bd6bca19eb3b75574621fc08557f27",
        "Apache-2.0",
    ),
    _torchvision("maskrcnn_resnet50_fpn", "COCO_V1", "maskrcnn_resnet50_fpn_coco-bf2d0c1e"),
    _torchvision("maskrcnn_resnet50_fpn_v2", "COCO_V1", "maskrcnn_resnet50_fpn_v2_coco-73cbd019"),
    _torchvision("keypointrcnn_resnet50_fpn", "COCO_V1", "keypointrcnn_resnet50_fpn_coco-fc266e95"),
    _torchvision("keypointrcnn_resnet50_fpn", "COCO_LEGACY", "keypointrcnn_resnet50_fpn_coco-9f466800"),
    _torchvision("lraspp_mobilenet_v3_large", _VOC, "lraspp_mobilenet_v3_large-d234d4ea"),
    _torchvision("deeplabv3_mobilenet_v3_large", _VOC, "deeplabv3_mobilenet_v3_large-fc3c493d"),
    _torchvision("deeplabv3_resnet50", _VOC, "deeplabv3_resnet50_coco-cd0a2569"),
    _torchvision("deeplabv3_resnet101", _VOC, "deeplabv3_resnet101_coco-586e9e4e"),
)
KNOWN_WEIGHTS = {known.name: known for known in _TABLE}
_LANDMARKS = {
    "lite": ("pose_landmark_lite",),
    "cascade": ("pose_landmark_lite", "pose_landmark_heavy"),
    "heavy": ("pose_landmark_heavy",),
}
"""Landmark networks of each setting of `lite`: the one that finds people first."""


def needed_weights(config: RunConfig) -> list[str]:
    """Return the names of the published weights that a config's segmenters require, each once."""
    blocks = [one for block in config.segmenters().values() for one in (block, *_inner_blocks(block))]
    return list(dict.fromkeys(name for block in blocks for name in _weights_of(block)))


def _inner_blocks(block: SegmenterBlock) -> list[SegmenterBlock]:
    """Return the segmenters that another one uses."""
    return [block.teacher] if isinstance(block, OsvosBlock) else []


def _weights_of(block: SegmenterBlock) -> list[str]:
    if isinstance(block, LiteBlock):
        return list(weights_of_lite(block))
    if not isinstance(block, TorchvisionBlock):
        return [known.name for known in _TABLE if known.kind == block.kind]
    members = [name for name in KNOWN_WEIGHTS if name.startswith(f"{block.model}:")]
    if block.weights == "DEFAULT":
        return members[:1]
    return [name for name in members if name == f"{block.model}:{block.weights}"]


def weights_of_lite(block: LiteBlock) -> tuple[str, ...]:
    """Return the names of the weights that the lite segmenter uses: the detector's, then the landmark networks'."""
    return ("fastestdet", *_LANDMARKS[block.landmarks])


def find_weights(name: str, weights_dir: Path | None) -> Path:
    """Return the path of verified weights: from `weights_dir`, a cache, or downloaded into the cache.

    Raises:
        UnknownModel: there are no weights of that name.
        WeightsMissing: they are not found and cannot be downloaded.
        WeightsCorrupt: the file has another SHA-256.
    """
    if name not in KNOWN_WEIGHTS:
        raise UnknownModel(f"there are no weights named {name!r}: choose one of {', '.join(KNOWN_WEIGHTS)}")
    known = KNOWN_WEIGHTS[name]
    path = _locate(known, weights_dir)
    if path is not None:
        check_sha256(path, known.sha256)
        return path
    target = cache_dir() / known.file
    try:
        _download(known, target)
    except WeightsMissing as exc:
        searched = [f"{weights_dir} (and {FOLDER_DEPTH} folders down)"] if weights_dir else []
        searched += [str(folder) for folder in _caches(known.kind)]
        raise WeightsMissing(
            f"weights {known.file} are not in {' nor in '.join(searched)}, and {exc}: put the file there, or into any "
            "folder and name that (--set weights_dir=FOLDER, or MASKMILL_CACHE=FOLDER for all commands; `maskmill models list` has all files); or use the preset "
            "`offline`, which needs no weights"
        ) from exc
    return target


def list_weights(weights_dir: Path | None = None) -> list[tuple[KnownWeights, Path | None]]:
    """Return every known file and its location (None: missing), without reading or downloading any."""
    return [(known, _locate(known, weights_dir)) for known in _TABLE]


def check_sha256(path: Path, prefix: str) -> str:
    """Return the file's SHA-256; raise `WeightsCorrupt` unless it begins with `prefix`."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not sha256.startswith(prefix):
        raise WeightsCorrupt(
            f"weights {path} have SHA-256 {sha256}, expected {prefix}: remove the file and fetch it again"
        )
    return sha256


def _download(known: KnownWeights, target: Path) -> None:
    """Download into a file beside `target` that takes its name once the SHA-256 is verified."""
    import pooch
    from requests.exceptions import RequestException

    pooch.get_logger().setLevel(logging.WARNING)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    fetcher = pooch.create(
        path=target.parent,
        base_url="",
        registry={part.name: None},  # verified below: pooch knows no prefixes
        urls={part.name: known.url},
        retry_if_failed=RETRIES,
    )
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            fetcher.fetch(part.name, downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S))
            check_sha256(part, known.sha256)
            part.replace(target)
        except RequestException as exc:
            answer = f"status {exc.response.status_code}" if exc.response is not None else type(exc).__name__
            raise WeightsMissing(f"{known.url} cannot be downloaded ({answer})") from exc
        finally:
            part.unlink(missing_ok=True)


def _locate(known: KnownWeights, weights_dir: Path | None) -> Path | None:
    """Return the first existing path of the file, unverified."""
    nested = (
        (weights_dir.glob("*/" * depth + known.file) for depth in range(FOLDER_DEPTH + 1))
        if weights_dir
        else ()
    )
    paths = [path for level in nested for path in sorted(level)]
    paths += [folder / known.file for folder in _caches(known.kind)]
    return next((path for path in paths if path.is_file()), None)


def _caches(kind: str) -> list[Path]:
    """Return our cache, and for torchvision's weights also torch's (as `torch.hub.get_dir()`)."""
    if kind != "torchvision":
        return [cache_dir()]
    torch_home = TORCH_HOME.read() or (XDG_CACHE_HOME.read() or Path.home() / ".cache") / "torch"
    return [cache_dir(), torch_home.expanduser() / "hub" / "checkpoints"]
