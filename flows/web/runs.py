"""Pages for the team: runs, the frames of a run with filters, and one frame with its layers."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.orm import Session

from configs.errors import NoRunYet
from db.frames.gallery import (
    CAUSES,
    COMPARED,
    Cursor,
    GalleryFilter,
    frame_page,
    running_leases,
    videos_of_run,
)
from db.frames.listing import load_sources
from db.runs.overview import title_of
from db.runs.queries import latest_run, summarize_run
from flows.home import existing_context
from flows.web.pages import render
from labeling.report.wording import CAUSES as CAUSE_WORDS
from tasks.browse import list_runs
from tasks.execution.context import Context, has_database
from tasks.gallery import Layer, frame_details, frame_jpeg, frame_layer, frame_thumbnail, person_jpeg
from tasks.report import render_run
from tasks.run_figures import sentence_of

DECISION_WORDS = {
    "easy": "Both models agree",
    "accepted": "Teacher trusted",
    "review": "To be reviewed",
}
_FRAME_CACHE = {"cache-control": "private, max-age=300"}
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
"""The report is one file with its styles and images inside."""
_HARDEST = 24
Iou = Annotated[float, Query(ge=0, le=1)]
Position = Annotated[str, Query(pattern=r"^([0-9.e+-]{1,30}_\d{1,16})?$")]
Choice = Annotated[str, Query(max_length=100)]


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of a filter."""

    value: str
    title: str


def run_routes(home: Path) -> APIRouter:
    """Return the routes below /runs."""
    routes = APIRouter(prefix="/runs", include_in_schema=False)

    @routes.get("")
    def show_runs() -> HTMLResponse:
        try:
            with _open(home).database.session() as session:
                runs = list_runs(session)
        except NoRunYet:
            runs = []
        return render("runs.html.j2", active="runs", runs=runs)

    @routes.get("/{run_id}")
    def show_gallery(
        run_id: str,
        decision: Choice = "",
        cause: Choice = "",
        video: Choice = "",
        low: Iou = 0.0,
        high: Iou = 1.0,
        after: Position = "",
    ) -> HTMLResponse:
        chosen = GalleryFilter(
            decision if decision in COMPARED else None,
            cause if cause in CAUSES else None,
            video or None,
            min(low, high),
            max(low, high),
        )
        with _open(home).database.session() as session:
            return _render_gallery(session, run_id, chosen, after)

    @routes.get("/{run_id}/report.html")
    def show_report(run_id: str) -> HTMLResponse:
        context = _open(home)
        with context.database.session() as session:
            run = latest_run(session, run_id)
            content = render_run(session, run, context.home, hardest=_HARDEST)
        return HTMLResponse(content, headers={"content-security-policy": _REPORT_POLICY})

    @routes.get("/{run_id}/frames/{frame_id}")
    def show_frame(run_id: str, frame_id: int) -> HTMLResponse:
        details = frame_details(_open(home), run_id, frame_id)
        return render(
            "frame.html.j2",
            active="runs",
            run_id=run_id,
            frame=details,
            line=details.line,
            decision_words=DECISION_WORDS,
            cause_words=CAUSE_WORDS,
        )

    @routes.get("/{run_id}/frames/{frame_id}/image.jpg")
    def show_image(run_id: str, frame_id: int) -> Response:
        return _image(frame_jpeg(_open(home), run_id, frame_id), "image/jpeg")

    @routes.get("/{run_id}/frames/{frame_id}/thumbnail.jpg")
    def show_thumbnail(run_id: str, frame_id: int) -> Response:
        return _image(frame_thumbnail(_open(home), run_id, frame_id), "image/jpeg")

    @routes.get("/{run_id}/people/{person}.jpg")
    def show_person(run_id: str, person: str) -> Response:
        return _image(person_jpeg(_open(home), run_id, person), "image/jpeg")

    @routes.get("/{run_id}/frames/{frame_id}/{layer}.png")
    def show_layer(run_id: str, frame_id: int, layer: Layer) -> Response:
        return _image(frame_layer(_open(home), run_id, frame_id, layer), "image/png")

    return routes


def _open(home: Path) -> Context:
    """Open the database of the home; unlike a command, do not create one."""
    from labeling.storage.home import Home

    if not has_database(Home(home)):
        raise NoRunYet("there is no run yet: start one with `maskmill run SOURCE`")
    return existing_context(home)


def _image(content: bytes, kind: str) -> Response:
    return Response(content, media_type=kind, headers=_FRAME_CACHE)


def _render_gallery(session: Session, run_id: str, chosen: GalleryFilter, after: str) -> HTMLResponse:
    run = latest_run(session, run_id)
    summary = summarize_run(session, run)
    page = frame_page(session, run.id, chosen, after=_parse_cursor(after))
    videos = videos_of_run(session, run.id)
    load_sources(session, videos)
    return render(
        "gallery.html.j2",
        active="runs",
        run=run,
        sentence=sentence_of(summary),
        is_running=bool(summary.shards_pending),
        failures=summary.failures,
        frames=page.frames,
        chosen=chosen,
        is_filtered=chosen != GalleryFilter(),
        is_first=not after,
        decisions=[Option(name, DECISION_WORDS[name]) for name in COMPARED],
        causes=[Option(name, CAUSE_WORDS[name]) for name in CAUSES],
        videos=[Option(video_id, title_of(session, video_id)) for video_id in videos],
        decision_words=DECISION_WORDS,
        cause_words=CAUSE_WORDS,
        next_url=_next_url(run.id, chosen, page.following),
        prefect_urls=_prefect_urls(running_leases(session, run.id)),
    )


def _parse_cursor(text: str) -> Cursor | None:
    if not text:
        return None
    expected_iou, _, frame_id = text.partition("_")
    try:
        return Cursor(float(expected_iou), int(frame_id))
    except ValueError:
        return None


def _next_url(run_id: str, chosen: GalleryFilter, following: Cursor | None) -> str | None:
    if following is None:
        return None
    names = {
        "decision": "decision",
        "cause": "cause",
        "video_id": "video",
        "iou_from": "low",
        "iou_to": "high",
    }
    filters = {names[name]: value for name, value in asdict(chosen).items() if value is not None}
    position = f"{following.expected_iou!r}_{following.frame_id}"
    return f"/runs/{run_id}?{urlencode(filters | {'after': position})}"


def _prefect_urls(flow_run_ids: list[str]) -> list[str]:
    """Return the pages of flow runs in Prefect's UI, if there is a permanent server."""
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

    if not PREFECT_API_URL.value():
        return []
    ui = str(PREFECT_UI_URL.value() or str(PREFECT_API_URL.value()).removesuffix("/api"))
    return [f"{ui.rstrip('/')}/runs/flow-run/{flow_run_id}" for flow_run_id in flow_run_ids]
