"""`maskmill review listen`: pull whenever Label Studio says that something changed, and now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from configs.errors import ConfigError, MaskmillError
from db.review.annotations import projects_at
from flows.review import pull_reviews
from labeling.errors import AlreadyRunning
from labeling.review.label_studio.webhook import SECRET_HEADER, WebhookListener, listen_for_webhooks
from labeling.storage.home import Home
from tasks.execution.database import database_of
from tasks.review.connect import connect, secret_from_prefect
from tasks.review.pull import PullSummary

CALM_S = 1.0
"""After a hint: an annotator's submit is followed by others, and one pull does for all."""


BUSY_S = 5.0
"""Until a pull is tried again that found another at work."""


def listen(
    home: Path,
    *,
    host: str,
    port: int,
    url: str | None,
    every_s: float,
    say: Callable[[str], None],
    tell: Callable[[PullSummary], None],
) -> None:
    """Pull at once, then at every hint, and at least every `every_s` seconds, until interrupted.

    `url` is where Label Studio reaches us; None: `host` and `port` as they are. A pull that fails is
    told and tried again; a hint that never came is made up for by the next pull.

    Raises:
        ConfigError: the port is taken, or nothing was pushed yet.
        LabelStudioError: Label Studio does not take the webhook.
    """
    with listen_for_webhooks(host, port) as hints:
        address = url or f"http://{host}:{hints.port}/"
        with _registered(Home(home), hints, address):
            say(f"listening on {host}:{hints.port}; Label Studio calls {address}")
            while True:
                hints.heard.clear()
                try:
                    tell(pull_reviews(home))
                except AlreadyRunning:  # a push, whose own changes we were told of
                    time.sleep(BUSY_S)
                    hints.heard.set()
                except MaskmillError as error:
                    say(f"not pulled ({error.code}): {error}")
                if hints.heard.wait(every_s):
                    time.sleep(CALM_S)


@contextmanager
def _registered(home: Home, hints: WebhookListener, address: str) -> Iterator[None]:
    """Our webhook on every project of ours; taken away at the end, for a call that nobody hears costs
    every annotator a second."""
    with connect(home, secret_from_prefect) as (server, place):
        with database_of(home).session() as session:
            projects = projects_at(session, place.name)
        if not projects:
            raise ConfigError("nothing was sent to this Label Studio yet: `maskmill review push` first")
        headers = {SECRET_HEADER: hints.secret}
        webhooks = [server.ensure_webhook(project.external_id, address, headers) for project in projects]
        try:
            yield
        finally:
            with suppress(MaskmillError):
                for webhook in webhooks:
                    server.remove_webhook(webhook)
