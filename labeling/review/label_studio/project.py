"""The labelling project: what the page shows and which names its answers carry."""

from typing import Any
from xml.etree import ElementTree as Xml

from configs.errors import ConfigError
from configs.models import Review
from labeling.structures.instances import COCO_KEYPOINTS

IMAGE, MASKS, KEYPOINTS, VERDICT, NOTE = "image", "masks", "keypoints", "verdict", "note"
"""Names of the page's parts: `to_name` and `from_name` of every result."""

TEACHER, STUDENT = "teacher", "student"
"""Versions of the two predictions. Label Studio fills new annotations from the project's one version, so
these are the same for every model; which model it was stands in the task's data."""

VERDICTS = (
    ("correct", "Every person is masked as it should be"),
    ("corrected", "I changed something, or nobody is there"),
    ("unusable", "Not fit for a dataset"),
)
"""The choices of a verdict and what they mean. None is required: a plain submit says enough."""

_MACHINE_COLUMNS = [
    f"tasks:{name}"
    for name in (
        "data.frame_id", "data.teacher_model", "data.student_model", "data.label",
        "data.shows_keypoints", "inner_id", "annotations_results",
        "annotations_ids", "predictions_score", "predictions_model_versions", "predictions_results",
        "file_upload", "storage_filename", "created_at", "updated_at", "updated_by", "draft_exists",
    )
]  # fmt: skip
"""What people choose no task by; without them, image and reason are on the screen."""

BEST_FIRST: dict[str, Any] = {
    "title": "Most valuable first",
    "type": "list",
    "target": "tasks",
    "ordering": ["-tasks:data.value"],
    "hiddenColumns": {"explore": _MACHINE_COLUMNS, "labeling": [*_MACHINE_COLUMNS, "tasks:data.why"]},
}
"""Data of the Data Manager's tab (`/api/dm/views/`) from which people take their tasks."""

_LABEL_COLOR, _STUDENT_COLOR, _KEYPOINT_COLOR = "#00c853", "#d500f9", "#ffd600"
"""Green, magenta, yellow: told apart with every kind of color vision, and rare in images of people."""

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
"""Room for the image: the header is one line, the list of tasks gives way in a small window.

Beside it, room for the tools that is always there: by themselves they appear after Label Studio has
measured the page, which enlarges images smaller than it beyond their frame and cuts their edges off;
and the slider of the brush's size lies on the image."""


def student_label(settings: Review) -> str:
    """What the student's mask is called; never what a person's is."""
    return "student" if settings.label != "student" else "student's"


def label_config(settings: Review) -> str:
    """Give the page as Label Studio's XML: the same settings give the same text.

    Raises:
        ConfigError: the label cannot be one there.
    """
    _check_label(settings.label)
    page = Xml.Element("View", className="mm-page")
    Xml.SubElement(page, "Style").text = _STYLE
    _add_why(page)
    tools = Xml.SubElement(page, "View", className="mm-tools")
    _add_labels(tools, settings)
    _add_verdict(tools)
    _add_image(page)
    if settings.show_keypoints:
        _add_keypoints(page)
    return Xml.tostring(page, encoding="unicode")


def _check_label(label: str) -> None:
    """Label Studio fills in `$field` from the task, and XML folds white space."""
    if "$" in label or not label.isprintable() or label != label.strip():
        raise ConfigError(
            f"review.label is {label!r}: Label Studio needs a word without '$', line breaks and outer spaces"
        )


def _add_why(page: Xml.Element) -> None:
    why = Xml.SubElement(page, "View", className="mm-why")
    Xml.SubElement(why, "Header", value="$why", size="5", style="margin: 0")
    Xml.SubElement(why, "Header", value="$title", size="5", style="margin: 0; opacity: 0.7; font-weight: 400")


def _add_labels(tools: Xml.Element, settings: Review) -> None:
    labels = Xml.SubElement(tools, "BrushLabels", name=MASKS, toName=IMAGE)
    Xml.SubElement(labels, "Label", value=settings.label, background=_LABEL_COLOR, selected="true")
    if settings.show_student:
        hint = "What the student saw: to compare, never to submit"
        hidden = Xml.SubElement(labels, "View", className="mm-hidden")
        Xml.SubElement(hidden, "Label", value=student_label(settings), background=_STUDENT_COLOR, hint=hint)


def _add_verdict(tools: Xml.Element) -> None:
    choices = Xml.SubElement(tools, "Choices", name=VERDICT, toName=IMAGE, choice="single", showInline="true")
    for value, hint in VERDICTS:
        Xml.SubElement(choices, "Choice", value=value, hint=hint)
    note = Xml.SubElement(tools, "View", className="mm-note")
    Xml.SubElement(
        note, "TextArea", name=NOTE, toName=IMAGE, placeholder="Note", rows="1", maxSubmissions="1", editable="true"
    )  # fmt: skip


def _add_image(page: Xml.Element) -> None:
    Xml.SubElement(
        page, "Image", name=IMAGE, value=f"${IMAGE}", zoom="true", zoomControl="true",
        brightnessControl="true", contrastControl="true", rotateControl="false", maxHeight="calc(100vh - var(--mm-around))",
    )  # fmt: skip


def _add_keypoints(page: Xml.Element) -> None:
    """COCO's 17, without a legend: seventeen buttons would push the image off the page."""
    legend = Xml.SubElement(page, "View", className="mm-hidden")
    joints = Xml.SubElement(legend, "KeyPointLabels", name=KEYPOINTS, toName=IMAGE, strokeWidth="1")
    for name in COCO_KEYPOINTS:
        Xml.SubElement(joints, "Label", value=name, background=_KEYPOINT_COLOR)
