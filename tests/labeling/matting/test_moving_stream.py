"""The mattes of a clip whose camera moves, with a tiny network of random weights."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from configs.errors import ConfigError
from configs.matting import MovingBlock
from labeling.matting.guided_filter import guided_upsample
from labeling.matting.moving_people import BLOCK, Finder
from labeling.matting.moving_stream import MattedGroup, StreamState, matte_moving_clip
from labeling.matting.temporal_export import export_temporal, read_temporal_weights
from labeling.matting.temporal_inputs import soften, to_map
from labeling.matting.temporal_matting import TEMPORAL_SIZES, TemporalMattingNetwork
from labeling.matting.temporal_network import (
    ALPHA_END,
    FADE_PX,
    GUIDE_EPS,
    GUIDE_RADIUS_PX,
    NEAR_PX,
    NETWORK_SHARE,
    PERSON_FROM,
    TemporalNetwork,
)
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh
from tests.fakes.mattes import draw_walk, find_walker, walkers_at, write_network, write_walk
from tests.fakes.segmenters import ScriptedSegmenter
from tests.fakes.videos import write_images

GROUP, FRAMES = TEMPORAL_SIZES["tiny"].group, 13


def make_network(*, is_recurrent: bool = True) -> TemporalMattingNetwork:
    torch.manual_seed(1)
    network = TemporalMattingNetwork(TEMPORAL_SIZES["tiny"], is_recurrent=is_recurrent)
    with torch.no_grad():
        for _ in range(2):
            network(torch.rand(2, 2, 3, 64, 64) * 2 - 1, torch.rand(2, 2, 1, 64, 64))
        network.output.weight.normal_(std=0.5)  # else alpha is the person probability
    return network.eval()


@pytest.fixture(scope="module")
def made() -> TemporalMattingNetwork:
    return make_network()


@pytest.fixture(scope="module")
def network(made: TemporalMattingNetwork, tmp_path_factory: pytest.TempPathFactory) -> TemporalNetwork:
    path = tmp_path_factory.mktemp("network") / "tiny.onnx"
    export_temporal(made, path)
    return TemporalNetwork(path)


def draw_person(image: RgbImage) -> NDArray[np.bool_]:
    return np.asarray((image[..., 0] > 190) & (image[..., 1] < 60))


def groups_of(path: Path, network: TemporalNetwork, *, start: StreamState | None = None) -> list[MattedGroup]:
    finder = Finder(find_walker().segment)
    return list(matte_moving_clip(Clip("walk", path), finder, network, shot_threshold=30.0, start=start))


@pytest.mark.slow
@pytest.mark.parametrize("is_recurrent", [True, False])
def test_the_file_gives_what_the_network_gives(tmp_path: Path, *, is_recurrent: bool) -> None:
    made = make_network(is_recurrent=is_recurrent)
    export_temporal(made, tmp_path / "tiny.onnx")
    network = TemporalNetwork(tmp_path / "tiny.onnx")
    images = [draw_walk(index) for index in range(4, 4 + 2 * GROUP)]
    maps = [(0.4 + 0.6 * draw_person(image)).astype(np.float32) for image in images]
    first, state = network.run(images[:GROUP], maps[:GROUP], None)
    second, _ = network.run(images[GROUP:], maps[GROUP:], state)
    colors = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    soft = torch.from_numpy(np.stack([soften(one) for one in maps]))[None, :, None]
    with torch.no_grad():
        alpha, _, _ = made(colors, soft)
    mixed = NETWORK_SHARE * alpha[0, :, 0].numpy() + (1 - NETWORK_SHARE) * np.stack(maps)
    along_edges = [
        guided_upsample(one, image, radius_px=GUIDE_RADIUS_PX, eps=GUIDE_EPS)
        for one, image in zip(mixed, images, strict=True)
    ]
    expected = np.clip((np.stack(along_edges) - ALPHA_END) / (1 - 2 * ALPHA_END), 0, 1)
    found = np.stack([matte.alpha for matte in (*first, *second)])
    assert np.abs(found - expected).max() < 2e-3  # its weights have 16 bits
    assert expected.std() > 0.05


def test_all_frames_are_matted_in_groups(tmp_path: Path, network: TemporalNetwork) -> None:
    groups = groups_of(write_walk(tmp_path / "walk.mp4", frames=FRAMES), network)
    assert [len(group.frames) for group in groups] == [GROUP] * (FRAMES // GROUP) + [FRAMES % GROUP]
    assert [frame.index for group in groups for frame in group.frames] == list(range(FRAMES))
    assert groups[0].frames[0].matte.alpha.shape == (64, 96)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, FRAMES // GROUP))
def test_a_clip_that_is_continued_gives_the_same_bits(
    tmp_path: Path, network: TemporalNetwork, number: int
) -> None:
    path = write_walk(tmp_path / "walk.mp4", frames=FRAMES)
    whole = groups_of(path, network)
    kept = StreamState.from_bytes(whole[number - 1].state.to_bytes())
    assert kept.index == number * GROUP
    later = groups_of(path, network, start=kept)
    assert len(later) == len(whole) - number
    for one, other in zip(whole[number:], later, strict=True):
        for a, b in zip(one.frames, other.frames, strict=True):
            assert (a.index, a.t, a.people) == (b.index, b.t, b.people)
            assert np.array_equal(a.matte.alpha, b.matte.alpha)
            assert np.array_equal(a.matte.foreground, b.matte.foreground)


def test_the_state_matters_and_is_forgotten_at_a_cut(tmp_path: Path, network: TemporalNetwork) -> None:
    """The second shot of a video is matted as if it were alone; the second half of a shot is not."""
    first = [draw_walk(index) for index in range(5)]
    second = [np.full_like(first[0], 250) for _ in range(6)]
    shots = write_images(tmp_path / "both.mkv", [*first, *second], fps=Fraction(10))
    alone = write_images(tmp_path / "second.mkv", second, fps=Fraction(10))
    both, only = groups_of(shots, network), groups_of(alone, network)
    assert [len(group.frames) for group in both] == [GROUP, GROUP, 1, *(len(one.frames) for one in only)]
    assert [group.state.network is None for group in both] == [False, False, True, False, False, False]


def test_a_state_that_is_damaged_is_recognized() -> None:
    content = StreamState(4, {"hidden0": np.ones((1, 2, 3, 3), np.float32)}).to_bytes()
    assert StreamState.from_bytes(content).index == 4
    for damaged in (b"", b"PK", content[: len(content) // 2]):
        with pytest.raises(ValueError, match="not the state"):
            StreamState.from_bytes(damaged)


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train temporal"):
        TemporalNetwork(write_network(tmp_path / "plate.onnx"))


@pytest.mark.parametrize("size_hw", [(33, 50), (64, 96), (20, 300)])
def test_frames_of_any_size_are_matted(network: TemporalNetwork, size_hw: tuple[int, int]) -> None:
    image = draw_walk(5, size_hw)
    (matte,), _ = network.run([image], [np.zeros(size_hw, np.float32)], None)
    assert matte.alpha.shape == size_hw
    assert matte.foreground.shape == (*size_hw, 3)


def test_what_is_far_from_all_people_is_not_in_the_matte(network: TemporalNetwork) -> None:
    image = draw_walk(5, (64, 96))
    probability = np.zeros((64, 96), np.float32)
    everywhere = network.run([image], [probability + np.float32(PERSON_FROM)], None)[0][0].alpha
    probability[:, :20] = 1
    beside = network.run([image], [probability], None)[0][0].alpha
    assert everywhere[:, 60:].max() > 0
    assert beside[:, :20].max() > 0
    assert beside[:, 20 + NEAR_PX + FADE_PX + 2 * GUIDE_RADIUS_PX :].max() == 0


@pytest.mark.slow
def test_a_person_who_is_lost_in_one_frame_remains_and_one_found_in_one_alone_does_not(
    tmp_path: Path,
) -> None:
    """The network of this test returns the probability as it is."""
    torch.manual_seed(1)
    export_temporal(TemporalMattingNetwork(TEMPORAL_SIZES["tiny"]).eval(), tmp_path / "tiny.onnx")
    seen, image = "pppp-pppp--------p------", draw_walk(8)
    path = write_images(tmp_path / "still.mkv", [image] * len(seen), fps=Fraction(24))
    (person,) = find_walker().segment([Frame("walk", 800, image)])[0]
    found = iter([[person] if letter == "p" else [] for letter in seen])

    def find(frames: Sequence[Frame]) -> list[list[Instance]]:
        return [next(found) for _ in frames]

    groups = matte_moving_clip(
        Clip("still", path), Finder(find), TemporalNetwork(tmp_path / "tiny.onnx"), shot_threshold=30.0
    )
    alphas = [frame.matte.alpha for group in groups for frame in group.frames]
    inside = cv2.erode(person.mask.to_array().astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    is_person = [bool((alpha[inside] > 0.5).mean() > 0.9) for alpha in alphas]
    assert all(is_person[:7])
    assert not any(is_person[12:])


@pytest.mark.slow
def test_large_frames_are_reduced(made: TemporalMattingNetwork, tmp_path: Path) -> None:
    export_temporal(made, tmp_path / "tiny.onnx")
    small = TemporalNetwork(tmp_path / "tiny.onnx", MovingBlock(short_side_px=64))
    image = draw_walk(5, (256, 384))
    (matte,), state = small.run([image], [to_map(small.reduce(np.zeros((256, 384), np.uint8)))], None)
    assert matte.alpha.shape == (256, 384)
    assert state["hidden0"].shape[-2:] == (64, 96)


def test_people_of_a_scripted_segmenter_are_passed_on(tmp_path: Path, network: TemporalNetwork) -> None:
    path = write_walk(tmp_path / "walk.mp4", frames=6)
    find = ScriptedSegmenter((), walkers_at([100 * i for i in range(6)]))
    groups = list(matte_moving_clip(Clip("walk", path), Finder(find.segment), network, shot_threshold=30.0))
    assert [len(frame.people) for group in groups for frame in group.frames] == [0, 0, 0, 0, 1, 1]


class Forgetful(ScriptedSegmenter):
    """Loses the person of `write_walk` in some frames, but finds them in a box."""

    def __init__(self, frames: int, lost: range) -> None:
        times_ms = [100 * index for index in range(frames)]
        self._all = walkers_at(times_ms)
        super().__init__((), {ms: boxes for ms, boxes in self._all.items() if ms // 100 not in lost})

    def segment_boxes(self, frame: Frame, boxes_xywh: Sequence[BoxXywh]) -> list[Instance | None]:
        people = [self._instance(frame, box) for box in self._all[frame.key]]
        return [people[0] if people else None for _ in boxes_xywh]


@pytest.mark.slow
def test_a_person_who_is_lost_is_found_again_and_a_continued_clip_is_the_same(
    tmp_path: Path, network: TemporalNetwork
) -> None:
    """They are lost from frame 22 to 24, beyond the end of the first block."""
    frames = BLOCK + 10
    clip = Clip("walk", write_walk(tmp_path / "walk.mp4", frames=frames))

    def matte(start: StreamState | None = None) -> list[MattedGroup]:
        teacher = Forgetful(frames, range(22, 25))
        finder = Finder(teacher.segment, teacher.segment_boxes)
        return list(matte_moving_clip(clip, finder, network, shot_threshold=30.0, start=start))

    whole = matte()
    people = [len(frame.people) for group in whole for frame in group.frames]
    assert people == [0] * 4 + [1] * (frames - 4)
    for number in (1, BLOCK // GROUP - 1, BLOCK // GROUP + 1):
        later = matte(StreamState.from_bytes(whole[number - 1].state.to_bytes()))
        for one, other in zip(whole[number:], later, strict=True):
            for a, b in zip(one.frames, other.frames, strict=True):
                assert (a.index, a.people) == (b.index, b.people)
                assert np.array_equal(a.matte.alpha, b.matte.alpha)


@pytest.mark.slow
def test_a_training_can_start_from_the_weights_of_a_file(tmp_path: Path) -> None:
    trained = make_network()
    with torch.no_grad():
        for value in (*trained.parameters(), *trained.buffers()):
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value))  # a file holds equal ones once
    export_temporal(trained, tmp_path / "tiny.onnx")
    wanted = trained.state_dict()
    found = read_temporal_weights(tmp_path / "tiny.onnx", wanted)
    assert {name for name in wanted if name not in found} == {
        name for name in wanted if name.endswith("num_batches_tracked")
    }
    assert all(torch.allclose(found[name], wanted[name], atol=2e-3) for name in found)
    with pytest.raises(ConfigError, match="of this size"):
        read_temporal_weights(
            tmp_path / "tiny.onnx", TemporalMattingNetwork(TEMPORAL_SIZES["cpu"]).state_dict()
        )
    (tmp_path / "damaged.onnx").write_bytes((tmp_path / "tiny.onnx").read_bytes()[:1000])
    for name in ("damaged.onnx", "missing.onnx"):
        with pytest.raises(ConfigError, match=name):
            read_temporal_weights(tmp_path / name, wanted)
