"""`maskmill train matting` below the flow: what is read, what is refused, what is written."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from configs.errors import ConfigError
from configs.load import load_training
from configs.segmenters import PythonBlock
from configs.training import AdversarialTraining, MattingTraining
from labeling.datasets.readers.coco import read_coco_file
from labeling.matting.network import MattingNetwork
from labeling.structures.masks import Mask
from labeling.synthetic.scene import render_scene
from labeling.training.folder import TrainingFolder
from tasks.train import (
    TrainingOrder,
    TrainingSummary,
    read_training_data,
    train_matting_network,
)
from tasks.training_records import TrainingData

TINY = MattingTraining(
    size="tiny",
    batch=2,
    steps=4,
    steps_per_epoch=2,
    workers=0,
    threads=1,
    device="cpu",
    teacher=PythonBlock(factory="tests.fakes.segmenters:scripted", options={"boxes": [[40, 20, 30, 60]]}),
    adversarial=AdversarialTraining(epochs=1, steps_per_epoch=2, frames_per_video=3),
)
needs_lightning = pytest.mark.requires("train", module="lightning")


def person_mask() -> np.ndarray:  # type: ignore[type-arg]
    mask = np.zeros((200, 160), np.uint8)
    mask[40:160, 50:100] = 1
    return mask


def make_mask_export(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(3):
        rgb = np.random.default_rng(number).integers(0, 255, (200, 160, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), rgb)
        cv2.imwrite(str(folder / "masks" / f"{number}.png"), person_mask())
    return folder


def make_coco_export(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    cv2.imwrite(str(folder / "images" / "one.jpg"), np.full((200, 160, 3), 90, np.uint8))
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0}
    annotation["segmentation"] = Mask.from_array(person_mask()).to_coco()  # type: ignore[assignment]
    tree = {
        "images": [{"id": 1, "file_name": "one.jpg", "height": 200, "width": 160}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "person"}],
    }
    path = folder / "annotations" / "instances.json"
    path.write_text(json.dumps(tree, default=lambda value: value.decode()))
    assert len(next(read_coco_file(path)).people) == 1
    return folder


def make_cutouts(folder: Path) -> Path:
    folder.mkdir()
    rgba = np.dstack([np.full((200, 160, 3), 80, np.uint8), person_mask() * 255])
    cv2.imwrite(str(folder / "one.png"), rgba)
    return folder


def order(tmp_path: Path, *datasets: object, **more: object) -> TrainingOrder:
    given: dict[str, object] = {"settings": TINY, "to": tmp_path / "out", **more}
    return TrainingOrder(tuple(map(str, datasets)), **given)  # type: ignore[arg-type]


def read(made: TrainingOrder) -> TrainingData:
    data = TrainingData()
    read_training_data(made, None, data)
    return data


@pytest.mark.slow
def test_each_kind_of_data_set_gives_cutouts(tmp_path: Path) -> None:
    masks, coco = make_mask_export(tmp_path / "masks"), make_coco_export(tmp_path / "coco")
    rgba, sets = make_cutouts(tmp_path / "rgba"), tmp_path / "sets.yaml"
    sets.write_text("mine: {images: masks/images, masks: masks/masks, every: 2}\n")
    counts = {path: len(read(order(tmp_path, path)).cutouts) for path in (masks, coco, rgba, sets)}
    assert list(counts.values()) == [3, 1, 1, 2]
    data = read(order(tmp_path, masks, coco, rgba, sets))
    assert len(data.cutouts) == 7
    assert len(data.backgrounds) == 3 + 1 + 2  # the labeled images
    assert not data.failures


def test_people_are_spread_over_the_images_up_to_the_limit(tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"max_cutouts": 2})
    assert len(read(order(tmp_path, make_mask_export(tmp_path / "masks"), settings=settings)).cutouts) == 2


@pytest.mark.slow
def test_bad_data_sets_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    empty, yolo = tmp_path / "empty", tmp_path / "yolo"
    empty.mkdir()
    yolo.mkdir()
    (yolo / "data.yaml").write_text("names: [person]\n")
    missing = tmp_path / "missing.yaml"
    data = read(order(tmp_path, empty, make_cutouts(tmp_path / "rgba"), yolo, missing))
    assert len(data.cutouts) == 1
    assert [(failure.name, failure.code) for failure in data.failures] == [
        (str(path), "config") for path in (empty, yolo, missing)
    ]
    assert "neither a COCO or mask export" in data.failures[0].message
    assert "maskmill export coco" in data.failures[1].message
    assert str(missing) in data.failures[2].message
    with pytest.raises(ConfigError, match=r"no data set can be read: .*neither a COCO"):
        read(order(tmp_path, empty))


def test_a_broken_image_of_a_data_set_is_named_and_the_others_are_used(tmp_path: Path) -> None:
    masks, rgba = make_mask_export(tmp_path / "masks"), make_cutouts(tmp_path / "rgba")
    (masks / "images" / "1.jpg").write_bytes(b"no image")
    cv2.imwrite(str(rgba / "opaque.png"), np.zeros((9, 9, 3), np.uint8))
    data = read(order(tmp_path, masks, rgba, backgrounds=(masks / "images",)))
    assert len(data.cutouts) == 2 + 1
    broken = str(masks / "images" / "1.jpg")
    assert [failure.name for failure in data.failures] == [broken, str(rgba / "opaque.png"), broken]


def test_backgrounds_are_the_folders_images_and_a_bad_one_is_named(tmp_path: Path) -> None:
    folder, bad = tmp_path / "rooms", tmp_path / "nothing"
    folder.mkdir()
    cv2.imwrite(str(folder / "wide.png"), np.zeros((300, 2048, 3), np.uint8))
    (folder / "broken.png").write_bytes(b"no image")
    data = read(order(tmp_path, make_cutouts(tmp_path / "rgba"), backgrounds=(folder, bad)))
    assert [image.shape for image in data.backgrounds] == [(150, 1024, 3)]
    assert [failure.name for failure in data.failures] == [str(bad), str(folder / "broken.png")]


def test_settings_come_from_a_file_and_from_changes(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("steps: 7\nteacher: background:mog2\nadversarial: {epochs: 3}\n")
    settings = load_training(file, ["adversarial.halve_every=5", "weights_dir=w"])
    assert (settings.steps, settings.adversarial.epochs, settings.adversarial.halve_every) == (7, 3, 5)
    assert settings.teacher.kind == "background"
    assert settings.weights_dir == Path("w").absolute()
    with pytest.raises(ConfigError, match=r"unknown key 'step'; did you mean 'steps'\?"):
        load_training(None, ["step=1"])
    with pytest.raises(ConfigError, match=r"unknown key 'adversarial.epoch'; did you mean 'epochs'\?"):
        load_training(None, ["adversarial.epoch=1"])
    with pytest.raises(ConfigError, match=r"cannot read .*nothing\.yaml"):
        load_training(tmp_path / "nothing.yaml")


def test_a_folder_of_another_training_is_refused_and_the_change_is_named(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    folder.claim({"settings": {"steps": 4, "seed": 1}, "data": {"mine": "0a"}})
    folder.claim({"settings": {"steps": 4, "seed": 1}, "data": {"mine": "0a"}})
    with pytest.raises(ConfigError, match=r'settings\.steps was 4, is 5; data\.mine was "0a", is null'):
        folder.claim({"settings": {"steps": 5, "seed": 1}, "data": {}})
    stored = folder.read()
    assert stored is not None
    assert {"torch", "lightning", "numpy", "python"} < set(stored["versions"])


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    with (
        folder.lock(),
        pytest.raises(ConfigError, match=r"another training is writing"),
        TrainingFolder(tmp_path).lock(),
    ):
        pass
    with folder.lock():
        pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingOrder, TrainingSummary]:
    """Both stages, on rendered people and a rendered video."""
    folder = tmp_path_factory.mktemp("trained")
    render_scene(folder / "scene.mp4", seconds=2, size_hw=(96, 144))
    broken = folder / "broken.mp4"
    broken.write_bytes(b"no video")
    made = order(folder, "synthetic", videos=(folder / "scene.mp4", broken))
    return made, train_matting_network(made)


@needs_lightning
@pytest.mark.slow
def test_both_stages_write_a_network_and_what_repeats_it(
    trained: tuple[TrainingOrder, TrainingSummary],
) -> None:
    made, summary = trained
    assert summary.crops == 3  # the teacher finds the same mask in all frames: a person who never moves
    assert [(Path(f.name).name, f.code) for f in summary.failures] == [("broken.mp4", "not_a_video")]
    network = MattingNetwork(made.to / "network.onnx")
    assert (network.side_px, network.sha256) == (64, summary.sha256)
    written = json.loads((made.to / "training.json").read_text())
    assert written["settings"]["seed"] == 1
    assert written["datasets"] == ["synthetic"]
    assert set(written["data"]) == {"synthetic", "backgrounds", str(made.videos[0])}
    assert written["result"]["sha256"] == summary.sha256
    assert len((made.to / "metrics.csv").read_text().splitlines()) == 1 + 4
    assert len((made.to / "adversarial" / "metrics.csv").read_text().splitlines()) == 1 + 2


@needs_lightning
@pytest.mark.slow
def test_the_same_order_again_gives_the_same_network_and_another_is_refused(
    trained: tuple[TrainingOrder, TrainingSummary],
) -> None:
    made, summary = trained
    assert train_matting_network(made).sha256 == summary.sha256
    longer = made.settings.model_copy(update={"steps": 8})
    with pytest.raises(ConfigError, match=r"settings\.steps was 4, is 8"):
        train_matting_network(TrainingOrder(made.datasets, made.to, longer, videos=made.videos))
