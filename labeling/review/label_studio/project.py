"""The labeling project: its label config (the page), and the names that results carry."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_lowercase
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from configs.categories import PERSON
from configs.errors import ConfigError
from configs.models import Review
from labeling.structures.instances import COCO_KEYPOINTS

IMAGE, MASKS, KEYPOINTS, VERDICT, NOTE = "image", "masks", "keypoints", "verdict", "note"
"""Names of the page's controls: `to_name` and `from_name` of every result."""
RIGHT, OTHER, WRONG, NO_PERSON = ANSWERS = ("right", "other outline", "wrong outline", "no person")
"""Answers to a question: the proposed mask is right, the other model's is, none is, or it shows no person."""
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
    ("correct", "All masks are right"),
    ("corrected", "I changed something, or there is nothing to mask"),
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
"""Colors of the people and objects in a frame, in order: neighbors in the list differ in hue and in brightness."""

NUMBERED_LABELS = 2 * len(PERSON_COLORS)
"""Labels of a category with a number; in a frame of more instances, the numbers begin again."""

_NEW_COLORS = ("#f50057", "#827717", "#006064", "#4a148c", "#bf360c", "#1b5e20")
"""Colors of what annotators paint or give another category, by category: none of those above."""

_STUDENT_COLOR, _KEYPOINT_COLOR, _LOCKED_COLOR = "#d500f9", "#ffd600", "#9e9e9e"
"""Magenta, yellow and gray: none of the others. White cannot be read in the list."""

NEW_KEYS = "n4567890"
"""Keys of the buttons, by category; Label Studio gives 1 to 3 to the verdicts."""

_ONE_ROW = 3
"""Buttons that stand in one row beside the verdicts; of more than two rows, the rest is reached by scrolling."""

_KEY = "ctrl+alt+shift+"
_KEYPOINT_KEY = "alt+shift+"
"""Before a letter: key combinations of hidden labels, which no annotator presses. Without any, Label Studio gives
labels the keys of its own tools, and `b` for the brush would rename the selected mask."""

_NO_KEY = 0x4E00
"""Characters from here on are on no keyboard: the rest of the hidden labels, when the letters are used up."""

_STYLE = """
.mm-page { display: flex; flex-direction: column; gap: 4px; --mm-around: 246px; }
.mm-why { display: flex; flex-wrap: wrap; align-items: baseline; column-gap: 12px; }
.mm-why h4 { font-size: 16px; line-height: 22px; }
.mm-tools h4 { font-size: 13px; line-height: 22px; opacity: 0.7; }
.mm-tools { display: flex; flex-wrap: wrap; align-items: center; column-gap: 20px; }
.mm-tools .lsf-labels, .mm-tools .lsf-choices, .mm-tools .ant-form-item { margin: 0; }
.mm-tools .lsf-label_margins { margin-bottom: 0; }
.mm-note { width: 220px; }
.mm-new { display: flex; flex-wrap: wrap; max-height: 54px; overflow-y: auto; }
.mm-keyless { display: contents; }
.mm-keyless .lsf-label__hotkey { display: none; }
.mm-page:has(.mm-many) { --mm-around: 300px; }
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
  .mm-page:has(.mm-many) { --mm-around: 202px; }
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
    <View className="{{new_class}}">{{new}}</View>
    <View className="mm-hidden">{{numbered}}{{locked}}</View>{{student}}
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
</Repeater>{{answered}}</View>
<Image name="{IMAGE}" value="${IMAGE}" zoom="true" zoomControl="true" brightnessControl="true"
  contrastControl="true" rotateControl="false" maxHeight="calc(100vh - var(--mm-around))" />{{keypoints}}
</View>"""

_ANSWERED = (
    '<Repeater on="$never" indexFlag="{never}">'
    + "".join(
        f'<Choices name="{ANSWER}{position}" toName="{IMAGE}">'
        + "".join(f'<Choice value="{answer}" />' for answer in ANSWERS)
        + "</Choices>"
        for position in range(100)
    )
    + "</Repeater>"
)
"""Controls that the page never shows. Label Studio does not find those of a repeater when it compares a new label config
with the answers that it has."""

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


def category_label(settings: Review, category: str) -> str:
    """Return the word for a category on the page: `review.label` names a person, other categories name themselves."""
    return settings.label if category == PERSON else category


def numbered_label(settings: Review, position: int, category: str = PERSON) -> str:
    """Return the label of the instance at this position of a frame's shown masks, counted from 0.

    It gives the mask its color, and tells to which instance a mask painted beside it belongs.

    >>> numbered_label(Review(), 0), numbered_label(Review(label="rider"), 36)
    ('person 1', 'rider 13')
    >>> numbered_label(Review(label="rider"), 1, "bicycle")
    'bicycle 2'
    """
    return f"{category_label(settings, category)} {position % NUMBERED_LABELS + 1}"


def student_label(settings: Review) -> str:
    """Return the label of the student's mask, which always differs from a person's."""
    return COMPARED if settings.label != COMPARED else f"{COMPARED}'s"


def locked_label(settings: Review, category: str = PERSON) -> str:
    """Return the label of masks that are believed already, which always differs from the others."""
    return f"accepted {category_label(settings, category)}"


class LabelMeaning(NamedTuple):
    """What a label says about the mask that has it."""

    category: str
    number: int | None = None
    """The instance of that position among the shown ones, counted from 1; None: a new one, or a locked one."""


def label_meanings(settings: Review, categories: Sequence[str]) -> Mapping[str, LabelMeaning]:
    """Return the meaning of each label that a mask of these categories may have.

    Raises:
        ConfigError: two of them are the same text.
    """
    meanings = [one for category in categories for one in _meanings(settings, category)]
    repeated = [text for text, times in Counter(text for text, _ in meanings).items() if times > 1]
    if repeated or student_label(settings) in dict(meanings):
        raise ConfigError(
            f"the review cannot tell the categories {', '.join(categories)} apart: "
            f"{(repeated or [student_label(settings)])[0]!r} would mean two things; rename one in `classes` or review.label"
        )
    return dict(meanings)


def _meanings(settings: Review, category: str) -> Iterator[tuple[str, LabelMeaning]]:
    yield category_label(settings, category), LabelMeaning(category)
    yield locked_label(settings, category), LabelMeaning(category)
    for position in range(NUMBERED_LABELS):
        yield numbered_label(settings, position, category), LabelMeaning(category, position + 1)


def label_config(
    settings: Review, categories: Sequence[str] = (PERSON,), *, keep_answers: bool = False
) -> str:
    """Return the page for masks of these categories as Label Studio's XML; equal arguments give the same text.

    `keep_answers`: name the controls of questions one by one, so that Label Studio lets a project with answers have it.

    Raises:
        ConfigError: a label is not valid in Label Studio, or has two meanings.
    """
    for category in categories:
        _check_label(category_label(settings, category), category)
    label_meanings(settings, categories)
    return _PAGE.format(
        style=_STYLE,
        new_class="mm-new" if len(categories) <= _ONE_ROW else "mm-new mm-many",
        new="".join(_new_button(settings, categories, position) for position in range(len(categories))),
        numbered="".join(_numbered_labels(settings, categories)),
        locked="".join(_locked_labels(settings, categories)),
        student=_STUDENT.format(label=quoteattr(student_label(settings))) if settings.show_student else "",
        verdicts="".join(
            f"<Choice value={quoteattr(value)} hint={quoteattr(hint)} />" for value, hint in VERDICTS
        ),
        answered=_ANSWERED if keep_answers else "",
        keypoints=_KEYPOINT_LABELS if settings.show_keypoints and PERSON in categories else "",
    )


def _check_label(label: str, category: str) -> None:
    """Raise `ConfigError` for what Label Studio would change: it replaces `$field`, and XML folds white space."""
    if "$" in label or not label.isprintable() or label != label.strip():
        what = "review.label" if category == PERSON else "a category in `classes`"
        raise ConfigError(f"{what} is {label!r}: set it to a word without '$', line breaks and outer spaces")


def _new_button(settings: Review, categories: Sequence[str], position: int) -> str:
    """Return the label of new instances; with several categories it also gives a selected mask its category."""
    label = category_label(settings, categories[position])
    hint = f"For a {label} without a mask: click here, then paint"
    if len(categories) > 1:
        hint += f". While a mask is selected: it shows a {label}"
    has_key = position < len(NEW_KEYS)
    key = NEW_KEYS[position] if has_key else _hidden_key(-1 - position)
    button = (
        f'<Label value={quoteattr(label)} background="{_NEW_COLORS[position % len(_NEW_COLORS)]}" '
        f'html={quoteattr(escape(f"New {label}"))} hotkey="{key}" hint={quoteattr(hint)} />'
    )
    return button if has_key else f'<View className="mm-keyless">{button}</View>'


def _numbered_labels(settings: Review, categories: Sequence[str]) -> Iterator[str]:
    for rank, category in enumerate(categories):
        for position in range(NUMBERED_LABELS):
            yield (
                f"<Label value={quoteattr(numbered_label(settings, position, category))} "
                f'background="{PERSON_COLORS[position % len(PERSON_COLORS)]}" '
                f'hotkey="{_hidden_key(rank * NUMBERED_LABELS + position)}" />'
            )


def _locked_labels(settings: Review, categories: Sequence[str]) -> Iterator[str]:
    for rank, category in enumerate(categories):
        key = f"{_KEY}y" if rank == 0 else _hidden_key((len(categories) * NUMBERED_LABELS) + rank)
        yield (
            f'<Label value={quoteattr(locked_label(settings, category))} background="{_LOCKED_COLOR}" hotkey="{key}" />'
        )


def _hidden_key(number: int) -> str:
    """Return the key combination of a hidden label: letters for the first, then characters of no keyboard."""
    is_letter = 0 <= number < NUMBERED_LABELS
    return _KEY + (ascii_lowercase[number] if is_letter else chr(_NO_KEY + number))
