"""The people that appear in the first fifth of the review queue, on real video."""

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import select

from configs.load import load_config
from configs.models import Review as Settings
from db.models.core import AgreementRow, DecisionRow, FrameRow
from db.review.outbox import fill_outbox
from db.review.selection import choose_waiting
from flows.generate import generate_dataset
from labeling.storage.home import Home
from tasks.execution.context import close_databases, database_of

pytestmark = pytest.mark.usefixtures("prefect")

VIDEO_PX_OF_ANNOTATED = 0.625
"""The annotation is in pixels of 768x576, the video has 480x360, ten frames a second."""
SIZE_WH = (480, 360)
BUDGET = 0.2


def read_people(xml: Path) -> dict[int, set[str]]:
    """Return the ids of people whose box center is in the image, by time in ms."""
    frames = ET.parse(xml).getroot().iter("frame")  # noqa: S314 - the data set's own
    return {
        100 * int(frame.attrib["number"]): {
            person.attrib["id"] for person in frame.iter("object") if is_inside(person)
        }
        for frame in frames
    }


def is_inside(person: ET.Element) -> bool:
    [box] = person.iter("box")
    x, y = (float(box.attrib[side]) * VIDEO_PX_OF_ANNOTATED for side in ("xc", "yc"))
    return 0 <= x < SIZE_WH[0] and 0 <= y < SIZE_WH[1]


@pytest.mark.shared
@pytest.mark.long
def test_a_fifth_of_the_queue_shows_as_many_people_as_the_lowest_iou_does(
    shared: Path, tmp_path: Path
) -> None:
    data = shared / "data" / "pets2009_s2l1"
    config = load_config("lite", [f"weights_dir={shared / 'weights'}", "sampling.every_s=1"])
    home = Home((tmp_path / "home").resolve())
    run = generate_dataset([str(data / "vtest.avi")], config, name="lite", home=home.root)
    budget = round(BUDGET * run.counts["hard"])
    with database_of(home).transaction() as session:
        fill_outbox(session, run.run_id)
        chosen = choose_waiting(session, run.run_id, Settings(budget=budget), room=500).frames
        query = select(FrameRow).join(DecisionRow, DecisionRow.frame_id == FrameRow.id)
        query = query.join(AgreementRow, AgreementRow.frame_id == FrameRow.id).where(
            DecisionRow.decision == "review"
        )
        ordered = session.scalars(query.order_by(AgreementRow.iou, FrameRow.id))
        pts_ms = {frame.id: frame.pts_ms or 0 for frame in ordered}
    close_databases()
    people = read_people(data / "PETS2009-S2L1.xml")

    def seen(frame_ids: Iterable[int]) -> set[str]:
        return set[str]().union(*(people.get(pts_ms[frame_id], ()) for frame_id in frame_ids))

    for most in (budget // 4, budget // 2, budget):
        context = f"of 19 people, in {most} of {len(pts_ms)} frames"
        print(
            f"{len(seen(chosen[:most]))} by priority, {len(seen(list(pts_ms)[:most]))} by lowest IoU, {context}"
        )
    assert len(chosen) == budget
    assert len(set[str]().union(*people.values())) == 19
    assert len(seen(chosen)) >= len(seen(list(pts_ms)[:budget]))
    assert len(seen(chosen)) >= 17
