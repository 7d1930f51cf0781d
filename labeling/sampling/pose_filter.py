"""Rules on the people in a frame; the first rule that fails names the rejection.

The rules, in order (settings are `configs.models.PoseFilter`):

1. `no_people`, `several_people`: the number of people. A person counts from `min_person_score`; a frame
   has a single person only if no other instance reaches `min_second_person_score`.
2. For full bodies, of every person that counts: `nose_missing`, `wrist_missing`, `ankle_missing` (both
   wrists and ankles, by confidence), `foot_missing` (the mask ends at the ankle), `cut_off` (the box
   is too near the image's border).
3. After a separate pose model and the teacher have both run: `teacher_misses_person`,
   `pose_misses_person`, `keypoints_outside_mask`.

Distances are shares of a body's height, so that they hold for people near and far.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from configs.errors import ConfigError
from configs.models import PoseFilter
from labeling.comparison.iou import match_pairs
from labeling.structures.instances import COCO_KEYPOINTS, Instance
from labeling.structures.keypoints import foot_reach_px, share_inside
from labeling.structures.masks import Mask, box_iou_matrix
from labeling.text.phrases import format_below, format_share_below

FOOT_REACH = 0.02
"""Distance that the mask must extend below an ankle, as a share of the box's height. The ankle of an adult
is at about 4 % of the body's height (Winter, Biomechanics and Motor Control of Human Movement, fig. 4.1);
the other half is left for what a mask loses at the floor. Of 22 people with visible ankles in 80 annotated
COCO images, 21 pass."""

FRAME_MARGIN_PX = 2
"""A box nearer to the image's border than this counts as cut off."""

_FULL_BODY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("nose_missing", ("nose",)),
    ("wrist_missing", ("left_wrist", "right_wrist")),
    ("ankle_missing", ("left_ankle", "right_ankle")),
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """The rule that rejected a frame, and why."""

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
    """Apply the rules that the available instances allow; None if none fails.

    `poses` are the pose model's instances, or the teacher's own if there is no separate model.
    `teacher` is None before the teacher has run, and if the poses are its own: then nothing is
    compared. Masks of a separate pose model are not checked: feet wait for the teacher's mask.

    Raises:
        ConfigError: `full_body` is set, but the model gives no keypoints.
    """
    rejection = _check_count(poses, settings)
    if rejection is None and settings.full_body:
        masks = _masks_for_feet(poses, teacher, settings)
        rejection = _first(
            _check_body(pose, mask, size_hw, settings)
            for pose, mask in zip(poses, masks, strict=True)
            if _counts(pose, settings)
        )
    if rejection is None and teacher is not None:
        rejection = _check_teacher(poses, teacher, settings)
    return rejection


def match_poses(
    poses: Sequence[Instance], teacher: Sequence[Instance], settings: PoseFilter
) -> list[tuple[int, int]]:
    """Match poses with teacher instances one to one by the IoU of their boxes; returns positions."""
    ious = box_iou_matrix([pose.box_xywh for pose in poses], [person.box_xywh for person in teacher])
    return [(pose, person) for pose, person, _ in match_pairs(ious, min_iou=settings.min_box_iou)]


def attach_keypoints(
    teacher: Sequence[Instance], poses: Sequence[Instance], settings: PoseFilter
) -> list[Instance]:
    """Add the keypoints of the matched pose to teacher instances that have none."""
    pose_of = {person: poses[pose] for pose, person in match_poses(poses, teacher, settings)}
    return [
        replace(person, keypoints=pose_of[position].keypoints)
        if person.keypoints is None and position in pose_of
        else person
        for position, person in enumerate(teacher)
    ]


def _masks_for_feet(
    poses: Sequence[Instance], teacher: Sequence[Instance] | None, settings: PoseFilter
) -> list[Mask | None]:
    """Return for each pose the mask that would label the frame, if it is known yet."""
    if teacher is None:
        return [pose.mask if settings.segmenter is None else None for pose in poses]
    mask_of = {pose: teacher[person].mask for pose, person in match_poses(poses, teacher, settings)}
    return [mask_of.get(position) for position in range(len(poses))]


def _counts(person: Instance, settings: PoseFilter) -> bool:
    return person.score >= settings.min_person_score


def _check_count(poses: Sequence[Instance], settings: PoseFilter) -> Rejection | None:
    if settings.people == "any":
        return None
    if not any(_counts(pose, settings) for pose in poses):
        best = max((pose.score for pose in poses), default=None)
        found = "none" if best is None else f"one with score {format_below(best, settings.min_person_score)}"
        return Rejection("no_people", f"a person is required, the model found {found}")
    threshold = min(settings.min_second_person_score, settings.min_person_score)
    possible = sorted((pose.score for pose in poses if pose.score >= threshold), reverse=True)
    if settings.people == "single" and len(possible) > 1:
        second = f"the second has score {possible[1]:.2f} >= {threshold:.2f}"
        return Rejection("several_people", f"one person is required, {len(possible)} were found: {second}")
    return None


def _check_body(
    person: Instance, mask: Mask | None, size_hw: tuple[int, int], settings: PoseFilter
) -> Rejection | None:
    """Apply the rules for a full body; without a mask, the feet are not checked."""
    keypoints = _named_keypoints(person, settings)
    for rule, names in _FULL_BODY:
        for name in names:
            confidence = keypoints[name][2]
            if not confidence >= settings.min_keypoint_score:
                compared = format_below(confidence, settings.min_keypoint_score)
                return Rejection(rule, f"the {_spaced(name)} is not visible: its confidence is {compared}")
    feet = None if mask is None else _check_feet(person, mask, settings)
    return feet or _check_cut_off(person, size_hw)


def _check_feet(person: Instance, mask: Mask, settings: PoseFilter) -> Rejection | None:
    """Require the mask to extend below both ankles."""
    keypoints = _named_keypoints(person, settings)
    height = person.box_xywh[3]
    required_px = max(1.0, FOOT_REACH * height)
    for name in ("left_ankle", "right_ankle"):
        reach_px = foot_reach_px(mask, keypoints[name][:2], height)
        if reach_px < required_px:
            reach = f"{reach_px:.1f} px below the {_spaced(name)}, {required_px:.1f} px are required"
            return Rejection("foot_missing", f"the mask extends {reach}")
    return None


def _check_cut_off(person: Instance, size_hw: tuple[int, int]) -> Rejection | None:
    x, y, w, h = person.box_xywh
    gaps = {"left": x, "top": y, "right": size_hw[1] - (x + w), "bottom": size_hw[0] - (y + h)}
    if all(gap >= FRAME_MARGIN_PX for gap in gaps.values()):
        return None
    side = min(gaps, key=lambda name: gaps[name])
    distance = f"{gaps[side]:.1f} px from the image's {side} side, {FRAME_MARGIN_PX} px are required"
    return Rejection("cut_off", f"the person's box ends {distance}")


def _check_teacher(
    poses: Sequence[Instance], teacher: Sequence[Instance], settings: PoseFilter
) -> Rejection | None:
    """Require teacher and pose model to find the same people.

    A person who counts for one model needs a partner of any score in the other. Keypoints are looked
    up in the matched teacher's mask; poses without confident keypoints pass that last rule.
    """
    pairs = match_poses(poses, teacher, settings)
    missed = _find_unmatched(poses, {pose for pose, _ in pairs}, settings)
    if missed is not None:
        reason = f"the pose model finds a person, {_describe(missed)}, that the teacher does not find"
        return Rejection("teacher_misses_person", reason)
    missed = _find_unmatched(teacher, {person for _, person in pairs}, settings)
    if missed is not None:
        reason = f"the teacher finds a person, {_describe(missed)}, that the pose model does not find"
        return Rejection("pose_misses_person", reason)
    return _first(_check_keypoints(poses[pose], teacher[person].mask, settings) for pose, person in pairs)


def _find_unmatched(
    instances: Sequence[Instance], matched: set[int], settings: PoseFilter
) -> Instance | None:
    """Return the first instance that counts as a person and has no partner."""
    unmatched = (instance for position, instance in enumerate(instances) if position not in matched)
    return next((instance for instance in unmatched if _counts(instance, settings)), None)


def _check_keypoints(pose: Instance, mask: Mask, settings: PoseFilter) -> Rejection | None:
    if pose.keypoints is None:
        return None
    share = share_inside(pose.keypoints, mask, min_keypoint_score=settings.min_keypoint_score)
    if share is None or share >= settings.min_keypoints_inside:
        return None
    compared = format_share_below(share, settings.min_keypoints_inside, what="inside")
    reason = f"the person's keypoints lie outside the teacher's mask: {compared}"
    return Rejection("keypoints_outside_mask", reason)


def _named_keypoints(person: Instance, settings: PoseFilter) -> dict[str, tuple[float, float, float]]:
    if person.keypoints is None:
        raise ConfigError(
            f"pose_filter.full_body requires keypoints, and {_name_model(settings)} gives none: set "
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


def _describe(person: Instance) -> str:
    x, y, w, h = (round(side) for side in person.box_xywh)
    return f"score {person.score:.2f}, box {w}x{h} px at ({x}, {y})"


def _spaced(keypoint: str) -> str:
    return keypoint.replace("_", " ")


def _first(rejections: Iterable[Rejection | None]) -> Rejection | None:
    return next((rejection for rejection in rejections if rejection is not None), None)
