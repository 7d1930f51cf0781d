"""Access to the page: allowed hosts and origins, and the token for servers that others can reach."""

import asyncio
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from configs.errors import ConfigError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MIN_TOKEN_LENGTH = 16
COOKIE = "maskmill_session"
LOGIN_PATH = "/login"
_OPEN_PATHS = ("/static/", LOGIN_PATH)
_PROGRAM_PATHS = ("/api/", "/metrics")
"""For programs, which are answered with an error instead of the page to sign in."""
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_WRONG_TOKEN_S = 0.5
CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Who may use the server."""

    token: str | None
    """None: all programs of this machine."""
    hosts: frozenset[str]
    """Names under which browsers may reach the server, in lower case and without a port."""
    allows_addresses: bool = False
    """Any IP address is allowed as the host: a page of another site cannot be reached under one."""

    def accepts_host(self, host: str) -> bool:
        """Return whether the server may be reached under this Host header, against DNS rebinding."""
        name = _host_name(host)
        return name in self.hosts or (self.allows_addresses and _is_address(name))

    def accepts_token(self, token: str) -> bool:
        return self.token is not None and hmac.compare_digest(token.encode(), self.token.encode())

    async def delay_guess(self) -> None:
        """Wait after a wrong token, so that guessing is slow."""
        await asyncio.sleep(_WRONG_TOKEN_S)

    def session(self) -> str:
        """Return the value of the cookie, from which the token cannot be computed."""
        return hmac.new((self.token or "").encode(), b"maskmill web session", hashlib.sha256).hexdigest()

    def is_authorized(self, request: Request) -> bool:
        if self.token is None:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.accepts_token(given.strip()):
            return True
        return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self.session().encode())


def access_rules(host: str, token: str | None, extra_hosts: list[str]) -> AccessRules:
    """Return the rules of a server that listens on `host`.

    Raises:
        ConfigError: others could reach the server and there is no token, or the token is short.
    """
    if token is not None and len(token) < MIN_TOKEN_LENGTH:
        raise ConfigError(
            f"MASKMILL_WEB_TOKEN has {len(token)} characters: use at least {MIN_TOKEN_LENGTH}, for example "
            "from `openssl rand -hex 20`"
        )
    names = _LOCAL_NAMES | {name.lower() for name in extra_hosts}
    if host in _LOCAL_NAMES:
        return AccessRules(token, frozenset(names))
    if token is None:
        raise ConfigError(
            f"--host {host} lets other machines use the page: set MASKMILL_WEB_TOKEN to a long random text, for "
            "example from `openssl rand -hex 20`"
        )
    own = {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
    return AccessRules(token, frozenset(names | own), allows_addresses=True)


class Guard:
    """Refuses requests from other sites and without the token, and adds headers against misuse to responses."""

    def __init__(self, app: App, rules: AccessRules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        refusal = await self._refuse(request)
        await (refusal or self._app)(scope, receive, _with_headers(send))

    async def _refuse(self, request: Request) -> Response | None:
        if not self._rules.accepts_host(request.headers.get("host", "")):
            return _error(
                421,
                "wrong_host",
                "This address is not allowed for the server. Ask the person who runs it to add it with --allow-host.",
            )
        if request.method not in _SAFE_METHODS and not _is_same_origin(request):
            return _error(403, "wrong_origin", "The request came from another web site and was refused.")
        if request.url.path.startswith(_OPEN_PATHS) or self._rules.is_authorized(request):
            return None
        if "authorization" in request.headers:
            await self._rules.delay_guess()
        if request.url.path.startswith(_PROGRAM_PATHS) or request.method not in _SAFE_METHODS:
            return _error(401, "no_access", "Sign in first, or send the token in the Authorization header.")
        return RedirectResponse(LOGIN_PATH, status_code=303)


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)


def _is_same_origin(request: Request) -> bool:
    """Return whether a browser sent this from a page of ours, or a program that is no browser sent it."""
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    return request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *(
                    (name.encode(), value.encode())
                    for name, value in _HEADERS.items()
                    if name.encode() not in present
                ),
            ]
        await send(message)

    return sending
