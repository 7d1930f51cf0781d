"""Prometheus metrics of homes, read from their databases at each scrape, so that a restart loses no count."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from configs.errors import ConfigError, MaskmillError
from db.runs.metrics import HomeTotals, home_totals
from labeling.storage.home import Home
from tasks.execution.context import database_of, database_url, has_database

CONTENT_TYPE = CONTENT_TYPE_LATEST
_HOME = "home"

Values = Callable[[HomeTotals], dict[str, float]]
"""Returns the values of a metric by the value of its label; without a label, by an empty text."""

_COUNTERS: tuple[tuple[str, str, str, Values], ...] = (
    ("maskmill_frames", "Frames sampled, by decision.", "decision", lambda totals: {**totals.frames}),
    (
        "maskmill_hard_frames",
        "Frames on which student and teacher disagree.",
        "",
        lambda totals: {"": totals.hard},
    ),
    (
        "maskmill_failed_frames",
        "Frames that a model's wrong output made unusable.",
        "",
        lambda totals: {"": totals.failed_frames},
    ),
    (
        "maskmill_stage_seconds",
        "Wall seconds of all shards by stage; teacher and student are inference, on the GPU where there is one.",
        "stage",
        lambda totals: {**totals.stage_s},
    ),
)
_GAUGES: tuple[tuple[str, str, str, Values], ...] = (
    ("maskmill_shards", "Shards by state.", "state", lambda totals: {**totals.shards}),
    ("maskmill_failed_shards", "Shards that failed, by error code.", "code", lambda t: {**t.failed_shards}),
    (
        "maskmill_failed_sources",
        "Sources of runs that failed at their last fetch, by error code.",
        "code",
        lambda totals: {**totals.failed_sources},
    ),
    (
        "maskmill_waiting_frames",
        "Frames of the latest run that wait for a review.",
        "",
        lambda t: {"": t.waiting},
    ),
    ("maskmill_reviews", "Frames that were queued for review, by state.", "state", lambda t: {**t.reviews}),
    (
        "maskmill_active_flows",
        "Runs and other flows that are working now.",
        "",
        lambda t: {"": t.active_flows},
    ),
    (
        "maskmill_worked_timestamp_seconds",
        "Unix time of the last work on the latest run.",
        "",
        lambda t: {"": t.worked_at.replace(tzinfo=UTC).timestamp()} if t.worked_at else {},
    ),
)


class HomesCollector(Collector):
    """Reads the databases of some homes. Homes that share a database are reported once, under the first one."""

    def __init__(self, homes: Callable[[], Iterable[Path]]) -> None:
        """Keep the function that returns the homes; it is called at each scrape."""
        self._homes = homes

    def collect(self) -> Iterator[Metric]:
        begin_s = time.perf_counter()
        homes = {database_url(home): home for home in map(Home, reversed([*self._homes()]))}
        read = {str(home.root): _read(home) for home in sorted(homes.values(), key=lambda one: str(one.root))}
        up = GaugeMetricFamily("maskmill_up", "1: the home's database was read.", labels=[_HOME])
        for home, totals in read.items():
            up.add_metric([home], float(totals is not None))
        yield up
        known = {home: totals for home, totals in read.items() if totals is not None}
        for metric_class, metrics in ((CounterMetricFamily, _COUNTERS), (GaugeMetricFamily, _GAUGES)):
            for name, text, label, values in metrics:
                family = metric_class(name, text, labels=[_HOME, label] if label else [_HOME])
                for home, totals in known.items():
                    for value, number in values(totals).items():
                        family.add_metric([home, value] if label else [home], number)
                yield family
        spent = GaugeMetricFamily("maskmill_scrape_seconds", "Wall seconds that these metrics took.")
        spent.add_metric([], time.perf_counter() - begin_s)
        yield spent


def _read(home: Home) -> HomeTotals | None:
    """Return the totals of a home; None: it has no database yet, or one that cannot be read now."""
    if not has_database(home):
        return None
    try:
        with database_of(home).session() as session:
            return home_totals(session)
    except MaskmillError:
        return None


def metrics_registry(homes: Callable[[], Iterable[Path]]) -> CollectorRegistry:
    """Return a registry of these homes alone, without the defaults of the process."""
    registry = CollectorRegistry()
    registry.register(HomesCollector(homes))
    return registry


def metrics_text(home: Path) -> bytes:
    """Return the metrics of one home in Prometheus' text format."""
    return generate_latest(metrics_registry(lambda: [home]))


@contextmanager
def metrics_server(homes: Callable[[], Iterable[Path]], *, host: str, port: int | None) -> Iterator[None]:
    """Answer `/metrics` in a thread for as long as the block lasts; `port` None: not at all.

    Raises:
        ConfigError: the address cannot be used.
    """
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, addr=host, registry=metrics_registry(homes))
    except OSError as exc:
        raise ConfigError(
            f"--metrics-port {port}: cannot listen on {host}:{port}: {exc.strerror}; choose another port"
        ) from exc
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
