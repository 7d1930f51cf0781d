"""Evaluation of whole videos: mattes with exact alpha and with CDnet masks, plates, and means over videos."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from configs.errors import ConfigError
from configs.ground_truth import MattedVideo
from labeling.datasets.formats.kitti_flow import encode_flow
from labeling.evaluation.matted_videos import (
    evaluate_matte,
    evaluate_plate,
    with_mean_of_mattes,
    with_mean_of_plates,
)
from labeling.structures.frames import RgbImage
from tests.labeling.evaluation.matted_scenes import gray, save_images

SIZE_HW = (48, 64)


@pytest.fixture
def exact(tmp_path: Path) -> MattedVideo:
    """A square walks 2 px a frame; the matte is .5 too low inside it, and empty in frame 3."""
    mattes: dict[str, NDArray[Any]] = {}
    truths: dict[str, NDArray[Any]] = {}
    images: dict[str, NDArray[Any]] = {}
    scene = np.random.default_rng(0).integers(0, 256, (12, 16), dtype=np.uint8)
    background = cv2.resize(scene, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC)
    for number in range(5):
        truth = np.zeros(SIZE_HW, np.uint16)
        truth[12:36, 8 + 2 * number : 32 + 2 * number] = 65535
        matte = (truth // 65535 * (0 if number == 3 else 153)).astype(np.uint8)
        image = np.where(truth > 0, np.roll(background, 2 * number, axis=1), background)
        mattes[f"{number:05}.png"] = matte
        truths[f"{number:05}.png"] = truth
        images[f"{number:05}.png"] = np.repeat(image[..., None], 3, axis=2).astype(np.uint8)
    folders = {"matte": mattes, "alpha": truths, "images": images}
    return MattedVideo.model_validate(
        {key: save_images(tmp_path / key, some) for key, some in folders.items()}
    )


def test_exact_alpha_gives_errors_per_frame_and_over_time(exact: MattedVideo) -> None:
    summary = evaluate_matte(exact)
    area, pixels = 24 * 24, SIZE_HW[0] * SIZE_HW[1]
    assert (summary.frames, summary.missing, summary.offset, summary.is_offset_inferred) == (5, 0, 0, True)
    assert summary.alpha is not None
    assert summary.alpha.mad == pytest.approx((4 * 0.4 + 1) / 5 * area / pixels, rel=1e-5)
    assert summary.alpha.sad == pytest.approx((4 * 0.4 + 1) / 5 * area / 1000, rel=1e-5)
    assert [score.iou for score in summary.scores] == [1, 1, 1, 0, 1]
    assert [[score.number for score in summary.worst(most)] for most in (1, 2)] == [[3], [3, 0]]
    assert summary.masks.iou == pytest.approx(0.8)
    assert summary.masks.recall == pytest.approx(0.8)
    assert summary.alpha.dtssd is not None
    # Between frames that are alike, the error moves along the motion; into frame 3 and out of it, it changes.
    assert summary.alpha.messddt == pytest.approx(2 / 4 * area / pixels * (1 - 0.4**2), rel=0.25)


def test_exact_flow_replaces_that_of_the_images_where_it_is_valid(exact: MattedVideo, tmp_path: Path) -> None:
    area, pixels = 24 * 24, SIZE_HW[0] * SIZE_HW[1]
    flow = np.zeros((*SIZE_HW, 2), np.float32)
    flow[..., 0] = 2
    for number in range(4):
        truth = np.zeros(SIZE_HW, np.bool_)
        truth[12:36, 8 + 2 * number : 32 + 2 * number] = True
        path = tmp_path / "flow" / f"{number:05}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_flow(flow, truth))
    alone = evaluate_matte(exact.model_copy(update={"images": None, "flow": tmp_path / "flow"}))
    both = evaluate_matte(exact.model_copy(update={"flow": tmp_path / "flow"}))
    assert alone.alpha is not None
    assert both.alpha is not None
    # only the person's pixels are known, and their error changes into frame 3 and out of it
    assert alone.alpha.messddt == pytest.approx(2 / 4 * (1 - 0.4**2), rel=1e-5)
    assert both.alpha.messddt == pytest.approx(2 / 4 * area / pixels * (1 - 0.4**2), rel=0.1)
    (tmp_path / "flow" / "00001.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"flow: .*00001\.png cannot be read"):
        evaluate_matte(exact.model_copy(update={"flow": tmp_path / "flow"}))


def test_without_images_there_is_no_error_along_the_motion(exact: MattedVideo) -> None:
    summary = evaluate_matte(exact.model_copy(update={"images": None}))
    assert summary.alpha is not None
    assert summary.alpha.messddt is None
    assert summary.alpha.dtssd is not None


def test_strips_have_no_error_along_the_motion(tmp_path: Path) -> None:
    # OpenCV crashes on images of this size.
    levels = {"matte": gray(24, 120), "alpha": gray(24, 120), "images": np.zeros((24, 120, 3), np.uint8)}
    keys = {
        key: save_images(tmp_path / key, {"0.png": level, "1.png": level}) for key, level in levels.items()
    }
    summary = evaluate_matte(MattedVideo.model_validate(keys))
    assert summary.alpha is not None
    assert (summary.alpha.dtssd, summary.alpha.messddt) == (0, None)


def test_frames_beside_a_gap_are_no_pair_in_time(exact: MattedVideo) -> None:
    assert exact.alpha is not None
    for number in (1, 3):
        (exact.alpha / f"{number:05}.png").unlink()
    summary = evaluate_matte(exact)
    assert summary.alpha is not None
    assert (summary.frames, summary.alpha.frames, summary.alpha.dtssd) == (3, 3, None)


def test_images_of_another_size_are_named(exact: MattedVideo) -> None:
    assert exact.images is not None
    save_images(exact.images, {"00002.png": np.zeros((20, 30, 3), np.uint8)})
    with pytest.raises(ConfigError, match=r"images: .*00002\.png is 30x20 px, the ground truth 64x48"):
        evaluate_matte(exact)


def cdnet(folder: Path, wrong_columns: int) -> MattedVideo:
    """A person of 10 columns of which the matte misses some; the first frame is not decided."""
    truth, matte = gray(8, 20), gray(8, 20)
    truth[:, 5:15], matte[:, 5 + wrong_columns : 15] = 255, 200
    truths = {"gt000001.png": gray(8, 20, 85), "gt000002.png": truth, "gt000003.png": gray(8, 20, 50)}
    mattes = {"0.png": matte, "1.png": matte, "2.png": gray(8, 20)}
    keys = {"matte": save_images(folder / "matte", mattes), "cdnet": save_images(folder / "truth", truths)}
    return MattedVideo.model_validate(keys)


def test_cdnet_masks_give_f_per_video_and_its_mean(tmp_path: Path) -> None:
    videos = {str(n): evaluate_matte(cdnet(tmp_path / str(n), n)) for n in (0, 5)}
    half = videos["5"]
    assert (half.frames, half.alpha, half.offset) == (2, None, 1)
    assert (half.masks.precision, half.masks.recall) == (1, 0.5)
    assert half.masks.f == pytest.approx(2 / 3)
    assert [(one.number, one.iou, one.mad) for one in half.scores] == [(2, 0.5, None), (3, None, None)]
    assert [one.number for one in half.worst(5)] == [2]
    pooled = with_mean_of_mattes(videos)["all"]
    assert pooled.masks.f == pytest.approx((1 + 2 / 3) / 2)
    assert (pooled.frames, pooled.offset, pooled.masks.best_threshold, pooled.alpha) == (4, None, None, None)
    assert [score.threshold for score in pooled.sweep] == [score.threshold for score in half.sweep]
    assert pooled.sweep[0].f == pooled.masks.f


def test_a_video_without_a_decided_pixel_is_refused(tmp_path: Path) -> None:
    video = cdnet(tmp_path, 0)
    for path in (tmp_path / "truth").iterdir():
        save_images(path.parent, {path.name: gray(8, 20, 170)})
    with pytest.raises(ConfigError, match=r"no pixel of .*truth is decided"):
        evaluate_matte(video)


def test_means_of_exact_mattes_are_over_the_videos_that_have_exact_alpha(
    exact: MattedVideo, tmp_path: Path
) -> None:
    first, second = evaluate_matte(exact), evaluate_matte(cdnet(tmp_path / "cdnet", 5))
    pooled = with_mean_of_mattes({"exact": first, "cdnet": second})["all"]
    assert pooled.alpha == first.alpha
    assert pooled.frames == first.frames + second.frames
    assert with_mean_of_mattes({}) == {}


def image(level: int, size_hw: tuple[int, int] = (20, 30)) -> RgbImage:
    return np.full((*size_hw, 3), level, np.uint8)


def test_plates_are_compared_and_averaged(tmp_path: Path) -> None:
    files = {"10.png": image(10), "13.png": image(13), "40.png": image(40)}
    save_images(tmp_path, files)
    plates = {level: evaluate_plate(tmp_path / f"{level}.png", tmp_path / "10.png") for level in ("13", "40")}
    assert [one.age for one in plates.values()] == [3, 30]
    pooled = with_mean_of_plates(plates)["all"]
    assert (pooled.age, pooled.peps, pooled.pceps, pooled.ms_ssim) == (16.5, 0.5, 0.5, None)
    assert with_mean_of_plates({}) == {}


@pytest.mark.parametrize(
    ("plate", "background", "message"),
    [
        ("gone.png", "a.png", r"plate: .*gone\.png is not a file"),
        ("a.png", "text.png", r"background: .*text\.png is not a readable image"),
        (
            "a.png",
            "wide.png",
            r"plate: .*a\.png is 30x20 px, .*wide\.png 40x20 px: compare images of the same size",
        ),
    ],
)
def test_plates_that_cannot_be_compared_are_named(
    plate: str, background: str, message: str, tmp_path: Path
) -> None:
    save_images(tmp_path, {"a.png": image(1), "wide.png": image(1, (20, 40))})
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ConfigError, match=message):
        evaluate_plate(tmp_path / plate, tmp_path / background)
