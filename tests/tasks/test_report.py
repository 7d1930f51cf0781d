import base64
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime

import numpy as np
import pytest

from db.frames.listing import FrameLine
from db.models.core import ModelRow, RunRow, RunSourceRow, SourceRow
from db.runs.queries import Failure, RunSummary, SourceOfRun
from labeling.report.charts import AgreementHistogram
from labeling.report.wording import advice_for
from labeling.visualization.contact_sheet import encode_jpeg
from tasks.report import RunReport, render_report
from tests.labeling.report.page_reader import PageReader

JPEG = encode_jpeg(np.full((9, 12, 3), 90, dtype=np.uint8), quality=80)
START = datetime(2026, 5, 30, 22, 4)  # as in the database, naive UTC

COUNTS = {
    "sampled": 1000,
    "rejected:blurred": 100,
    "rejected:no_people": 300,
    "compared": 600,
    "easy": 540,
    "hard": 60,
    "accepted": 45,
    "review": 15,
}
REMOVED = Failure("https://video.example/x", "removed", "x: taken down", retryable=False)


def _line(**changes: object) -> FrameLine:
    line = FrameLine(
        id=7,
        video_id="1f0c",
        title="Evening walk",
        kind="video",
        pts_ms=83_040,
        index=None,
        name="",
        decision="review",
        rule=None,
        iou=0.31,
        expected_iou=0.31,
        boundary_iou=0.2,
        causes=("miss", "miss"),
        reasons=("the mirrored image disagrees",),
        image=None,
    )
    return dataclasses.replace(line, **changes)  # type: ignore[arg-type] # tests use existing fields


def _summary(**changes: object) -> RunSummary:
    summary = RunSummary(
        run_id="3f9a1c0be7d24456",
        name="street-night",
        videos=3,
        images=0,
        shards_done=3,
        shards_pending=0,
        counts=COUNTS,
        seconds={"decode": 12.0, "teacher": 48.0},
        failures=(REMOVED,),
    )
    return dataclasses.replace(summary, **changes)  # type: ignore[arg-type] # tests use existing fields


def _source(
    spec: str,
    *,
    frames: int | None = None,
    hard: int | None = None,
    failure: Failure | None = None,
    **metadata: object,
) -> SourceOfRun:
    asked = RunSourceRow(state="ok")
    if failure:
        asked = RunSourceRow(state="failed", error_code=failure.code, error_message=failure.message)
    return SourceOfRun(SourceRow(spec=spec, **metadata), asked, frames, hard)


def _render(tiles: Iterable[tuple[FrameLine, bytes]] | None = None, **changes: object) -> str:
    report = RunReport(
        run=RunRow(
            id="3f9a1c0be7d24456",
            name="street-night",
            code_version="0.1.0",
            started_at=START,
            finished_at=datetime(2026, 5, 31, 1, 17),
        ),
        models={
            "teacher": ModelRow(
                kind="torchvision",
                name="maskrcnn_resnet50_fpn_v2",
                weights_sha256="73cbd019" + "0" * 56,
                settings='{"refine":[{"kind":"guided_filter","name":"color","weights_sha256":""}]}',
            )
        },
        summary=_summary(),
        histogram=AgreementHistogram((5,) * 10 + (55,) * 10, both_empty=7, hard_below=0.5),
        causes={"miss": 31, "boundary": 52},
        sources=(
            _source("walk.mp4", title="Evening walk", license="CC-BY-4.0", frames=1000, hard=60),
            _source(REMOVED.what, failure=REMOVED),
        ),
        reviews=(),
        rounds=(),
    )
    changed = dataclasses.replace(report, **changes)  # type: ignore[arg-type] # tests use existing fields
    return render_report(changed, ((_line(), JPEG),) if tiles is None else tiles)


def _refined_by(name: str) -> str:
    return json.dumps({"refine": [{"kind": name, "name": name, "weights_sha256": name}]})


def _read(tiles: Iterable[tuple[FrameLine, bytes]] | None = None, **changes: object) -> PageReader:
    return PageReader(_render(tiles, **changes))


def test_the_page_has_the_results() -> None:
    text = _read().text
    for expected in (
        "street-night",
        "3f9a1c0be7d24456",
        "torchvision:maskrcnn_resnet50_fpn_v2",
        "refined by guided_filter:color",
        "Of 1,000 frames sampled from 3 videos, 600 were compared: the student got 60 wrong (10.0 %).",
        "7 frames in which neither found a person",
        "01:23.040",
        "IoU 0.31",
        "the mirrored image disagrees",
        "miss (2)",
        "x: taken down",
        advice_for("removed"),
        "CC-BY-4.0",
    ):
        assert expected in text


def test_the_page_requires_no_other_files() -> None:
    page = _render()
    reader = PageReader(page)
    assert not reader.named("script")
    assert not reader.named("link")
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") for image in reader.named("img"))
    assert "url(" not in page
    assert "@import" not in page
    policy = next(meta for meta in reader.named("meta") if meta.get("http-equiv"))
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_an_image_is_embedded_unchanged() -> None:
    (image,) = _read().named("img")
    assert base64.b64decode((image["src"] or "").partition(",")[2]) == JPEG


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'--></style>{{ 7 * 7 }}"]
)
def test_no_text_from_outside_becomes_markup(hostile: str) -> None:
    line = _line(
        title=hostile, name=hostile, pts_ms=None, decision=hostile, reasons=(hostile,), causes=(hostile,)
    )
    failures = (Failure(hostile, hostile, hostile, retryable=False),)
    reader = _read(
        tiles=((line, JPEG),),
        run=RunRow(id=hostile, name=hostile, code_version=hostile, started_at=START),
        models={
            "teacher": ModelRow(
                kind=hostile, name=hostile, weights_sha256=hostile, settings=_refined_by(hostile)
            )
        },
        summary=_summary(
            counts={"sampled": 9, f"rejected:{hostile}": 9}, seconds={hostile: 1.0}, failures=failures
        ),
        causes={hostile: 1},
        sources=(
            _source(hostile, title=hostile, url=hostile, uploader=hostile, license=hostile),
            _source(hostile, failure=failures[0]),
        ),
    )
    plain = _read()
    assert {name for name, _ in reader.elements} <= {name for name, _ in plain.elements} | {"ul", "li"}
    assert not any(key.startswith("on") for _, attributes in reader.elements for key in attributes)
    assert len(reader.named("img")) == 1
    assert reader.text.count(re.sub(r"\s+", " ", hostile.replace("_", " "))) >= 15


def test_only_web_addresses_become_links() -> None:
    addresses = ["https://a.example/1", "HTTP://a.example/2", "javascript:alert(1)", "data:text/html,x", None]
    sources = tuple(_source(f"source {i}", url=address) for i, address in enumerate(addresses))
    assert [link["href"] for link in _read(sources=sources).named("a")] == addresses[:2]


def test_an_image_of_a_folder_shows_its_name_instead_of_a_time() -> None:
    text = _read(tiles=((_line(pts_ms=None, name="IMG_0042.jpg"), JPEG),)).text
    assert "IMG_0042.jpg" in text
    assert "01:23.040" not in text


def test_tiles_are_drawn_only_once() -> None:
    drawn = []

    def tiles() -> Iterator[tuple[FrameLine, bytes]]:
        for number in range(4):
            drawn.append(number)
            yield _line(title=f"title {number}"), JPEG

    reader = _read(tiles=tiles())
    assert drawn == [0, 1, 2, 3]
    assert [f"title {n}" in reader.text for n in range(4)] == [True] * 4


def test_the_same_data_give_the_same_page() -> None:
    assert _render() == _render()


def test_a_name_with_undecodable_bytes_still_makes_a_page() -> None:
    page = _render(tiles=((_line(title="w\udce9g.mp4"), JPEG),))
    assert "w?g.mp4" in page.encode("utf-8").decode("utf-8")


def test_a_run_without_frames_has_a_page() -> None:
    reader = _read(
        tiles=(),
        summary=_summary(videos=0, counts={}, seconds={}),
        histogram=AgreementHistogram((0,) * 20, 0, 0.5),
        causes={},
    )
    assert "No frame was sampled. 1 source failed: see below." in reader.text
    assert not reader.named("img")


def test_stages_show_their_rate_and_share() -> None:
    text = _read().text
    assert re.search(r"decode 12 s 1,000 83\.3 20\.0 %", text)
    assert re.search(r"teacher 48 s 600 12\.5 80\.0 %", text)
