"""Quality of mattes beside simpler methods, on composites with exact alpha and on CDnet's office.

    python benchmarks/matting.py composites [--clips N] [--weights FILE] [--pictures DIR] [--closed-form]
    python benchmarks/matting.py office [--weights FILE] [--pictures DIR]

Data: MASKMILL_SHARED (default ../shared), with `data/` and `weights/`. The composites show one person of
PennFudan who walks into the empty office, stands, and walks out (480x320, 90 frames), with a cast shadow, the
noise of a sensor and slow changes of light. Methods: the `background` segmenter (plate difference), OpenCV's
MOG2, the lite teacher's masks, a guided filter over them, closed-form matting from a trimap around them
(`--closed-form`: pymatting, minutes), and the matting network on top of lite. Neither PennFudan nor the office
was seen in the training of the network that ships.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from configs.matting import PlateBlock
from configs.segmenters import BackgroundBlock, LiteBlock
from labeling.background.coverage import MaskedPlate
from labeling.background.masked_plate import build_plate
from labeling.evaluation.mask_sweep import MaskMeter
from labeling.evaluation.matte_metrics import MatteMeter
from labeling.matting.network import MattingNetwork
from labeling.matting.stream import matte_clip
from labeling.segmenters.background import BackgroundSegmenter
from labeling.segmenters.lite import LiteSegmenter
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import union_masks

SHARED = Path(os.environ.get("MASKMILL_SHARED", "../shared"))
OFFICE = SHARED / "data/cdnet_office"
FPS = 25
FRAMES, SIZE_HW = 90, (320, 480)
FloatImage = NDArray[np.float32]
Alphas = dict[int, FloatImage]


@dataclass(frozen=True, slots=True)
class TestClip:
    """A video with exact alpha."""

    path: Path
    frames: list[RgbImage]
    alphas: list[FloatImage]


def read_rgb(path: Path) -> RgbImage:
    return cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2RGB).astype(np.uint8)


def read_gray(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def write_lossless(path: Path, frames: Sequence[RgbImage]) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(
            "libx264rgb", rate=FPS, options={"crf": "0", "preset": "ultrafast"}
        )
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "rgb24"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def make_composite(number: int, folder: Path) -> TestClip:
    """Composite the largest person of a PennFudan image over the median of empty office frames."""
    rng = np.random.default_rng(number)
    empty = np.median([read_rgb(p) for p in sorted((OFFICE / "input").iterdir())[:60:3]], axis=0)
    room = cv2.resize(empty.astype(np.float32), SIZE_HW[::-1])
    images, masks = (sorted((SHARED / "data/pennfudan" / name).iterdir()) for name in ("images", "masks"))
    labels, image = np.asarray(cv2.imread(str(masks[number]), 0)), read_rgb(images[number])
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    person = labels == sizes.argmax()
    rows, columns = np.flatnonzero(person.any(axis=1)), np.flatnonzero(person.any(axis=0))
    part = np.s_[max(0, rows[0] - 6) : rows[-1] + 6, max(0, columns[0] - 6) : columns[-1] + 6]
    walk = Walk(
        room.astype(np.float32),
        person[part].astype(np.float32),
        image[part].astype(np.float32),
        scale=float(rng.uniform(0.5, 0.75)) * SIZE_HW[0] / person[part].shape[0],
        stop=float(rng.uniform(0.35, 0.65)) * SIZE_HW[1],
    )
    shown, alphas = [], []
    for index in range(FRAMES):
        clean, alpha = walk.paint(index / (FRAMES - 1))
        lit = clean * (1 + 0.06 * np.sin(2 * np.pi * index / (FRAMES - 1) + number))
        shown.append(np.clip(lit + rng.normal(0, 3, lit.shape) + 0.5, 0, 255).astype(np.uint8))
        alphas.append(alpha)
    path = folder / f"composite{number}.mp4"
    write_lossless(path, shown)
    return TestClip(path, shown, alphas)


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """A person who walks in from the left, stands at `stop`, and walks out to the right."""

    room: FloatImage
    alpha: FloatImage
    color: FloatImage
    scale: float
    stop: float

    def paint(self, t: float) -> tuple[FloatImage, FloatImage]:
        """Return image and alpha at share `t` of the clip."""
        height, width = self.room.shape[:2]
        start, end = -0.1 * width, 1.1 * width
        times, places = (0.0, 0.35, 0.65, 1.0), (start, self.stop, self.stop, end)
        x, y = float(np.interp(t, times, places)), 0.55 * height
        tall, wide = self.alpha.shape
        affine = np.array(
            [[self.scale, 0, x - self.scale * wide / 2], [0, self.scale, y - self.scale * tall / 2]]
        )
        sharp = cv2.warpAffine(self.alpha, affine, (width, height), flags=cv2.INTER_AREA)
        alpha = cv2.GaussianBlur(sharp, (0, 0), 0.7).astype(np.float32)
        color = cv2.warpAffine(self.color, affine, (width, height), borderMode=cv2.BORDER_REPLICATE)
        feet = y + self.scale * tall / 2
        shear = np.array([[1, -0.5, 0.5 * feet], [0, 0.25, 0.75 * feet]])
        shadow = cv2.GaussianBlur(cv2.warpAffine(alpha, shear, (width, height)), (0, 0), 4)
        image = self.room * (1 - 0.35 * shadow)[..., None]
        return np.asarray(image + alpha[..., None] * (color - image), np.float32), alpha


def segment_frames(segmenter: Segmenter, clip: Clip, frames: Sequence[RgbImage]) -> list[list[Instance]]:
    prepared = segmenter.prepare(clip)
    found: list[list[Instance]] = []
    for index, rgb in enumerate(frames):
        frame = Frame(clip.video_id, round(1000 * index / FPS), rgb, t=Fraction(index, FPS))
        found += prepared.segment([frame])
    return found


def union(people: Sequence[Instance], size_hw: tuple[int, int]) -> FloatImage:
    return union_masks([person.mask for person in people], size_hw).to_array().astype(np.float32)


def lite_segmenter(block: LiteBlock | None = None) -> LiteSegmenter:
    folder = Path(tempfile.mkdtemp())
    for path in (SHARED / "weights").rglob("*.*"):
        if path.suffix in (".onnx", ".tflite"):
            (folder / path.name).symlink_to(path.resolve())
    return LiteSegmenter(block or LiteBlock(), weights_dir=folder)


def mog2(frames: Sequence[RgbImage]) -> Iterator[FloatImage]:
    model = cv2.createBackgroundSubtractorMOG2(detectShadows=True)
    for frame in frames:
        yield (np.asarray(model.apply(frame)) == 255).astype(np.float32)


def guided_filter(rgb: RgbImage, mask: FloatImage, radius: int = 6, eps: float = 1e-3) -> FloatImage:
    """He, Sun and Tang (2013), with a gray guide."""
    guide = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    box = partial(cv2.blur, ksize=(2 * radius + 1, 2 * radius + 1))
    mean, mean_mask = box(guide), box(mask)
    slope = (box(guide * mask) - mean * mean_mask) / (box(guide * guide) - mean * mean + eps)
    offset = mean_mask - slope * mean
    return np.asarray(np.clip(box(slope) * guide + box(offset), 0, 1), np.float32)


def closed_form(rgb: RgbImage, mask: FloatImage, margin: int = 7) -> FloatImage:
    """Closed-form matting (Levin et al. 2008) between an eroded and a dilated mask."""
    from pymatting import estimate_alpha_cf

    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    inside, near = cv2.erode(mask, kernel), cv2.dilate(mask, kernel)
    if not inside.any():
        return mask
    trimap = np.where(inside > 0, 1.0, np.where(near > 0, 0.5, 0.0))
    return np.asarray(estimate_alpha_cf(rgb / 255.0, trimap), np.float32)


def plate_from(clip: Clip, lite: Segmenter) -> MaskedPlate:
    return build_plate(
        clip,
        lambda frames: [
            union_masks([person.mask for person in people], frame.size_hw)
            for frame, people in zip(frames, lite.segment(frames), strict=True)
        ],
        PlateBlock(),
    )


def matte(clip: Clip, plate_of: Clip, lite: Segmenter, network: MattingNetwork) -> Alphas:
    plate = plate_from(plate_of, lite)
    for warning in plate.warnings:
        print(f"    plate: {warning}")
    return {f.index: f.matte.alpha for f in matte_clip(clip, lite.segment, network, plate)}


def report_exact(name: str, alphas: Alphas, clip: TestClip, *, every: int = 1) -> None:
    meter, ious, last = MatteMeter(), [], -FRAMES
    for index, alpha in sorted(alphas.items()):
        truth = clip.alphas[index]
        meter.update(alpha, truth, is_successor=index == last + every)
        last = index
        inside, person = alpha > 0.5, truth > 0.5
        if person.sum() > 200:
            ious.append((inside & person).sum() / (inside | person).sum())
    figures = meter.compute()
    if figures and figures.dtssd is not None:
        print(
            f"    {name:18} MAD {1e3 * figures.mad:6.2f}  MSE {1e3 * figures.mse:6.2f}  Grad {figures.grad:6.3f}"
            f"  dtSSD {1e3 * figures.dtssd:6.1f}  IoU {np.mean(ious):.3f}",
            flush=True,
        )


def run_composites(options: argparse.Namespace) -> None:
    lite, network = lite_segmenter(), MattingNetwork(options.weights)
    print("x 1e-3 for MAD, MSE and dtSSD; Grad / 1000; IoU of alpha > 0.5")
    with tempfile.TemporaryDirectory() as folder:
        for number in options.clips:
            test = make_composite(number, Path(folder))
            clip = Clip(test.path.stem, test.path)
            print(f"  composite {number}")
            masks = [union(people, SIZE_HW) for people in segment_frames(lite, clip, test.frames)]
            plate = segment_frames(BackgroundSegmenter(BackgroundBlock()), clip, test.frames)
            report_exact("plate difference", dict(enumerate(union(p, SIZE_HW) for p in plate)), test)
            report_exact("lite masks", dict(enumerate(masks)), test)
            filtered = map(guided_filter, test.frames, masks)
            report_exact("guided filter", dict(enumerate(filtered)), test)
            if options.closed_form:
                pairs = [i + j for i in range(9, FRAMES - 9, 12) for j in (0, 1)]
                report_exact("closed form", {i: closed_form(test.frames[i], masks[i]) for i in pairs}, test)
            alphas = matte(clip, clip, lite, network)
            report_exact("matting", alphas, test)
            if options.pictures:
                rows = [tile(test.frames[i], masks[i], alphas[i], test.alphas[i]) for i in (20, 45, 70)]
                write_picture(options.pictures / f"composite{number}.png", np.vstack(rows))


def run_office(options: argparse.Namespace) -> None:
    lite, network = lite_segmenter(), MattingNetwork(options.weights)
    frames = [read_rgb(path) for path in sorted((OFFICE / "input").iterdir())[:1100]]
    size_hw = (frames[0].shape[0], frames[0].shape[1])
    chosen = range(569, 1100, 5)
    roi = read_gray(OFFICE / "ROI.bmp") > 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "office.mp4"
        write_lossless(path, frames)
        whole = Clip("office", path)
        part = Clip("office", path, start_s=Fraction(569, FPS))
        plate = BackgroundSegmenter(BackgroundBlock()).prepare(whole)
        people = {i: lite.segment([Frame("office", 0, frames[i])])[0] for i in chosen}
        rows = {
            "plate difference": {
                i: union(plate.segment([Frame("office", 0, frames[i])])[0], size_hw) for i in chosen
            },
            "MOG2": {i: mask for i, mask in enumerate(mog2(frames)) if i in chosen},
            "lite masks": {i: union(people[i], size_hw) for i in chosen},
            "lite + matting": {
                i + 569: a for i, a in matte(part, whole, lite, network).items() if i + 569 in chosen
            },
        }
    for name, alphas in rows.items():
        meter = MaskMeter()
        for index, alpha in alphas.items():
            truth = read_gray(OFFICE / f"groundtruth/gt{index + 1:06d}.png")
            known = roi & ~np.isin(truth, (85, 170))
            meter.update(alpha, truth == 255, known)
        at = meter.score(0.5)
        print(f"  {name:18} F {at.f:.3f}  precision {at.precision:.3f}  recall {at.recall:.3f}", flush=True)
    if options.pictures:
        shown = (chosen[20], chosen[60], chosen[100])
        truths = {i: read_gray(OFFICE / f"groundtruth/gt{i + 1:06d}.png") / 255.0 for i in shown}
        images = [tile(frames[i], rows["lite masks"][i], rows["lite + matting"][i], truths[i]) for i in shown]
        write_picture(options.pictures / "office.png", np.vstack(images))


def tile(rgb: RgbImage, *alphas: NDArray[Any]) -> RgbImage:
    grays = [np.repeat((alpha * 255).astype(np.uint8)[..., None], 3, axis=2) for alpha in alphas]
    return np.hstack([rgb, *grays])


def write_picture(path: Path, rgb: RgbImage) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=("composites", "office"))
    parser.add_argument(
        "--clips", type=int, nargs="*", default=[3, 20, 40], help="numbers of PennFudan images"
    )
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--closed-form", action="store_true")
    options = parser.parse_args()
    run_composites(options) if options.data == "composites" else run_office(options)


if __name__ == "__main__":
    main()
