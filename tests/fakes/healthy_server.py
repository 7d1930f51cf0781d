"""A server that says that it is well, whatever it is asked, as Prefect's does at its health check."""

from collections.abc import Awaitable, Callable
from typing import Any

Call = Callable[..., Awaitable[Any]]


def create_app() -> Callable[[dict[str, Any], Call, Call], Awaitable[None]]:
    return _answer


async def _answer(scope: dict[str, Any], receive: Call, send: Call) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"true"})
