"""Blurs the faces of labeled people in exported images, found by their keypoints. Stored images stay as they are."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.categories import PERSON
from configs.errors import ExportError
from labeling.datasets.image_bytes import read_image_bytes
from labeling.datasets.records import DatasetFrame, DatasetInstance
from labeling.datasets.staging import write_new

FACE = slice(0, 5)
"""Nose, eyes and ears among COCO's keypoints."""
SHOULDERS = slice(5, 7)
MIN_CONFIDENCE = 0.05
"""Far below that of visible keypoints: a face that is blurred for nothing harms less than one that is seen."""
RADIUS_PER_SPREAD = 1.8
"""Radius of the circle, in distances of the outermost point of the face from their center: it reaches chin and forehead."""
RADIUS_PER_SHOULDERS = 0.35
"""Smallest radius in widths of the shoulders: in profile the points of a face lie close together."""
MIN_RADIUS_PX = 4.0
CERTAIN_FROM = 0.5
"""Mean confidence of the face's points from which they are believed alone; below, they are often beside the head."""
HEAD_SHARE = 0.2
"""Part of the mask's height, from above, that is blurred too where they are not."""
CELLS = 6
"""Pixels that are left of a face to each side."""
_JPEG_QUALITY = 95


class Circle(NamedTuple):
    """Where a face is, in pixels."""

    x: float
    y: float
    radius: float


def blur_faces(frames: Iterable[DatasetFrame], scratch: Path) -> Iterator[DatasetFrame]:
    """Yield the frames; those with people refer to a blurred copy of their image in `scratch`.

    People who are not in the dataset are not blurred: no keypoints are known of them.

    Raises:
        ExportError: a person has no keypoints, or an image cannot be read or has another size.
    """
    for frame in frames:
        people = [one for one in frame.instances if one.category == PERSON and one.area_px]
        if not people:
            yield frame
            continue
        faces = [face for one in people for face in faces_of(one, frame)]
        path = scratch / frame.file_name
        write_new(path, _blurred_file(frame, faces))
        yield frame._replace(image=path, store=None)


def faces_of(person: DatasetInstance, frame: DatasetFrame) -> list[Circle]:
    """Return the circles that contain a person's face: around its keypoints, and where these are uncertain, the top of the mask.

    Raises:
        ExportError: the person has no keypoints.
    """
    if person.keypoints is None:
        raise ExportError(
            f"frame {frame.id} ({frame.file_name!r}), instance {person.id}: no keypoints are stored, so its face cannot be "
            "found; use a teacher with keypoints, or export without --blur-faces"
        )
    points = np.array(person.keypoints)
    is_certain = float(points[FACE, 2].mean()) >= CERTAIN_FROM
    of_points = _around_points(points)
    return [*([of_points] if of_points else []), *([] if is_certain else [_top_of_mask(person)])]


def _around_points(points: NDArray[np.float64]) -> Circle | None:
    known = points[FACE][points[FACE, 2] >= MIN_CONFIDENCE, :2]
    if not len(known):
        return None
    center = known.mean(axis=0)
    spread = float(np.linalg.norm(known - center, axis=1).max())
    left, right = points[SHOULDERS]
    has_shoulders = min(left[2], right[2]) >= MIN_CONFIDENCE
    width = float(np.linalg.norm(left[:2] - right[:2])) if has_shoulders else 0.0
    radius = max(RADIUS_PER_SPREAD * spread, RADIUS_PER_SHOULDERS * width, MIN_RADIUS_PX)
    return Circle(float(center[0]), float(center[1]), radius)


def _top_of_mask(person: DatasetInstance) -> Circle:
    """Return the circle around the mask's pixels in the upper `HEAD_SHARE` of its height."""
    x, y, w, h = (int(side) for side in person.tight_xywh)
    rows, columns = np.nonzero(person.mask.to_crop((x, y, w, max(1, round(HEAD_SHARE * h)))))
    center_x, center_y = float(columns.mean()), float(rows.mean())
    radius = float(np.hypot(columns - center_x, rows - center_y).max()) + 1
    return Circle(x + center_x, y + center_y, max(radius, MIN_RADIUS_PX))


def blur_circle(pixels: NDArray[np.uint8], circle: Circle) -> None:
    """Replace a circle of an HxWx3 image by `CELLS` x `CELLS` averages, in place: what was there cannot be computed back."""
    height, width = pixels.shape[:2]
    x0, y0 = (max(0, int(center - circle.radius)) for center in circle[:2])
    x1, y1 = min(width, int(circle.x + circle.radius) + 1), min(height, int(circle.y + circle.radius) + 1)
    if x1 <= x0 or y1 <= y0:
        return
    region = pixels[y0:y1, x0:x1]
    few = cv2.resize(region, (min(CELLS, x1 - x0), min(CELLS, y1 - y0)), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(few, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    rows, columns = np.ogrid[y0:y1, x0:x1]
    inside = (columns - circle.x) ** 2 + (rows - circle.y) ** 2 <= circle.radius**2
    region[inside] = coarse[inside]


def _blurred_file(frame: DatasetFrame, faces: Iterable[Circle]) -> bytes:
    content = np.frombuffer(read_image_bytes(frame), dtype=np.uint8)
    pixels = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None or pixels.shape[:2] != frame.size_hw:
        found = "unreadable" if pixels is None else f"of {pixels.shape[:2]} pixels"
        raise ExportError(f"image {frame.image} is {found}, expected {frame.size_hw} (height, width)")
    image = np.ascontiguousarray(pixels, dtype=np.uint8)
    for face in faces:
        blur_circle(image, face)
    suffix = Path(frame.file_name).suffix or ".jpg"
    return cv2.imencode(suffix, image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
