"""Which weights are known, where they are found, and how they are fetched over a real HTTP server."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from configs.errors import UnknownModel
from configs.load import load_config, validate_config
from labeling.errors import WeightsCorrupt, WeightsMissing
from labeling.segmenters import weights
from labeling.segmenters.weights import (
    KNOWN_WEIGHTS,
    KnownWeights,
    fetch_weights,
    find_weights,
    list_weights,
    needed_weights,
)
from labeling.segmenters.weights_download import ATTEMPTS, download_file
from labeling.storage.cache import cache_dir

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Behavior:
    """What the server does with each request, in order; the last one is repeated."""

    answers: list[str]
    can_resume: bool = True
    ranges: list[str | None] = field(default_factory=list)

    def next_answer(self) -> str:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def serve(behavior: Behavior) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            behavior.ranges.append(asked)
            answer = behavior.next_answer()
            if answer.isdigit():
                self.send_error(int(answer))
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and behavior.can_resume else 0
            body = CONTENT[start:] if answer != "other" else CONTENT[::-1]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if answer == "cut" else body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tiny.onnx"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees or fills the caches of this machine."""
    monkeypatch.setenv("MASKMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


def fetch(url: str, target: Path, *, sha256: str = SHA256) -> None:
    download_file(url, target, sha256=sha256, first_pause_s=0.01)


def test_a_file_is_fetched_and_nothing_else_is_left(tmp_path: Path) -> None:
    with serve(Behavior(["all"])) as url:
        fetch(url, tmp_path / "new" / "tiny.onnx")
    assert (tmp_path / "new" / "tiny.onnx").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["tiny.onnx"]


def test_a_missing_file_is_asked_for_once(tmp_path: Path) -> None:
    behavior = Behavior(["404"])
    with serve(behavior) as url, pytest.raises(WeightsMissing, match="HTTP 404"):
        fetch(url, tmp_path / "tiny.onnx")
    assert len(behavior.ranges) == 1
    assert list(tmp_path.glob("*.onnx*")) == []


def test_other_bytes_are_refused_and_removed(tmp_path: Path) -> None:
    with serve(Behavior(["other"])) as url, pytest.raises(WeightsCorrupt, match=SHA256):
        fetch(url, tmp_path / "tiny.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_download_cut_short_goes_on_where_it_stopped(tmp_path: Path) -> None:
    behavior = Behavior(["cut", "all"])
    with serve(behavior) as url:
        fetch(url, tmp_path / "tiny.onnx")
    assert behavior.ranges == [None, f"bytes={len(CONTENT) // 2}-"]
    assert (tmp_path / "tiny.onnx").read_bytes() == CONTENT


def test_a_server_that_cannot_resume_sends_all_of_it_again(tmp_path: Path) -> None:
    with serve(Behavior(["cut", "all"], can_resume=False)) as url:
        fetch(url, tmp_path / "tiny.onnx")
    assert (tmp_path / "tiny.onnx").read_bytes() == CONTENT


def test_a_server_that_recovers_is_asked_again(tmp_path: Path) -> None:
    behavior = Behavior(["503", "500", "all"])
    with serve(behavior) as url:
        fetch(url, tmp_path / "tiny.onnx")
    assert len(behavior.ranges) == 3
    assert (tmp_path / "tiny.onnx").read_bytes() == CONTENT


def test_a_server_that_stays_broken_is_given_up(tmp_path: Path) -> None:
    behavior = Behavior(["503"])
    with serve(behavior) as url, pytest.raises(WeightsMissing, match="HTTP 503"):
        fetch(url, tmp_path / "tiny.onnx")
    assert len(behavior.ranges) == ATTEMPTS


def test_the_first_digits_of_a_hash_are_checked_too(tmp_path: Path) -> None:
    with serve(Behavior(["all"])) as url:
        fetch(url, tmp_path / "right.onnx", sha256=SHA256[:8])
        with pytest.raises(WeightsCorrupt):
            fetch(url, tmp_path / "wrong.onnx", sha256="00000000")
    assert [path.name for path in tmp_path.glob("*.onnx")] == ["right.onnx"]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[Behavior]:
    """A known file named `tiny`, which a server of this test publishes."""
    behavior = Behavior(["all"])
    with serve(behavior) as url:
        known = KnownWeights("tiny", "lite", url, SHA256, "MIT")
        monkeypatch.setitem(KNOWN_WEIGHTS, "tiny", known)
        yield behavior


@pytest.mark.parametrize("folder", ["", "one", "one/two"])
def test_weights_are_found_up_to_two_folders_down(tiny: Behavior, tmp_path: Path, folder: str) -> None:
    path = tmp_path / "given" / folder / "tiny.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert find_weights("tiny", tmp_path / "given") == path
    assert tiny.ranges == []


def test_weights_that_are_nowhere_are_fetched_into_the_cache_once(
    tiny: Behavior, tmp_path: Path, empty_caches: Path
) -> None:
    deep = tmp_path / "given" / "one" / "two" / "three" / "tiny.onnx"
    deep.parent.mkdir(parents=True)
    deep.write_bytes(CONTENT)
    assert fetch_weights("tiny", tmp_path / "given") == empty_caches / "tiny.onnx"
    assert find_weights("tiny", None) == empty_caches / "tiny.onnx"
    assert len(tiny.ranges) == 1


@pytest.mark.usefixtures("tiny")
def test_other_weights_under_the_right_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(b"other")
    with pytest.raises(WeightsCorrupt, match=r"tiny\.onnx.*" + hashlib.sha256(b"other").hexdigest()):
        find_weights("tiny", tmp_path)


def test_without_a_network_the_message_says_where_it_looked_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_caches: Path
) -> None:
    monkeypatch.setattr(weights, "download_file", _download_without_pauses)
    monkeypatch.setitem(
        KNOWN_WEIGHTS, "gone", KnownWeights("gone", "lite", "http://127.0.0.1:9/gone.onnx", SHA256, "MIT")
    )
    with pytest.raises(WeightsMissing) as caught:
        find_weights("gone", tmp_path / "given")
    for part in ("gone.onnx", str(tmp_path / "given"), str(empty_caches), "ConnectError", "`offline`"):
        assert part in str(caught.value)


def _download_without_pauses(url: str, target: Path, *, sha256: str) -> None:
    download_file(url, target, sha256=sha256, first_pause_s=0.0)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownModel, match="fastestdet"):
        find_weights("fastdet", None)


def test_the_cache_follows_the_xdg_convention(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MASKMILL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "maskmill" / "weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "maskmill" / "weights"


def test_the_list_names_what_is_found_and_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "mediapipe").mkdir()
    (tmp_path / "mediapipe" / "selfie_segmentation.tflite").touch()
    rows = {row.name: row for row in list_weights(tmp_path)}
    assert rows["selfie_segmentation"].found == tmp_path / "mediapipe" / "selfie_segmentation.tflite"
    assert rows["fastestdet"].found is None
    assert rows["fastestdet"].license == "BSD-3-Clause"


def test_torchs_own_cache_is_looked_in(tmp_path: Path) -> None:
    import torch

    kept = Path(torch.hub.get_dir()) / "checkpoints" / "lraspp_mobilenet_v3_large-d234d4ea.pth"
    assert kept.is_relative_to(tmp_path)
    kept.parent.mkdir(parents=True)
    kept.touch()
    rows = {row.name: row.found for row in list_weights()}
    assert rows["lraspp_mobilenet_v3_large:COCO_WITH_VOC_LABELS_V1"] == kept


def test_torchvisions_rows_are_those_of_its_enums() -> None:
    from typing import get_args

    from torchvision.models import get_model_weights

    from configs.segmenters import TorchvisionBlock

    models = get_args(TorchvisionBlock.model_fields["model"].annotation)
    published = {
        f"{model}:{member.name}": member.url for model in models for member in get_model_weights(model)
    }
    table = {known.name: known.url for known in KNOWN_WEIGHTS.values() if known.kind == "torchvision"}
    assert table == published


@pytest.mark.parametrize(
    ("preset", "names"),
    [
        (
            "default",
            [
                "keypointrcnn_resnet50_fpn:COCO_V1",
                "maskrcnn_resnet50_fpn_v2:COCO_V1",
                "lraspp_mobilenet_v3_large:COCO_WITH_VOC_LABELS_V1",
            ],
        ),
        ("lite", ["fastestdet", "pose_landmark_lite", "selfie_segmentation"]),
        ("offline", []),
        ("surveillance", ["fastestdet", "pose_landmark_lite"]),
    ],
)
def test_a_preset_needs_the_weights_of_its_segmenters_each_once(preset: str, names: list[str]) -> None:
    assert needed_weights(load_config(preset)) == names


def test_weights_that_a_config_chooses_are_those_it_needs() -> None:
    def needed(weights: str) -> list[str]:
        block = {"kind": "torchvision", "model": "keypointrcnn_resnet50_fpn", "weights": weights}
        return needed_weights(validate_config({"teacher": block, "student": "background"}, "test"))

    assert needed("COCO_LEGACY") == ["keypointrcnn_resnet50_fpn:COCO_LEGACY"]
    assert needed("random") == []


def test_what_a_model_needs_by_default_is_torchvisions_default() -> None:
    from typing import get_args

    from torchvision.models import get_model_weights

    from configs.segmenters import TorchvisionBlock

    for model in get_args(TorchvisionBlock.model_fields["model"].annotation):
        block = {"kind": "torchvision", "model": model}
        needed = needed_weights(validate_config({"teacher": block, "student": "background"}, "test"))
        assert needed == [f"{model}:{get_model_weights(model).DEFAULT.name}"]


@pytest.mark.shared
@pytest.mark.parametrize("name", ["fastestdet", "pose_landmark_lite", "selfie_segmentation"])
def test_the_real_weights_have_the_hashes_of_the_table(shared: Path, name: str) -> None:
    found = find_weights(name, shared / "weights")
    assert hashlib.sha256(found.read_bytes()).hexdigest() == KNOWN_WEIGHTS[name].sha256
