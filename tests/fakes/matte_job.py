"""A process of a job that mattes what differs from the median of the frames: `python -m tests.fakes.matte_job SECONDS_PER_FRAME FOLDER`.

It writes the files of `flows.matte.matte_videos`. Each frame that it works on is a line in `work.txt` of the job.
A video called `crash...` kills the process at its third frame. `no-weights...` fails the whole job.
"""

import json
import os
import signal
import sys
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from configs.errors import SourceError, WeightsMissing
from flows.web.jobs import Job
from flows.web.run_job import follow_server, process_job
from labeling.storage.atomic import write_atomically
from labeling.structures.frames import Clip, RgbImage
from labeling.video.decode import decode_clip
from labeling.visualization.contact_sheet import encode_jpeg
from tests.fakes.videos import write_images


def matte(job: Job, sources: list[str], background: str, out: Path, *, seconds_per_frame: float) -> None:
    if any(Path(source).stem.startswith("no-weights") for source in sources):
        raise WeightsMissing("weights of the network are missing: allow the download")
    for source in map(Path, sources):
        if (out / source.stem / "matte.json").exists():
            continue
        try:
            matte_video(source, out / source.stem, background, seconds_per_frame)
        except SourceError as error:
            stated = {"code": error.code, "message": str(error)}
            write_progress(out / source.stem, "failed", 0, 0, error=stated)


def matte_video(source: Path, target: Path, background: str, seconds_per_frame: float) -> None:
    (target / "alpha").mkdir(parents=True, exist_ok=True)
    frames = [decoded.to_rgb() for decoded in decode_clip(Clip("", source))]
    total = len(frames)
    write_progress(target, "plate", 0, total)
    plate, composites = np.median(frames[:: max(1, total // 9)], axis=0).astype(np.uint8), []
    for number, rgb in enumerate(frames):
        write_progress(target, "matte", number, total)
        with (target.parent.parent / "work.txt").open("a") as file:
            file.write(f"{source.stem} {number}\n")
        time.sleep(seconds_per_frame)
        if source.stem.startswith("crash") and number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        alpha = person_alpha(rgb, plate)
        composites.append(compose(rgb, alpha, background))
        write_atomically(target / "alpha" / f"{number:05}.png", cv2.imencode(".png", alpha)[1].tobytes())
        beside = np.hstack([rgb, composites[-1]])
        write_atomically(target / "latest.jpg", encode_jpeg(beside, quality=85))
    write_progress(target, "encode", total, total)
    write_images(target / "composite.mp4", composites, fps=Fraction(10))
    middle = np.hstack([frames[total // 2], composites[total // 2]])
    write_atomically(target / "preview.webp", cv2.imencode(".webp", middle[..., ::-1])[1].tobytes())
    write_progress(target, "done", total, total)
    write_atomically(target / "matte.json", json.dumps({"frames": total}).encode())


def person_alpha(rgb: RgbImage, plate: RgbImage) -> RgbImage:
    """Return where a frame differs from the plate."""
    difference = np.abs(rgb.astype(np.int16) - plate).max(axis=2)
    soft = cv2.GaussianBlur((difference > 40).astype(np.uint8) * 255, (5, 5), 0)
    return np.asarray(soft, dtype=np.uint8)


def compose(rgb: RgbImage, alpha: RgbImage, background: str) -> RgbImage:
    color = (
        [int(background[at : at + 2], 16) for at in (1, 3, 5)] if background.startswith("#") else [90, 90, 90]
    )
    share = alpha[..., None] / 255
    return np.asarray(rgb * share + np.array(color) * (1 - share), dtype=np.uint8)


def write_progress(
    target: Path, stage: str, done: int, total: int, *, error: dict[str, str] | None = None
) -> None:
    target.mkdir(parents=True, exist_ok=True)
    content = {"stage": stage, "frames_done": done, "frames_total": total, "error": error}
    write_atomically(target / "progress.json", json.dumps(content).encode())


def main(seconds_per_frame: str, folder: str) -> int:
    follow_server()

    def paced(job: Job, sources: list[str], background: str, out: Path) -> None:
        matte(job, sources, background, out, seconds_per_frame=float(seconds_per_frame))

    return process_job(Path(folder), paced)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
