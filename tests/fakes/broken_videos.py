"""Files that look like videos and are not usable ones."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.fakes.videos import Coding, add_stream, write_images, write_numbered_video


def write_text_as_video(path: Path) -> Path:
    """Write text under a video's name."""
    path.write_text("This is a shopping list, not a video.\n" * 200)
    return path


def write_truncated(path: Path, *, faststart: bool, share: float = 0.6) -> Path:
    """Write an mp4 without its last bytes; the index is missing too unless `faststart` puts it in front."""
    options = {"movflags": "+faststart"} if faststart else {}
    coding = Coding(container_options=options, options={"g": "12", "qp": "10"})
    write_numbered_video(path, fps=Fraction(24), frames=96, coding=coding)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    return path


def write_zero_frames(path: Path) -> Path:
    """Write a container with a video stream and no frame."""
    with av.open(str(path), "w") as container:
        stream = add_stream(container, (96, 144), Fraction(24), None, Coding())
        stream.codec_context.open()
        container.start_encoding()
    return path


def write_sound_only(path: Path) -> Path:
    """Write an audio stream without a video stream."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 44100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_single_pixel(path: Path) -> Path:
    """Write one frame of one pixel, in a lossless codec."""
    coding = Coding(codec="ffv1", pix_fmt="bgr0")
    return write_images(path, [np.full((1, 1, 3), 200, np.uint8)], fps=Fraction(24), coding=coding)


def write_encrypted(path: Path) -> Path:
    """Write an mp4 with common encryption, whose key is not given to the decoder."""
    options = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    return write_numbered_video(path, fps=Fraction(24), frames=24, coding=Coding(container_options=options))
