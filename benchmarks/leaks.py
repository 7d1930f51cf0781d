"""Planted near-duplicates across videos: which are found, which unrelated videos are merged, and what the time is.

Videos are windows of real clips, and slow pans over real photos. For each one a copy is planted: encoded again
by H.264 at a low quality, cropped by 5 %, mirrored, or shifted by a second. The baseline is the perceptual hash that
removes near-duplicates within a run, with its default distance, also of the mirrored image.

    python benchmarks/leaks.py ../shared/data
"""

import argparse
import hashlib
import io
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

from configs.load import load_config
from configs.models import Agreement, Sampling
from db.connection.database import open_database
from db.datasets.queries import find_version, version_rows
from db.models.core import ShardRow
from db.runs.writes import ShardRange, plan_shards, record_models, record_video, store_shard, upsert_run
from labeling.comparison.agreement import compare_instances
from labeling.datasets.splits.assignment import Division
from labeling.datasets.splits.descriptors import describe_image
from labeling.datasets.splits.neighbors import near_groups
from labeling.datasets.splits.thumbnail_file import ThumbnailFile
from labeling.datasets.versions.query import parse_query
from labeling.storage.encode import encode_image
from labeling.storage.home import Home
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import fill_box
from labeling.structures.records import LabeledFrame, LabeledShard
from labeling.video.luma import hash_luma, shrink_luma
from tasks.datasets.create import CreatedDataset, create_dataset
from tasks.datasets.order import DatasetOrder
from tasks.execution.context import Context

FRAMES = 6
"""Of a video, half a second apart."""
SECOND = 2
"""Frames."""
WINDOW = 10
"""Frames from one window of a clip to the next."""
LATER = 50
"""Copies that a later version adds, beside new videos."""
CHANGES = ("encoded again", "cropped by 5 %", "mirrored", "shifted by 1 s")
CARDS = {role: ModelCard("planted", role, "", "{}") for role in ("teacher", "student")}


@dataclass(frozen=True, slots=True)
class Video:
    """A planted video; videos of one place may be merged."""

    name: str
    place: str
    frames: tuple[bytes, ...]
    """JPEGs."""
    copy_of: str | None = None
    change: str | None = None

    @property
    def id(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()


def read_clips(folder: Path) -> Iterator[tuple[str, list[RgbImage]]]:
    """Yield (place, frames half a second apart) of all clips."""
    for path in (*sorted((folder / "clips").glob("*.mp4")), *folder.glob("pets2009_s2l1/*.avi")):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            step = max(1, round((stream.average_rate or Fraction(10)) / 2))
            decoded = islice(container.decode(stream), None, None, step)
            yield path.stem, [to_rgb(frame) for frame in decoded]
    for name, pattern, step in (
        ("office", "cdnet_office/input/*", 12),
        ("highway", "cdnet_highway_negative/input/*", 12),
    ):
        yield name, [read_rgb(path) for path in sorted(folder.glob(pattern))[::step]]
    yield "dance", [read_rgb(path) for path in sorted(folder.glob("davis2016/JPEGImages/**/*.jpg"))[::12]]


def to_rgb(frame: av.VideoFrame) -> RgbImage:
    return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)


def read_rgb(path: Path) -> RgbImage:
    return decode(path.read_bytes())


def decode(content: bytes) -> RgbImage:
    """Decode an image that is known to be valid."""
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(bgr, dtype=np.uint8)[:, :, ::-1]


def pan(image: RgbImage) -> list[RgbImage]:
    """Return a slow pan over a photo, a second longer than a video."""
    height, width = image.shape[:2]
    size_wh = (round(width * 0.85), round(height * 0.9))
    frames = []
    for number in range(FRAMES + SECOND):
        left = round(0.15 * width * number / (FRAMES + SECOND))
        frames.append(np.ascontiguousarray(image[: size_wh[1], left : left + size_wh[0]]))
    return frames


def sequences(folder: Path) -> Iterator[tuple[str, str, list[RgbImage]]]:
    """Yield (name, place, frames); the frames go on for a second after a video's end."""
    for place, frames in read_clips(folder):
        for start in range(0, max(1, len(frames) - FRAMES - SECOND + 1), WINDOW):
            yield f"{place}-{start}", place, frames[start : start + FRAMES + SECOND]
    photos = (
        *sorted(folder.glob("coco_mini/train2017/*.jpg")),
        *sorted(folder.glob("pennfudan/images/*")),
    )
    for path in photos:
        yield path.stem, path.stem, pan(read_rgb(path))


def change_frames(change: str, frames: Sequence[RgbImage], rng: np.random.Generator) -> list[RgbImage]:
    if change == "encoded again":
        return encode_again(frames[:FRAMES])
    if change == "cropped by 5 %":
        return [crop(frame, rng.random(2)) for frame in frames[:FRAMES]]
    if change == "mirrored":
        return [np.ascontiguousarray(frame[:, ::-1]) for frame in frames[:FRAMES]]
    return encode_again(frames[SECOND:])


def crop(frame: RgbImage, offset: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> RgbImage:
    """Cut 5 % off height and width, at any sides."""
    height, width = frame.shape[:2]
    cut_h, cut_w = round(0.05 * height), round(0.05 * width)
    top, left = round(cut_h * offset[0]), round(cut_w * offset[1])
    return np.ascontiguousarray(frame[top : height - cut_h + top, left : width - cut_w + left])


def encode_again(frames: Sequence[RgbImage]) -> list[RgbImage]:
    """Encode as H.264 at a low quality and decode."""
    height, width = (side - side % 2 for side in frames[0].shape[:2])
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=2, options={"crf": "36", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            pixels = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer, "r") as read:
        return [to_rgb(frame) for frame in read.decode(video=0)]


def to_video(name: str, place: str, frames: Sequence[RgbImage], **copy: str) -> Video:
    return Video(name, place, tuple(encode_image(frame, quality=90).content for frame in frames), **copy)


def plan_videos(folder: Path, count: int) -> tuple[list[Video], list[Video]]:
    """Return videos with a copy of each of `count`, and the videos that a later version adds."""
    rng = np.random.default_rng(7)
    originals, copies, later = [], [], []
    for number, (name, place, frames) in enumerate(sequences(folder)):
        original = to_video(name, place, frames[:FRAMES])
        if number >= count:
            later.append(original)
            continue
        change = CHANGES[number % len(CHANGES)]
        changed = change_frames(change, frames, rng)
        originals.append(original)
        copies.append(to_video(f"copy of {name}", place, changed, copy_of=name, change=change))
    again = [
        to_video(
            f"later copy of {name}", place, change_frames(CHANGES[number % 4], frames, rng), copy_of=name
        )
        for number, (name, place, frames) in enumerate(
            islice(sequences(folder), 0, count, max(1, count // LATER))
        )
    ]
    return [*originals, *copies], [*later, *again]


def plant(context: Context, videos: Sequence[Video], hard_iou: float) -> str:
    config = load_config("offline", [f"agreement.hard_below={hard_iou}"])
    run_id = config.run_id()
    with context.database.transaction() as session:
        upsert_run(session, run_id, name="planted", config=config.model_dump(mode="json"), code_version="0")
        record_models(session, run_id, CARDS)
    for video in videos:
        with context.database.transaction() as session:
            record_video(session, {"id": video.id, "kind": "video", "path": f"{video.name}.mp4"})
            plan_shards(session, run_id, video.id, [ShardRange(0, None)])
            [shard] = session.query(ShardRow).filter_by(run_id=run_id, video_id=video.id).all()
            frames = [label(context.home, content, 500 * n) for n, content in enumerate(video.frames)]
            store_shard(session, shard, LabeledShard(frames, CARDS, {"accepted": len(frames)}, {}))
    return run_id


def label(home: Home, content: bytes, pts_ms: int) -> LabeledFrame:
    digest = hashlib.sha256(content).hexdigest()
    home.images.save(f"{digest[:2]}/{digest}.jpg", content)
    height, width = decode(content).shape[:2]
    person = Instance(fill_box((5, 5, 20, 40), (height, width)), 0.9, (5, 5, 20, 40))
    agreement = compare_instances([person], [], (height, width), Agreement(), student_is_semantic=False)
    return LabeledFrame(
        *(pts_ms, 0, 100.0, "", "accepted"),
        size_hw=(height, width),
        image=f"images/{digest[:2]}/{digest}.jpg",
        agreement=agreement,
        priority=0.5,
        teacher=(person,),
    )


def detected(videos: Sequence[Video], folder: Path) -> set[tuple[int, int]]:
    """Return the pairs of videos with near-duplicates."""
    groups = np.repeat(np.arange(len(videos)), [len(video.frames) for video in videos])
    thumbnails = [describe_image(content) for video in videos for content in video.frames]
    everything = np.arange(len(groups))
    with ThumbnailFile(len(groups), folder) as file:
        file.put(everything, np.stack([one for one in thumbnails if one is not None]))
        return near_groups(file, groups, everything, everything[:0])


def detected_by_hash(videos: Sequence[Video]) -> set[tuple[int, int]]:
    """Return the pairs with a near-duplicate by the perceptual hash of a run."""
    most = Sampling().max_hash_distance or 0
    groups = np.repeat(np.arange(len(videos)), [len(video.frames) for video in videos])
    bits = [hash_bits(content) for video in videos for content in video.frames]
    plain, mirrored = (np.stack([one[number] for one in bits]) for number in range(2))
    distance = (256 - np.maximum(plain @ plain.T, mirrored @ plain.T)) / 2
    one, other = np.nonzero((distance <= most) & (groups[:, None] < groups[None]))
    return {(int(a), int(b)) for a, b in zip(groups[one], groups[other], strict=True)}


def hash_bits(content: bytes) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], ...]:
    rgb = np.ascontiguousarray(decode(content))
    images = (rgb, np.ascontiguousarray(rgb[:, ::-1]))
    hashes = (hash_luma(shrink_luma(image, 640)).hash.ravel() for image in images)
    return tuple(np.where(bits, 1, -1).astype(np.float32) for bits in hashes)


def report(videos: Sequence[Video], pairs: set[tuple[int, int]], method: str) -> int:
    """Print misses by change and merged pairs of places; return the number of misses."""
    at = {video.name: number for number, video in enumerate(videos)}
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for number, video in enumerate(videos):
        if video.copy_of and video.change:
            planted[video.change] += 1
            found[video.change] += (at[video.copy_of], number) in pairs
    places = {tuple(sorted((videos[a].place, videos[b].place))) for a, b in pairs}
    false = sorted(pair for pair in places if len(set(pair)) > 1)
    missed = sum(planted.values()) - sum(found.values())
    by_change = ", ".join(f"{name} {found[name]} of {planted[name]}" for name in CHANGES)
    print(f"{method:18} missed {missed:3} of {sum(planted.values())} ({by_change})")
    count = len({video.place for video in videos})
    print(f"{'':18} unrelated places merged: {len(false)} of {count * (count - 1) // 2} pairs {false[:6]}")
    return missed


def splits_of(context: Context, version: str) -> dict[int, tuple[str, str | None]]:
    with context.database.session() as session:
        rows = version_rows(session, find_version(session, version))
        return {row.frame_id: (row.video_id, row.split) for row in rows}


def check_versions(context: Context, first: Sequence[Video], later: Sequence[Video]) -> None:
    """Create a version, grow it, and count copies that are apart and frames that moved."""
    runs = [plant(context, first, 0.5)]
    before = timed_create(context, runs)
    apart = split_apart(before, first)
    runs.append(plant(context, later, 0.6))
    after = timed_create(context, runs)
    moved = sum(after.get(frame) != place for frame, place in before.items())
    print(f"copies apart from their original: {apart}; after growing: {split_apart(after, [*first, *later])}")
    print(f"frames moved by {len(later)} more videos: {moved} of {len(before)}")


def timed_create(context: Context, runs: Sequence[str]) -> dict[int, tuple[str, str | None]]:
    order = DatasetOrder("grown", parse_query(runs, ("accepted",), ()), Division((0.5, 0.25, 0.25), seed=1))
    begin = time.perf_counter()
    made: CreatedDataset = create_dataset(context, order)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    version = made.version
    print(
        f"create {version.full_name}: {version.frames} frames of {version.videos} videos in {seconds:.1f} s, "
        f"{made.groups} groups, splits {version.splits}, left out {made.excluded}, peak {peak:.0f} MB"
    )
    return splits_of(context, version.full_name)


def split_apart(splits: dict[int, tuple[str, str | None]], videos: Sequence[Video]) -> int:
    by_video = dict(splits.values())
    ids = {video.name: video.id for video in videos}
    copies = [(video.id, ids[video.copy_of]) for video in videos if video.copy_of in ids]
    return sum(
        by_video[one] != by_video[other] for one, other in copies if one in by_video and other in by_video
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the real videos and photos")
    parser.add_argument("--copies", type=int, default=200)
    arguments = parser.parse_args()
    videos, later = plan_videos(arguments.data, arguments.copies)
    print(
        f"{len(videos)} videos of {len({one.place for one in videos})} places; later {len(later)} more",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="maskmill-leaks-") as temporary:
        home = Home(Path(temporary))
        home.create()
        begin = time.perf_counter()
        pairs = detected(videos, home.root)
        seconds = time.perf_counter() - begin
        missed = report(videos, pairs, "small images")
        by_hash = report(videos, detected_by_hash(videos), "perceptual hash")
        print(f"ratio of misses {missed / max(1, by_hash):.2f}; compared in {seconds:.1f} s")
        database = open_database(home.database_url)
        check_versions(Context(home, database), videos, later)
        database.close()


if __name__ == "__main__":
    main()
