"""The HTML page of a leak certificate."""

from collections.abc import Iterable

from labeling.datasets.splits.certificate import LeakCertificate, NearestPair
from labeling.datasets.splits.similarity import NEAR
from labeling.report.page import render_page
from labeling.text.figures import count_of


def render_leaks(leaks: LeakCertificate, tiles: Iterable[tuple[NearestPair, bytes, bytes]]) -> str:
    """Render the page; `tiles` are the most similar pairs with the JPEGs of both frames, iterated once."""
    return render_page("leaks.html.j2", leaks=leaks, tiles=tiles, near=NEAR, sentence=_sentence(leaks))


def _sentence(leaks: LeakCertificate) -> str:
    if not leaks.pairs:
        return "There is nothing to compare: train, or both val and test, have no frame."
    if leaks.is_clean:
        most = leaks.pairs[0].similarity
        return f"No frame of val and test is near a frame of train; the highest similarity is {most:.2f}."
    if leaks.near:
        near = count_of(leaks.near, "frame")
        return f"{near} of val and test have a near-duplicate in train: see the pairs below."
    return "Videos or sources are in more than one of train, val and test: see below."
