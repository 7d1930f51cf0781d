"""What annotators read: the labeling instructions of a project, and why a frame needs a review in their words."""

import re
from collections.abc import Callable, Sequence
from html import escape

from configs.models import Review

_INSTRUCTIONS = """<h3>What to do</h3>
<p>Each {label} should have one mask, in a color of its own, that covers all of the {label} and nothing else.
The masks are drawn by a model. Above the image you read what to look for.</p>
<ol>
<li><b>All is right:</b> press Submit.</li>
<li><b>A mask is wrong:</b> select it: in the list on the right, or by a click with the arrow (V). Then paint with the
brush (B), or remove with the eraser (E). While nothing is selected, the brush paints nothing.</li>
<li><b>A {label} has no mask:</b> press <code>New {label}</code> (N), then paint. Press Escape when it is complete.</li>
<li><b>A mask shows no {label}</b> (a coat, a poster, a shadow): select it and press Delete.</li>
<li><b>Below this text you see outlines</b> of a {label}: choose the right one, or what else is true. Nothing has to be
drawn. No choice means that the mask is right. A mask that you paint counts more than a choice.</li>
<li><b>Gray masks</b> are accepted already. They stay as they are.</li>
<li><b>The image is too dark, blurred or damaged:</b> choose <code>unusable</code> and press Submit.</li>
</ol>
<p>The other choices and the note are optional: whether you changed something is seen from the masks.</p>
<p>Reflections, statues and people on posters are no {label}.</p>
<p>What a {label} wears or carries belongs to the mask. What hides a part of the {label} does not.</p>
<p>You are not sure: press Skip.</p>
<p>Of two annotations of the same image, the one with a star counts: click the star beside the better one.</p>
"""

_PROBABLY_WRONG_BELOW = 20
"""Per cent."""
_MISSED_REGION = re.compile(r"something moves where the teacher found no person: (?P<place>.*)")
_LIKELY = re.compile(r"the teacher is right with a probability of (?P<share>[^ ]+ %) .*")
_MISSING = re.compile(r"the teacher found no person where the (?:student|verifier) found (?P<people>.*)")
_EXTRA = re.compile(r"the verifier found no person where the teacher found (?P<people>.*)")

_IN_OTHER_WORDS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_LIKELY, lambda found: _how_sure(found["share"])),
    (_MISSING, lambda found: f"{found['people']} may be missing"),
    (_EXTRA, lambda found: f"masks of {found['people']} may show something else"),
    (_MISSED_REGION, lambda found: f"something moves outside the masks, {found['place']}"),
    (re.compile(r"the teacher found no person"), lambda _: "people may be missing"),
    (
        re.compile(r"the teacher(?: is unsure|'s scores).*|the calibration .*"),
        lambda _: "the model is unsure",
    ),
    (
        re.compile(r"(?P<masks>.*) barely moves? \(.*\): (?P<guess>.*)"),
        lambda found: f"{found['masks']} barely moved in the video: {found['guess']}",
    ),
    (re.compile(r"(the verifier's )?keypoints lie outside.*"), lambda _: "a part of a person may be missing"),
    (
        re.compile(r"the (mirrored image|verifier) gives another mask.*"),
        lambda _: "the outlines are uncertain",
    ),
    (
        re.compile(r"(the mask jumps|a person's mask changes).*"),
        lambda _: "a mask differs from the image before",
    ),
    (
        re.compile(r"the masks were carried .*"),
        lambda _: "the masks come from a reviewed image near this one",
    ),
    (re.compile(r"the student .*|student and teacher .*"), lambda _: ""),
)
"""Reasons of decisions, and what they mean to an annotator, who knows neither teacher nor student."""


def _how_sure(share: str) -> str:
    """Say what a probability of the masks, such as `12 %`, means."""
    is_low = float(share.removesuffix("%")) < _PROBABLY_WRONG_BELOW
    return f"the masks are {'probably wrong' if is_low else 'uncertain'} (right with a chance of {share})"


def instructions(settings: Review) -> str:
    """Return the labeling instructions as HTML with tags that Label Studio keeps."""
    return _INSTRUCTIONS.format(label=escape(settings.label))


def explain_to_annotators(reasons: Sequence[str]) -> str:
    """Return one line that says what to look for; the causes of disagreement between the models are left out.

    >>> explain_to_annotators(["the teacher is unsure: lowest score 0.48 (minimum 0.70)", "the student missed 1 person"])
    'Please check: the model is unsure'
    >>> explain_to_annotators(["the student missed 1 person"])
    'Please check: two models see different people or outlines'
    """
    explained = [text for reason in reasons if (text := _in_other_words(reason))]
    return "Please check: " + (
        "; ".join(dict.fromkeys(explained)) or "two models see different people or outlines"
    )


def _in_other_words(reason: str) -> str:
    for pattern, words in _IN_OTHER_WORDS:
        if found := pattern.fullmatch(reason):
            return words(found)
    return reason.replace("the teacher", "the model").replace("the student", "another model")
