"""`/metrics` for Prometheus, behind the same access rules as the pages."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from tasks.observability.metrics import CONTENT_TYPE, metrics_text


def metrics_routes(home: Path) -> APIRouter:
    """Return the route of the metrics."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/metrics")
    def show_metrics() -> Response:
        return Response(metrics_text(home), headers={"content-type": CONTENT_TYPE})

    return routes
