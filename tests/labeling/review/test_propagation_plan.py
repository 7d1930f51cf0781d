"""Which reviewed frames an open frame takes its masks from."""

from labeling.review.propagation_plan import OpenTime, PropagationQuality, ReviewedTime, plan_gaps

SHOT, OTHER = ("v", 0), ("v", 2000)


def reviewed(pts_ms: int, shot: tuple[str, int] = SHOT) -> ReviewedTime:
    return ReviewedTime(pts_ms, 10 * pts_ms, pts_ms, shot)


def waiting(pts_ms: int, shot: tuple[str, int] = SHOT) -> OpenTime:
    return OpenTime(pts_ms, pts_ms, shot)


def time_of(side: ReviewedTime | None) -> int | None:
    return side.pts_ms if side else None


def sides(window_ms: int = 1000) -> dict[int, tuple[int | None, int | None]]:
    frames = [waiting(t) for t in (200, 700, 1500)] + [waiting(t, OTHER) for t in (2100, 9000)]
    gaps = plan_gaps([reviewed(1000), reviewed(0), reviewed(2500, OTHER)], frames, window_ms=window_ms)
    return {frame.frame_id: (time_of(gap.before), time_of(gap.after)) for gap in gaps for frame in gap.frames}


def test_the_nearest_reviewed_frames_of_the_shot_within_the_window_count() -> None:
    assert sides() == {200: (0, 1000), 700: (0, 1000), 1500: (1000, None), 2100: (None, 2500)}


def test_a_side_outside_the_window_does_not_count() -> None:
    assert sides(400) == {200: (0, None), 700: (None, 1000), 2100: (None, 2500)}


def test_a_gap_ends_at_its_last_frame_where_a_side_is_missing() -> None:
    [gap] = plan_gaps([reviewed(1000)], [waiting(1200), waiting(1600)], window_ms=1000)
    assert (gap.from_ms, gap.to_ms) == (1000, 1600)


def test_a_frame_needs_a_review_if_anything_is_open() -> None:
    limits = {"min_iou": 0.8, "min_confidence": 0.5}
    assert PropagationQuality(0.8, 0.5, 0).needs_no_review(**limits)
    for quality in (
        PropagationQuality(0.79, 0.9, 0),
        PropagationQuality(0.9, 0.49, 0),
        PropagationQuality(0.9, 0.9, 1),
        PropagationQuality(None, None, 0),
    ):
        assert not quality.needs_no_review(**limits)
