"""Which Label Studio a home works with, and the project in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from configs.environment import read_variable
from configs.models import Review as Settings
from labeling.review.label_studio.client import LabelStudioClient
from labeling.review.label_studio.credentials import find_credentials
from labeling.review.label_studio.project import BEST_FIRST, label_config
from labeling.review.label_studio.s3_storage import S3Keys, bucket_of, find_s3_keys
from labeling.storage.encode import IMAGES
from labeling.storage.home import Home

LOCAL = "local"
"""Stands for the home's own Label Studio, which may be on another port tomorrow."""

_DESCRIPTION = (
    "Frames on which the student and the teacher disagree, most valuable first. Correct the masks, or submit "
    "them as they are; delete all of them where nobody is there; choose `unusable` for a bad image."
)
_NEW_PROJECT = {
    "enable_empty_annotation": True,  # nobody there is an answer
    "show_skip_button": True,
    "show_collab_predictions": True,
    "sampling": "Sequential sampling",  # in order of creation: as they were chosen
}


@dataclass(frozen=True, slots=True)
class Place:
    """A Label Studio as the database knows it."""

    name: str
    """Its address in one spelling, or `LOCAL`."""
    is_local: bool
    """It reads the images of this home on its own disk."""
    s3_keys: S3Keys | None = None
    """What the user gave it to open our bucket with."""


def secret_from_environment(name: str) -> str | None:
    return read_variable(name)


def secret_from_prefect(name: str) -> str | None:
    """The environment's, else a Secret block's: `maskmill-label-studio-url` and `-api-key`.

    Asks Prefect's API: for flows, which have one anyway.
    """
    if (value := read_variable(name)) is not None:
        return value
    from prefect.blocks.system import Secret

    try:
        block = Secret.load(name.lower().replace("_", "-"))
    except ValueError:  # no such block
        return None
    return str(block.get()) if isinstance(block, Secret) else None


@contextmanager
def connect(
    home: Home, secret: Callable[[str], str | None] = secret_from_environment
) -> Iterator[tuple[LabelStudioClient, Place]]:
    """A checked connection to the home's Label Studio, or to the team's.

    Raises:
        LabelStudioError: there is none, or it cannot be used; the message says what to do.
    """
    access = find_credentials(home.root, look_up=secret)
    with LabelStudioClient(access.url, access.token) as server:
        server.check()
        yield server, Place(LOCAL if access.local else server.url, access.local, find_s3_keys(secret))


def open_project(
    server: LabelStudioClient, place: Place, settings: Settings, home: Home, *, known: int | None
) -> int:
    """Number of the project of these settings, made or brought up to date.

    `known` is the one that frames were sent to: it is taken whatever people call it by now.
    """
    page = label_config(settings)
    if known is not None and server.project_exists(known):
        number = known
    else:
        number = server.find_or_create_project(settings.project, page, _DESCRIPTION, settings=_NEW_PROJECT)
    server.update_label_config(number, page)
    server.ensure_view(number, BEST_FIRST)
    if place.is_local:
        server.attach_images(number, home.root / IMAGES)
    if place.s3_keys and (bucket := bucket_of(home.images.store)):
        server.attach_bucket(number, bucket, place.s3_keys)
    return number
