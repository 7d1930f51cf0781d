"""The order of suspects."""

from dataclasses import replace

import pytest

from labeling.audit.ranking import FoundBySize, suspicion_of
from labeling.audit.suspects import Suspect

OUTLINE = Suspect("outline", (0,), (0,), 0.5, 0.9, 0.7)
UNSEEN = Suspect("unseen", (0,), (), 1.0, None, 0.0)


def of(suspect: Suspect, *, share: float = 0.05, found: FoundBySize | None = None) -> float:
    return suspicion_of(suspect, area_share=share, area_px=10_000, found=found or FoundBySize())


def test_suspicion_grows_with_disagreement_and_with_trust() -> None:
    assert of(OUTLINE) < of(replace(OUTLINE, disagreement=1.0))
    assert of(replace(OUTLINE, trust=0.3)) < of(OUTLINE)


@pytest.mark.parametrize("suspect", [OUTLINE, UNSEEN])
def test_an_outline_on_edges_speaks_for_a_label_and_one_beside_them_against_it(suspect: Suspect) -> None:
    on, beside = (of(replace(suspect, edge_fit=fit)) for fit in (1.3, 0.8))
    assert on < of(suspect) < beside


def test_a_label_without_a_person_is_more_suspicious_where_such_people_are_found() -> None:
    found = FoundBySize()
    for _ in range(50):
        found.add(0.05, True)
        found.add(0.0005, False)
    assert of(UNSEEN, share=0.0005, found=found) < of(UNSEEN, share=0.05, found=found)
    assert of(UNSEEN, found=found) < of(replace(UNSEEN, beside_missing=0.9), found=found)


def test_a_size_without_labels_is_judged_by_its_neighbors() -> None:
    found = FoundBySize()
    for _ in range(20):
        found.add(0.1, True)
        found.add(0.001, False)
    assert found.share(0.001) < found.share(0.01) < found.share(0.1)
    assert 0 < found.share(0.0) < found.share(1.0) < 1
