"""The labeling project: its label config (the page), and the names that results carry."""

from string import ascii_lowercase
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from configs.errors import ConfigError
from configs.models import Review
from labeling.structures.instances import COCO_KEYPOINTS

IMAGE, MASKS, KEYPOINTS, VERDICT, NOTE = "image", "masks", "keypoints", "verdict", "note"
"""Names of the page's controls: `to_name` and `from_name` of every result."""
ANSWER = "answer-"
"""Before the position of a question in `QUESTIONS`: name of its control."""
QUESTIONS = "questions"
"""Field of the task's data: a question for each doubtful person (`labeling.review.label_studio.questions`)."""

PROPOSED, COMPARED = "proposed masks", "another model"
"""Versions of the two predictions, the teacher's and the student's, as annotators read them. Label Studio starts new annotations from one version per project, so
these are the same for every model; the task's data names the models."""

LOCKED = "locked"
"""Field of the task's data: ids of the people who are believed already."""

VERDICTS = (
    ("correct", "All people are masked correctly"),
    ("corrected", "I changed something, or there is no person"),
    ("unusable", "Too dark, blurred or damaged: leave this image out"),
)
"""Choices and their tooltips. None is required: a submitted annotation is enough."""

_MACHINE_COLUMNS = [
    f"tasks:{name}"
    for name in (
        "data.frame_id", "data.teacher_model", "data.student_model", "data.label",
        "data.shows_keypoints", "inner_id", "annotations_results",
        "annotations_ids", "predictions_score", "predictions_model_versions", "predictions_results",
        "data.questions", "data.locked", "file_upload", "storage_filename", "created_at", "updated_at", "updated_by", "draft_exists",
    )
]  # fmt: skip
"""Columns that do not help to choose a task; without them, image and reason fit on the screen."""

BEST_FIRST: dict[str, Any] = {
    "title": "Most valuable first",
    "type": "list",
    "target": "tasks",
    "ordering": ["-tasks:data.value"],
    "hiddenColumns": {"explore": _MACHINE_COLUMNS, "labeling": [*_MACHINE_COLUMNS, "tasks:data.why"]},
}
"""Data of the Data Manager's tab (`/api/dm/views/`) from which annotators take their tasks."""

PERSON_COLORS = (
    "#00c853", "#2979ff", "#ff6d00", "#00e5ff", "#ff1744", "#aeea00",
    "#7c4dff", "#1de9b6", "#ff8a80", "#8d6e63", "#82b1ff", "#ffab40",
)  # fmt: skip
"""Colors of the people in a frame, in order: neighbors in the list differ in hue and in brightness."""

NUMBERED_LABELS = 2 * len(PERSON_COLORS)
"""Labels with a number; in a frame of more people, the numbers begin again."""

_NEW_COLOR, _STUDENT_COLOR, _KEYPOINT_COLOR, _LOCKED_COLOR = "#f50057", "#d500f9", "#ffd600", "#9e9e9e"
"""Pink, magenta, yellow and gray: none of the people's. White cannot be read in the list."""

_KEY = "ctrl+alt+shift+"
_KEYPOINT_KEY = "alt+shift+"
"""Before a letter: key combinations of hidden labels, which no annotator presses. Without any, Label Studio gives
labels the keys of its own tools, and `b` for the brush would rename the selected mask."""

_STYLE = """
.mm-page { display: flex; flex-direction: column; gap: 4px; --mm-around: 246px; }
.mm-why { display: flex; flex-wrap: wrap; align-items: baseline; column-gap: 12px; }
.mm-why h4 { font-size: 16px; line-height: 22px; }
.mm-tools h4 { font-size: 13px; line-height: 22px; opacity: 0.7; }
.mm-tools { display: flex; flex-wrap: wrap; align-items: center; column-gap: 20px; }
.mm-tools .lsf-labels, .mm-tools .lsf-choices, .mm-tools .ant-form-item { margin: 0; }
.mm-tools .lsf-label_margins { margin-bottom: 0; }
.mm-note { width: 220px; }
.mm-hidden { display: none; }
.mm-questions { max-height: 190px; overflow-y: auto; }
.mm-page:has(.mm-question) { --mm-around: 430px; }
.mm-question { display: flex; align-items: center; column-gap: 16px; }
.mm-question h4 { font-size: 14px; white-space: nowrap; }
.mm-question .lsf-choices { margin: 0; align-items: end; }
.mm-question .ant-form-item { margin: 0; }
.mm-page .lsf-object { padding-right: 78px; }
.mm-page .lsf-toolbar { position: absolute; right: 0; top: 50px; margin-top: 0; }
@media (max-width: 720px) {
  .lsf-content-wrapper { --header-height: 0px; }
  .lsf-menu-header, .lsf-label-view__table, .mm-note, .mm-tools h4 { display: none; }
  .lsf-editor { width: 100%; }
  .lsf-main-view__annotation { padding: 4px 8px; }
  .mm-page { --mm-around: 176px; gap: 0; }
  .mm-why { flex-wrap: nowrap; white-space: nowrap; overflow: hidden; }
  .mm-why h4 { font-size: 13px; }
  .mm-page .lsf-toolbar { zoom: 0.6; top: 0; }
}
"""
"""Leaves room for the image: a header of one line, and no task list in a small window.

The tools beside the image get a fixed width. By default they appear after Label Studio has measured the
page; images smaller than the page are then enlarged beyond their frame and cut off at the edges, and the
slider of the brush size covers the image."""


_PAGE = f"""<View className="mm-page">
<Style>{{style}}</Style>
<View className="mm-why">
  <Header value="$why" size="5" style="margin: 0" />
  <Header value="$title" size="5" style="margin: 0; opacity: 0.7; font-weight: 400" />
</View>
<View className="mm-tools">
  <BrushLabels name="{MASKS}" toName="{IMAGE}">
    <Label value={{label}} background="{_NEW_COLOR}" html={{new}} hotkey="n" hint={{new_hint}} />
    <View className="mm-hidden">{{numbered}}<Label value={{locked}} background="{_LOCKED_COLOR}" hotkey="{_KEY}y" /></View>{{student}}
  </BrushLabels>
  <Header value="Select a mask (V, or in the list), then paint (B) or erase (E)" size="5" style="margin: 0; font-weight: 400" />
  <Choices name="{VERDICT}" toName="{IMAGE}" choice="single" showInline="true">{{verdicts}}</Choices>
  <View className="mm-note">
    <TextArea name="{NOTE}" toName="{IMAGE}" placeholder="Note" rows="1" maxSubmissions="1" editable="true" />
  </View>
</View>
<View className="mm-questions"><Repeater on="${QUESTIONS}" indexFlag="{{{{idx}}}}">
  <View className="mm-question">
    <Header value="${QUESTIONS}[{{{{idx}}}}].title" size="5" style="margin: 0" />
    <Choices name="{ANSWER}{{{{idx}}}}" toName="{IMAGE}" choice="single" showInline="true" Value="${QUESTIONS}[{{{{idx}}}}].answers" />
  </View>
</Repeater></View>
<Image name="{IMAGE}" value="${IMAGE}" zoom="true" zoomControl="true" brightnessControl="true"
  contrastControl="true" rotateControl="false" maxHeight="calc(100vh - var(--mm-around))" />{{keypoints}}
</View>"""

_STUDENT = f"""
    <View className="mm-hidden">
      <Label value={{label}} background="{_STUDENT_COLOR}" hotkey="{_KEY}z"
        hint="What another model saw: only for comparison, do not submit it" />
    </View>"""

_KEYPOINT_LABELS = f"""
<View className="mm-hidden">
  <KeyPointLabels name="{KEYPOINTS}" toName="{IMAGE}" strokeWidth="1">
    {
    "".join(
        f'<Label value="{name}" background="{_KEYPOINT_COLOR}" hotkey="{_KEYPOINT_KEY}{letter}" />'
        for name, letter in zip(COCO_KEYPOINTS, ascii_lowercase, strict=False)
    )
}
  </KeyPointLabels>
</View>"""
"""COCO's 17 keypoints with a hidden legend: 17 buttons would push the image off the page."""

# `Value` has a capital: the server counts the fields of the data in each `value`, and refuses uploads of images to a
# project with two; the page reads attributes in any case.
#
# The labels of people have no button either: a click on a mask selects its person. No label is selected at
# the start, because Label Studio then paints nothing until a person, or a new one, is selected.


def numbered_label(settings: Review, position: int) -> str:
    """Return the label of the person at this position of a frame's shown masks, counted from 0.

    It gives the mask its color, and tells to whom a mask painted beside it belongs.

    >>> numbered_label(Review(), 0), numbered_label(Review(label="rider"), 36)
    ('person 1', 'rider 13')
    """
    return f"{settings.label} {position % NUMBERED_LABELS + 1}"


def student_label(settings: Review) -> str:
    """Return the label of the student's mask, which always differs from a person's."""
    return COMPARED if settings.label != COMPARED else f"{COMPARED}'s"


def locked_label(settings: Review) -> str:
    """Return the label of masks that are believed already, which always differs from the others."""
    return f"accepted {settings.label}"


def label_config(settings: Review) -> str:
    """Return the page as Label Studio's XML; the same settings give the same text.

    Raises:
        ConfigError: the label is not valid in Label Studio.
    """
    # Label Studio replaces `$field` by task data, and XML folds white space.
    label = settings.label
    if "$" in label or not label.isprintable() or label != label.strip():
        raise ConfigError(
            f"review.label is {label!r}: set it to a word without '$', line breaks and outer spaces"
        )
    return _PAGE.format(
        style=_STYLE,
        label=quoteattr(label),
        new=quoteattr(escape(f"New {label}")),
        new_hint=quoteattr(f"For a {label} without a mask: click here, then paint"),
        numbered="".join(
            f"<Label value={quoteattr(numbered_label(settings, position))} "
            f'background="{PERSON_COLORS[position % len(PERSON_COLORS)]}" '
            f'hotkey="{_KEY}{ascii_lowercase[position]}" />'
            for position in range(NUMBERED_LABELS)
        ),
        locked=quoteattr(locked_label(settings)),
        student=_STUDENT.format(label=quoteattr(student_label(settings))) if settings.show_student else "",
        verdicts="".join(
            f"<Choice value={quoteattr(value)} hint={quoteattr(hint)} />" for value, hint in VERDICTS
        ),
        keypoints=_KEYPOINT_LABELS if settings.show_keypoints else "",
    )
