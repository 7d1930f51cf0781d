"""What annotators read: the labeling instructions of a project, and why a frame needs a review in their words."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

from configs.categories import PERSON
from configs.models import Review
from labeling.review.label_studio.project import NEW_KEYS, category_label
from labeling.structures.reasons import (
    Reason,
    ReasonCode,
    Values,
    guess_about_still,
    name_instances,
    place_text,
)
from labeling.text.phrases import format_masks, share_texts_below

_INSTRUCTIONS = """<h3>What to do</h3>
<p>Each {any} should have one mask, in a color of its own, that covers all of the {any} and nothing else.
The masks are drawn by a model. Above the image you read what to look for.</p>
<ol>
<li><b>All is right:</b> press Submit.</li>
<li><b>A mask is wrong:</b> select it: in the list on the right, or by a click with the arrow (V). Then paint with the
brush (B), or remove with the eraser (E). While nothing is selected, the brush paints nothing.</li>
<li><b>A {any} has no mask:</b> press {buttons}, then paint. Press Escape when it is complete.</li>
{change}<li><b>A mask shows no {any}</b> ({confused}): select it and press Delete.</li>
<li><b>Below this text you see outlines</b> of a {any}: choose the right one, or what else is true. Nothing has to be
drawn. No choice means that the mask is right. A mask that you paint counts more than a choice.</li>
<li><b>Gray masks</b> are accepted already. They stay as they are.</li>
<li><b>The image is too dark, blurred or damaged:</b> choose <code>unusable</code> and press Submit.</li>
</ol>
<p>The other choices and the note are optional: whether you changed something is seen from the masks.</p>
{people}<p>What hides a part of a {any} does not belong to its mask.</p>
<p>You are not sure: press Skip.</p>
<p>Of two annotations of the same image, the one with a star counts: click the star beside the better one.</p>
"""

_CHANGE = """<li><b>A mask shows something else</b>, such as a {other} that is marked as a {first}: select it and press
<code>New {other}</code>.</li>
"""

_PEOPLE = """<p>Reflections, statues and people on posters are no {label}.</p>
<p>What a {label} wears or carries belongs to the mask{except_marked}.</p>
"""

_PROBABLY_WRONG_BELOW = 0.2

_UNSURE = "the model is unsure"
_OUTLINES = "the outlines are uncertain"
_PART_MISSING = "a part of a person may be missing"
_OTHER_BEFORE = "a mask differs from the image before"
_CAUSES = frozenset({"miss", "split", "merge", "boundary", "overlap"})
"""Of a disagreement between the models, which an annotator does not know."""


def _say(text: str) -> Callable[[Values], str]:
    return lambda _: text


def _how_sure(values: Values) -> str:
    share = values["value"]
    shown, _ = share_texts_below(share, values["minimum"])
    judged = "probably wrong" if share < _PROBABLY_WRONG_BELOW else "uncertain"
    return f"the masks are {judged} (right with a chance of {shown})"


def _still(values: Values) -> str:
    return f"{format_masks(values['masks'])} barely moved in the video: {guess_about_still(values)}"


def _student_sees_more(values: Values) -> str:
    found = "people or objects" if values.get("are_objects") else "people"
    return f"{found if values.get('in_one_mask') else name_instances(values)} may be missing"


_WORDS: Mapping[ReasonCode, Callable[[Values], str]] = {
    "no_person": lambda values: f"{'objects' if values.get('are_objects') else 'people'} may be missing",
    "student_sees_more": _student_sees_more,
    "verifier_sees_more": lambda values: f"{name_instances(values)} may be missing",
    "verifier_sees_less": lambda values: f"masks of {name_instances(values)} may show something else",
    "low_score": _say(_UNSURE),
    "no_threshold": _say(_UNSURE),
    "not_mirrored": _say(_UNSURE),
    "not_calibrated": lambda values: f"{', '.join(values['categories'])}: nothing else has checked them",
    "low_trust": _how_sure,
    "keypoints_outside": _say(_PART_MISSING),
    "verifier_keypoints_outside": _say(_PART_MISSING),
    "mirrored_differs": _say(_OUTLINES),
    "verifier_differs": _say(_OUTLINES),
    "mask_jumps": _say(_OTHER_BEFORE),
    "mask_changes": _say(_OTHER_BEFORE),
    "still_masks": _still,
    "moves_outside": lambda values: f"something moves outside the masks, {place_text(values)}",
    "carried": _say("the masks come from a reviewed image near this one"),
}
"""What a reason means to an annotator, who knows neither teacher nor student."""


def instructions(settings: Review, categories: Sequence[str] = (PERSON,)) -> str:
    """Return the labeling instructions as HTML with tags that Label Studio keeps."""
    labels = [escape(category_label(settings, category)) for category in categories]
    keys = [f"<code>New {label}</code> ({key.upper()})" for label, key in zip(labels, NEW_KEYS, strict=False)]
    buttons = [*keys, *(f"<code>New {label}</code>" for label in labels[len(keys) :])]
    has_people, several = PERSON in categories, len(categories) > 1
    return _INSTRUCTIONS.format(
        any=_either(labels),
        buttons=_either(buttons),
        change=_CHANGE.format(first=labels[0], other=labels[1]) if several else "",
        confused="a coat, a poster, a shadow" if has_people else "a picture, a shadow",
        people=_PEOPLE.format(
            label=labels[0], except_marked=f", unless it is a {_either(labels[1:])}" if several else ""
        )
        if has_people
        else "",
    )


def _either(words: Sequence[str]) -> str:
    """Return `a, b or c`."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def explain_to_annotators(reasons: Sequence[Reason]) -> str:
    """Return one line that says what to look for; the causes of disagreement between the models are left out.

    >>> missed = Reason.of("miss", people=1, masks=0)
    >>> explain_to_annotators([Reason.of("low_score", value=0.48, minimum=0.7), missed])
    'Please check: the model is unsure'
    >>> explain_to_annotators([missed])
    'Please check: two models see different people or outlines'
    """
    are_objects = any(
        reason.values.get("categories") or reason.values.get("are_objects") for reason in reasons
    )
    what = "objects" if are_objects else "people"
    explained = [_in_other_words(reason) for reason in reasons if reason.code not in _CAUSES]
    return "Please check: " + (
        "; ".join(dict.fromkeys(explained)) or f"two models see different {what} or outlines"
    )


def _in_other_words(reason: Reason) -> str:
    """Return the words for annotators; other reasons, such as texts of older versions, keep theirs."""
    if words := _WORDS.get(reason.code):
        return words(reason.values)
    return str(reason).replace("the teacher", "the model").replace("the student", "another model")
