"""Stand-ins for matting: a tiny network file, videos with people at known places, and what is in a matte's folder."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper

from labeling.structures.frames import RgbImage
from tests.fakes.segmenters import Box, ScriptedSegmenter
from tests.fakes.videos import Coding, write_images

SIDE_PX = 32
FPS = 10
FIRST_WITH_PERSON = 4
"""In `write_walk`, the frames before it show the empty scene."""


def write_network(path: Path) -> Path:
    """Write a matting network whose alpha is its prior, changed a little by the motion, and whose color is the image."""
    side, small = SIDE_PX, SIDE_PX // 4
    shapes = {
        "image": (3, side),
        "plate": (3, side),
        "coverage": (1, side),
        "prior": (1, side),
        "motion": (4, side),
        "keypoints": (55, small),
    }
    nodes = [
        helper.make_node("ReduceMean", ["motion"], ["gray"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["gray", "tenth"], ["change"]),
        helper.make_node("Add", ["prior", "one"], ["doubled"]),
        helper.make_node("Mul", ["doubled", "half"], ["known"]),
        helper.make_node("Add", ["known", "change"], ["sum"]),
        helper.make_node("Mul", ["sum", "known"], ["weighted"]),
        helper.make_node("Clip", ["weighted", "zero", "one"], ["alpha"]),
        helper.make_node("Identity", ["image"], ["foreground"]),
    ]
    constants = {"tenth": 0.1, "one": 1.0, "half": 0.5, "zero": 0.0}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, size, size])
            for name, (channels, size) in shapes.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("alpha", "foreground")],
        [onnx.numpy_helper.from_array(np.array(v, dtype=np.float32), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def write_temporal_network(path: Path) -> Path:
    """Write a recurrent matting network of the tiny size with random weights."""
    import torch

    from labeling.matting.temporal_export import export_temporal
    from labeling.matting.temporal_matting import TEMPORAL_SIZES, TemporalMattingNetwork

    torch.manual_seed(1)
    network = TemporalMattingNetwork(TEMPORAL_SIZES["tiny"])
    with torch.no_grad():
        for _ in range(2):  # statistics of its normalization
            network(torch.rand(2, 2, 3, 64, 64) * 2 - 1, torch.rand(2, 2, 1, 64, 64))
        network.output.weight.normal_(std=0.5)  # else alpha is the person probability
    export_temporal(network.eval(), path)
    return path


def walking_box(index: int, size_hw: tuple[int, int] = (64, 96)) -> Box:
    """Return where the person of `write_walk` is in a frame."""
    height, width = size_hw
    return (index * 3 % max(1, width - 16), height // 4, 14, height // 2)


def draw_walk(index: int, size_hw: tuple[int, int] = (64, 96), *, empty: bool = False) -> RgbImage:
    """Draw a textured room, and from `FIRST_WITH_PERSON` on a red person in it."""
    noise = np.random.default_rng(3).standard_normal((*size_hw, 3)).astype(np.float32)
    room = np.clip(125 + 120 * cv2.GaussianBlur(noise, (0, 0), 2), 30, 220).astype(np.uint8)
    if index >= FIRST_WITH_PERSON and not empty:
        x, y, w, h = walking_box(index, size_hw)
        room[y : y + h, x : x + w] = (200, 30, 30)
    return room


def write_walk(  # noqa: PLR0913 - what a video is made of, by keyword
    path: Path,
    *,
    frames: int = 20,
    size_hw: tuple[int, int] = (64, 96),
    pts: Sequence[int] | None = None,
    coding: Coding | None = None,
    empty: bool = False,
) -> Path:
    """Write a person who walks through a room at `FPS`; `pts` are times in ms for a variable rate."""
    return write_images(
        path,
        (draw_walk(index, size_hw, empty=empty) for index in range(frames)),
        fps=Fraction(FPS),
        pts=pts,
        time_base=Fraction(1, 1000) if pts else None,
        coding=coding or Coding(),
    )


def walkers_at(times_ms: Sequence[int], size_hw: tuple[int, int] = (64, 96)) -> dict[int, list[Box]]:
    """Return the boxes of `write_walk` by the frames' times."""
    return {
        pts_ms: [walking_box(index, size_hw)] if index >= FIRST_WITH_PERSON else []
        for index, pts_ms in enumerate(times_ms)
    }


def find_walker(frames: int = 200, size_hw: tuple[int, int] = (64, 96)) -> ScriptedSegmenter:
    """Return a segmenter that finds the person of `write_walk`."""
    return ScriptedSegmenter((), walkers_at([100 * i for i in range(frames)], size_hw), name="walker")


def walker(**_: Any) -> ScriptedSegmenter:
    """Factory `python:tests.fakes.mattes:walker`."""
    return find_walker()


def read_folder(folder: Path, kinds: Sequence[str] = ("alpha", "mask", "foreground")) -> dict[str, bytes]:
    """Return the bytes of a matte's images by their names."""
    return {
        f"{kind}/{path.name}": path.read_bytes()
        for kind in kinds
        for path in sorted((folder / kind).iterdir())
    }


def times_of(video: Path) -> list[Fraction]:
    """Return the frames' times in seconds since the first."""
    with av.open(str(video)) as container:
        times = [_time_of(frame) for frame in container.decode(video=0)]
    return [t - times[0] for t in times]


def _time_of(frame: av.VideoFrame) -> Fraction:
    if frame.pts is None or frame.time_base is None:
        raise ValueError("the frame has no time")
    return frame.pts * frame.time_base


def add_beeps(
    video: Path, target: Path, beeps_s: Sequence[float], *, seconds: float, rate: int = 48_000
) -> Path:
    """Copy a video and add a sound track with a beep of 50 ms at each of these times."""
    samples = np.arange(round(seconds * rate)) / rate
    sound = np.zeros(len(samples), dtype=np.float32)
    for beep_s in beeps_s:
        sound[(samples >= beep_s) & (samples < beep_s + 0.05)] = 0.8
    sound *= np.sin(2 * np.pi * 1000 * samples).astype(np.float32)
    with av.open(str(video)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        audio: Any = container.add_stream("aac", rate=rate, layout="mono")
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
        frame = av.AudioFrame.from_ndarray(sound[None], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return target


def beeps_in(video: Path) -> list[float]:
    """Return when each beep starts, in seconds since the first frame."""
    with av.open(str(video)) as container:
        start_s = float(_time_of(next(container.decode(video=0))))
    with av.open(str(video)) as container:
        starts: list[float] = []
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.3)
            if frame.time is not None:
                starts += [frame.time - start_s + i / frame.sample_rate for i in loud]
    return [t for i, t in enumerate(starts) if i == 0 or t - starts[i - 1] > 0.03]
