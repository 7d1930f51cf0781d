"""The labeling project: its label config (the page), and the names that results carry."""

from typing import Any
from xml.sax.saxutils import quoteattr

from configs.errors import ConfigError
from configs.models import Review
from labeling.structures.instances import COCO_KEYPOINTS

IMAGE, MASKS, KEYPOINTS, VERDICT, NOTE = "image", "masks", "keypoints", "verdict", "note"
"""Names of the page's controls: `to_name` and `from_name` of every result."""

TEACHER, STUDENT = "teacher", "student"
"""Versions of the two predictions. Label Studio starts new annotations from one version per project, so
these are the same for every model; the task's data names the models."""

VERDICTS = (
    ("correct", "All people are masked correctly"),
    ("corrected", "I changed something, or there is no person"),
    ("unusable", "The image is not fit for a dataset"),
)
"""Choices and their tooltips. None is required: a submitted annotation is enough."""

_MACHINE_COLUMNS = [
    f"tasks:{name}"
    for name in (
        "data.frame_id", "data.teacher_model", "data.student_model", "data.label",
        "data.shows_keypoints", "inner_id", "annotations_results",
        "annotations_ids", "predictions_score", "predictions_model_versions", "predictions_results",
        "file_upload", "storage_filename", "created_at", "updated_at", "updated_by", "draft_exists",
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

_LABEL_COLOR, _STUDENT_COLOR, _KEYPOINT_COLOR = "#00c853", "#d500f9", "#ffd600"
"""Green, magenta and yellow: distinct for every kind of color vision, and rare in images of people."""

_STYLE = """
.mm-page { display: flex; flex-direction: column; gap: 4px; --mm-around: 246px; }
.mm-why { display: flex; flex-wrap: wrap; align-items: baseline; column-gap: 12px; }
.mm-why h4 { font-size: 16px; line-height: 22px; }
.mm-tools { display: flex; flex-wrap: wrap; align-items: center; column-gap: 20px; }
.mm-tools .lsf-labels, .mm-tools .lsf-choices, .mm-tools .ant-form-item { margin: 0; }
.mm-tools .lsf-label_margins { margin-bottom: 0; }
.mm-note { width: 220px; }
.mm-hidden { display: none; }
.mm-page .lsf-object { padding-right: 78px; }
.mm-page .lsf-toolbar { position: absolute; right: 0; top: 50px; margin-top: 0; }
@media (max-width: 720px) {
  .lsf-content-wrapper { --header-height: 0px; }
  .lsf-menu-header, .lsf-label-view__table, .mm-note { display: none; }
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
    <Label value={{label}} background="{_LABEL_COLOR}" selected="true" />{{student}}
  </BrushLabels>
  <Choices name="{VERDICT}" toName="{IMAGE}" choice="single" showInline="true">{{verdicts}}</Choices>
  <View className="mm-note">
    <TextArea name="{NOTE}" toName="{IMAGE}" placeholder="Note" rows="1" maxSubmissions="1" editable="true" />
  </View>
</View>
<Image name="{IMAGE}" value="${IMAGE}" zoom="true" zoomControl="true" brightnessControl="true"
  contrastControl="true" rotateControl="false" maxHeight="calc(100vh - var(--mm-around))" />{{keypoints}}
</View>"""

_STUDENT = f"""
    <View className="mm-hidden">
      <Label value={{label}} background="{_STUDENT_COLOR}"
        hint="The student's mask: only for comparison, do not submit it" />
    </View>"""

_KEYPOINT_LABELS = f"""
<View className="mm-hidden">
  <KeyPointLabels name="{KEYPOINTS}" toName="{IMAGE}" strokeWidth="1">
    {"".join(f'<Label value="{name}" background="{_KEYPOINT_COLOR}" />' for name in COCO_KEYPOINTS)}
  </KeyPointLabels>
</View>"""
"""COCO's 17 keypoints with a hidden legend: 17 buttons would push the image off the page."""


def student_label(settings: Review) -> str:
    """Return the label of the student's mask, which always differs from a person's."""
    return "student" if settings.label != "student" else "student's"


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
        student=_STUDENT.format(label=quoteattr(student_label(settings))) if settings.show_student else "",
        verdicts="".join(
            f"<Choice value={quoteattr(value)} hint={quoteattr(hint)} />" for value, hint in VERDICTS
        ),
        keypoints=_KEYPOINT_LABELS if settings.show_keypoints else "",
    )
