"""The table of published weights, their lookup, and downloads from a real HTTP server."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from configs.errors import UnknownModel, WeightsCorrupt, WeightsMissing
from configs.load import load_config, validate_config
from labeling.segmenters.weights import (
    KNOWN_WEIGHTS,
    RETRIES,
    KnownWeights,
    find_weights,
    list_weights,
    needed_weights,
)
from labeling.storage.home import cache_dir

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class WeightsServer:
    """Responses to successive requests; the last one is repeated."""

    responses: list[str]
    requests: int = 0

    def next_response(self) -> str:
        self.requests += 1
        return self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]


@contextmanager
def serve(script: WeightsServer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            response = script.next_response()
            if response.isdigit():
                self.send_error(int(response))
                return
            body = CONTENT if response != "other" else CONTENT[::-1]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if response == "truncated" else body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tiny.onnx"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Isolate the tests from the caches of this machine, and repeat downloads without pauses."""
    monkeypatch.setenv("MASKMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(pooch.core.time, "sleep", lambda _: None)
    return tmp_path / "cache"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightsServer]:
    """A known file named `tiny`, which a server of this test publishes."""
    script = WeightsServer(["all"])
    with serve(script) as url:
        monkeypatch.setitem(KNOWN_WEIGHTS, "tiny", KnownWeights("tiny", "lite", url, SHA256, "MIT"))
        yield script


def test_a_file_is_downloaded_and_nothing_else_is_left(tiny: WeightsServer, empty_cache: Path) -> None:
    assert find_weights("tiny", None).read_bytes() == CONTENT
    assert [path.name for path in empty_cache.iterdir()] == ["tiny.onnx"]


@pytest.mark.parametrize("status", ["404", "503"])
def test_a_failed_download_names_the_status_and_leaves_nothing(
    tiny: WeightsServer, empty_cache: Path, status: str
) -> None:
    tiny.responses = [status]
    with pytest.raises(WeightsMissing, match=status):
        find_weights("tiny", None)
    assert tiny.requests == RETRIES + 1
    assert list(empty_cache.iterdir()) == []


def test_other_bytes_are_refused_and_removed(tiny: WeightsServer, empty_cache: Path) -> None:
    tiny.responses = ["other"]
    with pytest.raises(WeightsCorrupt, match=SHA256):
        find_weights("tiny", None)
    assert list(empty_cache.iterdir()) == []


@pytest.mark.parametrize("failures", [["truncated"], ["503", "500"]])
def test_a_failed_download_is_repeated(tiny: WeightsServer, failures: list[str]) -> None:
    tiny.responses = [*failures, "all"]
    assert find_weights("tiny", None).read_bytes() == CONTENT
    assert tiny.requests == len(failures) + 1


@pytest.mark.parametrize(("prefix", "is_right"), [(SHA256[:8], True), ("00000000", False)])
def test_the_first_digits_of_a_hash_are_checked(
    tiny: WeightsServer, monkeypatch: pytest.MonkeyPatch, empty_cache: Path, prefix: str, is_right: bool
) -> None:
    monkeypatch.setitem(KNOWN_WEIGHTS, "tiny", replace(KNOWN_WEIGHTS["tiny"], sha256=prefix))
    with nullcontext() if is_right else pytest.raises(WeightsCorrupt):
        find_weights("tiny", None)
    assert (empty_cache / "tiny.onnx").exists() == is_right


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["", "one", "one/two"])
def test_weights_are_found_up_to_two_folders_down(tiny: WeightsServer, tmp_path: Path, folder: str) -> None:
    path = tmp_path / "given" / folder / "tiny.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert find_weights("tiny", tmp_path / "given") == path
    assert tiny.requests == 0


def test_missing_weights_are_downloaded_into_the_cache_once(
    tiny: WeightsServer, tmp_path: Path, empty_cache: Path
) -> None:
    deep = tmp_path / "given" / "one" / "two" / "three" / "tiny.onnx"
    deep.parent.mkdir(parents=True)
    deep.write_bytes(CONTENT)
    assert find_weights("tiny", tmp_path / "given") == empty_cache / "tiny.onnx"
    assert find_weights("tiny", None) == empty_cache / "tiny.onnx"
    assert tiny.requests == 1


@pytest.mark.usefixtures("tiny")
def test_wrong_weights_under_the_right_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(b"other")
    with pytest.raises(WeightsCorrupt, match=r"tiny\.onnx.*" + hashlib.sha256(b"other").hexdigest()):
        find_weights("tiny", tmp_path)


def test_without_a_network_the_message_names_the_folders_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_cache: Path
) -> None:
    url = "http://127.0.0.1:9/gone.onnx"
    monkeypatch.setitem(KNOWN_WEIGHTS, "gone", KnownWeights("gone", "lite", url, SHA256, "MIT"))
    with pytest.raises(WeightsMissing) as caught:
        find_weights("gone", tmp_path / "given")
    for part in ("gone.onnx", str(tmp_path / "given"), str(empty_cache), "ConnectionError", "`offline`"):
        assert part in str(caught.value)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
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
    found = {known.name: path for known, path in list_weights(tmp_path)}
    assert found["selfie_segmentation"] == tmp_path / "mediapipe" / "selfie_segmentation.tflite"
    assert found["fastestdet"] is None


def test_torchs_own_cache_is_searched(tmp_path: Path) -> None:
    import torch

    kept = Path(torch.hub.get_dir()) / "checkpoints" / "lraspp_mobilenet_v3_large-d234d4ea.pth"
    assert kept.is_relative_to(tmp_path)
    kept.parent.mkdir(parents=True)
    kept.touch()
    rows = {known.name: path for known, path in list_weights()}
    assert rows["lraspp_mobilenet_v3_large:COCO_WITH_VOC_LABELS_V1"] == kept


@pytest.mark.slow
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
        (
            "lite-heavy",
            ["fastestdet", "pose_landmark_lite", "pose_landmark_heavy", "selfie_segmentation"],
        ),
        ("offline", []),
        ("surveillance", ["fastestdet", "pose_landmark_lite"]),
    ],
)
def test_a_preset_needs_the_weights_of_its_segmenters_each_once(preset: str, names: list[str]) -> None:
    assert needed_weights(load_config(preset)) == names


def test_a_config_needs_the_weights_that_it_chooses() -> None:
    def needed(weights: str) -> list[str]:
        block = {"kind": "torchvision", "model": "keypointrcnn_resnet50_fpn", "weights": weights}
        return needed_weights(validate_config({"teacher": block, "student": "background"}, "test"))

    assert needed("COCO_LEGACY") == ["keypointrcnn_resnet50_fpn:COCO_LEGACY"]
    assert needed("random") == []


def test_the_default_weights_of_a_model_are_torchvisions_default() -> None:
    from typing import get_args

    from torchvision.models import get_model_weights

    from configs.segmenters import TorchvisionBlock

    for model in get_args(TorchvisionBlock.model_fields["model"].annotation):
        block = {"kind": "torchvision", "model": model}
        needed = needed_weights(validate_config({"teacher": block, "student": "background"}, "test"))
        assert needed == [f"{model}:{get_model_weights(model).DEFAULT.name}"]


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["fastestdet", "pose_landmark_lite", "pose_landmark_heavy", "selfie_segmentation"]
)
def test_the_real_weights_have_the_hashes_of_the_table(shared: Path, name: str) -> None:
    found = find_weights(name, shared / "weights")
    assert hashlib.sha256(found.read_bytes()).hexdigest() == KNOWN_WEIGHTS[name].sha256
