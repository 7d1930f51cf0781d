"""Images in an S3 bucket that Label Studio opens itself, with URLs that it signs on each view.

A URL that we signed would expire after a week at most, and tasks wait longer. So tasks contain
`s3://bucket/key`, and a storage of the project defines how to open it. A user can create that storage in
Label Studio, or we create it with keys that the user has set for this purpose. Label Studio stores those
keys; our own keys are never sent.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from configs import environment
from configs.errors import LabelStudioRefused, LabelStudioUnreachable
from labeling.review.label_studio.http import Connection
from labeling.storage.object_store import ObjectStore, protocol_of

KEY_VARIABLE = environment.LABEL_STUDIO_AWS_ACCESS_KEY_ID.name
SECRET_VARIABLE = environment.LABEL_STUDIO_AWS_SECRET_ACCESS_KEY.name
_TITLE = "maskmill images"
_SIGNED_FOR_MIN = 60
"""Label Studio's default of one minute is too short for slow pages."""


@dataclass(frozen=True, slots=True)
class S3Keys:
    """A key pair that may read the bucket; `repr` does not show it."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Location of images in S3 or a compatible store."""

    name: str
    prefix: str
    """Without slashes at its ends; empty: the whole bucket."""
    endpoint: str | None
    """None: Amazon's."""
    region: str | None

    @property
    def url(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


def find_s3_keys(look_up: Callable[[str], str | None]) -> S3Keys | None:
    key_id, secret = (look_up(name) for name in (KEY_VARIABLE, SECRET_VARIABLE))
    return S3Keys(key_id, secret) if key_id and secret else None


def bucket_of(store: ObjectStore | None) -> Bucket | None:
    """Return the bucket of an image store; None: it is not in S3."""
    if store is None or protocol_of(store.url) not in {"s3", "s3a"}:
        return None
    name, _, prefix = store.url.partition("://")[2].partition("/")
    endpoint = environment.AWS_ENDPOINT_URL_S3.read() or environment.AWS_ENDPOINT_URL.read()
    region = environment.AWS_REGION.read() or environment.AWS_DEFAULT_REGION.read()
    return Bucket(name, prefix.strip("/"), endpoint, region)


def attach_bucket(connection: Connection, project: int, bucket: Bucket, keys: S3Keys) -> None:
    """Create the project's storage for a bucket, or update its keys."""
    body = {
        "project": project,
        "title": _TITLE,
        "bucket": bucket.name,
        "prefix": bucket.prefix,
        "s3_endpoint": bucket.endpoint,
        "region_name": bucket.region,
        "aws_access_key_id": keys.key_id,
        "aws_secret_access_key": keys.secret,
        "use_blob_urls": True,
        "presign": True,
        "presign_ttl": _SIGNED_FOR_MIN,
    }
    storages = connection.get("/api/storages/s3", project=project)
    known = next((s["id"] for s in storages if (s["title"], s["bucket"]) == (_TITLE, bucket.name)), None)
    try:
        if known is None:
            connection.post("/api/storages/s3", body)
        else:
            connection.patch(f"/api/storages/s3/{known}", body)
    except (LabelStudioRefused, LabelStudioUnreachable) as exc:
        # Label Studio answers 500 if it cannot open a bucket outside Amazon. If the next request works,
        # the server is reachable, so the keys are the reason.
        connection.get("/api/storages/s3", project=project)
        raise LabelStudioRefused(
            f"Label Studio cannot open {bucket.url} with the keys in {KEY_VARIABLE} and {SECRET_VARIABLE} "
            f"({exc}): allow them to list and read the bucket from the server's network",
            status=getattr(exc, "status", HTTPStatus.INTERNAL_SERVER_ERROR),
        ) from exc


def signs_bucket(connection: Connection, project: int, bucket: Bucket) -> bool:
    """Return whether any storage of the project opens the bucket; Label Studio compares only bucket names."""
    storages = connection.get("/api/storages/s3", project=project)
    return any(storage["bucket"] == bucket.name for storage in storages)
