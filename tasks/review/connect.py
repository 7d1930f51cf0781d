"""The Label Studio that a home works with, and the project in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from configs.environment import read_variable
from configs.errors import LabelStudioRefused
from configs.models import Review as Settings
from labeling.review.label_studio.client import LabelStudioClient
from labeling.review.label_studio.credentials import find_credentials
from labeling.review.label_studio.http import DEFAULT_RETRY_POLICY, RetryPolicy
from labeling.review.label_studio.instructions import instructions
from labeling.review.label_studio.project import BEST_FIRST, label_config
from labeling.review.label_studio.s3_storage import S3Keys, bucket_of, find_s3_keys
from labeling.storage.encode import IMAGES
from labeling.storage.home import Home

LOCAL = "local"
"""Name of the home's own Label Studio, whose port may change."""

_DESCRIPTION = (
    "Images in which a mask may be wrong, most valuable first. Correct the masks, or submit them unchanged; "
    "delete those that show nothing to be masked; choose `unusable` for a bad image."
)
_NEW_PROJECT = {
    "enable_empty_annotation": True,  # an image without people is a valid annotation
    "show_skip_button": True,
    "show_collab_predictions": True,
    "sampling": "Sequential sampling",  # in order of creation, which is the order of priority
}


@dataclass(frozen=True, slots=True)
class LabelStudioConnection:
    """A Label Studio that answers, and its name in the database."""

    server: LabelStudioClient
    name: str
    """Its normalized URL, or `LOCAL`."""
    is_local: bool
    """It reads the images of this home from disk."""
    s3_keys: S3Keys | None = None
    """Keys with which it can read the bucket of images."""


def secret_from_prefect(name: str) -> str | None:
    """Return a secret from the environment, or else from the Secret block of that name on a permanent Prefect server.

    The blocks are `maskmill-label-studio-url` and `maskmill-label-studio-api-key`.
    """
    if (value := read_variable(name)) is not None:
        return value
    from tasks.observability.best_effort import has_server

    if not has_server():
        return None
    from prefect.blocks.system import Secret

    try:
        block = Secret.load(name.lower().replace("_", "-"))
    except ValueError:  # no such block
        return None
    return str(block.get()) if isinstance(block, Secret) else None


@contextmanager
def connect(home: Home, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY) -> Iterator[LabelStudioConnection]:
    """Connect to the home's Label Studio, or to the team's, and check that it answers."""
    access = find_credentials(home.root, look_up=secret_from_prefect)
    with LabelStudioClient(access.url, access.token, retry_policy=retry_policy) as server:
        server.check()
        name = LOCAL if access.local else server.url
        yield LabelStudioConnection(server, name, access.local, find_s3_keys(secret_from_prefect))


@dataclass(frozen=True, slots=True)
class Page:
    """What the page of a project depends on."""

    settings: Settings
    categories: tuple[str, ...]
    """Of all runs in the project: Label Studio keeps every label that an annotation has."""


def _update_page(server: LabelStudioClient, label_studio_id: int, page: Page) -> None:
    """Set the label config. Controls of keypoints and answers stay where annotations have some: Label Studio insists on it."""
    with_keypoints = page.settings.model_copy(update={"show_keypoints": True})
    ways = [
        label_config(settings, page.categories, keep_answers=keep)
        for settings in dict.fromkeys((page.settings, with_keypoints))
        for keep in (False, True)
    ]
    for position, way in enumerate(ways, start=1):
        try:
            server.update_label_config(label_studio_id, way)
        except LabelStudioRefused as exc:
            if position == len(ways) or exc.status != HTTPStatus.BAD_REQUEST:
                raise
        else:
            return


@dataclass(frozen=True, slots=True)
class KnownProject:
    """A project that frames were sent to before."""

    label_studio_id: int
    page: Page
    """As the last push left it."""


def open_project(
    connection: LabelStudioConnection, page: Page, home: Home, *, known: KnownProject | None
) -> int:
    """Create the project of these settings, or bring it up to date; return its Label Studio id.

    Args:
        known: it is used even if it was renamed; instructions that a team has written stay.
    """
    server, settings = connection.server, page.settings
    if known is not None and server.project_exists(known.label_studio_id):
        label_studio_id = known.label_studio_id
    else:
        label_studio_id = server.find_or_create_project(
            settings.project, label_config(settings, page.categories), _DESCRIPTION, settings=_NEW_PROJECT
        )
    _update_page(server, label_studio_id, page)
    before = instructions(known.page.settings, known.page.categories) if known else ""
    server.fill_instructions(label_studio_id, instructions(settings, page.categories), instead_of=before)
    server.ensure_view(label_studio_id, BEST_FIRST)
    if connection.is_local:
        server.attach_images(label_studio_id, home.root / IMAGES)
    if connection.s3_keys and (bucket := bucket_of(home.images.store)):
        server.attach_bucket(label_studio_id, bucket, connection.s3_keys)
    return label_studio_id
