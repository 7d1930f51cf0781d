"""Which weights are known, where they are looked for, and how they get into the cache."""

from dataclasses import dataclass
from pathlib import Path

from configs.environment import TORCH_HOME, XDG_CACHE_HOME
from configs.errors import UnknownModel
from configs.models import RunConfig
from configs.segmenters import SegmenterBlock, TorchvisionBlock
from labeling.errors import WeightsMissing
from labeling.segmenters.weights_download import check_sha256, download_file
from labeling.storage.cache import cache_dir

FOLDERS_DOWN = 2
"""So deep below the weights folder a file is looked for."""
_FASTESTDET = (
    "https://raw.githubusercontent.com/dog-qiuqiu/FastestDet/50473cd155cb088aa4a99e64ff6a4b3c24fa07e1"
)
_MEDIAPIPE = (
    "https://raw.githubusercontent.com/google-ai-edge/mediapipe/8b57bf879b419173b26277d220b643dac0402334"
)
_TORCHVISION = "https://download.pytorch.org/models"


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """One file of weights as its authors published it."""

    name: str
    kind: str
    """Of the segmenter that uses it."""
    url: str
    sha256: str
    """All 64 digits, or the first 8, which torchvision puts into its file names."""
    license: str

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class WeightsRow:
    """A line of `maskmill models list`."""

    name: str
    kind: str
    file: str
    sha256: str
    """64 digits, or the first 8."""
    license: str
    found: Path | None
    """None: missing."""


def _torchvision(model: str, member: str, stem: str) -> KnownWeights:
    url = f"{_TORCHVISION}/{stem}.pth"
    return KnownWeights(f"{model}:{member}", "torchvision", url, stem[-8:], "BSD-3-Clause")


_VOC = "COCO_WITH_VOC_LABELS_V1"
_TABLE = (  # of several for one of torchvision's models, its default first
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


def known_weights(name: str) -> KnownWeights:
    """The table's row of that name.

    Raises:
        UnknownModel: there is none.
    """
    if name not in KNOWN_WEIGHTS:
        raise UnknownModel(f"no weights named {name!r}; known are {', '.join(KNOWN_WEIGHTS)}")
    return KNOWN_WEIGHTS[name]


def needed_weights(config: RunConfig) -> list[str]:
    """Names of the weights that a config's segmenters want, each once; a user's own files have none."""
    blocks = config.segmenters().values()
    return list(dict.fromkeys(name for block in blocks for name in _weights_of(block)))


def _weights_of(block: SegmenterBlock) -> list[str]:
    if not isinstance(block, TorchvisionBlock):
        return [known.name for known in _TABLE if known.kind == block.kind]
    members = [name for name in KNOWN_WEIGHTS if name.startswith(f"{block.model}:")]
    if block.weights == "DEFAULT":
        return members[:1]
    return [name for name in members if name == f"{block.model}:{block.weights}"]


def find_weights(name: str, weights_dir: Path | None) -> Path:
    """Path of checked weights: from `weights_dir` (or two folders below), a cache, or the network.

    Raises:
        UnknownModel: no weights have that name.
        WeightsMissing: they are nowhere and could not be fetched.
        WeightsCorrupt: the file has another SHA-256.
    """
    known = known_weights(name)
    path = locate_weights(known, weights_dir)
    if path is None:
        return _fetch(known, weights_dir)
    check_sha256(path, known.sha256)
    return path


fetch_weights = find_weights
"""What `maskmill models fetch` does: weights that are there already are checked, not fetched again."""


def list_weights(weights_dir: Path | None = None) -> list[WeightsRow]:
    """Every known file and where it lies; nothing is read, checked or fetched."""
    return [
        WeightsRow(
            known.name,
            known.kind,
            known.file,
            known.sha256,
            known.license,
            locate_weights(known, weights_dir),
        )
        for known in _TABLE
    ]


def locate_weights(known: KnownWeights, weights_dir: Path | None) -> Path | None:
    """First path under which the file lies, unchecked."""
    found = _find_below(weights_dir, known.file) if weights_dir else None
    kept = [folder / known.file for folder in _caches(known.kind)]
    return found or next((path for path in kept if path.is_file()), None)


def _fetch(known: KnownWeights, weights_dir: Path | None) -> Path:
    target = cache_dir() / known.file
    try:
        download_file(known.url, target, sha256=known.sha256)
    except WeightsMissing as exc:
        looked = [f"{weights_dir} (and {FOLDERS_DOWN} folders down)"] if weights_dir else []
        looked += [str(folder) for folder in _caches(known.kind)]
        raise WeightsMissing(
            f"weights {known.file} are not in {' nor in '.join(looked)}, and {exc}: put the file into one of "
            "these folders (--set weights_dir=FOLDER), or use the preset `offline`, which needs no weights"
        ) from exc
    return target


def _find_below(folder: Path, file: str) -> Path | None:
    for depth in range(FOLDERS_DOWN + 1):
        for path in sorted(folder.glob("*/" * depth + file)):
            if path.is_file():
                return path
    return None


def _caches(kind: str) -> list[Path]:
    """Ours first, and for torchvision's weights the folder where torch keeps them."""
    return [cache_dir(), _torch_hub() / "checkpoints"] if kind == "torchvision" else [cache_dir()]


def _torch_hub() -> Path:
    """As `torch.hub.get_dir()` says, without importing torch."""
    cache = XDG_CACHE_HOME.read() or Path.home() / ".cache"
    return (TORCH_HOME.read() or cache / "torch").expanduser() / "hub"
