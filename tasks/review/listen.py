"""`maskmill review listen`: pull on each webhook of Label Studio, and at regular intervals."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from configs.errors import AlreadyRunning, ConfigError, MaskmillError
from db.review.annotations import projects_at
from labeling.review.label_studio.webhook import SECRET_HEADER, WebhookListener, listen_for_webhooks
from labeling.storage.home import Home
from tasks.execution.context import open_context
from tasks.review.connect import connect
from tasks.review.pull import PullSummary

SETTLE_S = 1.0
"""Wait after a webhook: an annotator's next submissions follow soon, and one pull takes them all."""

BUSY_S = 5.0
"""Wait before trying again after a pull found another push or pull in progress."""


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Where to listen for webhooks, and how often to pull without one."""

    host: str
    port: int
    """0: any free port."""
    url: str | None
    """URL at which Label Studio reaches this process; None: made of `host` and `port`."""
    every_s: float
    """Maximum time between two pulls."""


def listen(
    home: Path,
    settings: ListenSettings,
    *,
    pull: Callable[[Path], PullSummary],
    log: Callable[[str], None],
    report: Callable[[PullSummary], None],
) -> None:
    """Pull at once, then on each webhook, and at least every `every_s` seconds, until interrupted.

    A failed pull is reported and tried again; the next pull makes up for a lost webhook.

    Args:
        home: folder with the database.
        settings: the address to listen on, and the pause between pulls.
        pull: takes over the annotations of a home.
        log: called with each message.
        report: called with the result of each pull.

    Raises:
        ConfigError: the port is in use, or nothing was pushed yet.
        LabelStudioError: Label Studio does not accept the webhook.
    """
    with listen_for_webhooks(settings.host, settings.port) as listener:
        address = settings.url or f"http://{settings.host}:{listener.port}/"
        with _registered(Home(home), listener, address):
            log(f"listening on {settings.host}:{listener.port}; Label Studio calls {address}")
            while True:
                listener.heard.clear()
                try:
                    report(pull(home))
                except AlreadyRunning:  # a push, whose own changes caused the webhook
                    time.sleep(BUSY_S)
                    listener.heard.set()
                except MaskmillError as error:
                    log(f"not pulled ({error.code}): {error}")
                if listener.heard.wait(settings.every_s):
                    time.sleep(SETTLE_S)


@contextmanager
def _registered(home: Home, listener: WebhookListener, address: str) -> Iterator[None]:
    """Register the webhook with all our projects during the block.

    It is removed at the end, because an unanswered call costs every annotator a second.
    """
    with connect(home) as connection:
        server = connection.server
        with open_context(home).database.session() as session:
            projects = projects_at(session, connection.name)
        if not projects:
            raise ConfigError("nothing was sent to this Label Studio yet: run `maskmill review push` first")
        headers = {SECRET_HEADER: listener.secret}
        webhooks = [server.ensure_webhook(project.external_id, address, headers) for project in projects]
        try:
            yield
        finally:
            with suppress(MaskmillError):
                for webhook in webhooks:
                    server.remove_webhook(webhook)
