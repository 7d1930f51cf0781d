"""What a segmenter sees in one image, and one bad mask among good ones."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from configs.errors import ConfigError, ModelOutputWrong, NoSuchPart, SourceNotFound, UnsupportedVideo
from configs.load import validate_config
from configs.models import RunConfig
from flows.cli.main import app
from labeling.pipeline import label_shard
from labeling.segmenters.factory import load_models
from labeling.storage.home import Home
from labeling.structures.frames import Clip, ImageFile
from labeling.structures.records import LabeledShard
from labeling.video.decode import decode_clip
from labeling.video.images import read_image
from tasks.try_image import try_segmenter
from tests.fakes.videos import write_numbered_video

HW = (60, 80)


def write_scene(folder: Path, number: int, *, mask_hw: tuple[int, int] = HW) -> None:
    """Write an image, and its mask in two folders, the second of another size on request."""
    for name in ("images", "exact", "student"):
        (folder / name).mkdir(exist_ok=True)
    mask = np.zeros(HW, dtype=np.uint8)
    mask[10:50, 20 + number : 50 + number] = 255
    cv2.imwrite(str(folder / "images" / f"p{number}.jpg"), cv2.merge([mask] * 3) // 2 + 40 + number)
    cv2.imwrite(str(folder / "exact" / f"p{number}.png"), mask)
    cv2.imwrite(str(folder / "student" / f"p{number}.png"), cv2.resize(mask, mask_hw[::-1]))


def configured(folder: Path) -> RunConfig:
    tree: dict[str, Any] = {
        "teacher": {"kind": "masks_folder", "path": str(folder / "exact")},
        "student": {"kind": "masks_folder", "path": str(folder / "student")},
    }
    return validate_config(tree, "test")


def label(folder: Path, config: RunConfig, count: int) -> LabeledShard:
    home = Home(folder / "home")
    home.create()
    images = tuple(ImageFile(n, folder / "images" / f"p{n}.jpg") for n in range(count))
    return label_shard(Clip("set", images=images), load_models(config), config, home)


def test_one_bad_mask_costs_one_frame_which_is_named(tmp_path: Path) -> None:
    for number in range(5):
        write_scene(tmp_path, number, mask_hw=(50, 80) if number == 3 else HW)
    shard = label(tmp_path, configured(tmp_path), 5)
    assert {row.name: row.rule for row in shard.frames if row.rule} == {"p3.jpg": "model_output"}
    (bad,) = (row for row in shard.frames if row.rule)
    assert "student: masks_folder: " in str(bad.reasons[0])
    assert "p3.png: the mask is 80x50 px, its frame 80x60" in str(bad.reasons[0])
    assert shard.counts["rejected:model_output"] == 1
    assert shard.counts["easy"] == 4


def test_masks_of_which_none_can_be_read_are_an_error(tmp_path: Path) -> None:
    for number in range(3):
        write_scene(tmp_path, number, mask_hw=(50, 80))
    with pytest.raises(ModelOutputWrong, match=r"p0\.png: the mask is 80x50 px"):
        label(tmp_path, configured(tmp_path), 3)


def test_a_trial_describes_and_draws_what_a_segmenter_sees(tmp_path: Path) -> None:
    write_scene(tmp_path, 0)
    (tmp_path / "mine.yaml").write_text(
        "teacher: {kind: masks_folder, path: exact}\nstudent: {kind: masks_folder, path: student}\n"
    )
    words = ["try", str(tmp_path / "mine.yaml"), str(tmp_path / "images" / "p0.jpg")]
    drawn = tmp_path / "drawn.png"
    printed = CliRunner().invoke(app, [*words, "--to", str(drawn)]).stdout
    assert "masks_folder:student\np0.png is read as one mask\n1 mask, 25.0 % of the image\n" in printed
    assert "  score 1.00, 1,200 px, 30x40 at 20, 10" in printed
    assert read_image(drawn).shape == (*HW, 3)
    figures = json.loads(CliRunner().invoke(app, [*words, "--role", "teacher", "--json"]).stdout)
    assert (figures["model"], figures["person_share"]) == ("masks_folder:exact", 0.25)


def test_a_trial_without_a_person_asks_what_is_declared_wrong(tmp_path: Path) -> None:
    write_scene(tmp_path, 0)
    cv2.imwrite(str(tmp_path / "student" / "p0.png"), np.zeros(HW, dtype=np.uint8))
    trial = try_segmenter(configured(tmp_path), tmp_path / "images" / "p0.jpg", role="student")
    assert list(trial.lines())[-1].startswith("No person: if the image shows one, check scale")


def test_a_frame_of_a_video_is_tried(tmp_path: Path) -> None:
    video = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(10), frames=20)
    block = {"kind": "python", "factory": "tests.fakes.segmenters:bright"}
    config = validate_config({"teacher": block, "student": block}, "test")
    frames = list(decode_clip(Clip("v", video)))
    assert (try_segmenter(config, video, role="student").rgb == frames[10].to_rgb()).all()
    assert (try_segmenter(config, video, role="student", at_s=0.25).rgb == frames[3].to_rgb()).all()
    with pytest.raises(NoSuchPart, match=r"is 2\.00 s long.*no frame at 5 s"):
        try_segmenter(config, video, role="student", at_s=5)
    write_scene(tmp_path, 0)
    with pytest.raises(ConfigError, match="--at is for videos"):
        try_segmenter(config, tmp_path / "images" / "p0.jpg", role="student", at_s=5)
    with pytest.raises(SourceNotFound, match="is a folder: name an image in it"):
        try_segmenter(config, tmp_path / "images", role="student")
    broken = CliRunner().invoke(app, ["try", "lite", str(tmp_path / "images" / "no.txt")])
    assert broken.exit_code == 4, "as for a run that could read nothing"


def test_an_image_or_video_of_too_many_pixels_is_refused_as_in_a_run(tmp_path: Path) -> None:
    write_scene(tmp_path, 0)
    video = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(10), frames=2)
    config = configured(tmp_path)
    pixels = HW[0] * HW[1]
    for limit in (pixels, pixels - 1):
        small = config.model_copy(update={"ingest": config.ingest.model_copy(update={"max_pixels": limit})})
        if limit == pixels:
            assert len(try_segmenter(small, tmp_path / "images" / "p0.jpg", role="student").instances) == 1
            continue
        for path in (tmp_path / "images" / "p0.jpg", video):
            with pytest.raises(UnsupportedVideo, match=r"more pixels than ingest\.max_pixels, 4,799"):
                try_segmenter(small, path, role="student")
