"""The start page for video editors, the sign-in page, and the rendering of all pages."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flows.web.security import COOKIE, LOGIN_PATH
from labeling.text import figures

if TYPE_CHECKING:
    from flows.web.app import WebSettings

_MAX_FORM_BYTES = 2000
_SESSION_S = 30 * 24 * 3600
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "clock": figures.clock,
    "count": figures.count,
    "count_of": figures.count_of,
    "spaced": figures.spaced,
}


def render(template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """Render a page; all values are escaped."""
    content = _templates.get_template(template).render(**values)
    headers = {"cache-control": "no-store"}
    return HTMLResponse(content.encode("utf-8", "replace"), status_code=status, headers=headers)


def page_routes(settings: "WebSettings") -> APIRouter:
    """Return the routes of the start page and of signing in."""
    routes = APIRouter(include_in_schema=False)
    access = settings.access

    @routes.get("/")
    def show_start() -> Response:
        return render("videos.html.j2", active="videos", has_sign_out=access.token is not None)

    @routes.get(LOGIN_PATH)
    def show_login() -> Response:
        return render("login.html.j2", is_wrong=False)

    @routes.post(LOGIN_PATH)
    async def log_in(request: Request) -> Response:
        token = await _read_token(request)
        if not access.accepts_token(token):
            await access.delay_guess()
            return render("login.html.j2", status=401, is_wrong=True)
        answer = RedirectResponse("/", status_code=303)
        is_secure = request.url.scheme == "https"
        answer.set_cookie(
            COOKIE, access.session(), max_age=_SESSION_S, httponly=True, samesite="strict", secure=is_secure
        )
        return answer

    @routes.post("/logout")
    def log_out() -> Response:
        answer = RedirectResponse(LOGIN_PATH, status_code=303)
        answer.delete_cookie(COOKIE)
        return answer

    return routes


async def _read_token(request: Request) -> str:
    """Read the small form of the sign-in page; empty if it is something else."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            return ""
    return parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
