"""People whom the teacher missed: tracked in frames before and after, and absent between them.

In PETS (159 frames, 2 per second, 75 with a missed person) such gaps are in 60 of the 75 frames, and in none of the 84
others; with the motion outside masks (`labeling.trust.missed_people`) in 65, with 5 objections to others. Without
`LEAST_SCORE`, bins and cones that the teacher finds now and then make gaps in 31 of the 84.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from labeling.structures.records import LabeledFrame

MAX_GAP_MS = 3000
"""A person who is absent for longer may have left the image."""
LEAST_FRAMES = 3
LEAST_SCORE = 0.8
"""Of a track: its number of frames and mean score from which it is a person."""


def find_track_gaps(rows: Sequence[LabeledFrame]) -> dict[int, tuple[int, ...]]:
    """Return the tracks that are missing in a frame, by the frame's key; frames without any are absent.

    `rows` are the frames of a clip; those that were not compared say nothing.
    """
    frames = sorted((row for row in rows if row.agreement is not None), key=lambda row: row.key)
    missing: dict[int, list[int]] = {}
    for track_id, positions in _positions_of_people(frames).items():
        for before, after in pairwise(positions):
            if _is_gap(frames[before], frames[after]):
                for row in frames[before + 1 : after]:
                    missing.setdefault(row.key, []).append(track_id)
    return {key: tuple(tracks) for key, tracks in missing.items()}


def _positions_of_people(frames: Sequence[LabeledFrame]) -> dict[int, list[int]]:
    """Return where each track that is surely a person has an instance, in order."""
    found: dict[int, list[tuple[int, float]]] = {}
    for position, track_id, score in _tracked(frames):
        found.setdefault(track_id, []).append((position, score))
    return {
        track_id: [position for position, _ in seen]
        for track_id, seen in found.items()
        if len(seen) >= LEAST_FRAMES and sum(score for _, score in seen) >= LEAST_SCORE * len(seen)
    }


def _tracked(frames: Sequence[LabeledFrame]) -> Iterator[tuple[int, int, float]]:
    for position, row in enumerate(frames):
        for one in row.teacher:
            if one.track_id is not None:
                yield position, one.track_id, one.score


def _is_gap(before: LabeledFrame, after: LabeledFrame) -> bool:
    """Return whether a person who is in both frames should be in those between them, too."""
    if before.pts_ms is None or after.pts_ms is None or before.shot_start_ms != after.shot_start_ms:
        return False
    return after.pts_ms - before.pts_ms <= MAX_GAP_MS
