"""Which frames show people as wanted: a list of rules, the first that fails names the rejection.

The rules, in order (settings are `configs.models.PoseFilter`):

1. `no_people`, `several_people`: how many there are. A person counts from `min_person_score`; that
   nobody else is there is only believed when nothing scores `min_second_person_score` either.
2. For full bodies, of every person that counts: `nose_missing`, `wrist_missing`, `ankle_missing` (both
   wrists and ankles, by confidence), `foot_missing` (the mask ends at the ankle), `cut_off` (the box
   comes too near the image's border).
3. After a separate pose model and the teacher both spoke: `teacher_misses_person`,
   `pose_misses_person`, `keypoints_outside_mask`.

Distances are shares of a body's height, so that they hold for people near and far.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from configs.errors import ConfigError
from configs.models import PoseFilter
from labeling.comparison.agreement import match_pairs
from labeling.structures.instances import COCO_KEYPOINTS, Instance
from labeling.structures.keypoints import foot_reach_px, share_inside
from labeling.structures.masks import Mask, box_iou_matrix
from labeling.text.phrases import format_below, format_share_below

__all__ = [
    "Rejection",
    "attach_keypoints",
    "check_body",
    "check_count",
    "check_cut_off",
    "check_feet",
    "check_people",
    "check_teacher",
    "match_people",
]

FOOT_REACH = 0.02
"""Share of the box's height that the mask must go on below an ankle. The ankle joint of an adult
stands at about 4 % of the body's height (Winter, Biomechanics and Motor Control of Human Movement,
fig. 4.1); half of it is left for what a mask loses at the floor. Of 22 people with visible ankles in 80
annotated COCO images, 21 pass."""

FRAME_MARGIN_PX = 2
"""A box nearer to the image's border than this is taken as cut off."""

_FULL_BODY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("nose_missing", ("nose",)),
    ("wrist_missing", ("left_wrist", "right_wrist")),
    ("ankle_missing", ("left_ankle", "right_ankle")),
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a frame is not wanted."""

    rule: str
    """Stable name, under which rejections are stored and counted."""
    reason: str
    """One sentence for people, with the values that decided."""


def check_people(
    poses: Sequence[Instance],
    teacher: Sequence[Instance] | None,
    size_hw: tuple[int, int],
    settings: PoseFilter,
) -> Rejection | None:
    """Apply all rules that can be judged by now; None where none fails.

    `poses` are the pose model's instances, or the teacher's own where no separate model is set.
    `teacher` is None before the teacher ran, and where the poses are its own: then nothing is
    compared. A separate pose model's masks are not judged: feet wait for the teacher's mask.

    Raises:
        ConfigError: the body is to be judged, but the model gives no keypoints.
    """
    rejection = check_count(poses, settings)
    if rejection is None and settings.full_body:
        masks = _masks_for_feet(poses, teacher, settings)
        rejection = _first(
            check_body(pose, mask, size_hw, settings)
            for pose, mask in zip(poses, masks, strict=True)
            if _counts(pose, settings)
        )
    if rejection is None and teacher is not None:
        rejection = check_teacher(poses, teacher, settings)
    return rejection


def _masks_for_feet(
    poses: Sequence[Instance], teacher: Sequence[Instance] | None, settings: PoseFilter
) -> list[Mask | None]:
    """The mask of each pose, as far as one is known that the frame would be labeled with."""
    if teacher is None:
        return [pose.mask if settings.segmenter is None else None for pose in poses]
    mask_of = {pose: teacher[seen].mask for pose, seen in match_people(poses, teacher, settings)}
    return [mask_of.get(position) for position in range(len(poses))]


def _counts(person: Instance, settings: PoseFilter) -> bool:
    return person.score >= settings.min_person_score


def check_count(poses: Sequence[Instance], settings: PoseFilter) -> Rejection | None:
    """Rules `no_people` and `several_people`."""
    if settings.people == "any":
        return None
    if not any(_counts(pose, settings) for pose in poses):
        best = max((pose.score for pose in poses), default=None)
        seen = "nobody" if best is None else f"one with score {format_below(best, settings.min_person_score)}"
        return Rejection("no_people", f"a person is wanted, the model saw {seen}")
    threshold = min(settings.min_second_person_score, settings.min_person_score)
    possible = sorted((pose.score for pose in poses if pose.score >= threshold), reverse=True)
    if settings.people == "single" and len(possible) > 1:
        second = f"the second scores {possible[1]:.2f} >= {threshold:.2f}"
        return Rejection("several_people", f"one person is wanted, {len(possible)} were seen: {second}")
    return None


def check_body(
    person: Instance, mask: Mask | None, size_hw: tuple[int, int], settings: PoseFilter
) -> Rejection | None:
    """Rules for a full body; the one about feet needs the mask, None leaves it out.

    Raises:
        ConfigError: the person has no keypoints.
    """
    joints = _named_keypoints(person, settings)
    for rule, names in _FULL_BODY:
        for name in names:
            confidence = joints[name][2]
            if not confidence >= settings.min_keypoint_score:
                compared = format_below(confidence, settings.min_keypoint_score)
                return Rejection(rule, f"the {_say(name)} is not seen: its confidence is {compared}")
    feet = None if mask is None else check_feet(person, mask, settings)
    return feet or check_cut_off(person, size_hw)


def check_feet(person: Instance, mask: Mask, settings: PoseFilter) -> Rejection | None:
    """Rule `foot_missing`: the mask must go on below both ankles.

    Raises:
        ConfigError: the person has no keypoints.
    """
    joints = _named_keypoints(person, settings)
    height = person.box_xywh[3]
    wanted_px = max(1.0, FOOT_REACH * height)
    for name in ("left_ankle", "right_ankle"):
        reach_px = foot_reach_px(mask, joints[name][:2], height)
        if reach_px < wanted_px:
            reach = f"{reach_px:.1f} px below the {_say(name)}, {wanted_px:.1f} px are wanted"
            return Rejection("foot_missing", f"the mask goes on {reach}")
    return None


def check_cut_off(person: Instance, size_hw: tuple[int, int]) -> Rejection | None:
    """Rule `cut_off`: the box must keep `FRAME_MARGIN_PX` from all sides of the image."""
    x, y, w, h = person.box_xywh
    gaps = {"left": x, "top": y, "right": size_hw[1] - (x + w), "bottom": size_hw[0] - (y + h)}
    if all(gap >= FRAME_MARGIN_PX for gap in gaps.values()):
        return None
    side = min(gaps, key=lambda name: gaps[name])
    distance = f"{gaps[side]:.1f} px from the image's {side} side, {FRAME_MARGIN_PX} px are wanted"
    return Rejection("cut_off", f"the person's box ends {distance}")


def check_teacher(
    poses: Sequence[Instance], teacher: Sequence[Instance], settings: PoseFilter
) -> Rejection | None:
    """Rules on which teacher and pose model must agree.

    Whoever counts for one must be seen by the other, with whatever score; joints are looked up in
    the matched teacher's mask. Poses without confident keypoints pass that last rule.
    """
    pairs = match_people(poses, teacher, settings)
    unseen = _find_alone(poses, {pose for pose, _ in pairs}, settings)
    if unseen is not None:
        sentence = f"the pose model sees a person, {_say_where(unseen)}, whom the teacher does not see"
        return Rejection("teacher_misses_person", sentence)
    unseen = _find_alone(teacher, {seen for _, seen in pairs}, settings)
    if unseen is not None:
        sentence = f"the teacher sees a person, {_say_where(unseen)}, whom the pose model does not see"
        return Rejection("pose_misses_person", sentence)
    return _first(_check_keypoints(poses[pose], teacher[seen].mask, settings) for pose, seen in pairs)


def match_people(
    poses: Sequence[Instance], teacher: Sequence[Instance], settings: PoseFilter
) -> list[tuple[int, int]]:
    """Pair poses with teacher instances one to one by their boxes' IoU: positions, in order of poses."""
    ious = box_iou_matrix([one.box_xywh for one in poses], [one.box_xywh for one in teacher])
    return [(pose, seen) for pose, seen, _ in match_pairs(ious, min_iou=settings.min_box_iou)]


def attach_keypoints(
    teacher: Sequence[Instance], poses: Sequence[Instance], settings: PoseFilter
) -> list[Instance]:
    """Give teacher instances that have no keypoints those of the pose with the same box."""
    pose_of = {seen: poses[pose] for pose, seen in match_people(poses, teacher, settings)}
    return [
        replace(one, keypoints=pose_of[position].keypoints)
        if one.keypoints is None and position in pose_of
        else one
        for position, one in enumerate(teacher)
    ]


def _find_alone(instances: Sequence[Instance], matched: set[int], settings: PoseFilter) -> Instance | None:
    """The first that counts as a person and has no partner."""
    alone = (one for position, one in enumerate(instances) if position not in matched)
    return next((one for one in alone if _counts(one, settings)), None)


def _check_keypoints(pose: Instance, mask: Mask, settings: PoseFilter) -> Rejection | None:
    if pose.keypoints is None:
        return None
    share = share_inside(pose.keypoints, mask, min_keypoint_score=settings.min_keypoint_score)
    if share is None or share >= settings.min_keypoints_inside:
        return None
    compared = format_share_below(share, settings.min_keypoints_inside, what="inside")
    sentence = f"the person's joints lie outside the teacher's mask: {compared}"
    return Rejection("keypoints_outside_mask", sentence)


def _named_keypoints(person: Instance, settings: PoseFilter) -> dict[str, tuple[float, float, float]]:
    if person.keypoints is None:
        raise ConfigError(
            f"pose_filter.full_body needs keypoints, and {_name_model(settings)} gives none: set "
            "pose_filter.segmenter to a model that does (lite, torchvision:keypointrcnn_resnet50_fpn) "
            "or pose_filter.full_body to false"
        )
    return dict(zip(COCO_KEYPOINTS, person.keypoints, strict=True))


def _name_model(settings: PoseFilter) -> str:
    block = settings.segmenter
    if block is None:
        return "the teacher (there is no pose_filter.segmenter)"
    model = getattr(block, "model", None)
    return f"pose_filter.segmenter {block.kind}:{model}" if model else f"pose_filter.segmenter {block.kind}"


def _say_where(person: Instance) -> str:
    x, y, w, h = (round(side) for side in person.box_xywh)
    return f"score {person.score:.2f}, box {w}x{h} px at ({x}, {y})"


def _say(joint: str) -> str:
    return joint.replace("_", " ")


def _first(rejections: Iterable[Rejection | None]) -> Rejection | None:
    return next((rejection for rejection in rejections if rejection is not None), None)
