"""Texts of a report: the sentence at the top, rates, causes, advice about failures."""

from collections.abc import Mapping, Sequence

from configs.errors import MaskmillError, error_classes
from labeling.text.figures import count, count_of, percent, spaced

CAUSES = {
    "miss": "the student missed a person that the teacher found",
    "extra": "the student found a person where the teacher found none",
    "split": "the student split one person of the teacher into several",
    "merge": "the student merged several people of the teacher into one",
    "boundary": "the same person with a different outline",
}

FEWEST_FRAMES = 3
"""Compared frames from which on it is suspicious that all of them are hard."""
SUSPICIOUS_SHARE, FEWEST_OF_SHARE = 0.9, 10
"""Share of hard frames that is suspicious, if so many frames were compared."""


def advice_for(code: str) -> str:
    """Return what to do about a failure with this code, as a sentence."""
    known = (error.advice for error in error_classes() if error.code == code)
    advice = next(known, MaskmillError.advice)
    return f"{advice[0].upper()}{advice[1:]}."


def summary_sentence(counts: Mapping[str, int], *, videos: int, images: int) -> str:
    """Summarize a run's counts.

    >>> counts = {"sampled": 9, "compared": 8, "hard": 3, "accepted": 1, "review": 2}
    >>> summary_sentence(counts, videos=1, images=0)
    'Of 9 frames sampled from 1 video, 8 were compared: the student got 3 wrong (37.5 %). The teacher is trusted on 1 of these; 2 wait for review by a person.'
    """
    names = ("sampled", "compared", "hard", "accepted", "review")
    sampled, compared, hard, accepted, review = (counts.get(name, 0) for name in names)
    if not sampled:
        return "No frame was sampled."
    kinds = ((videos, "video"), (images, "image"))
    media = " and ".join(count_of(number, noun) for number, noun in kinds if number) or "0 videos"
    opening = f"Of {count_of(sampled, 'frame')} sampled from {media},"
    if not compared:
        return f"{opening} none was compared: the filters rejected every one."
    opening += f" {count(compared)} {'was' if compared == 1 else 'were'} compared:"
    if not hard:
        return f"{opening} the student agrees with the teacher on all of them."
    return (
        f"{opening} the student got {count(hard)} wrong ({percent(hard, compared)}). "
        f"The teacher is trusted on {count(accepted)} of these; "
        f"{count(review)} {'waits' if review == 1 else 'wait'} for review by a person."
    )


def doubt_about_student(counts: Mapping[str, int], *, sees_people: bool) -> str:
    """Return a warning if the student seems to be declared wrong rather than to be bad; empty otherwise.

    >>> doubt_about_student({"compared": 4, "hard": 3}, sees_people=True)
    ''
    >>> doubt_about_student({"compared": 4, "hard": 4}, sees_people=True)[:30]
    'Every compared frame is hard: '
    >>> doubt_about_student({"compared": 40, "hard": 36}, sees_people=True)[:45]
    'Nearly every compared frame is hard (90.0 %):'
    """
    compared, hard = counts.get("compared", 0), counts.get("hard", 0)
    if hard and not sees_people:
        fact = "The student saw no person in any frame"
    elif hard == compared >= FEWEST_FRAMES:
        fact = "Every compared frame is hard"
    elif compared >= FEWEST_OF_SHARE and hard >= SUSPICIOUS_SHARE * compared:
        fact = f"Nearly every compared frame is hard ({percent(hard, compared)})"
    else:
        return ""
    return (
        f"{fact}: the student may be made for other scenes (a network for people near the camera misses small ones), or "
        "its scale, layout, person class or path is declared wrong. `maskmill try CONFIG IMAGE` shows what it sees."
    )


def count_name(name: str) -> str:
    """Format the name of a count.

    >>> count_name("rejected:several_people")
    'rejected: several people'
    """
    return spaced(name.replace(":", ": "))


def rate(frames: int | None, seconds: float) -> str:
    """Format frames per second; empty if unknown."""
    if frames is None or seconds <= 0:
        return ""
    a_second = frames / seconds
    return f"{a_second:,.0f}" if a_second >= 100 else f"{a_second:.3g}"  # noqa: PLR2004 - three digits


def listing(names: Sequence[str]) -> str:
    """List names with their counts in order of first use: `miss, boundary (2)`."""
    return ", ".join(
        name if names.count(name) == 1 else f"{name} ({names.count(name)})" for name in dict.fromkeys(names)
    )
